//! `ditn predict`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use image::RgbImage;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::common::{Common, Status, print, print_json, save_picture};
use crate::data::skeleton::COCO;
use crate::data::{Joint, Skeleton};
use crate::files::write_atomically;
use crate::ops::decode::Decode;
use crate::predict::boxes::{BoxEntry, PersonBox, boxes_of};
use crate::predict::pictures::{coco_number, find, stems};
use crate::predict::{Keypoint, PersonPose, Pose, Predictor, Receiver, TrainedNetwork, draw, shipped};

const EXAMPLES: &str = "\
Examples:
  ditn predict person.jpg
  ditn predict --checkpoint runs/ditn_tiny-001/best.safetensors person.jpg
  ditn predict --checkpoint best.safetensors --box 40,20,180,400 --box 260,30,150,390 street.jpg --out drawn
  ditn predict --checkpoint best.safetensors --boxes boxes.json pictures/ --json
  ditn predict --checkpoint best.safetensors --format coco 'val2017/*.jpg' --out results
  ditn predict --checkpoint best.safetensors --explain person.jpg

Without --checkpoint the network that ships with the program is used: small, for one person whose limbs can be seen. The
network looks at one person at a time. Without a box the whole picture is taken as the person's box.
A file of boxes is a JSON array of {\"picture\": \"street.jpg\", \"box\": [x, y, width, height]}, an entry a person.
The folder OUT gets poses.json and for each picture a PNG with the skeletons drawn in. With --explain it gets a PNG a
person, PICTURE_explained_1.png and so on: over the picture the joint and bone maps (0 to 1) and the spatial attention
(1.5 to 2), all joints together and each on its own; the bars below a bone are the channel attention of its two joints
(1.5 to 2), the bone's first joint above.

A picture that is not there ends the program before it begins. One that turns out to be broken is named, the others are
done, and the exit status is 2.";

/// Number of the category `person` in COCO.
const COCO_PERSON: u32 = 1;

/// The progress bar.
const BAR: &str = "{bar:30} {pos}/{len} pictures  {eta} left";

/// Arguments of `ditn predict`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A checkpoint of `ditn train` or `ditn import` [default: the network that ships with the program]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// JPEG or PNG pictures, folders of them, or patterns such as 'street*.jpg'
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// A person's box in every picture, in pixels; may be given many times
    #[arg(long = "box", value_name = "X,Y,W,H", conflicts_with = "boxes", allow_hyphen_values = true)]
    people: Vec<PersonBox>,
    /// A JSON file of boxes, any number a picture
    #[arg(long, value_name = "FILE")]
    boxes: Option<PathBuf>,
    /// The folder for poses.json and the drawn pictures
    #[arg(long, value_name = "DIR", default_value = "predictions")]
    out: PathBuf,
    /// The form of poses.json: with all that is known, or COCO's results format (pictures named by number)
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
    /// Draw also what lies behind each person's pose: bone maps and attention
    #[arg(long)]
    explain: bool,
}

/// Names of [`Decode`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Rule {
    /// The largest value, a quarter pixel towards its larger neighbours
    Quarter,
    /// The maximum of the log of the smoothed map
    Dark,
}

impl From<Rule> for Decode {
    fn from(rule: Rule) -> Decode {
        match rule {
            Rule::Quarter => Decode::Quarter,
            Rule::Dark => Decode::Dark,
        }
    }
}

/// Forms of `poses.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Plain,
    Coco,
}

/// The plain form of `poses.json`.
#[derive(Serialize)]
struct Report<'a> {
    skeleton: &'a str,
    joints: &'a [String],
    people: Vec<Found>,
}

/// A person in a picture.
#[derive(Serialize)]
struct Found {
    picture: PathBuf,
    #[serde(rename = "box")]
    person: PersonBox,
    /// Mean of the joints' scores.
    score: f32,
    joints: Pose,
}

/// A person in COCO's results format.
#[derive(Serialize)]
struct CocoResult {
    image_id: u64,
    category_id: u32,
    /// x, y and score of each joint.
    keypoints: Vec<f32>,
    score: f32,
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
        trained.decode.decode = rule.into();
    }
    let skeleton = Arc::clone(&trained.model.skeleton);
    let paths = find(&arguments.pictures)?;
    check_format(arguments.format, &skeleton, &paths)?;
    let boxes = boxes_for(&arguments, &paths)?;
    let drawn: Vec<PathBuf> = stems(&paths).iter().map(|stem| arguments.out.join(format!("{stem}.png"))).collect();
    for (drawn, path) in drawn.iter().zip(&paths) {
        let replaces = drawn.canonicalize().is_ok_and(|drawn| path.canonicalize().is_ok_and(|path| path == drawn));
        anyhow::ensure!(!replaces, "the drawing would replace {} itself; choose another --out", path.display());
    }

    let gpu = common.gpu()?;
    let people = boxes.iter().map(|boxes| boxes.as_ref().map_or(1, Vec::len)).sum();
    let mut predictor = Predictor::new(&gpu, &trained, usize::from(arguments.batch).min(people))?;
    let mut queue =
        predictor.queue(Drawer { arguments: &arguments, skeleton: Arc::clone(&skeleton), found: Vec::new() });
    std::fs::create_dir_all(&arguments.out).with_context(|| format!("cannot write to {}", arguments.out.display()))?;
    let bar = progress_bar(paths.len());
    let mut broken = 0;
    for ((path, drawn), boxes) in paths.iter().zip(drawn).zip(boxes) {
        match image::open(path) {
            Ok(picture) => {
                let picture = picture.to_rgb8();
                let boxes = boxes.unwrap_or_else(|| vec![PersonBox::whole(&picture)]);
                queue.push(Picture { path: path.clone(), drawn }, path.display().to_string(), picture, boxes)?;
            }
            Err(error) => {
                broken += 1;
                bar.suspend(|| eprintln!("cannot read {}: {error}", path.display()));
            }
        }
        bar.inc(1);
    }
    let found = queue.finish()?.found;
    bar.finish_and_clear();

    let report = Report { skeleton: &skeleton.name, joints: &skeleton.joints, people: found };
    match arguments.format {
        Format::Plain => write_poses(&arguments.out, &report)?,
        Format::Coco => write_poses(&arguments.out, &coco_results(&report.people))?,
    }
    match (common.json, arguments.format) {
        (true, Format::Plain) => print_json(&report)?,
        (true, Format::Coco) => print_json(&coco_results(&report.people))?,
        (false, _) => print(&table(&report, &arguments.out))?,
    }
    anyhow::ensure!(broken == 0, "{broken} of {} pictures cannot be read; the others are done", paths.len());
    Ok(Status::Done)
}

/// What COCO's results format takes for granted.
fn check_format(format: Format, skeleton: &Skeleton, paths: &[PathBuf]) -> anyhow::Result<()> {
    if format == Format::Plain {
        return Ok(());
    }
    anyhow::ensure!(
        *skeleton == **COCO,
        "--format coco needs COCO's joints; this network finds those of {}",
        skeleton.name
    );
    let unnumbered = paths.iter().find(|path| coco_number(path).is_none());
    match unnumbered {
        Some(path) => anyhow::bail!("--format coco needs pictures named by number; {} is not", path.display()),
        None => Ok(()),
    }
}

/// The boxes in each picture; `None` where the picture itself is the box.
fn boxes_for(arguments: &Arguments, paths: &[PathBuf]) -> anyhow::Result<Vec<Option<Vec<PersonBox>>>> {
    let Some(file) = &arguments.boxes else {
        let people = Some(arguments.people.clone()).filter(|people| !people.is_empty());
        return Ok(vec![people; paths.len()]);
    };
    let entries = read_boxes(file)?;
    let boxes: Vec<Vec<PersonBox>> = paths.iter().map(|path| boxes_of(path, &entries)).collect();
    let without = boxes.iter().filter(|boxes| boxes.is_empty()).count();
    anyhow::ensure!(without < paths.len(), "{} has no box for any of these pictures", file.display());
    if without > 0 {
        eprintln!("{without} of {} pictures have no box in {}", paths.len(), file.display());
    }
    Ok(boxes.into_iter().map(Some).collect())
}

fn read_boxes(path: &Path) -> anyhow::Result<Vec<BoxEntry>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a JSON file of boxes", path.display()))
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
            draw::skeleton(&mut image, &self.skeleton, &joints, bone_width(&person.person));
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

/// The joints that are drawn: those whose score is above `threshold`.
fn drawable(pose: &Pose, threshold: f32) -> Vec<Joint> {
    pose.iter().map(|&Keypoint { x, y, score }| Joint { x, y, labelled: score > threshold, visible: true }).collect()
}

/// Bones are as thick as suits the person.
fn bone_width(person: &PersonBox) -> f32 {
    (person.width.max(person.height) / 80.0).max(1.5)
}

/// Where the explanation of a picture's `number`th person (from 1) goes.
fn explained_path(drawn: &Path, number: usize) -> PathBuf {
    let stem = drawn.file_stem().unwrap_or_default().to_string_lossy();
    drawn.with_file_name(format!("{stem}_explained_{number}.png"))
}

fn coco_results(people: &[Found]) -> Vec<CocoResult> {
    let result = |Found { picture, person: _, score, joints }: &Found| {
        Some(CocoResult {
            image_id: coco_number(picture)?,
            category_id: COCO_PERSON,
            keypoints: joints.iter().flat_map(|&Keypoint { x, y, score }| [x, y, score]).collect(),
            score: *score,
        })
    };
    people.iter().filter_map(result).collect()
}

fn write_poses(out: &Path, poses: &impl Serialize) -> anyhow::Result<()> {
    let path = out.join("poses.json");
    let json = serde_json::to_string_pretty(poses)? + "\n";
    write_atomically(&path, json.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn table(report: &Report<'_>, out: &Path) -> String {
    let mut text = String::new();
    for Found { picture, person, score, joints } in &report.people {
        let [x, y, width, height] = <[f32; 4]>::from(*person);
        text += &format!("{}  box {x},{y},{width},{height}  score {score:.2}\n", picture.display());
        for (name, keypoint) in report.joints.iter().zip(joints) {
            text += &format!("  {name:<16} {:>7.1} {:>7.1}   {:.2}\n", keypoint.x, keypoint.y, keypoint.score);
        }
    }
    text + &format!("Drawn pictures and poses.json are in {}\n", out.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_template_is_valid() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }

    #[test]
    fn cocos_results_have_number_category_and_triples() {
        let person = PersonBox { x: 0.0, y: 0.0, width: 9.0, height: 9.0 };
        let joints = vec![Keypoint { x: 1.0, y: 2.5, score: 0.5 }, Keypoint { x: 3.0, y: 4.0, score: 0.25 }];
        let found = Found { picture: "val2017/000000000785.jpg".into(), person, score: 0.375, joints };
        assert_eq!(
            serde_json::to_value(coco_results(&[found])).unwrap(),
            serde_json::json!([
                {"image_id": 785, "category_id": 1, "keypoints": [1.0, 2.5, 0.5, 3.0, 4.0, 0.25], "score": 0.375}
            ])
        );
    }
}
