//! `ditn predict`

use std::path::{Path, PathBuf};

use anyhow::Context;
use image::RgbImage;
use serde::Serialize;

use super::{Common, Status, print, print_json, save_picture};
use crate::data::augmentation::Placement;
use crate::data::{Batch, Joint, Size, Skeleton};
use crate::predict::boxes::{BoxEntry, PersonBox, boxes_of};
use crate::predict::predictor::Predictor;
use crate::predict::{Pose, draw, explain, poses_in_pictures};
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::evaluate::predictor_of;
use crate::train::people::skeleton_of;

const EXAMPLES: &str = "\
Examples:
  ditn predict --checkpoint runs/ditn_tiny-001/best.safetensors person.jpg
  ditn predict --checkpoint best.safetensors --box 40,20,180,400 street.jpg --out drawn
  ditn predict --checkpoint best.safetensors --boxes boxes.json *.jpg --json
  ditn predict --checkpoint best.safetensors --explain person.jpg

A network of this kind looks at one person at a time. Without a box the whole picture is taken as the person's box.
A file of boxes is a JSON array of {\"picture\": \"street.jpg\", \"box\": [x, y, width, height]}, an entry a person.
The folder OUT gets poses.json and for each picture a PNG with the skeletons drawn in. With --explain it gets a PNG a
person, PICTURE_explained_1.png and so on: over the picture the joint and bone maps (0 to 1) and the spatial attention
(1.5 to 2), all joints together and each on its own; the bars below a bone are the channel attention of its two joints
(1.5 to 2), the bone's first joint above.";

/// Arguments of `ditn predict`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A checkpoint of `ditn train`
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// JPEG or PNG pictures
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// The person's box in every picture, in pixels
    #[arg(long = "box", value_name = "X,Y,W,H", conflicts_with = "boxes", allow_hyphen_values = true)]
    person: Option<PersonBox>,
    /// A JSON file of boxes, any number a picture
    #[arg(long, value_name = "FILE")]
    boxes: Option<PathBuf>,
    /// The folder for poses.json and the drawn pictures
    #[arg(long, value_name = "DIR", default_value = "predictions")]
    out: PathBuf,
    /// Draw also what lies behind each person's pose: bone maps and attention
    #[arg(long)]
    explain: bool,
}

/// `poses.json`, and what `--json` prints.
#[derive(Serialize)]
struct Report {
    skeleton: &'static str,
    joints: &'static [&'static str],
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

/// Predicts, draws and reports.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Checkpoint { header, state } = checkpoint::load(&arguments.checkpoint)?;
    let config = header.config;
    let skeleton = skeleton_of(config.data.kind);
    let entries = arguments.boxes.as_deref().map(read_boxes).transpose()?;
    // All pictures are read before anything is written, so that a wrong path among many costs nothing.
    let mut pictures = Vec::new();
    for path in &arguments.pictures {
        let picture = image::open(path).with_context(|| format!("cannot read {}", path.display()))?.to_rgb8();
        let boxes = match (&arguments.person, &entries) {
            (Some(person), _) => vec![*person],
            (None, Some(entries)) => boxes_of(path, entries),
            (None, None) => vec![PersonBox::whole(&picture)],
        };
        anyhow::ensure!(!boxes.is_empty(), "{} has no box in the file of boxes", path.display());
        pictures.push((path, picture, boxes));
    }

    let gpu = common.gpu()?;
    let mut predictor = predictor_of(&gpu, &config, skeleton, 1, &arguments.checkpoint, &state)?;
    let cannot_write = || format!("cannot write to {}", arguments.out.display());
    std::fs::create_dir_all(&arguments.out).with_context(cannot_write)?;
    let mut people = Vec::new();
    for (path, mut picture, boxes) in pictures {
        let mut poses = Vec::new();
        for person in boxes {
            let batch = batch_of(path, &picture, &person, skeleton, config.input_size())?;
            let pose = pose_of(&mut predictor, &batch, config.input_size())?;
            if arguments.explain {
                let explanation = predictor.explain()?;
                let sheet = explain::sheet(&batch, 0, config.input_size(), skeleton, &pose, &explanation);
                save_picture(&explained_path(&arguments.out, path, poses.len() + 1), &sheet)?;
            }
            let score = pose.iter().map(|keypoint| keypoint.score).sum::<f32>() / pose.len() as f32;
            people.push(Found { picture: path.clone(), person, score, joints: pose.clone() });
            poses.push((pose, bone_width(&person)));
        }
        for (pose, width) in &poses {
            draw::skeleton(&mut picture, skeleton, &visible(pose), *width);
        }
        picture.save(drawn_path(&arguments.out, path)).with_context(cannot_write)?;
    }
    let report = Report { skeleton: skeleton.name, joints: skeleton.joints, people };
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(arguments.out.join("poses.json"), json + "\n").with_context(cannot_write)?;
    if common.json {
        print_json(&report)?
    } else {
        print(&table(&report, &arguments.out))?
    }
    Ok(Status::Done)
}

fn read_boxes(path: &Path) -> anyhow::Result<Vec<BoxEntry>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a file of boxes", path.display()))
}

/// The person as a batch of one.
fn batch_of(
    path: &Path,
    picture: &RgbImage,
    person: &PersonBox,
    skeleton: &'static Skeleton,
    input: Size,
) -> anyhow::Result<Batch> {
    let person = person.person(path.display().to_string(), picture.clone(), skeleton);
    let placement = Placement::upright(&person, input);
    let mut batch = Batch::default();
    batch.push(0, person, &placement, skeleton, input)?;
    Ok(batch)
}

fn pose_of(predictor: &mut Predictor, batch: &Batch, input: Size) -> anyhow::Result<Pose> {
    let peaks = predictor.predict(batch)?;
    poses_in_pictures(&peaks, &batch.people, input).pop().context("the network gave no pose")
}

/// The joints as drawing takes them.
fn visible(pose: &Pose) -> Vec<Joint> {
    pose.iter().map(|keypoint| Joint { x: keypoint.x, y: keypoint.y, labelled: true, visible: true }).collect()
}

/// Bones are as thick as suits the person.
fn bone_width(person: &PersonBox) -> f32 {
    (person.width.max(person.height) / 80.0).max(1.5)
}

/// Beside others of the same name from other folders there is no danger only within one call's distinct names.
fn drawn_path(out: &Path, picture: &Path) -> PathBuf {
    let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
    out.join(format!("{stem}.png"))
}

/// Where the explanation of a picture's `number`th person (from 1) goes.
fn explained_path(out: &Path, picture: &Path, number: usize) -> PathBuf {
    let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
    out.join(format!("{stem}_explained_{number}.png"))
}

fn table(report: &Report, out: &Path) -> String {
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
