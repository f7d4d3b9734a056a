//! What `ditn predict` writes beside drawings: `poses.json` in one of two forms, or `poses.csv`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Serialize, Serializer};

use crate::data::Skeleton;
use crate::data::coco::Id;
use crate::data::skeleton::{LSP, MPII};
use crate::files::write_atomically;
use crate::predict::pictures::{coco_number, shown};
use crate::predict::{Keypoint, PersonBox, Pose};

/// Forms of the poses' file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// poses.json with all that is known (its schema: docs/poses.schema.json)
    Plain,
    /// poses.json in COCO's results format (pictures named by number)
    Coco,
    /// poses.csv: a header row, then a row a person
    Csv,
}

impl Format {
    /// The file's name.
    pub fn file(self) -> &'static str {
        match self {
            Format::Plain | Format::Coco => "poses.json",
            Format::Csv => "poses.csv",
        }
    }
}

/// The plain form of `poses.json`.
#[derive(Serialize)]
pub struct Report<'a> {
    /// The skeleton's name.
    pub skeleton: &'a str,
    /// Its joints, in the order of each person's.
    pub joints: &'a [String],
    /// Everyone, in the order of pictures and boxes.
    pub people: Vec<Found>,
    /// Pictures that are not done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
}

/// A person in a picture.
#[derive(Serialize)]
pub struct Found {
    /// The picture as it was named.
    #[serde(serialize_with = "as_text")]
    pub picture: PathBuf,
    /// Where the person is.
    #[serde(rename = "box")]
    pub person: PersonBox,
    /// Mean of the joints' scores.
    pub score: f32,
    /// The joints.
    pub joints: Pose,
}

/// A picture that could not be read.
#[derive(Serialize)]
pub struct Failed {
    /// The picture as it was named.
    #[serde(serialize_with = "as_text")]
    pub picture: PathBuf,
    /// Why.
    pub error: String,
}

/// A name that is not UTF-8 has U+FFFD where it is not.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// A person in COCO's results format.
#[derive(Serialize)]
pub struct CocoResult {
    image_id: u64,
    category_id: Id,
    /// x, y and score of each joint.
    keypoints: Vec<f32>,
    score: f32,
}

/// Everyone in COCO's results format.
pub fn coco_results(people: &[Found], category: &Id) -> Vec<CocoResult> {
    let result = |Found { picture, person: _, score, joints }: &Found| {
        Some(CocoResult {
            image_id: coco_number(picture)?,
            category_id: category.clone(),
            keypoints: joints.iter().flat_map(|&Keypoint { x, y, score }| [x, y, score]).collect(),
            score: *score,
        })
    };
    people.iter().filter_map(result).collect()
}

/// Writes the poses' file into a folder; `category` is the people's in COCO's format.
pub fn write(report: &Report<'_>, format: Format, category: &Id, out: &Path) -> anyhow::Result<()> {
    let path = out.join(format.file());
    let json = |value: Result<String, serde_json::Error>| value.map(|text| (text + "\n").into_bytes());
    let bytes = match format {
        Format::Plain => json(serde_json::to_string_pretty(report))?,
        Format::Coco => json(serde_json::to_string_pretty(&coco_results(&report.people, category)))?,
        Format::Csv => csv_of(report)?,
    };
    write_atomically(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn csv_of(report: &Report<'_>) -> anyhow::Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut header = vec!["picture".to_string(), "person".into()];
    header.extend(columns(report.joints));
    table.write_record(header)?;
    let mut number = 0;
    let mut last: Option<&Path> = None;
    for Found { picture, person, score, joints } in &report.people {
        number = if last == Some(picture) { number + 1 } else { 1 };
        last = Some(picture);
        let mut row = vec![picture.to_string_lossy().into_owned(), number.to_string()];
        row.extend(values(person, *score, joints));
        table.write_record(row)?;
    }
    Ok(table.into_inner()?)
}

/// Names of the columns of a person: the box, the score, and three of each joint.
pub fn columns(joints: &[String]) -> impl Iterator<Item = String> {
    let person = ["left", "top", "width", "height", "score"].map(String::from);
    let joint = |name: &String| ["x", "y", "score"].map(|part| format!("{} {part}", name).replace(' ', "_"));
    person.into_iter().chain(joints.iter().flat_map(joint))
}

/// The values of a person in those columns.
pub fn values(person: &PersonBox, score: f32, joints: &[Keypoint]) -> impl Iterator<Item = String> {
    let person = <[f32; 4]>::from(*person).into_iter().chain([score]);
    person.chain(joints.iter().flat_map(|&Keypoint { x, y, score }| [x, y, score])).map(|value| value.to_string())
}

/// What a person reads on the screen.
pub fn table(report: &Report<'_>, out: &Path, format: Format) -> String {
    let mut text = String::new();
    for Found { picture, person, score, joints } in &report.people {
        let [x, y, width, height] = <[f32; 4]>::from(*person);
        text += &format!("{}  box {x},{y},{width},{height}  score {score:.2}\n", shown(picture));
        for (name, keypoint) in report.joints.iter().zip(joints) {
            text += &format!("  {name:<16} {:>7.1} {:>7.1}   {:.2}\n", keypoint.x, keypoint.y, keypoint.score);
        }
    }
    text + &format!("Drawn pictures and {} are in {}\n", format.file(), out.display())
}

/// What COCO's results format takes for granted.
pub fn check(format: Format, skeleton: &Skeleton, paths: &[PathBuf]) -> anyhow::Result<()> {
    if format != Format::Coco {
        return Ok(());
    }
    anyhow::ensure!(
        *skeleton != **MPII && *skeleton != **LSP,
        "--format coco needs the joints of COCO or of a file in its format; this network finds those of {}",
        skeleton.name
    );
    let mut numbers = std::collections::HashMap::new();
    for path in paths {
        let Some(number) = coco_number(path) else {
            anyhow::bail!("--format coco needs pictures named by number; {} is not", shown(path));
        };
        if let Some(other) = numbers.insert(number, path) {
            let (a, b) = (shown(other), shown(path));
            anyhow::bail!("--format coco: {a} and {b} have the same number, {number}, and could not be told apart");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let person = PersonBox { x: 0.0, y: 0.0, width: 9.0, height: 9.0 };
        let joints = vec![Keypoint { x: 1.0, y: 2.5, score: 0.5 }, Keypoint { x: 3.0, y: 4.0, score: 0.25 }];
        Found { picture: "val2017/000000000785.jpg".into(), person, score: 0.375, joints }
    }

    #[test]
    fn cocos_results_have_number_category_and_triples() {
        assert_eq!(
            serde_json::to_value(coco_results(&[found()], &Id::Number(1))).unwrap(),
            serde_json::json!([
                {"image_id": 785, "category_id": 1, "keypoints": [1.0, 2.5, 0.5, 3.0, 4.0, 0.25], "score": 0.375}
            ])
        );
    }

    #[test]
    fn a_table_has_a_row_a_person_and_three_columns_a_joint() {
        let joints = ["head top".to_string(), "neck".to_string()];
        let comma = Found { picture: "a, b.png".into(), ..found() };
        let report =
            Report { skeleton: "s", joints: &joints, people: vec![found(), found(), comma], failed: Vec::new() };
        let text = String::from_utf8(csv_of(&report).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let header =
            "picture,person,left,top,width,height,score,head_top_x,head_top_y,head_top_score,neck_x,neck_y,neck_score";
        assert_eq!(lines[0], header);
        assert_eq!(lines[1], "val2017/000000000785.jpg,1,0,0,9,9,0.375,1,2.5,0.5,3,4,0.25");
        assert!(lines[2].contains(".jpg,2,") && lines[3].starts_with("\"a, b.png\",1,"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_are_written_all_the_same() {
        use std::os::unix::ffi::OsStringExt;
        let picture = std::ffi::OsString::from_vec(b"a\xff.png".to_vec()).into();
        let value = serde_json::to_value(Found { picture, ..found() }).unwrap();
        assert_eq!(value["picture"], "a\u{fffd}.png");
    }

    #[test]
    fn two_pictures_of_one_number_have_no_coco_results() {
        let paths = ["a/1.jpg", "b/01.jpg"].map(PathBuf::from);
        let error = check(Format::Coco, &crate::data::skeleton::COCO, &paths).unwrap_err().to_string();
        assert!(error.contains("a/1.jpg and b/01.jpg have the same number, 1"), "{error}");
    }
}
