//! `ditn predict`: `pictures.rs` takes pictures, `video.rs` a video or a camera, and `output.rs` says how poses are
//! written.

mod output;
mod pictures;
mod video;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use image::RgbImage;

use super::common::{Common, Status};
use crate::data::decode::FileKind;
use crate::data::{Joint, Size};
use crate::ops::decode::Decode;
use crate::predict::boxes::{Boxes, PersonBox};
use crate::predict::pictures::{PicturesError, STANDARD_INPUT, find, kind_of};
use crate::predict::smooth::Smoothing;
use crate::predict::video::Input;
use crate::predict::{Keypoint, Pose, TrainedNetwork, shipped};
use output::Format;

const EXAMPLES: &str = "\
Examples:
  ditn predict person.jpg
  ditn predict --checkpoint runs/ditn_tiny-001/best.safetensors person.jpg
  ditn predict --box 40,20,180,400 --box 260,30,150,390 street.jpg --out drawn
  ditn predict --boxes detections.json --people 3 pictures/ --json
  ditn predict --boxes labels/ pictures/ --format csv
  ditn predict --checkpoint coco.safetensors --format coco 'val2017/*.jpg' --out results
  find . -name '*.jpg' | ditn predict --files-from -
  curl -s https://example.com/a.jpg | ditn predict -
  ditn predict --checkpoint best.safetensors --explain person.jpg
  ditn predict --smooth clip.mp4
  ditn predict /dev/video0
  ditn predict --input-format avfoundation 0
  ditn predict --input-format dshow 'video=Integrated Camera'

Without --checkpoint the network that ships with the program is used: small, for one person whose limbs can be seen.

Pictures are JPEG, PNG, WebP, TIFF, BMP or GIF, known by what they contain. They are turned as EXIF says; joints and boxes
are in pixels of the turned picture. With --ignore-orientation they stay as they are stored, which is what training sees.

The network looks at one person at a time, and finds nobody by itself: without a box the whole picture is taken as the
person's box. --boxes takes what detectors and labelling tools write:
  COCO results       [{\"image_id\": 785, \"category_id\": 1, \"bbox\": [x, y, width, height], \"score\": 0.9}]; the
                     picture's name ends with the number
  COCO annotations   by file_name; where width and height are those of the picture as it is stored, it is not turned
  YOLO               a folder of .txt files with the pictures' stems, or one: `class cx cy width height [confidence]`
  CSV                columns picture, left, top, width and height (or right and bottom); a score
  its own            [{\"picture\": \"street.jpg\", \"box\": [x, y, width, height]}], and poses.json
Only people are taken, category 1 in COCO's and 0 in YOLO's, or --category. What is left out is counted; -v names it.
People are not tracked: a picture's first person need not be the next one's.

The folder OUT gets poses.json or poses.csv, and for each picture a PNG with the skeletons drawn in. With --explain it gets
a PNG a person, PICTURE_explained_1.png and so on: over the picture the joint and bone maps (0 to 1) and the spatial
attention (1.5 to 2), all joints together and each on its own; the bars below a bone are the channel attention of its two
joints (1.5 to 2), the bone's first joint above.

A video, one at a time, is read and written by the system's ffmpeg: whatever that opens, a camera by its device, or an
address such as rtsp://. OUT gets the drawn video as MP4 at the same frame rate (a varying one becomes its average), with
its sound, and poses.jsonl: a line about the video, then a line a frame. Boxes are by `frame`, or image_id, from 0. --smooth
is the one-euro filter (Casiez 2012): a joint at rest is low-passed at CUTOFF Hz (less: calmer, but later), and BETA Hz more
for each length of its person's box that it moves in a second (more: less lag). It takes the n-th person of each frame for
the same. Ctrl-C ends the files properly.

A picture that is not there ends the program before it begins. One that turns out to be broken is named, the others are
done, and the exit status is 2. Ctrl-C ends after the picture at hand; poses so far are written.";

/// Arguments of `ditn predict`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A checkpoint of `ditn train` or `ditn import` [default: the network that ships with the program]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Pictures, folders of them, or patterns such as 'street*.jpg'; - is a picture on standard input; or one video
    #[arg(required_unless_present = "files_from", value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// A file with a picture's path a line (or ended by NUL, as `find -print0` writes); - is standard input
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// A person's box in every picture, in pixels; may be given many times
    #[arg(long = "box", value_name = "X,Y,W,H", conflicts_with = "boxes", allow_hyphen_values = true)]
    people_boxes: Vec<PersonBox>,
    /// A file of boxes, any number a picture, or a folder of YOLO's text files: see below
    #[arg(long, value_name = "FILE")]
    boxes: Option<PathBuf>,
    /// The number of people's category in that file [default: 1 in COCO's forms, 0 in YOLO's]
    #[arg(long, value_name = "N", requires = "boxes")]
    category: Option<i64>,
    /// Take at most N people a picture: those of the best scores, or of the largest boxes where there are no scores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    people: Option<u32>,
    /// The folder for the list of poses and the drawn pictures
    #[arg(long, value_name = "DIR", default_value = "predictions")]
    out: PathBuf,
    /// The form of the list of poses
    #[arg(long, value_enum, default_value = "plain")]
    format: Format,
    /// Draw only joints whose score is above this
    #[arg(long, value_name = "SCORE", default_value_t = 0.0)]
    threshold: f32,
    /// People that the network looks at together
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// How a heat map becomes a point [default: as the checkpoint's run was evaluated]
    #[arg(long, value_enum)]
    decode: Option<Rule>,
    /// Take pictures as they are stored, not turned as EXIF says
    #[arg(long)]
    ignore_orientation: bool,
    /// Smooth the joints of a video over time
    #[arg(
        long,
        value_name = "CUTOFF,BETA",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1,10"
    )]
    smooth: Option<Smoothing>,
    /// ffmpeg's name of the input's format, such as v4l2, avfoundation or dshow: the input is a video or camera
    #[arg(long, value_name = "NAME")]
    input_format: Option<String>,
    /// Draw also what lies behind each person's pose: bone maps and attention
    #[arg(long)]
    explain: bool,
}

/// Names of [`Decode`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Rule {
    /// The largest value, a quarter pixel towards its larger neighbours
    Quarter,
    /// As quarter, and half a pixel further: of hourglasses of the public code
    QuarterFloor,
    /// The maximum of the log of the smoothed map
    Dark,
    /// The mean place over the softmax of the map; scores are 1
    Expectation,
    /// The largest value of the map blurred over 21 pixels, a quarter pixel towards the second largest
    SecondMaximum,
}

/// Side of the blur of `--decode second-maximum`: that of the public code of cascaded pyramid networks.
const BLUR: usize = 21;

impl From<Rule> for Decode {
    fn from(rule: Rule) -> Decode {
        match rule {
            Rule::Quarter => Decode::Quarter,
            Rule::QuarterFloor => Decode::QuarterFloor,
            Rule::Dark => Decode::Dark,
            Rule::Expectation => Decode::Expectation,
            Rule::SecondMaximum => Decode::SecondMaximum(BLUR),
        }
    }
}

impl Arguments {
    /// People of a picture where there is no file of boxes.
    fn people_of_each(&self) -> usize {
        self.people_boxes.len().max(1)
    }

    /// The people in a picture where there is no file of boxes, and how many boxes have nothing of it in them.
    fn people_in(&self, picture: &RgbImage) -> (Vec<PersonBox>, usize) {
        if self.people_boxes.is_empty() {
            return (vec![PersonBox::whole(picture)], 0);
        }
        let size = Size::new(picture.height(), picture.width());
        let mut people = self.people_boxes.clone();
        people.retain(|person| person.is_in(size));
        let outside = self.people_boxes.len() - people.len();
        people.truncate(self.most_people().unwrap_or(usize::MAX));
        (people, outside)
    }

    /// People of a picture that are taken.
    fn most_people(&self) -> Option<usize> {
        self.people.map(|most| most as usize)
    }
}

/// Predicts, draws and reports.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let mut trained = match &arguments.checkpoint {
        Some(checkpoint) => TrainedNetwork::load(checkpoint)?,
        None => {
            eprintln!("{}: {}; --checkpoint gives another", shipped::NAME, shipped::WORTH);
            TrainedNetwork::shipped()?
        }
    };
    if let Some(rule) = arguments.decode {
        trained.decode.decode = match (Decode::from(rule), trained.decode.decode) {
            // The side of the blur is the network's own.
            (Decode::SecondMaximum(_), Decode::SecondMaximum(side)) => Decode::SecondMaximum(side),
            (Decode::Expectation, _) if !trained.model.integral => {
                anyhow::bail!(
                    "--decode expectation is for networks of integral pose regression: other maps have no such meaning"
                )
            }
            (rule, _) => rule,
        };
    }
    let mut named = arguments.pictures.clone();
    if let Some(list) = &arguments.files_from {
        named.extend(listed(list)?);
    }
    if let Some(input) = video_of(&arguments, &named)? {
        return video::run(&arguments, common, &trained, &input);
    }
    anyhow::ensure!(arguments.smooth.is_none(), "--smooth is for videos: pictures do not follow each other");
    let found = find(&named).map_err(|error| match error {
        PicturesError::Read { ref path, .. } if path.to_str().is_some_and(|name| name.parse::<u8>().is_ok()) => {
            anyhow::Error::new(error).context(CAMERAS)
        }
        error => error.into(),
    })?;
    pictures::run(&arguments, common, &trained, found)
}

/// What to do about `ditn predict 0`.
const CAMERAS: &str = "a camera is named as ffmpeg names it: /dev/video0 on Linux, --input-format avfoundation 0 on \
                       macOS, --input-format dshow video=NAME on Windows";

/// The video or camera among the arguments, which must then be the only one.
fn video_of(arguments: &Arguments, named: &[PathBuf]) -> anyhow::Result<Option<Input>> {
    let format = arguments.input_format.clone();
    let is_video = |name: &Path| Input::is_stream(name) || matches!(kind_of_file(name), Some(FileKind::Video));
    match named {
        [name] if format.is_some() || is_video(name) => Ok(Some(Input { name: name.clone(), format })),
        _ if format.is_some() => anyhow::bail!("--input-format takes one video or camera"),
        _ => Ok(None),
    }
}

/// What a regular file is: others are not looked into, since what is read from a pipe is gone.
fn kind_of_file(path: &Path) -> Option<FileKind> {
    if path.is_file() { kind_of(path).ok() } else { None }
}

/// The paths that a file lists.
fn listed(list: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut bytes = Vec::new();
    let read = match list.as_os_str() == STANDARD_INPUT {
        true => std::io::stdin().lock().read_to_end(&mut bytes),
        false => std::fs::File::open(list).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.with_context(|| format!("cannot read {}", list.display()))?;
    let end = if bytes.contains(&0) { 0 } else { b'\n' };
    let lines = bytes.split(|byte| *byte == end);
    let lines = lines.map(|line| if end == 0 { line } else { line.strip_suffix(b"\r").unwrap_or(line) });
    let paths: Vec<PathBuf> = lines.filter(|line| !line.is_empty()).map(path_of).collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(!paths.is_empty(), "{} lists no picture", list.display());
    Ok(paths)
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> anyhow::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> anyhow::Result<PathBuf> {
    Ok(std::str::from_utf8(bytes).context("a listed path is not UTF-8")?.into())
}

/// The boxes of a file, with a word about those that are left out.
fn read_boxes(file: &Path, category: Option<i64>) -> anyhow::Result<Boxes> {
    let boxes = Boxes::read(file, category)?;
    let name = file.display();
    if boxes.broken > 0 {
        eprintln!(
            "{name}: {} boxes without a picture, four numbers or an extent are left out (-v names them)",
            boxes.broken
        );
    }
    if !boxes.others.is_empty() {
        let others: Vec<String> = boxes.others.iter().map(|(what, count)| format!("{count} of {what}")).collect();
        eprintln!("{name}: {} boxes are of people; left out: {}", boxes.len(), others.join(", "));
    }
    Ok(boxes)
}

/// The joints that are drawn: those whose score is above `threshold`.
fn drawable(pose: &Pose, threshold: f32) -> Vec<Joint> {
    pose.iter().map(|&Keypoint { x, y, score }| Joint { x, y, labelled: score > threshold, visible: true }).collect()
}
