//! From a person's box to the network's input and back: the affine transforms of the public HRNet protocol.

use super::{Joint, STRIDE, Size};

/// What a person's box is enlarged by.
pub const MARGIN: f64 = 1.25;

/// (x, y) -> (a x + b y + c, d x + e y + f), held as \[a, b, c, d, e, f\].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine(pub [f64; 6]);

impl Affine {
    /// Leaves every point where it is.
    pub const IDENTITY: Affine = Affine([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);

    /// The map that mirrors a picture `width` pixels wide: x becomes width - 1 - x.
    pub fn mirror(width: u32) -> Affine {
        Affine([-1.0, 0.0, f64::from(width) - 1.0, 0.0, 1.0, 0.0])
    }

    /// Where a point goes.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [a, b, c, d, e, f] = self.0;
        [a * x + b * y + c, d * x + e * y + f]
    }

    /// This map, and after it `next`.
    pub fn then(&self, next: &Affine) -> Affine {
        let [a, b, c, d, e, f] = self.0;
        let [p, q, r, s, t, u] = next.0;
        Affine([p * a + q * d, p * b + q * e, p * c + q * f + r, s * a + t * d, s * b + t * e, s * c + t * f + u])
    }

    /// The map back, computed as OpenCV's `warpAffine` does; `None` where this one is not invertible.
    pub fn inverse(&self) -> Option<Affine> {
        let [a, b, c, d, e, f] = self.0;
        let determinant = a * e - b * d;
        if determinant == 0.0 || !determinant.is_finite() {
            return None;
        }
        let factor = 1.0 / determinant;
        let [a, b, d, e] = [e * factor, b * -factor, d * -factor, a * factor];
        Some(Affine([a, b, -a * c - b * f, d, e, -d * c - e * f]))
    }

    /// The map that takes three points, which do not lie on a line, to three others. Its coefficients are not finite
    /// where they do.
    ///
    /// The unknowns and equations are in the order of OpenCV's `getAffineTransform`, and are solved as it does, by
    /// elimination with pivots: points of a crop often lie on the edge between two 1024ths of a pixel, where the last
    /// bit of a coefficient decides.
    fn through(from: [[f32; 2]; 3], to: [[f32; 2]; 3]) -> Affine {
        const UNKNOWNS: usize = 6;
        let mut rows = [[0.0; UNKNOWNS + 1]; UNKNOWNS];
        for (point, ([x, y], to)) in from.into_iter().zip(to).enumerate() {
            for (axis, to) in to.into_iter().enumerate() {
                let row = &mut rows[2 * point + axis];
                row[3 * axis..3 * axis + 3].copy_from_slice(&[f64::from(x), f64::from(y), 1.0]);
                row[UNKNOWNS] = f64::from(to);
            }
        }
        for step in 0..UNKNOWNS {
            let size = |row: usize| rows[row][step].abs();
            let largest = (step + 1..UNKNOWNS).fold(step, |best, row| if size(row) > size(best) { row } else { best });
            rows.swap(step, largest);
            let pivot = rows[step];
            for row in &mut rows[step + 1..] {
                let factor = row[step] * (-1.0 / pivot[step]);
                for (value, above) in row[step + 1..].iter_mut().zip(&pivot[step + 1..]) {
                    *value += factor * above;
                }
            }
        }
        let mut solution = [0.0; UNKNOWNS];
        for (step, row) in rows.iter().enumerate().rev() {
            let known = row[step + 1..UNKNOWNS].iter().zip(&solution[step + 1..]);
            let rest = known.fold(row[UNKNOWNS], |rest, (factor, value)| rest - factor * value);
            solution[step] = rest / row[step];
        }
        Affine(solution)
    }
}

/// The part of a picture that becomes the network's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Centre in picture pixels.
    pub center: [f64; 2],
    /// Width and height in picture pixels, in the input's aspect ratio.
    pub size: [f64; 2],
    /// Degrees by which the box is rotated in the picture, clockwise as the picture is seen.
    pub rotation: f64,
}

impl Crop {
    /// The upright crop around a person for an input of that aspect ratio. `scale` is in units of 200 pixels, with the
    /// margin of [`MARGIN`], and is grown in one direction where its aspect ratio is another.
    ///
    /// A box that had to be grown is rounded as the public code rounds COCO's, which it holds in float32 before the
    /// margin is added and after; another is not, like the squares of MPII, which it holds in float64.
    pub fn new(center: [f32; 2], scale: [f64; 2], input: Size) -> Crop {
        let rounded = |side: f64| f64::from((side / MARGIN) as f32 * MARGIN as f32 * 200.0);
        let grown = grow(scale, input);
        let size = if grown == scale { scale.map(|side| side * 200.0) } else { grown.map(rounded) };
        Crop { center: center.map(f64::from), size, rotation: 0.0 }
    }

    /// The map from pixels of a `target` of the crop's aspect ratio (an input, or its heat maps) to the picture's.
    ///
    /// A similarity that takes (width / 2, height / 2) to the centre, and `target.width` pixels to the crop's width: the
    /// inverse of HRNet's `get_affine_transform`, with its roundings to float32. Its coefficients are not finite where
    /// the crop has no extent.
    pub fn to_picture(&self, target: Size) -> Affine {
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        let half = self.size[0] * 0.5;
        let [x, y] = self.center;
        let (column, row) = (target.width as f32 / 2.0, target.height as f32 / 2.0);
        let in_picture = with_third([x as f32, y as f32], [(x + half * sin) as f32, (y - half * cos) as f32]);
        let in_target = with_third([column, row], [column, row - column]);
        Affine::through(in_picture, in_target).inverse().unwrap_or(Affine([f64::NAN; 6]))
    }
}

/// Two points and the corner of the right angle over them, at the second.
fn with_third(first: [f32; 2], second: [f32; 2]) -> [[f32; 2]; 3] {
    let third = [second[0] - (first[1] - second[1]), second[1] + (first[0] - second[0])];
    [first, second, third]
}

/// The map from heat-map pixels to picture pixels of a person cropped without augmentation, for an input of that size.
pub fn heat_map_to_picture(center: [f32; 2], scale: [f64; 2], input: Size) -> Affine {
    Crop::new(center, scale, input).to_picture(input.heat_map())
}

/// The smallest box of the aspect ratio of `input` around a box of that width and height.
pub fn grow([width, height]: [f64; 2], input: Size) -> [f64; 2] {
    let aspect = f64::from(input.width) / f64::from(input.height);
    if width > aspect * height { [width, width / aspect] } else { [height * aspect, height] }
}

/// Centre in pixels and scale in units of 200 pixels of the box around the labelled joints, [`MARGIN`] times as large;
/// `square` takes the longer side for both. `None` where no joint is labelled.
pub fn box_of_joints(joints: &[Joint], square: bool) -> Option<([f32; 2], [f64; 2])> {
    let mut labelled = joints.iter().filter(|joint| joint.labelled).peekable();
    labelled.peek()?;
    let mut low = [f32::INFINITY; 2];
    let mut high = [f32::NEG_INFINITY; 2];
    for joint in labelled {
        for (axis, v) in [joint.x, joint.y].into_iter().enumerate() {
            low[axis] = low[axis].min(v);
            high[axis] = high[axis].max(v);
        }
    }
    let mut size = [high[0] - low[0], high[1] - low[1]];
    if square {
        size = [size[0].max(size[1]); 2];
    }
    let center = [(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0];
    // A single labelled joint has a box of no size; one pixel keeps the transform invertible.
    Some((center, size.map(|side| f64::from(side.max(1.0)) / 200.0 * MARGIN)))
}

/// From input pixels to heat-map pixels.
pub fn input_to_heat_map() -> Affine {
    let factor = 1.0 / f64::from(STRIDE);
    Affine([factor, 0.0, 0.0, 0.0, factor, 0.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: Size = Size { width: 192, height: 256 };

    fn close(a: [f64; 2], b: [f64; 2], tolerance: f64) -> bool {
        (a[0] - b[0]).abs() <= tolerance && (a[1] - b[1]).abs() <= tolerance
    }

    /// Written out from the three point pairs of HRNet's `get_affine_transform`, before they are rounded.
    fn three_points(crop: &Crop, target: Size) -> [([f64; 2], [f64; 2]); 3] {
        let (sin, cos) = crop.rotation.to_radians().sin_cos();
        let (width, height) = (f64::from(target.width), f64::from(target.height));
        let up = crop.size[0] * -0.5;
        let third = |a: [f64; 2], b: [f64; 2]| [b[0] - (a[1] - b[1]), b[1] + (a[0] - b[0])];
        let (source, middle) = (crop.center, [width / 2.0, height / 2.0]);
        let source_up = [source[0] - up * sin, source[1] + up * cos];
        let middle_up = [middle[0], middle[1] - width / 2.0];
        [(middle, source), (middle_up, source_up), (third(middle, middle_up), third(source, source_up))]
    }

    proptest! {
        #[test]
        fn the_transform_takes_the_three_points_of_the_protocol_to_theirs(
            x in -500.0..2000.0, y in -500.0..2000.0, side in 10.0..1500.0, rotation in -180.0..180.0
        ) {
            let crop = Crop { center: [x, y], size: grow([side, side], SIZE), rotation };
            for target in [SIZE, SIZE.heat_map()] {
                let to_picture = crop.to_picture(target);
                for (from, to) in three_points(&crop, target) {
                    // Float32 holds the points in the picture.
                    prop_assert!(close(to_picture.apply(from), to, 2e-7 * (1.0 + x.abs() + y.abs() + side)));
                }
            }
        }

        #[test]
        fn a_map_and_its_inverse_cancel(m in prop::array::uniform6(-10.0..10.0f64), p in prop::array::uniform2(-100.0..100.0f64)) {
            let map = Affine(m);
            prop_assume!((m[0] * m[4] - m[1] * m[3]).abs() > 1e-3);
            let inverse = map.inverse().expect("the determinant is not zero");
            prop_assert!(close(inverse.apply(map.apply(p)), p, 1e-5));
            prop_assert!(close(map.then(&inverse).apply(p), p, 1e-5));
        }

        #[test]
        fn then_applies_the_left_map_first(m in prop::array::uniform6(-3.0..3.0f64), n in prop::array::uniform6(-3.0..3.0f64), p in prop::array::uniform2(-9.0..9.0f64)) {
            prop_assert!(close(Affine(m).then(&Affine(n)).apply(p), Affine(n).apply(Affine(m).apply(p)), 1e-9));
        }
    }

    #[test]
    fn a_crop_of_the_inputs_own_size_is_a_translation() {
        let crop = Crop::new([96.0, 128.0], [192.0 / 200.0, 256.0 / 200.0], SIZE);
        let Affine(m) = crop.to_picture(SIZE);
        for (value, expected) in m.into_iter().zip(Affine::IDENTITY.0) {
            assert!((value - expected).abs() < 1e-4, "{m:?}");
        }
    }

    #[test]
    fn boxes_grow_in_one_direction_only_and_to_the_aspect_ratio() {
        assert_eq!(grow([30.0, 40.0], SIZE), [30.0, 40.0]);
        assert_eq!(grow([60.0, 40.0], SIZE), [60.0, 80.0]);
        assert_eq!(grow([3.0, 40.0], SIZE), [30.0, 40.0]);
    }

    #[test]
    fn the_box_of_joints_leaves_out_unlabelled_ones() {
        let at = |x, y, labelled| Joint { x, y, labelled, visible: labelled };
        let joints = [at(10.0, 20.0, true), at(-999.0, 999.0, false), at(50.0, 100.0, true)];
        assert_eq!(box_of_joints(&joints, false), Some(([30.0, 60.0], [0.25, 0.5])));
        assert_eq!(box_of_joints(&joints, true), Some(([30.0, 60.0], [0.5, 0.5])));
        assert_eq!(box_of_joints(&joints[1..2], false), None);
    }

    #[test]
    fn a_map_without_extent_has_no_inverse() {
        assert_eq!(Affine([1.0, 2.0, 0.0, 2.0, 4.0, 0.0]).inverse(), None);
    }
}
