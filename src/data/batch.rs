//! People packed for the device.

use super::augmentation::Placement;
use super::crop::{Affine, input_to_heat_map};
use super::window::{Window, sample, words};
use super::{Annotation, DataError, Joint, Person, Size, Skeleton};
use crate::ops::crop::lattice;
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// Words of a picture that are stored for each pixel of the input: as many as the input has numbers. Of a picture that
/// needs more the input's pixels are sampled here, which gives the same values to the bit, so that a batch of pictures of
/// any size needs no more memory on the device than the network's input.
const WORDS_PER_PIXEL: usize = 3;

/// How far a loader has come in a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Passes over the set that are over.
    pub pass: u64,
    /// People of the pass that is under way, in its order, that have had their turn.
    pub people: usize,
}

/// One person of a [`Batch`]: what decoding and scoring need.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchPerson {
    /// Number in the data set.
    pub index: usize,
    /// Picture and person, for messages.
    pub name: String,
    /// Centre of the person's box in picture pixels, before augmentation.
    pub center: [f32; 2],
    /// Width and height of the box in units of 200 pixels, before augmentation.
    pub scale: [f64; 2],
    /// The true joints in picture pixels, before augmentation.
    pub joints: Vec<Joint>,
    /// The length that PCKh measures errors by, in picture pixels.
    pub head_size: Option<f32>,
}

/// N people of a data set, ready for the device.
///
/// A batch always has the size that was asked for: the last of an evaluation repeats its last person, and
/// [`people`](Self::people) is then shorter than [`pictures`](Self::pictures).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Where in the data set it begins.
    pub place: Place,
    /// Where the step that it is a part of ends, and the next one begins.
    pub end: Place,
    /// People whose turn it was but who cannot be used, with the reason, and for whom [others stand
    /// in](super::Broken::Skip).
    pub skipped: Vec<String>,
    /// The people without the padding: at most N.
    pub people: Vec<BatchPerson>,
    /// The pixels of all pictures row by row, one 0xAABBGGRR word a pixel, one picture after the other. A picture may
    /// be a part of the original, as much of it as the transform reads, or the crop itself where that is much smaller.
    pub pixels: Vec<u32>,
    /// \[N\]: where a picture begins in `pixels` (in words), its width, its height, and 0.
    pub pictures: Vec<[u32; 4]>,
    /// \[N (W + H)\]: the [`lattice`] of points at which a stored picture is sampled; augmentation and flip are folded in.
    /// What lies outside the picture is black.
    pub lattice: Vec<[i32; 2]>,
    /// \[N J\]: x and y in heat-map pixels after augmentation (mirrored ones already under their new names), and 0 where the
    /// joint is unlabelled, 1 where it is labelled but [hidden](Joint::visible), 2 where it can be seen. Whoever asks only
    /// whether it is labelled compares with 0.
    pub joints: Vec<[f32; 3]>,
}

impl Batch {
    /// Number of samples, padding included.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// Appends a person of the data set, cropped as placed.
    ///
    /// # Errors
    /// Where the placement is degenerate (a box without extent, a value that is not finite), a labelled joint is not
    /// finite, or the batch grows past 2^32 pixels. The batch is then as before.
    pub fn push(
        &mut self,
        index: usize,
        person: Person,
        placement: &Placement,
        skeleton: &Skeleton,
        input: Size,
    ) -> Result<(), DataError> {
        let Person { name, picture, joints, center, scale, head_size } = person;
        let annotation = Annotation { name, joints, center, scale, head_size };
        self.push_from(index, annotation, &picture, placement, skeleton, input)
    }

    /// Appends a person in a picture that others are in, too. Otherwise as [`push`](Self::push).
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_from(
        &mut self,
        index: usize,
        person: Annotation,
        picture: &RgbImage,
        placement: &Placement,
        skeleton: &Skeleton,
        input: Size,
    ) -> Result<(), DataError> {
        let to_picture = placement.to_picture(input, picture.width());
        let to_heat_map = match to_picture.inverse() {
            Some(to_input) if to_picture.0.iter().all(|v| v.is_finite()) => to_input.then(&input_to_heat_map()),
            _ => {
                return Err(DataError::Unsuitable(format!(
                    "{}: the person's box has no width or height, or is not finite",
                    person.name
                )));
            }
        };
        let offset = u32::try_from(self.pixels.len())
            .map_err(|_| DataError::Unsuitable("a batch of more than 2^32 pixels".to_string()))?;
        let mut joints = Vec::with_capacity(person.joints.len());
        for (place, partner) in skeleton.flipped_joints().into_iter().enumerate() {
            let joint = person.joints[if placement.flip { partner } else { place }];
            joints.push(if joint.labelled {
                let [x, y] = to_heat_map.apply([f64::from(joint.x), f64::from(joint.y)]).map(|at| at as f32);
                if !(x.is_finite() && y.is_finite()) {
                    let name = &skeleton.joints[place];
                    return Err(DataError::Unsuitable(format!("{}: the {name} is not at a finite place", person.name)));
                }
                [x, y, if joint.visible { 2.0 } else { 1.0 }]
            } else {
                [0.0; 3]
            });
        }
        let window = Window::read_by(&to_picture, input, picture);
        let points = window.points_of(placement, input, picture.width());
        if window.pixels() > WORDS_PER_PIXEL * input.width as usize * input.height as usize {
            let view = window.sampled(picture, &points, input);
            self.pixels.extend(words(view.as_raw()));
            self.pictures.push([offset, input.width, input.height, 0]);
            self.lattice.extend(lattice(Affine::IDENTITY.0, input.width, input.height));
        } else {
            window.append(picture, &mut self.pixels);
            self.pictures.push([offset, window.width, window.height, 0]);
            self.lattice.extend(points);
        }
        self.joints.extend(joints);
        let Annotation { name, joints, center, scale, head_size } = person;
        self.people.push(BatchPerson { index, name, center, scale, joints, head_size });
        Ok(())
    }

    /// Repeats the last sample until there are `batch`; [`people`](Self::people) keeps its length.
    pub fn pad(&mut self, batch: usize, skeleton: &Skeleton) {
        let joints = skeleton.joints.len();
        let lines = self.lattice.len() / self.len().max(1);
        while let (true, Some(&picture)) = (self.len() < batch, self.pictures.last()) {
            self.pictures.push(picture);
            self.lattice.extend_from_within(self.lattice.len() - lines..);
            self.joints.extend_from_within(self.joints.len() - joints..);
        }
    }

    /// Sample `n` as the network sees it, before normalisation: see [`AffineCrop`](crate::ops::crop::AffineCrop).
    pub fn view(&self, n: usize, input: Size) -> RgbImage {
        let [offset, width, height, _] = self.pictures[n];
        let lines = (input.width + input.height) as usize;
        sample(&self.lattice[n * lines..(n + 1) * lines], input, [width, height], |x, y| {
            let word = self.pixels[offset as usize + y as usize * width as usize + x as usize];
            [word as u8, (word >> 8) as u8, (word >> 16) as u8]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::crop::Crop;
    use super::super::skeleton::LSP;
    use super::*;
    use image::Rgb;

    const INPUT: Size = Size { width: 32, height: 48 };

    fn person(x: f32, y: f32) -> Person {
        let picture =
            RgbImage::from_fn(90, 70, |x, y| Rgb([(3 * x % 256) as u8, (5 * y % 256) as u8, ((x * y) % 251) as u8]));
        let joints = (0..14)
            .map(|i| Joint { x: 10.0 + 5.0 * i as f32, y: 60.0 - 3.0 * i as f32, labelled: i != 4, visible: i != 6 })
            .collect();
        Person { name: "one".into(), picture, joints, center: [x, y], scale: [0.2, 0.3], head_size: None }
    }

    fn push(placement: Placement, person: Person) -> Batch {
        let mut batch = Batch::default();
        batch.push(3, person, &placement, &LSP, INPUT).expect("the box has an extent");
        batch
    }

    /// The person's view with the whole picture stored.
    fn view_of_the_whole(placement: &Placement, person: &Person) -> RgbImage {
        let (width, height) = person.picture.dimensions();
        let window = Window { left: 0, top: 0, width, height };
        let mut whole = Batch { pictures: vec![[0, width, height, 0]], ..Batch::default() };
        window.append(&person.picture, &mut whole.pixels);
        whole.lattice = window.points_of(placement, INPUT, width);
        whole.view(0, INPUT)
    }

    #[test]
    fn a_window_of_the_picture_gives_the_same_view_as_the_whole() {
        for (x, y, rotation, flip) in [
            (45.0, 35.0, 0.0, false),
            (5.0, 60.0, 25.0, false),
            (80.0, 2.0, -30.0, true),
            (45.0, 35.0, 170.0, true),
            (-40.0, -90.0, 10.0, false),
        ] {
            let person = person(x, y);
            let crop = Crop { rotation, ..Crop::new(person.center, person.scale, INPUT) };
            let placement = Placement { crop, flip };
            let batch = push(placement, person.clone());
            assert!(batch.view(0, INPUT) == view_of_the_whole(&placement, &person), "{x} {y} {rotation} {flip}");
            assert!(batch.pixels.len() < 90 * 70);
        }
    }

    #[test]
    fn a_crop_of_a_large_picture_is_stored_itself_and_gives_the_same_view() {
        for (width, rotation, flip) in [(90, 0.0, false), (90, 25.0, true), (301, -170.0, false), (301, 0.0, true)] {
            let mut person = person(45.0, 35.0);
            person.picture = RgbImage::from_fn(width, 170, |x, y| Rgb([(7 * x) as u8, (x ^ y) as u8, (5 * y) as u8]));
            person.scale = [0.61, 0.93];
            let crop = Crop { rotation, ..Crop::new(person.center, person.scale, INPUT) };
            let placement = Placement { crop, flip };
            let batch = push(placement, person.clone());
            assert_eq!(batch.pixels.len(), 32 * 48, "{width} {rotation} {flip}");
            assert!(batch.view(0, INPUT) == view_of_the_whole(&placement, &person), "{width} {rotation} {flip}");
        }
    }

    #[test]
    fn joints_lie_on_the_same_spot_of_the_view_as_of_the_picture() {
        for flip in [false, true] {
            let mut person = person(45.0, 35.0);
            person.picture = RgbImage::new(90, 70);
            let joint = person.joints[3];
            person.picture.put_pixel(joint.x as u32, joint.y as u32, Rgb([255; 3]));
            person.scale = [32.0 / 200.0 * 2.0, 48.0 / 200.0 * 2.0];
            let mut crop = Crop::new(person.center, person.scale, INPUT);
            if flip {
                crop.center[0] = 89.0 - crop.center[0];
            }
            let batch = push(Placement { crop, flip }, person);
            let [x, y, flag] = batch.joints[if flip { LSP.flipped_joints()[3] } else { 3 }];
            assert_eq!(flag, 2.0);
            let view = batch.view(0, INPUT);
            let brightest = view.enumerate_pixels().max_by_key(|(_, _, p)| p.0[0]).expect("the view has pixels");
            assert!(
                (brightest.0 as f32 - 4.0 * x).abs() <= 0.51 && (brightest.1 as f32 - 4.0 * y).abs() <= 0.51,
                "{brightest:?} {x} {y}"
            );
        }
    }

    #[test]
    fn a_flip_renames_joints_and_leaves_unlabelled_ones_out() {
        let person = person(45.0, 35.0);
        let crop = Crop::new([44.0, 35.0], person.scale, INPUT);
        let batch = push(Placement { crop, flip: true }, person.clone());
        let plain = push(Placement::upright(&person, INPUT), person);
        // Joint 4 is unlabelled, joint 6 hidden; their partners are 1 and 11.
        let flags = |batch: &Batch| [4, 1, 6, 11].map(|joint| batch.joints[joint][2]);
        assert_eq!(flags(&plain), [0.0, 2.0, 1.0, 2.0]);
        assert_eq!(flags(&batch), [2.0, 0.0, 2.0, 1.0]);
        for (joint, &partner) in LSP.flipped_joints().iter().enumerate() {
            let ([x, y, flag], mirrored) = (plain.joints[joint], batch.joints[partner]);
            if flag > 0.0 {
                // Symmetric about width / 2, here 4 heat-map pixels.
                assert!((mirrored[0] - (8.0 - x)).abs() < 1e-4 && (mirrored[1] - y).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_flip_shows_the_mirrored_picture_to_the_bit() {
        let person = person(40.0, 30.0);
        let crop = Crop { rotation: 20.0, ..Crop::new(person.center, person.scale, INPUT) };
        let mirrored = Person { picture: image::imageops::flip_horizontal(&person.picture), ..person.clone() };
        let flipped = push(Placement { crop, flip: true }, person);
        assert!(flipped.view(0, INPUT) == push(Placement { crop, flip: false }, mirrored).view(0, INPUT));
    }

    #[test]
    fn padding_repeats_the_last_sample_but_not_its_person() {
        let person = person(45.0, 35.0);
        let mut batch = push(Placement::upright(&person, INPUT), person);
        batch.pad(3, &LSP);
        assert_eq!((batch.len(), batch.people.len(), batch.joints.len()), (3, 1, 42));
        assert_eq!(batch.joints[..14], batch.joints[28..]);
        assert_eq!(batch.view(2, INPUT), batch.view(0, INPUT));
    }

    #[test]
    fn a_box_without_extent_is_an_error_that_names_the_person() {
        let mut person = person(45.0, 35.0);
        person.scale = [0.0, 0.0];
        let placement = Placement::upright(&person, INPUT);
        let result = Batch::default().push(0, person, &placement, &LSP, INPUT);
        assert!(result.is_err_and(|error| error.to_string().contains("one")));
    }

    #[test]
    fn a_joint_at_no_place_is_an_error_that_names_person_and_joint_and_changes_nothing() {
        let mut person = person(45.0, 35.0);
        person.joints[2].x = f32::NAN;
        let placement = Placement::upright(&person, INPUT);
        let mut batch = Batch::default();
        let error = batch.push(0, person, &placement, &LSP, INPUT).expect_err("it has no place").to_string();
        assert_eq!(error, format!("one: the {} is not at a finite place", LSP.joints[2]));
        assert_eq!(batch, Batch::default());
    }
}
