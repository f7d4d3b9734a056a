//! Random scale, rotation, flip and half body of training samples, as the public HRNet code draws them.

use super::crop::{Affine, Crop, grow};
use super::{InvalidValue, Joint, Person, Size, Skeleton};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// What training samples are drawn from. The default is the protocol of the DITN paper without half bodies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// The box is scaled by 1 + this x a normal number, clipped to 1 ± this.
    pub scale: f64,
    /// The box is rotated by this many degrees x a normal number, clipped to twice this.
    pub rotation: f64,
    /// Probability that the box is rotated at all.
    pub rotation_probability: f64,
    /// Probability that the picture is mirrored.
    pub flip_probability: f64,
    /// Probability that the box is put around the upper or the lower body alone.
    pub half_body_probability: f64,
    /// Half bodies are for people with more labelled joints than this.
    pub half_body_joints: usize,
}

impl Default for Augmentation {
    fn default() -> Self {
        Augmentation {
            scale: 0.35,
            rotation: 15.0,
            rotation_probability: 0.6,
            flip_probability: 0.5,
            half_body_probability: 0.0,
            half_body_joints: 8,
        }
    }
}

/// One drawn crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The region in the picture; in the mirrored picture where `flip` is set.
    pub crop: Crop,
    /// Whether the picture is mirrored first.
    pub flip: bool,
}

impl Placement {
    /// The plain crop of evaluation.
    pub fn upright(person: &Person, input: Size) -> Placement {
        Placement::upright_at(person.center, person.scale, input)
    }

    /// The plain crop around a person's centre, in picture pixels; `scale` is in units of 200 pixels.
    pub fn upright_at(center: [f32; 2], scale: [f64; 2], input: Size) -> Placement {
        Placement { crop: Crop::new(center, scale, input), flip: false }
    }

    /// The map from input pixels to pixels of the person's picture, which is `width` pixels wide.
    pub fn to_picture(&self, input: Size, width: u32) -> Affine {
        let to_picture = self.crop.to_picture(input);
        if self.flip { to_picture.then(&Affine::mirror(width)) } else { to_picture }
    }
}

impl Augmentation {
    /// Draws a crop for a person.
    pub fn draw(&self, person: &Person, skeleton: &Skeleton, input: Size, rng: &mut impl Rng) -> Placement {
        let mut crop = Crop::new(person.center, person.scale, input);
        let labelled = person.joints.iter().filter(|joint| joint.labelled).count();
        if labelled > self.half_body_joints
            && !skeleton.upper_body.is_empty()
            && rng.random_bool(self.half_body_probability)
            && let Some((center, size)) = half_body(&person.joints, skeleton, input, rng)
        {
            crop = Crop { center, size, rotation: 0.0 };
        }
        let factor = 1.0 + (self.scale * normal(rng)).clamp(-self.scale, self.scale);
        crop.size = crop.size.map(|side| side * factor);
        if rng.random_bool(self.rotation_probability) {
            crop.rotation = (self.rotation * normal(rng)).clamp(-2.0 * self.rotation, 2.0 * self.rotation);
        }
        let flip = rng.random_bool(self.flip_probability) && skeleton.mirrors;
        if flip {
            crop.center[0] = f64::from(person.picture.width()) - 1.0 - crop.center[0];
        }
        Placement { crop, flip }
    }

    /// Checks the ranges of the values.
    ///
    /// # Errors
    /// The first value outside its range.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        for (key, value) in [
            ("rotation_probability", self.rotation_probability),
            ("flip_probability", self.flip_probability),
            ("half_body_probability", self.half_body_probability),
        ] {
            rule((0.0..=1.0).contains(&value), key, &value, "a probability lies between 0 and 1")?;
        }
        rule((0.0..1.0).contains(&self.scale), "scale", &self.scale, "must be at least 0 and less than 1")?;
        let degrees = (0.0..=180.0).contains(&self.rotation);
        rule(degrees, "rotation", &self.rotation, "must be between 0 and 180 degrees")
    }
}

/// Centre and size in pixels, in the input's aspect ratio, of the box around half of the labelled joints, 1.5 times
/// as large. `None` where there are too few of them.
fn half_body(joints: &[Joint], skeleton: &Skeleton, input: Size, rng: &mut impl Rng) -> Option<([f64; 2], [f64; 2])> {
    let half = |upper: bool| -> Vec<&Joint> {
        let in_half = |(i, joint): &(usize, &Joint)| joint.labelled && skeleton.upper_body.contains(i) == upper;
        joints.iter().enumerate().filter(in_half).map(|(_, joint)| joint).collect()
    };
    let (upper, lower) = (half(true), half(false));
    // HRNet compares a normal number, not a uniform one, with 0.5: the upper body is taken with probability 0.69.
    let prefer_upper = normal(rng) < 0.5;
    let chosen = if (prefer_upper && upper.len() > 2) || lower.len() <= 2 { upper } else { lower };
    if chosen.len() < 2 {
        return None;
    }
    let extent = |of: fn(&Joint) -> f32| {
        let low = chosen.iter().map(|joint| of(joint)).fold(f32::INFINITY, f32::min);
        let high = chosen.iter().map(|joint| of(joint)).fold(f32::NEG_INFINITY, f32::max);
        let mean = chosen.iter().map(|joint| f64::from(of(joint))).sum::<f64>() / chosen.len() as f64;
        (mean, f64::from(high - low).max(1.0))
    };
    let ((x, width), (y, height)) = (extent(|joint| joint.x), extent(|joint| joint.y));
    Some(([x, y], grow([width, height], input).map(|side| side * 1.5)))
}

/// A normal number of mean 0 and deviation 1 (Box and Muller).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let radius: f64 = 1.0 - rng.random::<f64>();
    let angle: f64 = std::f64::consts::TAU * rng.random::<f64>();
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

#[cfg(test)]
mod tests {
    use super::super::skeleton::{COCO, MPII};
    use super::*;
    use image::RgbImage;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const INPUT: Size = Size { width: 96, height: 128 };

    fn person(skeleton: &Skeleton) -> Person {
        let joints = (0..skeleton.joints.len())
            .map(|i| Joint { x: 40.0 + 3.0 * i as f32, y: 30.0 + 7.0 * i as f32, labelled: true, visible: true })
            .collect();
        Person {
            name: String::new(),
            picture: RgbImage::new(301, 200),
            joints,
            center: [120.0, 90.0],
            scale: [0.6, 0.8],
            head_size: None,
        }
    }

    #[test]
    fn scale_rotation_and_flip_have_the_spread_of_the_protocol() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let augmentation = Augmentation::default();
        let person = person(&MPII);
        let drawn: Vec<Placement> = (0..20_000).map(|_| augmentation.draw(&person, &MPII, INPUT, &mut rng)).collect();
        let share =
            |of: &dyn Fn(&Placement) -> bool| drawn.iter().filter(|p| of(p)).count() as f64 / drawn.len() as f64;
        let factor = |p: &Placement| p.crop.size[0] / 120.0;
        // The normal lies beyond one deviation with probability 0.3173, beyond two with 0.0455.
        assert!((share(&|p| factor(p) <= 0.65 + 1e-6) - 0.159).abs() < 0.01);
        assert!((share(&|p| factor(p) >= 1.35 - 1e-6) - 0.159).abs() < 0.01);
        assert!(drawn.iter().all(|p| (0.65 - 1e-6..=1.35 + 1e-6).contains(&factor(p))));
        assert!((share(&|p| p.crop.rotation == 0.0) - 0.4).abs() < 0.015);
        assert!((share(&|p| p.crop.rotation.abs() == 30.0) - 0.6 * 0.0455).abs() < 0.005);
        assert!(drawn.iter().all(|p| p.crop.rotation.abs() <= 30.0));
        assert!((share(&|p| p.flip) - 0.5).abs() < 0.015);
    }

    #[test]
    fn a_flipped_placement_shows_the_mirrored_picture() {
        let person = person(&MPII);
        let upright = Placement::upright(&person, INPUT);
        let mut flipped = Placement { flip: true, ..upright };
        flipped.crop.center[0] = 300.0 - flipped.crop.center[0];
        let (plain, mirrored) = (upright.to_picture(INPUT, 301), flipped.to_picture(INPUT, 301));
        // The crop is symmetric about (width / 2, height / 2): x in one is width - x in the other. Float32 holds the
        // points that a map is made from.
        for point in [[0.0, 0.0], [10.0, 77.0], [95.0, 127.0]] {
            let (a, b) = (plain.apply(point), mirrored.apply([96.0 - point[0], point[1]]));
            assert!((a[0] - b[0]).abs() < 1e-5 && (a[1] - b[1]).abs() < 1e-5, "{a:?} {b:?}");
        }
    }

    #[test]
    fn half_bodies_surround_the_joints_of_one_half() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let augmentation = Augmentation { scale: 0.0, half_body_probability: 1.0, ..Augmentation::default() };
        let mut person = person(&COCO);
        let mean = |range: std::ops::Range<usize>| {
            range.clone().map(|i| 30.0 + 7.0 * i as f64).sum::<f64>() / range.len() as f64
        };
        let (upper, lower) = (mean(0..11), mean(11..17));
        let mut seen = [0, 0];
        for _ in 0..2000 {
            let y = augmentation.draw(&person, &COCO, INPUT, &mut rng).crop.center[1];
            assert!((y - upper).abs() < 1e-6 || (y - lower).abs() < 1e-6);
            seen[usize::from((y - lower).abs() < 1e-6)] += 1;
        }
        assert!((seen[0] as f64 / 2000.0 - 0.69).abs() < 0.04, "{seen:?}");
        person.joints[8..].iter_mut().for_each(|joint| joint.labelled = false);
        let y = augmentation.draw(&person, &COCO, INPUT, &mut rng).crop.center[1];
        assert_eq!(y, 90.0, "eight joints are too few");
    }

    #[test]
    fn values_out_of_range_are_named() {
        let wrong = Augmentation { flip_probability: 1.5, ..Augmentation::default() };
        assert!(wrong.check().is_err_and(|error| error.to_string().contains("flip_probability")));
        assert_eq!(Augmentation::default().check(), Ok(()));
    }
}
