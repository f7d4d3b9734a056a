//! Synthetic people for pages that have no pictures of their own.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};
use serde::Serialize;

use super::WebError;
use super::bundle::Bundle;
use crate::data::augmentation::Placement;
use crate::data::crop::Crop;
use crate::data::skeleton::MPII;
use crate::data::synthetic::{Split, Synthetic};
use crate::data::{Batch, DataError, Dataset, Joint, Size, Skeleton};
use crate::predict::TrainedNetwork;
use crate::train::config::Config;

/// People of the sheet.
const PEOPLE: usize = 256;
/// Their pictures in a row of it.
const COLUMNS: usize = 16;
/// Quality of the sheet's JPEG, of 100.
const QUALITY: u8 = 80;
/// The file.
const SHEET: &str = "people.jpg";

/// Synthetic people.
pub(super) struct Examples {
    people: Synthetic,
}

/// The people that a page trains with.
#[derive(Serialize)]
pub(super) struct People {
    sheet: &'static str,
    columns: usize,
    count: usize,
    /// `[count][J]`: x and y in heat-map pixels, and more than 0 where the joint is labelled, as [`Batch::joints`].
    joints: Vec<Vec<[f32; 3]>>,
}

impl Examples {
    /// The people of the embedded configuration.
    pub fn new(config: &Config) -> Result<Self, DataError> {
        Ok(Self { people: Synthetic::new(config.data.synthetic, config.seed, Split::Training, PEOPLE)? })
    }

    /// A batch of the first of them, cropped to a network's input.
    fn first(&self, people: usize, input: Size, skeleton: &Skeleton) -> Result<Batch, DataError> {
        let mut batch = Batch::default();
        for index in 0..people {
            let mut person = self.people.load(0, index)?;
            // Another skeleton has other joints.
            if skeleton.joints.len() != person.joints.len() {
                person.joints = vec![Joint::default(); skeleton.joints.len()];
            }
            let placement = Placement { crop: Crop::new(person.center, person.scale, input), flip: false };
            batch.push(index, person, &placement, skeleton, input)?;
        }
        Ok(batch)
    }

    /// One person for a trained network.
    pub fn for_inference(&self, trained: &TrainedNetwork) -> Result<Batch, DataError> {
        self.first(1, trained.size, &trained.model.skeleton)
    }

    /// People for one training step.
    pub fn batch(&self, config: &Config) -> Result<Batch, DataError> {
        self.first(config.train.batch, config.train.size, &MPII)
    }

    /// Adds a picture of all people, each as the network sees them.
    pub fn sheet(&self, bundle: &mut Bundle, config: &Config) -> Result<People, WebError> {
        let size = config.train.size;
        let batch = self.first(PEOPLE, size, &MPII)?;
        let rows = PEOPLE.div_ceil(COLUMNS);
        let mut sheet = RgbImage::new(size.width * COLUMNS as u32, size.height * rows as u32);
        for number in 0..PEOPLE {
            let (x, y) = ((number % COLUMNS) as u32 * size.width, (number / COLUMNS) as u32 * size.height);
            imageops::replace(&mut sheet, &batch.view(number, size), i64::from(x), i64::from(y));
        }
        let mut bytes = Cursor::new(Vec::new());
        sheet.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
        bundle.bytes(SHEET, bytes.into_inner());
        let joints = batch.joints.chunks(MPII.joints.len()).map(<[_]>::to_vec).collect();
        Ok(People { sheet: SHEET, columns: COLUMNS, count: PEOPLE, joints })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::crop::heat_map_to_picture;
    use crate::data::skeleton::LSP;
    use crate::predict::PersonBox;
    use crate::web::numbers::hash;

    /// `web/crop.js` gives the same; `web/tests/numbers.test.js` checks the same numbers.
    #[test]
    fn crops_are_those_of_the_pages() {
        let cases = [
            ([300, 200], [40.0, 30.0, 100.0, 120.0], [128, 128]),
            ([300, 200], [10.5, 20.25, 33.3, 150.0], [256, 192]),
            ([97, 61], [-20.0, -10.0, 90.0, 100.0], [96, 96]),
            ([640, 480], [500.0, 300.0, 200.0, 300.0], [256, 192]),
            ([50, 50], [0.0, 0.0, 50.0, 50.0], [256, 256]),
        ];
        let sums = cases.map(|([width, height], bounds, [rows, columns])| {
            let (input, picture) = (Size::new(rows, columns), RgbImage::new(width, height));
            let person = PersonBox::try_from(bounds).unwrap().annotation("one".into(), &LSP);
            let (center, scale) = (person.center, person.scale);
            let placement = Placement { crop: Crop::new(center, scale, input), flip: false };
            let mut batch = Batch::default();
            batch.push_from(0, person, &picture, &placement, &LSP, input).unwrap();
            let to_picture = heat_map_to_picture(center, scale, input);
            let points = [[0.0, 0.0], [7.25, 3.5]].map(|point| to_picture.apply(point).map(|at| (at as f32).to_bits()));
            let [_, width, height, _] = batch.pictures[0];
            let lattice = batch.lattice.as_flattened().iter().map(|&word| word as u32);
            let words = [width, height].into_iter().chain(lattice).chain(points.into_iter().flatten());
            words.fold(0, |sum, word| hash(sum ^ word))
        });
        assert_eq!(sums, [4_076_070_412, 1_065_356_055, 2_922_808_935, 4_177_978_394, 3_967_547_919]);
    }
}
