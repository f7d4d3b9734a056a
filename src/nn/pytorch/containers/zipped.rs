//! The zip archive of PyTorch 1.6 and later: `NAME/data.pkl`, and an entry `NAME/data/KEY` for each storage.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use zip::CompressionMethod;

use super::super::calls::Tables;
use super::super::error::PyTorchError;
use super::super::machine::Machine;
use super::super::objects::{Objects, Value};
use super::place::{Contents, Place};

/// Largest pickle that is unpacked: a few bytes can unpack to many. PyTorch writes its pickle as it is.
const LARGEST_UNPACKED: u64 = 8 << 20;

/// Opens the archive.
///
/// # Errors
/// [`PyTorchError`].
pub fn contents(file: &File) -> Result<Contents, PyTorchError> {
    let broken = |error: zip::result::ZipError| PyTorchError::Malformed(error.to_string());
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    let names = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned()));
    let pickle = names.filter(|name| name == "data.pkl" || name.ends_with("/data.pkl")).min_by_key(String::len);
    let pickle = pickle.ok_or_else(|| PyTorchError::Malformed("the archive has no `data.pkl`".into()))?;
    let root = pickle.strip_suffix("data.pkl").unwrap_or_default().to_owned();

    let (mut entries, mut is_torchscript) = (HashMap::new(), false);
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(broken)?;
        let Ok(name) = entry.name() else { continue };
        let Some(name) = name.strip_prefix(&*root) else { continue };
        is_torchscript |= name.starts_with("code/");
        let place = match (entry.compression(), entry.data_start()) {
            (CompressionMethod::Stored, Some(start)) => Place::Plain { start, length: entry.size() },
            _ => Place::Compressed { entry: index, length: entry.size() },
        };
        entries.insert(name.to_owned(), place);
    }
    drop(archive);

    let mut byte_order = Vec::new();
    if let Some(&place) = entries.get("byteorder") {
        read(file, place, &mut |reader| reader.take(16).read_to_end(&mut byte_order).map(drop).map_err(Into::into))?;
    }
    let place = *entries.get("data.pkl").ok_or_else(|| PyTorchError::Malformed("its pickle is not there".into()))?;
    if let Place::Compressed { length, .. } = place
        && length > LARGEST_UNPACKED
    {
        let reason = format!("its pickle has {length} bytes, weights need no more than {LARGEST_UNPACKED}");
        return Err(PyTorchError::Malformed(reason));
    }
    let mut objects = Objects::default();
    let tables = Tables::default();
    let mut result = (Value::Plain, None);
    read(file, place, &mut |reader| {
        result = Machine::new(&mut objects, &tables).run_noting(&mut BufReader::new(reader))?;
        Ok(())
    })?;
    let (root, suspicious) = result;
    let places = objects.storages.iter().map(|storage| entries.get(&format!("data/{}", storage.key)).copied());
    let places = places.collect();
    let big_endian = byte_order.starts_with(b"big");
    Ok(Contents { objects, root, suspicious, places, big_endian, is_torchscript, is_bare_pickle: false })
}

/// Gives `take` the bytes of an entry, unpacked.
fn read(
    file: &File,
    place: Place,
    take: &mut dyn FnMut(&mut dyn Read) -> Result<(), PyTorchError>,
) -> Result<(), PyTorchError> {
    let mut file = file;
    match place {
        Place::Plain { start, length } => {
            file.seek(SeekFrom::Start(start))?;
            take(&mut file.take(length))
        }
        Place::Compressed { entry, .. } => {
            file.seek(SeekFrom::Start(0))?;
            let broken = |error: zip::result::ZipError| PyTorchError::Malformed(error.to_string());
            let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
            take(&mut archive.by_index(entry).map_err(broken)?)
        }
    }
}
