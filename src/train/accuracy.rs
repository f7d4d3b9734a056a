//! How well a network in training finds the joints of the pictures that it learns from.

use serde::{Deserialize, Serialize};

use crate::data::Size;

/// Joints are near within this share of the map's width and height.
const REACH: f64 = 0.05;

/// Joints found in training pictures: near where the distance, as a share of the map's sides, is less than a twentieth.
///
/// The public HRNet code prints such an accuracy while it trains. It needs neither the head's size nor the torso, which
/// the training people of most data sets lack, and takes the maps of the training step as they are: of augmented
/// pictures, from before the step's update, with the batch's own statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Joints that were found near enough.
    pub near: u64,
    /// All labelled joints on their maps.
    pub counted: u64,
}

impl Accuracy {
    /// Of points that were found, and of true joints with more than 0 where they are labelled, both in pixels of maps of that
    /// size.
    pub fn of(found: &[[f32; 3]], joints: &[[f32; 3]], map: Size) -> Self {
        let (width, height) = (f64::from(map.width), f64::from(map.height));
        let on_map = |[x, y, flag]: [f64; 3]| flag > 0.0 && (0.0..width).contains(&x) && (0.0..height).contains(&y);
        let near = |[x, y, _]: [f64; 3], [u, v, _]: [f64; 3]| ((x - u) / width).hypot((y - v) / height) < REACH;
        let mut sum = Self::default();
        for (found, joint) in found.iter().zip(joints) {
            let (found, joint) = (found.map(f64::from), joint.map(f64::from));
            if on_map(joint) {
                sum.counted += 1;
                sum.near += u64::from(near(found, joint));
            }
        }
        sum
    }

    /// Counts the joints of another batch.
    pub fn add(&mut self, other: Self) {
        self.near += other.near;
        self.counted += other.counted;
    }

    /// The share that was found; `None` where there was no joint.
    pub fn percent(self) -> Option<f64> {
        (self.counted > 0).then(|| 100.0 * self.near as f64 / self.counted as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joints_within_a_twentieth_of_the_map_are_near_and_those_off_it_do_not_count() {
        let joints = [[10.0, 20.0, 1.0], [10.0, 20.0, 2.0], [10.0, 20.0, 0.0], [48.0, 20.0, 1.0], [3.0, -0.1, 1.0]];
        // 2.4 pixels of 48, 3.2 pixels of 64.
        let found = [[12.3, 20.0, 0.5], [10.0, 23.3, 0.5], [10.0, 20.0, 0.5], [47.0, 20.0, 0.5], [3.0, 0.0, 0.5]];
        let mut accuracy = Accuracy::of(&found, &joints, Size::new(64, 48));
        assert_eq!(accuracy, Accuracy { near: 1, counted: 2 });
        accuracy.add(Accuracy::of(&joints[..1], &joints[..1], Size::new(64, 48)));
        assert_eq!(accuracy.percent(), Some(200.0 / 3.0));
        assert_eq!(Accuracy::default().percent(), None);
    }
}
