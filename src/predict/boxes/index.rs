//! Which boxes are for a picture.

use std::collections::HashMap;
use std::path::Path;

use super::super::pictures::coco_number;
use super::{Key, ListedBox};

/// Boxes by what their pictures are known by.
#[derive(Debug, Default)]
pub(super) struct Index {
    boxes: Vec<ListedBox>,
    /// By the last part of a path.
    names: HashMap<String, Vec<usize>>,
    numbers: HashMap<u64, Vec<usize>>,
    frames: HashMap<u64, Vec<usize>>,
}

impl Index {
    pub fn new(boxes: Vec<ListedBox>) -> Self {
        let mut index = Index { boxes, ..Index::default() };
        for (place, listed) in index.boxes.iter().enumerate() {
            match &listed.key {
                Key::Name(name) => {
                    let last = parts(name).last().unwrap_or_default().to_string();
                    index.names.entry(last).or_default().push(place);
                }
                Key::Number(number) => index.numbers.entry(*number).or_default().push(place),
                Key::Frame(frame) => index.frames.entry(*frame).or_default().push(place),
            }
        }
        index
    }

    pub fn len(&self) -> usize {
        self.boxes.len()
    }

    pub fn of(&self, picture: &Path) -> Vec<&ListedBox> {
        let path = picture.to_string_lossy();
        let parts_of_picture: Vec<&str> = parts(&path).collect();
        let file = parts_of_picture.last().copied().unwrap_or_default();
        let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let named = self.names.get(file).or_else(|| self.names.get(stem));
        if let Some(places) = named {
            let common = |place: &usize| match &self.boxes[*place].key {
                Key::Name(name) => {
                    let folders = parts(name).rev().skip(1);
                    folders.zip(parts_of_picture.iter().rev().skip(1)).take_while(|(a, b)| a == *b).count()
                }
                _ => 0,
            };
            let longest = places.iter().map(common).max().unwrap_or(0);
            return places.iter().filter(|place| common(place) == longest).map(|place| &self.boxes[*place]).collect();
        }
        let numbered = coco_number(picture).and_then(|number| self.numbers.get(&number));
        numbered.into_iter().flatten().map(|place| &self.boxes[*place]).collect()
    }

    pub fn of_frame(&self, frame: u64) -> Vec<&ListedBox> {
        let places = self.frames.get(&frame).or_else(|| self.numbers.get(&frame));
        places.into_iter().flatten().map(|place| &self.boxes[*place]).collect()
    }
}

/// The folders of a path and its file, whichever way the slashes lean.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".")
}
