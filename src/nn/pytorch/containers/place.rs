//! What a container gives: its pickle, and where the bytes are.

use super::super::objects::{Objects, Value};

/// A file's pickle, and where its storages are.
pub struct Contents {
    pub objects: Objects,
    pub root: Value,
    pub suspicious: Option<String>,
    /// Of each storage of the objects.
    pub places: Vec<Option<Place>>,
    pub big_endian: bool,
    pub is_torchscript: bool,
    pub is_bare_pickle: bool,
}

/// The bytes of a storage.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// As they are, from a byte of the file on.
    Plain { start: u64, length: u64 },
    /// Compressed, in an entry of a zip archive.
    Compressed { entry: usize, length: u64 },
}

impl Place {
    /// How many bytes there are.
    pub fn length(self) -> u64 {
        match self {
            Self::Plain { length, .. } | Self::Compressed { length, .. } => length,
        }
    }
}
