//! `ditn web`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde::Serialize;

use super::common::{Common, Status, precision_parser, print, print_json};
use crate::nn::Precision;
use crate::predict::{TrainedNetwork, shipped};
use crate::web::{self, Bundle, Server, Summary};

const EXAMPLES: &str = "\
Examples:
  ditn web --serve                                           try it: open http://127.0.0.1:8000/
  ditn web site                                              the network that ships with the program, for any web server
  ditn web runs/ditn_tiny-001/best.safetensors site --serve  a network of one's own, written and served

The folder needs no server of ours: copy it to any static host that has https, which browsers ask for before they give a page
the GPU. Opened as files it does not work. Pages: Pose (joints in a picture or before the camera), Train (a small network
learns in the page), Kernels (each kernel run against its reference, edited, timed), Benchmark (a file for `ditn bench
--compare`), Verify (this browser's numbers against this program's).";

const USAGE: &str = "ditn web [OPTIONS] [CHECKPOINT] DIR\n       ditn web [OPTIONS] --serve";

/// Arguments of `ditn web`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub(super) struct Arguments {
    /// The folder to write, after the checkpoint if there is one [default: none with --serve; the network that ships with the
    /// program]
    #[arg(value_names = ["CHECKPOINT", "DIR"], num_args = 0..=2)]
    paths: Vec<PathBuf>,
    /// How weights are stored: f32, with batch normalisation folded into them, or f16 in half the space and the time to load
    /// [default: f16 for the network that ships with the program, whose weights are of 16 bits; else f32]
    #[arg(long, value_parser = precision_parser())]
    weights: Option<Precision>,
    /// Serve the folder to this machine's browsers until Ctrl-C
    #[arg(long)]
    serve: bool,
    /// Port to serve at; 0 for any free one
    #[arg(long, default_value_t = 8000, requires = "serve")]
    port: u16,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<&'a Path>,
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

/// Writes a network with its pages for browsers.
pub(super) fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Arguments { paths, weights, serve, port } = arguments;
    let (checkpoint, folder) = match paths.as_slice() {
        [] if !serve => {
            bail!("name the folder to write, as in `ditn web site`, or try the pages at once: ditn web --serve")
        }
        [] => (None, None),
        [folder] => {
            let name = folder.display();
            let is_checkpoint = folder.is_file() || folder.extension().is_some_and(|ending| ending == "safetensors");
            anyhow::ensure!(!is_checkpoint, "a checkpoint is followed by the folder to write: ditn web {name} DIR");
            (None, Some(folder))
        }
        [checkpoint, folder, ..] => (Some(checkpoint), Some(folder)),
    };
    // Before the work that would be lost.
    folder.map_or(Ok(()), |folder| Bundle::check_folder(folder))?;
    let server = if serve {
        let taken = || format!("cannot serve at port {port}; choose another with --port, or any with --port 0");
        Some(Server::bind(port).with_context(taken)?)
    } else {
        None
    };
    let trained = checkpoint.map_or_else(TrainedNetwork::shipped, |path| TrainedNetwork::load(path))?;
    let description = match checkpoint {
        None => shipped::WORTH.to_owned(),
        // Without the folders, which are nobody else's business.
        Some(path) => format!("{}, {}", path.file_name().unwrap_or_default().to_string_lossy(), trained.size),
    };
    let weights = weights.unwrap_or(if checkpoint.is_none() { Precision::F16 } else { Precision::F32 });
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let gpu = common.gpu()?;
    let said = |what: &str| bar.set_message(format!("{what} ..."));
    let bundle = web::bundle(&gpu, &trained, &description, weights, said)?;
    if let Some(folder) = folder {
        bundle.write(folder)?;
    }
    bar.finish_and_clear();
    let (summary, address) = (bundle.summary(), server.as_ref().map(Server::address).transpose()?);
    if common.json {
        print_json(&Report { folder: folder.map(PathBuf::as_path), summary, address })?;
    } else {
        let Summary { files, bytes, kernel_cases } = summary;
        let megabytes = bytes as f64 / 1e6;
        let written = folder.map_or(String::new(), |folder| format!(", written to {}", folder.display()));
        print(&format!("{files} files, {megabytes:.1} MB, {kernel_cases} cases of kernels{written}\n"))?;
        match address {
            Some(address) => print(&format!("Open {address} in a browser; Ctrl-C ends.\n"))?,
            None => print("Copy the folder to any web server with https; --serve shows the pages on this machine.\n")?,
        }
    }
    if let Some(server) = server {
        server.run(bundle);
    }
    Ok(Status::Done)
}
