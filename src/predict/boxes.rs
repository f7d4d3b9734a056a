//! Where the people are: boxes from the command line or a file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::crop::MARGIN;
use crate::data::{Joint, Person, Skeleton};
use image::RgbImage;

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

/// An entry of a file of boxes: a JSON array of `{"picture": "a.jpg", "box": [x, y, width, height]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxEntry {
    /// The picture's path or file name.
    pub picture: PathBuf,
    /// The person's box.
    #[serde(rename = "box")]
    pub person: PersonBox,
}

impl PersonBox {
    /// The whole picture.
    pub fn whole(picture: &RgbImage) -> Self {
        Self { x: 0.0, y: 0.0, width: picture.width() as f32, height: picture.height() as f32 }
    }

    /// The person in this box, with no joint known. The crop is a quarter larger than the box, as in training.
    pub fn person(&self, name: String, picture: RgbImage, skeleton: &Skeleton) -> Person {
        Person {
            name,
            picture,
            joints: vec![Joint::default(); skeleton.joints.len()],
            center: [self.x + self.width / 2.0, self.y + self.height / 2.0],
            scale: [self.width, self.height].map(|side| f64::from(side) / 200.0 * MARGIN),
            head_size: None,
        }
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

/// The boxes of `picture` among `entries`: those of the same path, else those of the same file name.
pub fn boxes_of(picture: &Path, entries: &[BoxEntry]) -> Vec<PersonBox> {
    let of = |same: &dyn Fn(&Path) -> bool| -> Vec<PersonBox> {
        entries.iter().filter(|entry| same(&entry.picture)).map(|entry| entry.person).collect()
    };
    let exact = of(&|path| path == picture);
    if exact.is_empty() { of(&|path| path.file_name() == picture.file_name()) } else { exact }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_four_numbers_with_an_extent() {
        assert_eq!("1, 2,3.5,4".parse(), Ok(PersonBox { x: 1.0, y: 2.0, width: 3.5, height: 4.0 }));
        for wrong in ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,0,4", "1,2,3,-4", "1,2,3,inf"] {
            assert!(wrong.parse::<PersonBox>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn boxes_are_found_by_path_before_file_name() {
        let text = r#"[{"picture": "a/p.jpg", "box": [1, 1, 1, 1]}, {"picture": "b/p.jpg", "box": [2, 2, 2, 2]}]"#;
        let entries: Vec<BoxEntry> = serde_json::from_str(text).unwrap();
        let xs = |path: &str| boxes_of(Path::new(path), &entries).iter().map(|b| b.x).collect::<Vec<f32>>();
        assert_eq!(xs("b/p.jpg"), [2.0]);
        assert_eq!(xs("c/p.jpg"), [1.0, 2.0]);
        assert!(xs("q.jpg").is_empty());
    }
}
