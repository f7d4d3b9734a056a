//! OpenCV's Gaussian blur, as `cv2.GaussianBlur(map, (side, side), 0)` computes it.

use crate::ir::{Shape, ShapeError};

/// Its weights at distances 0 to side / 2, up to a factor: fixed ones for 5 and 7, a Gaussian of deviation
/// 0.15 side + 0.35 for other sides. (OpenCV 5 has fixed weights for 9 too.)
pub(super) fn taps(side: usize) -> Vec<f64> {
    match side {
        5 => vec![6.0, 4.0, 1.0],
        7 => vec![18.0, 14.0, 7.0, 2.0],
        _ => {
            let sigma = 0.15 * side as f64 + 0.35;
            (0..=side / 2).map(|distance| (-((distance * distance) as f64) / (2.0 * sigma * sigma)).exp()).collect()
        }
    }
}

/// [`taps`] whose sum over both directions is 1.
pub(super) fn unit_taps(side: usize) -> Vec<f64> {
    let taps = taps(side);
    let sum = taps[0] + 2.0 * taps[1..].iter().sum::<f64>();
    taps.iter().map(|tap| tap / sum).collect()
}

/// Float32 numbers as a table of words.
pub(super) fn table(numbers: &[f64]) -> Vec<u32> {
    numbers.iter().map(|&number| (number as f32).to_bits()).collect()
}

/// The place that `place` is mirrored to at the ends of a row, whose last pixels do not repeat.
pub(super) fn mirrored(place: isize, extent: usize) -> usize {
    let (place, last) = (place.unsigned_abs(), extent - 1);
    if place > last { 2 * last - place } else { place }
}

/// Refuses sides that are even or below 5, and maps that are too small to be mirrored.
pub(super) fn check(operator: &'static str, side: usize, extents: [usize; 2]) -> Result<(), ShapeError> {
    ShapeError::unless(side % 2 == 1 && side >= 5, operator, || {
        format!("the blur must be odd and at least 5 pixels wide, not {side}")
    })?;
    let needed = side / 2 + 1;
    ShapeError::unless(extents.iter().all(|&extent| extent >= needed), operator, || {
        let maps = Shape::from(extents);
        format!(
            "a blur {side} wide is mirrored at the border and needs maps of {needed} pixels a side or more, not {maps}"
        )
    })
}
