//! What the commands share: the options that all of them take, how they end, and how they print and write.

use std::io::{Cursor, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use image::{ImageFormat, RgbImage};
use serde::Serialize;

use crate::data::Size;
use crate::files::write_atomically;
use crate::gpu::{AdapterChoice, Gpu};
use crate::train::step::Precision;

/// Options that every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Common {
    /// The adapter to use: a part of its name, or its number in `ditn devices`; with several processes a list of them, such as
    /// 0,1 [default: a real GPU before a CPU]
    #[arg(long, global = true, value_name = "ADAPTER")]
    pub adapter: Option<String>,
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on standard error: -v what is done, -vv also how
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Done,
    CheckFailed,
    Fault,
    Interrupted,
}

impl Status {
    /// The exit status of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::CheckFailed => 1,
            Self::Fault => 2,
            Self::Interrupted => 130,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

impl Common {
    pub fn gpu(&self) -> anyhow::Result<Arc<Gpu>> {
        Ok(Gpu::open(&self.adapter_choice())?)
    }

    /// The adapter to use, for this crate's kernels alone.
    pub fn adapter_choice(&self) -> AdapterChoice {
        AdapterChoice { name: self.adapter.clone(), turn: 0, trusted_kernels_only: true }
    }
}

/// Prints text to standard output; an output that is closed early is an error, not a panic.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// Writes a picture in the format of its file's name, in one step: an older one is replaced by a whole one or stays.
pub(super) fn save_picture(path: &Path, picture: &RgbImage) -> anyhow::Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    let mut bytes = Vec::new();
    let format = ImageFormat::from_path(path).with_context(cannot_write)?;
    picture.write_to(&mut Cursor::new(&mut bytes), format).with_context(cannot_write)?;
    write_atomically(path, &bytes).with_context(cannot_write)
}

/// Prints one JSON document to standard output.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("cannot write the result as JSON")?;
    print(&(text + "\n"))
}

/// `f32` or `f16`.
pub(super) fn precision_parser() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(["f32", "f16"]).map(|name| if name == "f16" { Precision::F16 } else { Precision::F32 })
}

/// Height and width from `HxW`.
pub(super) fn parse_size(text: &str) -> Result<Size, String> {
    let size = text.split_once('x').and_then(|(h, w)| Some(Size::new(h.parse().ok()?, w.parse().ok()?)));
    match size {
        Some(size) if size.is_multiple_of(32) && size.height.max(size.width) <= 4096 => Ok(size),
        _ => Err("write height and width in multiples of 32, at most 4096, such as 256x192".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_height_and_width_in_multiples_of_32() {
        assert_eq!(parse_size("256x192"), Ok(Size::new(256, 192)));
        for wrong in ["256", "256x", "0x64", "250x192", "-32x32", "256x192x3", "99999999x32"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
