//! Pictures in, drawings and poses out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context;
use image::RgbImage;
use indicatif::{ProgressBar, ProgressStyle};

use super::output::{self, Failed, Format, Found, Report};
use super::{Arguments, drawable};
use crate::cli::common::{Common, Status, print, print_json, save_picture};
use crate::cli::train::stop_on_interrupt;
use crate::data::{ExifOrientation, Size, Skeleton};
use crate::predict::boxes::{Boxes, ListedBox, people_in};
use crate::predict::pictures::{self, FoundPictures, STANDARD_INPUT, shown, stems};
use crate::predict::{PersonPose, Predictor, Receiver, TrainedNetwork, draw};

/// The progress bar.
const BAR: &str = "{bar:30} {pos}/{len} pictures  {per_sec}  {eta} left";

/// Predicts, draws and reports.
pub fn run(
    arguments: &Arguments,
    common: &Common,
    trained: &TrainedNetwork,
    given: FoundPictures,
) -> anyhow::Result<Status> {
    let skeleton = Arc::clone(&trained.model.skeleton);
    let paths = &given.paths;
    output::check(arguments.format, &skeleton, paths)?;
    say_what_is_left_out(&given);
    let boxes = arguments.boxes.as_deref().map(|file| boxes_for(file, arguments.category, paths)).transpose()?;
    let places = Places::new(arguments, paths)?;

    let gpu = common.gpu()?;
    let count = |path: &PathBuf| boxes.as_ref().map_or(arguments.people_of_each(), |boxes| boxes.of(path).len());
    let people = paths.iter().map(count).sum::<usize>().max(1);
    let mut predictor = Predictor::new(&gpu, trained, usize::from(arguments.batch).min(people))?;
    let out = &arguments.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot write to {}", out.display()))?;
    let stop = stop_on_interrupt()?;
    let drawer = Drawer { arguments, skeleton: Arc::clone(&skeleton), found: Vec::new() };
    let mut queue = predictor.queue(drawer);
    let bar = progress_bar(paths.len());
    let (mut failed, mut outside, mut without_people, mut begun) = (Vec::new(), 0, 0, 0);
    for (path, drawn) in paths.iter().zip(places.drawn) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        begun += 1;
        let listed = boxes.as_ref().map(|boxes| boxes.of(path));
        match pictures::open(path, turned(arguments, listed.as_deref())) {
            Ok(picture) => {
                let size = Size::new(picture.height(), picture.width());
                let (people, left_out) = match &listed {
                    Some(listed) => people_in(listed, size, arguments.most_people()),
                    None => arguments.people_in(&picture),
                };
                if left_out > 0 {
                    tracing::info!("{}: {left_out} boxes have nothing of the picture in them: left out", shown(path));
                }
                outside += left_out;
                without_people += usize::from(people.is_empty() && left_out > 0);
                queue.push(Picture { path: path.clone(), drawn }, shown(path), picture, people)?;
            }
            Err(error) => {
                let hint = hint(path, &error);
                bar.suspend(|| eprintln!("cannot read {}: {error}{hint}", shown(path)));
                failed.push(Failed { picture: path.clone(), error: error.to_string() });
            }
        }
        bar.inc(1);
    }
    let found = queue.finish()?.found;
    bar.finish_and_clear();
    if outside > 0 {
        eprintln!("{outside} boxes have nothing of their picture in them and are left out (-v names the pictures)");
    }
    let nobody = found.is_empty() && without_people > 0;
    let (broken, stopped) = (failed.len(), begun < paths.len());
    let report = Report { skeleton: &skeleton.name, joints: &skeleton.joints, people: found, failed };
    output::write(&report, arguments.format, &skeleton.category, out)?;
    match (common.json, arguments.format) {
        (true, Format::Coco) => print_json(&output::coco_results(&report.people, &skeleton.category))?,
        (true, _) => print_json(&report)?,
        (false, _) => print(&output::table(&report, out, arguments.format))?,
    }
    if stopped {
        eprintln!("Stopped: {begun} of {} pictures are done", paths.len());
        return Ok(Status::Interrupted);
    }
    anyhow::ensure!(broken < paths.len(), "no picture can be read");
    anyhow::ensure!(broken == 0, "{broken} of {} pictures cannot be read; the others are done", paths.len());
    anyhow::ensure!(!nobody, "no box has anything of its picture in it: are they in pixels of these pictures?");
    Ok(Status::Done)
}

fn say_what_is_left_out(given: &FoundPictures) {
    if given.again > 0 {
        eprintln!("{} pictures were named twice, and are done once", given.again);
    }
    if let [first, ..] = given.videos.as_slice() {
        let count = given.videos.len();
        eprintln!("{count} videos, such as {}, are left out: a video is done by its name alone", shown(first));
    }
}

/// The boxes of a file for these pictures, with a word about those that are not used.
fn boxes_for(file: &Path, category: Option<i64>, paths: &[PathBuf]) -> anyhow::Result<Boxes> {
    let boxes = super::read_boxes(file, category)?;
    let name = file.display();
    let mut without = 0;
    let mut owners: HashMap<*const ListedBox, &Path> = HashMap::new();
    let mut shared = None;
    for path in paths {
        let of = boxes.of(path);
        if of.is_empty() {
            tracing::info!("{} has no box", shown(path));
            without += 1;
        }
        for listed in of {
            if let Some(other) = owners.insert(listed, path) {
                shared = shared.or(Some((other, path)));
            }
        }
    }
    anyhow::ensure!(
        without < paths.len(),
        "{name} has no box for any of these pictures: it must name them, or end their names with its numbers"
    );
    if without > 0 {
        eprintln!("{without} of {} pictures have no box in {name} (-v names them)", paths.len());
    }
    if let Some((a, b)) = shared {
        let (a, b) = (shown(a), shown(b));
        eprintln!("{name} does not tell {a} and {b} apart: both have the same boxes");
    }
    if owners.len() < boxes.len() {
        tracing::info!("{name}: {} boxes are of other pictures than these", boxes.len() - owners.len());
    }
    Ok(boxes)
}

/// Which way round a picture is meant: as its annotations are, else as EXIF says.
fn turned(arguments: &Arguments, boxes: Option<&[&ListedBox]>) -> ExifOrientation {
    let annotated = boxes.and_then(|boxes| boxes.first()).and_then(|listed| listed.picture_size());
    match (arguments.ignore_orientation, annotated) {
        (true, _) => ExifOrientation::Ignore,
        (false, Some(size)) => ExifOrientation::ToFit(size),
        (false, None) => ExifOrientation::Apply,
    }
}

/// What else could have been meant.
fn hint(path: &Path, error: &pictures::OpenError) -> &'static str {
    let unknown = matches!(error, pictures::OpenError::Decode(crate::data::DecodeError::Unknown));
    if path.as_os_str() == STANDARD_INPUT && unknown { "; names of pictures are read with --files-from -" } else { "" }
}

/// Where drawings go.
struct Places {
    drawn: Vec<PathBuf>,
}

impl Places {
    /// A name for each drawing that is no other's, and none of the files that are read.
    fn new(arguments: &Arguments, paths: &[PathBuf]) -> anyhow::Result<Self> {
        let stems = stems(paths);
        let drawn: Vec<PathBuf> = stems
            .iter()
            .map(|stem| {
                let mut name = stem.clone();
                name.push(".png");
                arguments.out.join(name)
            })
            .collect();
        let renamed = |(path, stem): &(&PathBuf, &std::ffi::OsString)| {
            path.as_os_str() != STANDARD_INPUT && path.file_stem() != Some(stem.as_os_str())
        };
        let renamed: Vec<_> = paths.iter().zip(&stems).filter(renamed).collect();
        if let [(path, stem), ..] = renamed.as_slice() {
            eprintln!(
                "{} pictures have the name of another: {} is drawn as {}.png, and so on",
                renamed.len(),
                shown(path),
                stem.to_string_lossy()
            );
        }
        let inputs: HashMap<PathBuf, &PathBuf> =
            paths.iter().chain(&arguments.boxes).filter_map(|path| Some((path.canonicalize().ok()?, path))).collect();
        let poses = arguments.out.join(arguments.format.file());
        for written in drawn.iter().chain([&poses]) {
            let replaced = written.canonicalize().ok().and_then(|written| inputs.get(&written).copied());
            let what = if *written == poses { "the list of poses" } else { "the drawing" };
            if let Some(input) = replaced {
                anyhow::bail!("{what} would replace {} itself; choose another --out", shown(input));
            }
        }
        Ok(Self { drawn })
    }
}

/// What the command knows a picture by.
struct Picture {
    path: PathBuf,
    /// Where its drawing goes.
    drawn: PathBuf,
}

/// Draws pictures and keeps poses as they come.
struct Drawer<'a> {
    arguments: &'a Arguments,
    skeleton: Arc<Skeleton>,
    found: Vec<Found>,
}

impl Receiver for Drawer<'_> {
    type Picture = Picture;
    type Error = anyhow::Error;

    fn explains(&self) -> bool {
        self.arguments.explain
    }

    fn explained(&mut self, picture: &Picture, number: usize, sheet: RgbImage) -> anyhow::Result<()> {
        save_picture(&explained_path(&picture.drawn, number), &sheet)
    }

    fn picture(&mut self, picture: Picture, mut image: RgbImage, people: Vec<PersonPose>) -> anyhow::Result<()> {
        for person in people {
            let joints = drawable(&person.pose, self.arguments.threshold);
            draw::skeleton(&mut image, &self.skeleton, &joints, draw::bone_width(&person.person));
            let score = person.score();
            let PersonPose { person, pose } = person;
            self.found.push(Found { picture: picture.path.clone(), person, score, joints: pose });
        }
        save_picture(&picture.drawn, &image)
    }
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(pictures: usize) -> ProgressBar {
    // The template is a constant, and a test draws it: it cannot be refused.
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(pictures as u64).with_style(style)
}

/// Where the explanation of a picture's `number`th person (from 1) goes.
fn explained_path(drawn: &Path, number: usize) -> PathBuf {
    let mut name = drawn.file_stem().unwrap_or_default().to_os_string();
    name.push(format!("_explained_{number}.png"));
    drawn.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_template_is_valid() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
