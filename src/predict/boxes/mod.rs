//! Where the people are: boxes from the command line or from the file of a detector or a labelling tool.

mod index;
mod json;
mod table;
mod yolo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use image::RgbImage;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::data::crop::MARGIN;
use crate::data::{Annotation, DataError, Joint, Size, Skeleton};
use index::Index;

/// A person's box in picture pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f32; 4]", into = "[f32; 4]")]
pub struct PersonBox {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width, more than 0.
    pub width: f32,
    /// Height, more than 0.
    pub height: f32,
}

impl PersonBox {
    /// The whole picture.
    pub fn whole(picture: &RgbImage) -> Self {
        Self { x: 0.0, y: 0.0, width: picture.width() as f32, height: picture.height() as f32 }
    }

    /// The person in this box, with no joint known. The crop is a quarter larger than the box, as in training.
    pub fn annotation(&self, name: String, skeleton: &Skeleton) -> Annotation {
        Annotation {
            name,
            joints: vec![Joint::default(); skeleton.joints.len()],
            center: [self.x + self.width / 2.0, self.y + self.height / 2.0],
            scale: [self.width, self.height].map(|side| f64::from(side) / 200.0 * MARGIN),
            head_size: None,
        }
    }

    /// Whether a part of it lies in a picture of that size.
    pub fn is_in(&self, size: Size) -> bool {
        let within = |low: f32, side: f32, length: u32| low < length as f32 && low + side > 0.0;
        within(self.x, self.width, size.width) && within(self.y, self.height, size.height)
    }

    /// Width times height.
    pub fn area(&self) -> f32 {
        self.width * self.height
    }
}

impl TryFrom<[f32; 4]> for PersonBox {
    type Error = String;

    fn try_from([x, y, width, height]: [f32; 4]) -> Result<Self, String> {
        let finite = [x, y, width, height].iter().all(|v| v.is_finite());
        if finite && width > 0.0 && height > 0.0 {
            Ok(Self { x, y, width, height })
        } else {
            Err(format!("box {x},{y},{width},{height}: width and height must be more than 0"))
        }
    }
}

impl From<PersonBox> for [f32; 4] {
    fn from(b: PersonBox) -> Self {
        [b.x, b.y, b.width, b.height]
    }
}

impl FromStr for PersonBox {
    type Err = String;

    /// `x,y,width,height`
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
        match numbers.ok().and_then(|numbers| <[f32; 4]>::try_from(numbers).ok()) {
            Some(numbers) => numbers.try_into(),
            None => Err(format!("`{text}` is not x,y,width,height in pixels")),
        }
    }
}

/// Why a file gives no boxes.
#[derive(Debug, Error)]
pub enum BoxesError {
    /// It cannot be read, or is not JSON although it begins like it.
    #[error(transparent)]
    Data(#[from] DataError),
    /// It is not a file of boxes.
    #[error("{}: {problem}; {FORMS}", path.display())]
    Form {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There are boxes, but of other things.
    #[error(
        "{}: no box is of category {wanted}; there are {others}: choose one with --category",
        path.display()
    )]
    OtherCategories {
        /// The file or folder.
        path: PathBuf,
        /// The category of people.
        wanted: i64,
        /// How many boxes there are of which categories.
        others: String,
    },
    /// No box can be used.
    #[error("{}: none of the {count} boxes can be used: {first}; {FORMS}", path.display())]
    AllBroken {
        /// The file or folder.
        path: PathBuf,
        /// How many there are.
        count: usize,
        /// What is wrong with the first.
        first: String,
    },
}

/// What is taken.
const FORMS: &str = "boxes are taken from COCO results or annotations, YOLO's text files, CSV with a header row, or a JSON \
                     array of {\"picture\": \"a.jpg\", \"box\": [x, y, width, height]}";

/// Which picture a box is for.
#[derive(Clone, Debug, PartialEq)]
enum Key {
    /// A path, a file name or a stem.
    Name(String),
    /// The number at the end of its name, as COCO's pictures have.
    Number(u64),
    /// The frame of a video, from 0.
    Frame(u64),
}

/// Left, top, width and height of a box.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Extent {
    /// In pixels.
    Pixels([f64; 4]),
    /// In shares of the picture's width and height.
    Shares([f64; 4]),
}

/// A box of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedBox {
    key: Key,
    extent: Extent,
    score: Option<f64>,
    /// The size of the picture that was annotated.
    size: Option<Size>,
}

impl ListedBox {
    /// The size of the picture that the box was drawn in, where the file says it.
    pub fn picture_size(&self) -> Option<Size> {
        self.size
    }

    fn in_picture(&self, size: Size) -> Option<PersonBox> {
        let numbers = match self.extent {
            Extent::Pixels(numbers) => numbers,
            Extent::Shares([x, y, width, height]) => {
                let (across, down) = (f64::from(size.width), f64::from(size.height));
                [x * across, y * down, width * across, height * down]
            }
        };
        PersonBox::try_from(numbers.map(|v| v as f32)).ok().filter(|person| person.is_in(size))
    }

    fn has_extent(&self) -> bool {
        let (Extent::Pixels(numbers) | Extent::Shares(numbers)) = self.extent;
        PersonBox::try_from(numbers.map(|v| v as f32)).is_ok()
    }
}

/// The boxes of a file, by picture.
#[derive(Debug)]
pub struct Boxes {
    index: Index,
    /// Boxes that were left out: without a picture, four numbers or an extent.
    pub broken: usize,
    /// Boxes that were left out, by their category.
    pub others: BTreeMap<String, usize>,
}

/// What a reader makes of a file.
#[derive(Debug, Default)]
struct Found {
    boxes: Vec<ListedBox>,
    /// Boxes that are of no use.
    broken: usize,
    /// What is wrong with the first of them.
    first: Option<String>,
    others: BTreeMap<String, usize>,
}

impl Found {
    /// Adds a box; one without four numbers or an extent is counted. `place` is where it stands.
    fn take(&mut self, place: &str, key: Key, extent: Option<Extent>, score: Option<f64>, size: Option<Size>) {
        match extent.map(|extent| ListedBox { key, extent, score, size }) {
            Some(listed) if listed.has_extent() => self.boxes.push(listed),
            Some(_) => self.leave_out(format!("{place}: the box's width and height must be more than 0")),
            None => self.leave_out(format!("{place}: the box is not four numbers")),
        }
    }

    /// Counts a box that is of no use.
    fn leave_out(&mut self, problem: String) {
        tracing::info!("left out: {problem}");
        self.broken += 1;
        self.first.get_or_insert(problem);
    }
}

/// Number of the category `person` in COCO's results.
pub const COCO_PERSON: i64 = 1;

/// Number of the class `person` in YOLO's files.
pub const YOLO_PERSON: i64 = 0;

impl Boxes {
    /// Reads a file of boxes, or a folder of YOLO's text files: COCO results and annotations (JSON), YOLO's text files
    /// (`class cx cy width height [confidence]` in shares of the picture's size), CSV with a header row, the `poses.json`
    /// of `ditn predict`, and `[{"picture": "a.jpg", "box": [x, y, width, height]}]`.
    ///
    /// Boxes of categories other than `category` (by default people: the category `person` of annotations,
    /// [`COCO_PERSON`] in results, [`YOLO_PERSON`] in YOLO's files) and boxes without extent are left out and counted.
    ///
    /// # Errors
    /// [`BoxesError`], also where all boxes are left out.
    pub fn read(path: &Path, category: Option<i64>) -> Result<Boxes, BoxesError> {
        let form = |problem: String| BoxesError::Form { path: path.to_path_buf(), problem };
        let wanted;
        let found = if path.is_dir() {
            wanted = category.unwrap_or(YOLO_PERSON);
            yolo::read_folder(path, wanted)?
        } else {
            match Form::of(path)? {
                Form::Json => {
                    wanted = category.unwrap_or(COCO_PERSON);
                    json::read(path, category)?.map_err(form)?
                }
                Form::Lines => {
                    wanted = category.unwrap_or(YOLO_PERSON);
                    yolo::read_file(path, wanted)?
                }
                Form::Table => {
                    wanted = category.unwrap_or(COCO_PERSON);
                    table::read(path).map_err(form)?
                }
            }
        };
        let Found { boxes, broken, first, others } = found;
        if let (true, Some(first)) = (boxes.is_empty(), first) {
            return Err(BoxesError::AllBroken { path: path.to_path_buf(), count: broken, first });
        }
        if boxes.is_empty() && !others.is_empty() {
            let others: Vec<String> = others.iter().map(|(name, count)| format!("{count} of {name}")).collect();
            let others = others.join(", ");
            return Err(BoxesError::OtherCategories { path: path.to_path_buf(), wanted, others });
        }
        Ok(Boxes { index: Index::new(boxes), broken, others })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The boxes of a picture in the file's order: those whose path ends like the picture's for the longest, at least
    /// in the file's name or its stem; else those of the picture's number. Slashes may lean either way.
    pub fn of(&self, picture: &Path) -> Vec<&ListedBox> {
        self.index.of(picture)
    }

    /// The boxes of a video's frame, from 0: by frame, else by number.
    pub fn of_frame(&self, frame: u64) -> Vec<&ListedBox> {
        self.index.of_frame(frame)
    }
}

/// The people of a picture of that size in its boxes, of which at most `most` are taken: those of the highest score, or
/// the largest where no box has a score. Second, how many boxes were left out because nothing of them is in the picture.
pub fn people_in(boxes: &[&ListedBox], size: Size, most: Option<usize>) -> (Vec<PersonBox>, usize) {
    let people: Vec<(PersonBox, Option<f64>)> =
        boxes.iter().filter_map(|listed| Some((listed.in_picture(size)?, listed.score))).collect();
    let outside = boxes.len() - people.len();
    let scored = people.iter().any(|(_, score)| score.is_some());
    let rank = |(person, score): &(PersonBox, Option<f64>)| match scored {
        true => score.unwrap_or(f64::NEG_INFINITY),
        false => f64::from(person.area()),
    };
    let mut order: Vec<usize> = (0..people.len()).collect();
    order.sort_by(|a, b| rank(&people[*b]).total_cmp(&rank(&people[*a])));
    order.truncate(most.unwrap_or(usize::MAX));
    order.sort_unstable();
    (order.into_iter().map(|place| people[place].0).collect(), outside)
}

/// How a file of boxes is written.
enum Form {
    Json,
    Lines,
    Table,
}

impl Form {
    /// By what the file begins with.
    fn of(path: &Path) -> Result<Form, DataError> {
        use std::io::Read;
        let mut head = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
        read.map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
        // UTF-16 has a zero in every letter.
        head.retain(|byte| *byte != 0);
        let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
        let text = marks.iter().find_map(|mark| head.strip_prefix(*mark)).unwrap_or(&head).trim_ascii_start();
        Ok(match text.first() {
            Some(b'[' | b'{') => Form::Json,
            Some(first) if first.is_ascii_alphabetic() || *first == b'"' => Form::Table,
            _ => Form::Lines,
        })
    }
}

#[cfg(test)]
mod tests;
