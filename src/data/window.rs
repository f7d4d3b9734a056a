//! The part of a picture that a crop reads, and the crop itself as the device samples it.

use super::Size;
use super::augmentation::Placement;
use super::crop::Affine;
use crate::ops::crop::lattice;
use image::{Rgb, RgbImage};

/// A rectangle of a picture; never empty.
pub(super) struct Window {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Window {
    /// The pixels that bilinear sampling at every input pixel reads, one more on each side against rounding. Where
    /// none is read, a single corner pixel far from every sample.
    pub fn read_by(to_picture: &Affine, input: Size, picture: &RgbImage) -> Window {
        let (right, bottom) = (f64::from(input.width - 1), f64::from(input.height - 1));
        let corners = [[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]].map(|corner| to_picture.apply(corner));
        let range = |axis: usize, length: u32| {
            let low = corners.iter().map(|corner| corner[axis]).fold(f64::INFINITY, f64::min);
            let high = corners.iter().map(|corner| corner[axis]).fold(f64::NEG_INFINITY, f64::max);
            let last = f64::from(length - 1);
            let first = (low.floor() - 1.0).clamp(0.0, last);
            let end = (high.floor() + 2.0).clamp(first, last);
            (first as u32, (end - first) as u32 + 1)
        };
        let ((left, width), (top, height)) = (range(0, picture.width()), range(1, picture.height()));
        Window { left, top, width, height }
    }

    /// Its number of pixels.
    pub fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The lattice of a placement in a picture `width` pixels wide, from the window's corner.
    pub fn points_of(&self, placement: &Placement, input: Size, width: u32) -> Vec<[i32; 2]> {
        let mut points = lattice(placement.crop.to_picture(input).0, input.width, input.height);
        let (columns, rows) = points.split_at_mut(input.width as usize);
        if placement.flip {
            columns.iter_mut().for_each(|[x, _]| *x = -*x);
            // One less: of two points between 32nds the left one is rounded right, and its mirror image left.
            rows.iter_mut().for_each(|[x, _]| *x = 1024 * (width as i32 - 1) - 1 - *x);
        }
        for [x, y] in rows {
            *x -= 1024 * self.left as i32;
            *y -= 1024 * self.top as i32;
        }
        points
    }

    /// Appends its pixels row by row as words.
    pub fn append(&self, picture: &RgbImage, pixels: &mut Vec<u32>) {
        let row_bytes = 3 * picture.width() as usize;
        let bytes = picture.as_raw();
        pixels.reserve(self.pixels());
        for y in self.top..self.top + self.height {
            let start = y as usize * row_bytes + 3 * self.left as usize;
            pixels.extend(words(&bytes[start..start + 3 * self.width as usize]));
        }
    }

    /// What the input's pixels show at these points from the window's corner on.
    pub fn sampled(&self, picture: &RgbImage, points: &[[i32; 2]], input: Size) -> RgbImage {
        sample(points, input, [self.width, self.height], |x, y| picture.get_pixel(self.left + x, self.top + y).0)
    }
}

/// Pixels of three bytes as words 0xAABBGGRR.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(3).map(|rgb| u32::from_le_bytes([rgb[0], rgb[1], rgb[2], 255]))
}

/// The values of a crop before normalisation, to the bit as [`AffineCrop`](crate::ops::crop::AffineCrop) computes them:
/// `pixel` is sampled at the points of a lattice, and is asked only for columns and rows below `extent`, outside of
/// which all is black.
pub(super) fn sample(
    points: &[[i32; 2]],
    input: Size,
    [width, height]: [u32; 2],
    pixel: impl Fn(u32, u32) -> [u8; 3],
) -> RgbImage {
    let (columns, rows) = points.split_at(input.width as usize);
    let channels = |x: i32, y: i32| -> [u32; 3] {
        let inside = |v: i32, length: u32| u32::try_from(v).ok().filter(|v| *v < length);
        inside(x, width).zip(inside(y, height)).map_or([0; 3], |(x, y)| pixel(x, y).map(u32::from))
    };
    RgbImage::from_fn(input.width, input.height, |x, y| {
        let (column, row) = (columns[x as usize], rows[y as usize]);
        let [u, v] = [0, 1].map(|axis| (column[axis] + row[axis] + 16) >> 5);
        let (right, low) = ((u & 31) as u32, (v & 31) as u32);
        let corners = [
            (0, 0, (32 - right) * (32 - low)),
            (1, 0, right * (32 - low)),
            (0, 1, (32 - right) * low),
            (1, 1, right * low),
        ];
        let mut sum = [0; 3];
        for (dx, dy, weight) in corners {
            let corner = channels((u >> 5) + dx, (v >> 5) + dy);
            for (total, value) in sum.iter_mut().zip(corner) {
                *total += weight * value;
            }
        }
        Rgb(sum.map(|v| ((v + 512) >> 10) as u8))
    })
}
