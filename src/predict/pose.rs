//! Joints that a network found, in the pixels of pictures.

use crate::data::crop::heat_map_to_picture;
use crate::data::{BatchPerson, Size};

/// One joint that a network found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Keypoint {
    /// Column in the picture, pixels, 0-based.
    pub x: f32,
    /// Row in the picture, pixels, 0-based.
    pub y: f32,
    /// By the rules `quarter`, `quarter-floor` and `dark` the maximum of the joint's heat map, near 1 where the network is
    /// sure; by `second-maximum` the map's value over 255, plus 1/2: 0.5 where nothing was found, near 1.5 where it is
    /// sure. By `expectation` always 1, which says nothing.
    pub score: f32,
}

/// A person's joints in the skeleton's order.
pub type Pose = Vec<Keypoint>;

/// Takes peaks in heat-map pixels (x, y, score) back into the pictures they come from.
///
/// `peaks` may be longer than `people`, as a padded batch is: the rest is left out.
pub fn poses_in_pictures(peaks: &[Vec<[f32; 3]>], people: &[BatchPerson], input: Size) -> Vec<Pose> {
    let pose = |(person, peaks): (&BatchPerson, &Vec<[f32; 3]>)| {
        let to_picture = heat_map_to_picture(person.center, person.scale, input);
        let keypoint = |&[x, y, score]: &[f32; 3]| {
            let [x, y] = to_picture.apply([f64::from(x), f64::from(y)]).map(|v| v as f32);
            Keypoint { x, y, score }
        };
        peaks.iter().map(keypoint).collect()
    };
    people.iter().zip(peaks).map(pose).collect()
}

/// The coordinates alone.
pub fn places(pose: &[Keypoint]) -> Vec<[f32; 2]> {
    pose.iter().map(|keypoint| [keypoint.x, keypoint.y]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_heat_map_is_the_centre_of_the_box_and_padding_is_left_out() {
        let person = BatchPerson {
            index: 0,
            name: String::new(),
            center: [70.0, 40.0],
            scale: [0.5, 0.5],
            joints: Vec::new(),
            head_size: None,
        };
        let peaks = vec![vec![[12.0, 12.0, 0.5], [24.0, 0.0, 1.0]]; 2];
        let poses = poses_in_pictures(&peaks, &[person], Size { width: 96, height: 96 });
        assert_eq!(poses.len(), 1);
        let near = |keypoint: Keypoint, x: f32, y: f32| (keypoint.x - x).abs() < 1e-4 && (keypoint.y - y).abs() < 1e-4;
        // A box of 0.5 x 200 pixels, seen through 24 x 24 heat-map pixels.
        assert!(near(poses[0][0], 70.0, 40.0) && poses[0][0].score == 0.5, "{poses:?}");
        assert!(near(poses[0][1], 120.0, -10.0), "{poses:?}");
    }
}
