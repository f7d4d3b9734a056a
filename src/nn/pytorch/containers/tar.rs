//! The container before PyTorch 0.1.10, in which torchvision's first networks are: a tar archive of `sys_info`,
//! `storages`, `tensors` and `pickle`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::super::calls::Tables;
use super::super::error::PyTorchError;
use super::super::machine::Machine;
use super::super::objects::{Element, Object, Objects, Tensor, Value};
use super::place::{Contents, Place};

/// Bytes of a header, and what contents are filled up to.
const BLOCK: u64 = 512;
/// Bytes that [`is_tar`] looks at.
pub const START: u64 = BLOCK;
/// Most headers that are looked at: there are four entries, and perhaps a folder.
const MOST_ENTRIES: usize = 64;
/// Most axes of a tensor.
const MOST_AXES: usize = 64;

/// Whether a file that starts with these bytes is a tar archive.
pub fn is_tar(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

fn malformed(reason: &str) -> PyTorchError {
    PyTorchError::Malformed(reason.to_owned())
}

/// A storage of the table: where it is, and its type of element.
#[derive(Clone, Copy)]
struct Known {
    start: u64,
    length: u64,
    element: Element,
}

/// Opens the file.
///
/// # Errors
/// [`PyTorchError`].
pub fn contents(mut reader: BufReader<&File>) -> Result<Contents, PyTorchError> {
    let entries = entries(&mut reader)?;
    let enter = |reader: &mut BufReader<&File>, name: &str| -> Result<u64, PyTorchError> {
        let &(start, length) = entries.get(name).ok_or_else(|| {
            PyTorchError::Malformed(format!(
                "it is a tar archive without the entry `{name}` of PyTorch's: unpack it first"
            ))
        })?;
        reader.seek(SeekFrom::Start(start))?;
        Ok(start + length)
    };
    let mut big_endian = false;
    if entries.contains_key("sys_info") {
        enter(&mut reader, "sys_info")?;
        let (objects, system) = small(&mut reader)?;
        big_endian = objects.entry(system, "little_endian") == Some(Value::Bool(false));
    }
    let end = enter(&mut reader, "storages")?;
    let known = storages(&mut reader, end)?;
    enter(&mut reader, "tensors")?;
    let mut objects = Objects::default();
    let mut places = Vec::new();
    let tensors = tensors(&mut reader, &known, &mut objects, &mut places)?;
    enter(&mut reader, "pickle")?;
    let tables = Tables { tensors: Some(tensors) };
    let (root, suspicious) = Machine::new(&mut objects, &tables).run_noting(&mut reader)?;
    places.resize(objects.storages.len(), None);
    let (is_torchscript, is_bare_pickle) = (false, false);
    Ok(Contents { objects, root, suspicious, places, big_endian, is_torchscript, is_bare_pickle })
}

/// Start and length of each entry.
fn entries(reader: &mut BufReader<&File>) -> Result<HashMap<String, (u64, u64)>, PyTorchError> {
    let mut entries = HashMap::new();
    let mut position = 0_u64;
    for _ in 0..MOST_ENTRIES {
        let mut header = [0; BLOCK as usize];
        reader.seek(SeekFrom::Start(position))?;
        if reader.read_exact(&mut header).is_err() || header[0] == 0 {
            break;
        }
        let text =
            |field: &[u8]| String::from_utf8_lossy(field.split(|&byte| byte == 0).next().unwrap_or(field)).into_owned();
        let name = text(&header[..100]);
        let length =
            u64::from_str_radix(text(&header[124..136]).trim(), 8).map_err(|_| malformed("a broken tar header"))?;
        let start = position + BLOCK;
        entries.insert(name.trim_start_matches("./").to_owned(), (start, length));
        let next = length.checked_next_multiple_of(BLOCK).and_then(|length| start.checked_add(length));
        position = next.ok_or_else(|| malformed("a broken tar header"))?;
    }
    Ok(entries)
}

/// One pickle of the tables, by itself.
fn small(reader: &mut BufReader<&File>) -> Result<(Objects, Value), PyTorchError> {
    let mut objects = Objects::default();
    let value = Machine::new(&mut objects, &Tables::default()).run(reader)?;
    Ok((objects, value))
}

fn count(reader: &mut BufReader<&File>) -> Result<u64, PyTorchError> {
    match small(reader)?.1 {
        Value::Int(count) if count >= 0 => Ok(count.unsigned_abs()),
        _ => Err(malformed("a table without the number of its entries")),
    }
}

fn whole(reader: &mut BufReader<&File>) -> Result<u64, PyTorchError> {
    let mut word = [0; 8];
    reader.read_exact(&mut word)?;
    u64::try_from(i64::from_le_bytes(word)).map_err(|_| malformed("a negative number in a table"))
}

/// A key, which is a number in the tables and a string in the pickle.
fn key(objects: &Objects, value: Value) -> Option<String> {
    match value {
        Value::Int(number) => Some(number.to_string()),
        _ => objects.text(value).map(str::to_owned),
    }
}

/// The table of storages: key, place and type of each, its elements, and in the end views of them.
fn storages(reader: &mut BufReader<&File>, end: u64) -> Result<HashMap<String, Known>, PyTorchError> {
    let mut known = HashMap::new();
    for _ in 0..count(reader)? {
        let (objects, entry) = small(reader)?;
        let Some(&[name, _, class]) = objects.tuple(entry) else { return Err(malformed("a broken table of storages")) };
        let (Some(name), Some(element)) = (key(&objects, name), objects.global(class).and_then(Element::of)) else {
            return Err(malformed("a storage of an unknown type"));
        };
        let length = whole(reader)?.checked_mul(element.size as u64);
        let start = reader.stream_position()?;
        let Some((length, next)) =
            length.and_then(|length| Some((length, start.checked_add(length)?))).filter(|&(_, next)| next <= end)
        else {
            return Err(malformed("it is cut short: it ends within a storage"));
        };
        known.insert(name, Known { start, length, element });
        reader.seek(SeekFrom::Start(next))?;
    }
    let (objects, views) = small(reader)?;
    let Some(Object::List { items, .. }) = objects.get(views) else { return Ok(known) };
    for &(_, view) in items {
        let Some(&[target, root, Value::Int(offset), Value::Int(elements)]) = objects.tuple(view) else { continue };
        let root = key(&objects, root).and_then(|root| known.get(&root).copied());
        let (Some(target), Some(root)) = (key(&objects, target), root) else { continue };
        let bytes = |count: i64| u64::try_from(count).ok()?.checked_mul(root.element.size as u64);
        let (Some(offset), Some(length)) = (bytes(offset), bytes(elements)) else { continue };
        if offset.checked_add(length).is_some_and(|end| end <= root.length) {
            known.insert(target, Known { start: root.start + offset, length, ..root });
        }
    }
    Ok(known)
}

/// The table of tensors: key and storage, axes, extents, strides, offset.
fn tensors(
    reader: &mut BufReader<&File>,
    known: &HashMap<String, Known>,
    objects: &mut Objects,
    places: &mut Vec<Option<Place>>,
) -> Result<HashMap<String, Tensor>, PyTorchError> {
    let mut tensors = HashMap::new();
    for _ in 0..count(reader)? {
        let (table, entry) = small(reader)?;
        let Some(&[name, storage, _]) = table.tuple(entry) else { return Err(malformed("a broken table of tensors")) };
        let (Some(name), Some(storage)) = (key(&table, name), key(&table, storage)) else {
            return Err(malformed("a broken table of tensors"));
        };
        // The number of axes was once written as eight bytes.
        let axes = usize::try_from(whole(reader)? & u64::from(u32::MAX)).ok().filter(|&axes| axes <= MOST_AXES);
        let axes = axes.ok_or_else(|| malformed("a tensor of too many axes"))?;
        let mut extents = || -> Result<Vec<usize>, PyTorchError> {
            (0..axes)
                .map(|_| usize::try_from(whole(reader)?).map_err(|_| malformed("a tensor that is too large")))
                .collect()
        };
        let (shape, stride) = (extents()?, extents()?);
        let offset = whole(reader)?;
        let Some(&Known { start, length, element }) = known.get(&storage) else {
            return Err(malformed("a tensor in a storage that the file does not have"));
        };
        let index = objects.storage(&storage, Some(element.size))?;
        places.resize(objects.storages.len(), None);
        places[index as usize] = Some(Place::Plain { start, length });
        objects.charge(size_of::<Tensor>() + 16 * axes + name.len() + 64)?;
        tensors.insert(name, Tensor { storage: index, element, offset, shape, stride });
    }
    Ok(tensors)
}
