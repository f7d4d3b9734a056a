//! A video or a camera in, a drawn video and a line of poses a frame out.

use std::fs::File;
use std::io::{IsTerminal, LineWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use image::RgbImage;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::output::{self, Format};
use super::{Arguments, drawable};
use crate::cli::common::{Common, Status, print, print_json};
use crate::cli::train::stop_on_interrupt;
use crate::data::{Size, Skeleton};
use crate::predict::boxes::{PersonBox, people_in};
use crate::predict::pictures::shown;
use crate::predict::smooth::Smoother;
use crate::predict::video::{Input, Properties, Rate, VideoError, Writer};
use crate::predict::{PersonPose, Pose, Predictor, Receiver, TrainedNetwork, draw};

/// The progress bar of a video, and of what has no known end.
const BAR: &str = "{bar:30} {pos}/{len} frames  {per_sec}  {eta} left";
const ENDLESS: &str = "{spinner} {pos} frames  {per_sec}  Ctrl-C ends";

/// Time between plain lines where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// The first line of `poses.jsonl`.
#[derive(Serialize)]
struct Head<'a> {
    video: String,
    skeleton: &'a str,
    joints: &'a [String],
    width: u32,
    height: u32,
    frames_per_second: f64,
}

/// Another line of `poses.jsonl`.
#[derive(Serialize)]
struct Frame<'a> {
    frame: u64,
    /// Seconds from the first frame.
    time: f64,
    people: Vec<Person<'a>>,
}

#[derive(Serialize)]
struct Person<'a> {
    #[serde(rename = "box")]
    person: PersonBox,
    score: f32,
    joints: &'a Pose,
}

impl<'a> From<&'a PersonPose> for Person<'a> {
    fn from(found: &'a PersonPose) -> Self {
        Person { person: found.person, score: found.score(), joints: &found.pose }
    }
}

/// What is said at the end.
#[derive(Serialize)]
struct Summary {
    video: String,
    frames: u64,
    people: u64,
    seconds: f64,
    frames_per_second: f64,
    poses: String,
    drawn: String,
}

/// Predicts, draws and reports.
pub fn run(arguments: &Arguments, common: &Common, trained: &TrainedNetwork, input: &Input) -> anyhow::Result<Status> {
    anyhow::ensure!(arguments.format != Format::Coco, "COCO's results format has no frames: take plain or csv");
    anyhow::ensure!(!arguments.explain, "--explain takes pictures; take frames out of the video with ffmpeg first");
    let Properties { rate, frames } = input.properties()?;
    let boxes = arguments.boxes.as_deref().map(|file| super::read_boxes(file, arguments.category)).transpose()?;
    let places = Places::new(arguments, input)?;
    let skeleton = Arc::clone(&trained.model.skeleton);
    let gpu = common.gpu()?;
    let mut predictor = Predictor::new(&gpu, trained, usize::from(arguments.batch))?;
    std::fs::create_dir_all(&arguments.out).with_context(|| format!("cannot write to {}", arguments.out.display()))?;
    let stop = stop_on_interrupt()?;
    let mut progress = Progress::new(frames);
    let smoother = arguments.smooth.map(|settings| Smoother::new(settings, rate.step()));
    let mut queue = predictor.queue(Drawer {
        arguments,
        input,
        rate,
        skeleton,
        places: &places,
        smoother,
        files: None,
        frames: 0,
        people: 0,
    });
    let mut source = input.frames(rate, !arguments.ignore_orientation)?;
    let (mut begun, mut outside) = (0, 0);
    let end: Result<(), VideoError> = loop {
        if stop.load(Ordering::Relaxed) {
            break Ok(());
        }
        let frame = match source.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let size = Size::new(frame.height(), frame.width());
        let (people, left_out) = match &boxes {
            Some(boxes) => people_in(&boxes.of_frame(begun), size, arguments.most_people()),
            None => arguments.people_in(&frame),
        };
        outside += left_out;
        queue.push(begun, format!("frame {begun}"), frame, people)?;
        begun += 1;
        progress.next(begun);
    };
    let stopped = stop.load(Ordering::Relaxed);
    let drawer = queue.finish()?;
    progress.bar.finish_and_clear();
    let (done, people) = (drawer.frames, drawer.people);
    if let Some(files) = drawer.files {
        files.finish()?;
    }
    if outside > 0 {
        eprintln!("{outside} boxes have nothing of their frame in them and are left out");
    }
    end.with_context(|| format!("{} frames of {} are done", done, shown(&input.name)))?;
    anyhow::ensure!(done > 0 || stopped, "{} has no frame", shown(&input.name));
    if let Some(file) = arguments.boxes.as_deref().filter(|_| people == 0) {
        anyhow::bail!("{} has no box in any frame: boxes of a video are by `frame`, from 0", file.display());
    }
    let seconds = progress.start.elapsed().as_secs_f64();
    let summary = Summary {
        video: input.name.to_string_lossy().into_owned(),
        frames: done,
        people,
        seconds,
        frames_per_second: done as f64 / seconds,
        poses: places.poses.display().to_string(),
        drawn: places.drawn.display().to_string(),
    };
    if common.json {
        print_json(&summary)?;
    } else {
        let Summary { frames, people, seconds, frames_per_second, poses, drawn, .. } = &summary;
        print(&format!(
            "{frames} frames with {people} poses in {seconds:.1} s, {frames_per_second:.1} frames/s\nDrawn: {drawn}\n\
             Poses: {poses}\n"
        ))?;
    }
    if stopped {
        eprintln!("Stopped: the frames so far are whole");
        return Ok(Status::Interrupted);
    }
    Ok(Status::Done)
}

/// The files that are written.
struct Places {
    poses: PathBuf,
    drawn: PathBuf,
}

impl Places {
    fn new(arguments: &Arguments, input: &Input) -> anyhow::Result<Self> {
        let stem = if input.name.is_file() { input.name.file_stem() } else { None };
        let mut name = stem.unwrap_or("camera".as_ref()).to_os_string();
        name.push(".mp4");
        let poses = if arguments.format == Format::Csv { "poses.csv" } else { "poses.jsonl" };
        let places = Self { poses: arguments.out.join(poses), drawn: arguments.out.join(name) };
        let read = [Some(&input.name), arguments.boxes.as_ref()];
        for (written, read) in [&places.poses, &places.drawn].into_iter().flat_map(|a| read.map(|b| (a, b))) {
            let same = |read: &Path| written.canonicalize().is_ok_and(|a| read.canonicalize().is_ok_and(|b| a == b));
            let replaces = read.is_some_and(|read| same(read));
            anyhow::ensure!(!replaces, "{} would be replaced; choose another --out", shown(written));
        }
        Ok(places)
    }
}

/// How far it is, for a person.
struct Progress {
    bar: ProgressBar,
    start: Instant,
    last: Instant,
    terminal: bool,
}

impl Progress {
    fn new(frames: Option<u64>) -> Self {
        // The templates are constants, and a test draws them: they cannot be refused.
        let style = |text| ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = match frames {
            Some(frames) => ProgressBar::new(frames).with_style(style(BAR)),
            None => ProgressBar::no_length().with_style(style(ENDLESS)),
        };
        let (start, last) = (Instant::now(), Instant::now());
        Self { bar, start, last, terminal: std::io::stderr().is_terminal() }
    }

    fn next(&mut self, frames: u64) {
        self.bar.set_position(frames);
        if !self.terminal && self.last.elapsed() > PLAIN_INTERVAL {
            self.last = Instant::now();
            let length = self.bar.length().map(|length| format!("/{length}")).unwrap_or_default();
            eprintln!("frame {frames}{length}  {:.1} frames/s", frames as f64 / self.start.elapsed().as_secs_f64());
        }
    }
}

/// Draws frames and writes poses as they come.
struct Drawer<'a> {
    arguments: &'a Arguments,
    input: &'a Input,
    rate: Rate,
    skeleton: Arc<Skeleton>,
    places: &'a Places,
    smoother: Option<Smoother>,
    /// From the first frame on.
    files: Option<Files>,
    frames: u64,
    people: u64,
}

/// The two files under way.
struct Files {
    drawn: Writer,
    poses: Poses,
}

enum Poses {
    Lines(LineWriter<File>),
    Table(Box<csv::Writer<File>>),
}

impl Files {
    fn finish(self) -> anyhow::Result<()> {
        match self.poses {
            Poses::Lines(mut lines) => lines.flush()?,
            Poses::Table(mut table) => table.flush()?,
        }
        Ok(self.drawn.finish()?)
    }
}

impl Drawer<'_> {
    /// Begins the files with what is known from the first frame.
    fn begin(&self, image: &RgbImage) -> anyhow::Result<Files> {
        let path = &self.places.poses;
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let poses = if self.arguments.format == Format::Csv {
            let mut table = csv::Writer::from_writer(file);
            let frame = ["frame", "time", "person"].map(String::from);
            table.write_record(frame.into_iter().chain(output::columns(&self.skeleton.joints)))?;
            Poses::Table(Box::new(table))
        } else {
            let mut lines = LineWriter::new(file);
            let head = Head {
                video: self.input.name.to_string_lossy().into_owned(),
                skeleton: &self.skeleton.name,
                joints: &self.skeleton.joints,
                width: image.width(),
                height: image.height(),
                frames_per_second: 1.0 / self.rate.step(),
            };
            writeln!(lines, "{}", serde_json::to_string(&head)?)?;
            Poses::Lines(lines)
        };
        let sound = Some(self.input).filter(|input| input.name.is_file());
        Ok(Files { drawn: Writer::create(&self.places.drawn, image.dimensions(), self.rate, sound)?, poses })
    }
}

impl Receiver for Drawer<'_> {
    type Picture = u64;
    type Error = anyhow::Error;

    fn picture(&mut self, frame: u64, mut image: RgbImage, mut people: Vec<PersonPose>) -> anyhow::Result<()> {
        let mut files = match self.files.take() {
            Some(files) => files,
            None => self.begin(&image)?,
        };
        if let Some(smoother) = &mut self.smoother {
            smoother.next_frame(people.iter_mut().map(|PersonPose { person, pose }| (&*person, pose)));
        }
        for PersonPose { person, pose } in &people {
            let joints = drawable(pose, self.arguments.threshold);
            draw::skeleton(&mut image, &self.skeleton, &joints, draw::bone_width(person));
        }
        files.drawn.write(&image)?;
        let time = frame as f64 * self.rate.step();
        match &mut files.poses {
            Poses::Lines(lines) => {
                let people = people.iter().map(Person::from).collect();
                let line = Frame { frame, time, people };
                writeln!(lines, "{}", serde_json::to_string(&line)?)?;
            }
            Poses::Table(table) => {
                for (number, found) in people.iter().enumerate() {
                    let place = [frame.to_string(), format!("{time:.6}"), (number + 1).to_string()];
                    let values = output::values(&found.person, found.score(), &found.pose);
                    table.write_record(place.into_iter().chain(values))?;
                }
            }
        }
        self.frames += 1;
        self.people += people.len() as u64;
        self.files = Some(files);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_templates_are_valid() {
        assert!([BAR, ENDLESS].iter().all(|text| ProgressStyle::with_template(text).is_ok()));
    }
}
