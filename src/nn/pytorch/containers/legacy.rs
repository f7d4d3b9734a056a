//! The container of PyTorch 0.1.10 to 1.5: five pickles (a number by which it is known, its version, the machine, the
//! object, the storages' keys), then for each key the number of elements and the elements.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::super::calls::Tables;
use super::super::error::PyTorchError;
use super::super::machine::Machine;
use super::super::objects::{Object, Objects, Value};
use super::place::{Contents, Place};

/// 0x1950a86a20f9469cfc6c as pickles have it: in bytes, and in digits.
const MAGIC: [&[u8]; 2] = [b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", b"119547037146038801333356"];

/// Whether a file that starts with these bytes is one.
pub fn is_legacy(start: &[u8]) -> bool {
    let start = &start[..start.len().min(64)];
    MAGIC.iter().any(|magic| start.windows(magic.len()).any(|window| window == *magic))
}

/// Opens the file.
///
/// # Errors
/// [`PyTorchError`].
pub fn contents(mut reader: BufReader<&File>) -> Result<Contents, PyTorchError> {
    let length = reader.get_ref().metadata()?.len();
    let (mut objects, tables) = (Objects::default(), Tables::default());
    // A new machine for each pickle: what one stored, the next must not recall.
    for _ in 0..2 {
        Machine::new(&mut objects, &tables).run(&mut reader)?;
    }
    let system = Machine::new(&mut objects, &tables).run(&mut reader)?;
    let (root, suspicious) = Machine::new(&mut objects, &tables).run_noting(&mut reader)?;
    let keys = Machine::new(&mut objects, &tables).run(&mut reader)?;

    let mut found = HashMap::new();
    if let Some(Object::List { items, .. }) = objects.get(keys) {
        for key in items.iter().filter_map(|&(_, key)| objects.text(key)) {
            // The elements' size is known from what refers to the storage; without it what follows cannot be found.
            let Some(size) = objects.storage_named(key).and_then(|storage| storage.size) else { break };
            let mut count = [0; 8];
            reader.read_exact(&mut count)?;
            let start = reader.stream_position()?;
            let bytes = u64::try_from(i64::from_le_bytes(count)).ok().and_then(|count| count.checked_mul(size as u64));
            let end = bytes.and_then(|bytes| start.checked_add(bytes)).filter(|&end| end <= length);
            let (Some(bytes), Some(end)) = (bytes, end) else {
                return Err(PyTorchError::Malformed(format!("it is cut short: it ends within its storage `{key}`")));
            };
            found.insert(key.to_owned(), Place::Plain { start, length: bytes });
            reader.seek(SeekFrom::Start(end))?;
        }
    }
    let places = objects.storages.iter().map(|storage| found.get(&*storage.key).copied()).collect();
    let big_endian = objects.entry(system, "little_endian") == Some(Value::Bool(false));
    let (is_torchscript, is_bare_pickle) = (false, false);
    Ok(Contents { objects, root, suspicious, places, big_endian, is_torchscript, is_bare_pickle })
}
