//! Where pickle and bytes of a file of PyTorch are.

pub mod legacy;
mod place;
pub mod tar;
pub mod zipped;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::calls::Tables;
use super::error::PyTorchError;
use super::machine::Machine;
use super::objects::Objects;
pub use place::{Contents, Place};

/// Opens whichever container it is.
///
/// # Errors
/// [`PyTorchError`].
pub fn contents(file: &File) -> Result<Contents, PyTorchError> {
    let mut start = Vec::new();
    let mut reader = BufReader::new(file);
    reader.by_ref().take(tar::START).read_to_end(&mut start)?;
    reader.seek(SeekFrom::Start(0))?;
    if start.starts_with(b"PK") {
        zipped::contents(file)
    } else if tar::is_tar(&start) {
        tar::contents(reader)
    } else if legacy::is_legacy(&start) {
        legacy::contents(reader)
    } else {
        let mut objects = Objects::default();
        let tables = Tables::default();
        let (root, suspicious) = Machine::new(&mut objects, &tables).run_noting(&mut reader)?;
        let (big_endian, is_torchscript, is_bare_pickle) = (false, false, true);
        let places = Vec::new();
        Ok(Contents { objects, root, suspicious, places, big_endian, is_torchscript, is_bare_pickle })
    }
}
