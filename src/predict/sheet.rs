//! Contact sheets: many people on one picture.

use super::draw::{self, GLYPH};
use crate::data::augmentation::Placement;
use crate::data::crop::{Affine, Crop};
use crate::data::{Batch, DataError, Dataset, Joint, Size, Skeleton};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

const GAP: u32 = 4;
const DOT: u32 = 2;
const CAPTION: u32 = DOT * (GLYPH[1] + 2);
const PAPER: Rgb<u8> = Rgb([32, 32, 36]);
const INK: Rgb<u8> = Rgb([225, 225, 225]);
/// Cells are enlarged by a whole factor until they are at least this wide, so that skeletons can be made out.
const NARROWEST: u32 = 160;

/// One picture of a sheet.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What is shown, already with what is drawn on it.
    pub picture: RgbImage,
    /// A line below it.
    pub caption: String,
}

/// The cells row by row; each column and row is as large as the largest cell. A caption is cut to its cell's width.
pub fn grid(cells: &[Cell], columns: usize) -> RgbImage {
    let columns = columns.clamp(1, cells.len().max(1)) as u32;
    let rows = (cells.len() as u32).div_ceil(columns);
    let width = cells.iter().map(|cell| cell.picture.width()).max().unwrap_or(0);
    let height = cells.iter().map(|cell| cell.picture.height()).max().unwrap_or(0) + CAPTION;
    let mut sheet = RgbImage::from_pixel(GAP + columns * (width + GAP), GAP + rows * (height + GAP), PAPER);
    for (i, cell) in cells.iter().enumerate() {
        let (left, top) = (GAP + i as u32 % columns * (width + GAP), GAP + i as u32 / columns * (height + GAP));
        imageops::replace(&mut sheet, &cell.picture, i64::from(left), i64::from(top));
        let caption: String = cell.caption.chars().take((width / (DOT * GLYPH[0])) as usize).collect();
        draw::text(&mut sheet, left, top + cell.picture.height() + DOT, DOT, &caption, INK);
    }
    sheet
}

/// A sheet of the first `count` people of a pass with their true skeletons: whole pictures, the crop as a frame.
///
/// # Errors
/// Where a person cannot be loaded.
pub fn samples(
    dataset: &dyn Dataset,
    pass: u64,
    count: usize,
    columns: usize,
    input: Size,
) -> Result<RgbImage, DataError> {
    let mut cells = Vec::with_capacity(count);
    for index in 0..count.min(dataset.len()) {
        let person = dataset.load(pass, index)?;
        let (mut picture, factor) = enlarged(&person.picture);
        let corners = Crop::new(person.center, person.scale, input).to_picture(input);
        let (right, bottom) = (f64::from(input.width), f64::from(input.height));
        let frame = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]]
            .map(|corner| corners.apply(corner).map(|v| (v as f32 + 0.5) * factor - 0.5));
        for side in 0..4 {
            draw::line(&mut picture, frame[side], frame[(side + 1) % 4], 1.0, Rgb([255, 230, 90]));
        }
        let joints = moved(&person.joints, &enlarging(factor));
        let width = width_of_bones(&picture);
        draw::skeleton(&mut picture, dataset.skeleton(), &joints, width);
        cells.push(Cell { picture, caption: index.to_string() });
    }
    Ok(grid(&cells, columns))
}

/// Places of joints that were found, in the pixels of the whole picture, with the caption to go below them.
pub type Found = (Vec<[f32; 2]>, String);

/// Cells for a person of an evaluation batch on the input's view: each skeleton that was found, and the true one.
pub fn comparison(batch: &Batch, person: usize, input: Size, skeleton: &Skeleton, poses: &[Found]) -> Vec<Cell> {
    let found = poses.iter().map(|(places, caption)| (found(places), caption.clone()));
    let truth = (batch.people[person].joints.clone(), "truth".to_string());
    found.chain([truth]).map(|(joints, caption)| posed(batch, person, input, skeleton, &joints, caption)).collect()
}

/// A sheet of people of an evaluation set, each with the skeletons that were found and the true one, `across` people in
/// a row. All of them have the same number of skeletons.
///
/// # Errors
/// Where a person cannot be loaded.
pub fn people(
    dataset: &dyn Dataset,
    input: Size,
    people: &[(usize, Vec<Found>)],
    across: usize,
) -> Result<RgbImage, DataError> {
    let mut cells = Vec::new();
    for (index, poses) in people {
        let person = dataset.load(0, *index)?;
        let placement = Placement::upright(&person, input);
        let mut batch = Batch::default();
        batch.push(*index, person, &placement, dataset.skeleton(), input)?;
        cells.extend(comparison(&batch, 0, input, dataset.skeleton(), poses));
    }
    let cells_a_person = people.first().map_or(1, |(_, poses)| poses.len() + 1);
    Ok(grid(&cells, across * cells_a_person))
}

/// A person of a batch on the input's view with a skeleton, whose joints are in the pixels of the whole picture.
pub fn posed(
    batch: &Batch,
    person: usize,
    input: Size,
    skeleton: &Skeleton,
    joints: &[Joint],
    caption: String,
) -> Cell {
    let about = &batch.people[person];
    let to_picture = Crop::new(about.center, about.scale, input).to_picture(input);
    // A batch refuses boxes without extent.
    let to_input = to_picture.inverse().unwrap_or(Affine::IDENTITY);
    let (mut picture, factor) = enlarged(&batch.view(person, input));
    let to_view = to_input.then(&enlarging(factor));
    let width = width_of_bones(&picture);
    draw::skeleton(&mut picture, skeleton, &moved(joints, &to_view), width);
    Cell { picture, caption }
}

/// Predicted places as joints to be drawn.
pub fn found(places: &[[f32; 2]]) -> Vec<Joint> {
    places.iter().map(|&[x, y]| Joint { x, y, labelled: true, visible: true }).collect()
}

fn width_of_bones(picture: &RgbImage) -> f32 {
    picture.width() as f32 / 80.0
}

/// The picture enlarged to a readable size, and the factor.
pub(super) fn enlarged(picture: &RgbImage) -> (RgbImage, f32) {
    let factor = NARROWEST.div_ceil(picture.width().max(1)).max(1);
    if factor == 1 {
        return (picture.clone(), 1.0);
    }
    let (width, height) = (factor * picture.width(), factor * picture.height());
    (imageops::resize(picture, width, height, FilterType::Triangle), factor as f32)
}

/// The map that an enlargement makes of pixel centres.
fn enlarging(factor: f32) -> Affine {
    let (factor, shift) = (f64::from(factor), f64::from(factor) / 2.0 - 0.5);
    Affine([factor, 0.0, shift, 0.0, factor, shift])
}

fn moved(joints: &[Joint], map: &Affine) -> Vec<Joint> {
    let moved = |joint: &Joint| {
        let [x, y] = map.apply([f64::from(joint.x), f64::from(joint.y)]);
        Joint { x: x as f32, y: y as f32, ..*joint }
    };
    joints.iter().map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::skeleton::MPII;
    use crate::data::{Split, Synthetic, SyntheticOptions};

    const INPUT: Size = Size { width: 96, height: 96 };

    fn people_of(count: usize) -> Synthetic {
        Synthetic::new(SyntheticOptions::default(), 2, Split::HeldOut, count).expect("the defaults are in range")
    }

    #[test]
    fn a_sheet_has_room_for_every_cell_and_no_more() {
        let cell = |width, height| Cell { picture: RgbImage::new(width, height), caption: "x".to_string() };
        let sheet = grid(&[cell(10, 20), cell(30, 5), cell(8, 8)], 2);
        assert_eq!(sheet.dimensions(), (GAP + 2 * (30 + GAP), GAP + 2 * (20 + CAPTION + GAP)));
        assert_eq!(grid(&[], 4).dimensions(), (GAP + GAP, GAP));
    }

    #[test]
    fn samples_stop_at_the_end_of_the_set() {
        let sheet = samples(&people_of(3), 0, 9, 3, INPUT).expect("the people are there");
        assert_eq!(sheet.dimensions(), (GAP + 3 * (160 + GAP), GAP + 160 + CAPTION + GAP));
    }

    #[test]
    fn people_stand_in_the_order_that_was_asked_for_with_a_cell_for_each_pose_and_the_truth() {
        let set = people_of(3);
        let pose =
            |person: usize| set.load(0, person).expect("it is there").joints.iter().map(|j| [j.x, j.y]).collect();
        let order: Vec<(usize, Vec<Found>)> =
            [2, 0].map(|person| (person, vec![(pose(person), "a".into()), (pose(person), "b".into())])).to_vec();
        let sheet = people(&set, INPUT, &order, 1).expect("the people are there");
        assert_eq!(sheet.dimensions(), (GAP + 3 * (192 + GAP), GAP + 2 * (192 + CAPTION + GAP)));
        let first = people(&set, INPUT, &order[..1], 1).expect("the people are there");
        assert_eq!(
            *imageops::crop_imm(&sheet, 0, 0, first.width(), first.height() - GAP).to_image(),
            *imageops::crop_imm(&first, 0, 0, first.width(), first.height() - GAP).to_image()
        );
    }

    #[test]
    fn a_perfect_prediction_is_drawn_where_the_truth_is() {
        let mut person = people_of(1).load(0, 0).expect("the person is there");
        person.joints.iter_mut().for_each(|joint| (joint.labelled, joint.visible) = (true, true));
        let predicted: Vec<[f32; 2]> = person.joints.iter().map(|joint| [joint.x, joint.y]).collect();
        let mut batch = Batch::default();
        let placement = Placement::upright(&person, INPUT);
        batch.push(0, person, &placement, &MPII, INPUT).expect("the box has an extent");
        let cells = comparison(&batch, 0, INPUT, &MPII, &[(predicted, "100".to_string())]);
        let [guess, truth] = cells.as_slice() else { panic!("{} cells", cells.len()) };
        assert_eq!(guess.picture, truth.picture);
        // The skeleton lies where the batch's heat-map joints say.
        let thorax = batch.joints[7];
        let pixel = guess.picture.get_pixel((8.0 * thorax[0] + 0.5) as u32, (8.0 * thorax[1] + 0.5) as u32);
        assert_eq!(*pixel, draw::colour(MPII.side(7)));
    }
}
