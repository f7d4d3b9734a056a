//! What a network computed on the way to a pose, over the picture: bone maps and attention (Figure 1b).

use image::{Rgb, RgbImage};

use super::draw;
use super::network::Explanation;
use super::pose::{Pose, places};
use super::sheet::{self, Cell};
use crate::data::{Batch, STRIDE, Size, Skeleton};
use crate::graph::Tensor;

/// Cells in a row.
const COLUMNS: usize = 6;

/// From nothing to 1: dark violet, red, orange, pale yellow, each lighter than the one before.
const HEAT: [[f32; 3]; 5] =
    [[20.0, 10.0, 60.0], [120.0, 25.0, 110.0], [205.0, 65.0, 75.0], [250.0, 150.0, 40.0], [252.0, 250.0, 165.0]];

/// How much of the picture a map's 1 hides.
const OPACITY: f32 = 0.85;

/// Height of a channel's bar in pixels.
const BAR: u32 = 7;

/// The range of bone maps.
const UNIT: [f32; 2] = [0.0, 1.0];

/// The attention of gates whose input is 0, below which a ReLU in front of the sigmoid lets none fall, and the bound
/// that none reaches.
const ATTENTION: [f32; 2] = [1.5, 2.0];

/// A sheet for person `n` of a batch. First row: the pose, and over the picture the strongest joint map, bone map and
/// spatial attention at each pixel. Then each bone's map, with the attention of its two channels as bars; then the spatial
/// attention of each joint. What the network does not have is left out.
///
/// `pose` is in the pixels of the whole picture. Joint maps are drawn in their range, bone maps from 0 to 1, attention
/// from 1.5 to 2: the ReLUs in front of the sigmoids leave no other values.
pub fn sheet(
    batch: &Batch,
    n: usize,
    input: Size,
    skeleton: &Skeleton,
    pose: &Pose,
    explanation: &Explanation,
) -> RgbImage {
    let Explanation { joints, joint_range, bones, channel_attention, spatial_attention } = explanation;
    let (view, factor) = sheet::enlarged(&batch.view(n, input));
    let over = |map: &[f32], range: [f32; 2], caption: String| {
        let heat = |v: f32| (v - range[0]) / (range[1] - range[0]);
        Cell {
            picture: overlay(&view, factor, input.heat_map(), &map.iter().map(|&v| heat(v)).collect::<Vec<_>>()),
            caption,
        }
    };
    let mut cells = vec![sheet::posed(batch, n, input, skeleton, &sheet::found(&places(pose)), "pose".into())];
    cells.push(over(&strongest(joints, n), *joint_range, "joints".into()));
    cells.extend(bones.as_ref().map(|bones| over(&strongest(bones, n), UNIT, "bones".into())));
    let attention = spatial_attention.as_ref();
    cells.extend(attention.map(|maps| over(&strongest(maps, n), ATTENTION, "spatial attention".into())));
    end_row(&mut cells);

    for (bone, map) in bones.iter().flat_map(|bones| maps_of(bones, n)).enumerate() {
        let (a, b) = skeleton.bones[bone];
        let mut cell = over(map, UNIT, format!("{}-{}", short(&skeleton.joints[a]), short(&skeleton.joints[b])));
        if let Some(channels) = channel_attention {
            let channels: Vec<&[f32]> = maps_of(channels, n).skip(2 * bone).take(2).collect();
            for (place, (joint, channel)) in [a, b].into_iter().zip(channels).enumerate() {
                bar(&mut cell.picture, 1 - place as u32, channel[0], draw::colour(skeleton.side(joint)));
            }
        }
        cells.push(cell);
    }
    end_row(&mut cells);
    for (joint, map) in attention.into_iter().flat_map(|maps| maps_of(maps, n)).enumerate() {
        cells.push(over(map, ATTENTION, short(&skeleton.joints[joint])));
    }
    sheet::grid(&cells, COLUMNS)
}

/// The maps of picture `n`.
fn maps_of(maps: &Tensor, n: usize) -> impl Iterator<Item = &[f32]> {
    let (channels, area) = (maps.shape[1], maps.shape[2] * maps.shape[3]);
    maps.data.chunks(area).skip(n * channels).take(channels)
}

/// The greatest of all maps of picture `n` at each pixel.
fn strongest(maps: &Tensor, n: usize) -> Vec<f32> {
    let greater = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(&b).map(|(a, b)| a.max(*b)).collect();
    maps_of(maps, n).map(<[f32]>::to_vec).reduce(greater).unwrap_or_default()
}

/// Fills the row with empty cells.
fn end_row(cells: &mut Vec<Cell>) {
    while !cells.len().is_multiple_of(COLUMNS) {
        cells.push(Cell { picture: RgbImage::new(0, 0), caption: String::new() });
    }
}

/// `right` and `left` as captions have room for them.
fn short(joint: &str) -> String {
    joint.replace("right ", "r ").replace("left ", "l ")
}

/// A map of heat (0 to 1) over the input's view, which is `factor` times the input's size.
fn overlay(view: &RgbImage, factor: f32, size: Size, map: &[f32]) -> RgbImage {
    let at = |x: i64, y: i64| {
        let (x, y) = (x.clamp(0, i64::from(size.width) - 1), y.clamp(0, i64::from(size.height) - 1));
        map[(y * i64::from(size.width) + x) as usize]
    };
    RgbImage::from_fn(view.width(), view.height(), |x, y| {
        // Pixel x of the heat map is pixel STRIDE x of the input.
        let [u, v] = [x, y].map(|v| ((v as f32 + 0.5) / factor - 0.5) / STRIDE as f32);
        let (left, top) = (u.floor() as i64, v.floor() as i64);
        let (right, low) = (u - u.floor(), v - v.floor());
        let upper = at(left, top) + right * (at(left + 1, top) - at(left, top));
        let lower = at(left, top + 1) + right * (at(left + 1, top + 1) - at(left, top + 1));
        let heat = (upper + low * (lower - upper)).clamp(0.0, 1.0);
        let (share, colour) = (OPACITY * heat.sqrt(), colour(heat));
        let grey = view.get_pixel(x, y).0.map(f32::from);
        Rgb([0, 1, 2].map(|c| (grey[c] + share * (colour[c] - grey[c]) + 0.5) as u8))
    })
}

/// The colour of a heat from 0 to 1.
fn colour(heat: f32) -> [f32; 3] {
    let place = heat * (HEAT.len() - 1) as f32;
    let step = (place as usize).min(HEAT.len() - 2);
    let share = place - step as f32;
    [0, 1, 2].map(|c| HEAT[step][c] + share * (HEAT[step + 1][c] - HEAT[step][c]))
}

/// A bar along the lower edge, the `row`th from below, as long as the attention is strong.
fn bar(picture: &mut RgbImage, row: u32, attention: f32, colour: Rgb<u8>) {
    let share = ((attention - ATTENTION[0]) / (ATTENTION[1] - ATTENTION[0])).clamp(0.0, 1.0);
    let length = (share * picture.width() as f32).round() as u32;
    let bottom = picture.height().saturating_sub(row * BAR);
    for y in bottom.saturating_sub(BAR)..bottom {
        for x in 0..picture.width() {
            let inside = x < length && y + 1 < bottom;
            picture.put_pixel(x, y, if inside { colour } else { Rgb([0; 3]) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_pixel_of_a_map_is_shown_four_times_as_far_from_the_corner() {
        let view = RgbImage::from_pixel(64, 64, Rgb([90; 3]));
        let size = Size { width: 8, height: 8 };
        let mut map = vec![0.0; 64];
        map[2 * 8 + 5] = 1.0;
        // Twice the input's size: heat-map pixel (5, 2) is input pixel (20, 8), whose centre is at 41, 17.
        let shown = overlay(&view, 2.0, size, &map);
        let brightest =
            shown.enumerate_pixels().max_by_key(|(_, _, pixel)| u32::from(pixel.0[0])).map(|(x, y, _)| (x, y));
        assert!(brightest.is_some_and(|(x, y)| x.abs_diff(41) <= 1 && y.abs_diff(17) <= 1), "{brightest:?}");
        assert_eq!(*shown.get_pixel(4, 60), Rgb([90; 3]), "where a map is 0 the picture stays as it is");
    }

    #[test]
    fn heat_grows_lighter() {
        let light = |heat: f32| colour(heat).iter().sum::<f32>();
        assert!((0..20).all(|i| light(i as f32 / 20.0) < light((i + 1) as f32 / 20.0)));
    }

    #[test]
    fn the_maps_of_a_picture_are_its_own() {
        let maps = Tensor { shape: vec![2, 2, 1, 2], data: vec![1.0, 2.0, 3.0, 0.0, 5.0, 6.0, 4.0, 8.0] };
        assert_eq!(maps_of(&maps, 1).collect::<Vec<_>>(), [&[5.0, 6.0], &[4.0, 8.0]]);
        assert_eq!((strongest(&maps, 0), strongest(&maps, 1)), (vec![3.0, 2.0], vec![5.0, 8.0]));
    }
}
