//! Joints, bones and mirror symmetry of each data set's people.

use std::sync::{Arc, LazyLock};

use super::coco::tolerant::Id;
use super::sides::{self, Mirror};

pub use super::sides::Side;

/// How far off annotators are at a joint of which nothing is known, relative to the root of the object's area.
pub const DEFAULT_SIGMA: f64 = 0.05;

/// The joints of a data set in its order, the bones that join them and how a mirror exchanges them.
#[derive(Clone, Debug, PartialEq)]
pub struct Skeleton {
    /// Short name, as configurations and checkpoints spell it.
    pub name: String,
    /// Name of each joint, in the order of the heat maps.
    pub joints: Vec<String>,
    /// The two joints of each bone, in the order of the bone maps.
    pub bones: Vec<(usize, usize)>,
    /// Joints that exchange places in a mirrored picture.
    pub flip_pairs: Vec<(usize, usize)>,
    /// Joints above the hips, for the half-body augmentation; the others are the lower body. Empty: there are no halves.
    pub upper_body: Vec<usize>,
    /// Whether a mirrored picture shows such an object again, with the joints of `flip_pairs` exchanged.
    pub mirrors: bool,
    /// How far off annotators are at each joint, relative to the root of the object's area, as OKS measures.
    pub sigmas: Vec<f64>,
    /// The category of such objects in COCO's files.
    pub category: Id,
}

/// MPII Human Pose: 16 joints, 15 bones.
pub static MPII: LazyLock<Arc<Skeleton>> = LazyLock::new(|| {
    Arc::new(known(
        "mpii",
        &[
            "right ankle",
            "right knee",
            "right hip",
            "left hip",
            "left knee",
            "left ankle",
            "pelvis",
            "thorax",
            "upper neck",
            "head top",
            "right wrist",
            "right elbow",
            "right shoulder",
            "left shoulder",
            "left elbow",
            "left wrist",
        ],
        &[
            (0, 1),
            (1, 2),
            (2, 6),
            (3, 6),
            (3, 4),
            (4, 5),
            (6, 7),
            (7, 8),
            (8, 9),
            (7, 12),
            (12, 11),
            (11, 10),
            (7, 13),
            (13, 14),
            (14, 15),
        ],
        &[(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)],
        &[7, 8, 9, 10, 11, 12, 13, 14, 15],
    ))
});

/// COCO keypoints: 17 joints and the 19 bones of the data set's own `skeleton`.
pub static COCO: LazyLock<Arc<Skeleton>> = LazyLock::new(|| {
    Arc::new(
        known(
            "coco",
            &[
                "nose",
                "left eye",
                "right eye",
                "left ear",
                "right ear",
                "left shoulder",
                "right shoulder",
                "left elbow",
                "right elbow",
                "left wrist",
                "right wrist",
                "left hip",
                "right hip",
                "left knee",
                "right knee",
                "left ankle",
                "right ankle",
            ],
            &[
                (15, 13),
                (13, 11),
                (16, 14),
                (14, 12),
                (11, 12),
                (5, 11),
                (6, 12),
                (5, 6),
                (5, 7),
                (6, 8),
                (7, 9),
                (8, 10),
                (1, 2),
                (0, 1),
                (0, 2),
                (1, 3),
                (2, 4),
                (3, 5),
                (4, 6),
            ],
            &[(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)],
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        )
        .with_sigmas(&COCO_SIGMAS),
    )
});

/// COCO's `kpt_oks_sigmas`.
const COCO_SIGMAS: [f64; 17] = [
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089,
];

/// Leeds Sports Pose: 14 joints in the order of its release, 14 bones.
pub static LSP: LazyLock<Arc<Skeleton>> = LazyLock::new(|| {
    Arc::new(known(
        "lsp",
        &[
            "right ankle",
            "right knee",
            "right hip",
            "left hip",
            "left knee",
            "left ankle",
            "right wrist",
            "right elbow",
            "right shoulder",
            "left shoulder",
            "left elbow",
            "left wrist",
            "neck",
            "head top",
        ],
        &[
            (0, 1),
            (1, 2),
            (2, 3),
            (3, 4),
            (4, 5),
            (6, 7),
            (7, 8),
            (8, 12),
            (12, 9),
            (9, 10),
            (10, 11),
            (12, 13),
            (8, 2),
            (9, 3),
        ],
        &[(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)],
        &[6, 7, 8, 9, 10, 11, 12, 13],
    ))
});

/// Every skeleton that has a name of its own.
pub fn skeletons() -> [&'static Arc<Skeleton>; 3] {
    [&MPII, &COCO, &LSP]
}

fn known(
    name: &str,
    joints: &[&str],
    bones: &[(usize, usize)],
    flip_pairs: &[(usize, usize)],
    upper_body: &[usize],
) -> Skeleton {
    Skeleton {
        name: name.to_owned(),
        joints: joints.iter().map(|&joint| joint.to_owned()).collect(),
        bones: bones.to_vec(),
        flip_pairs: flip_pairs.to_vec(),
        upper_body: upper_body.to_vec(),
        mirrors: true,
        sigmas: vec![DEFAULT_SIGMA; joints.len()],
        category: Id::Number(1),
    }
}

impl Skeleton {
    /// A skeleton that is known by its joints alone: those that exchange places in a mirrored picture follow from their
    /// names, as `sides.rs` says; it has no bones and no halves, and every sigma is [`DEFAULT_SIGMA`]. Says with
    /// it why a mirror is not allowed, where it is not.
    pub fn of_joints(name: &str, joints: Vec<String>) -> (Skeleton, Option<String>) {
        let (flip_pairs, why_not) = match sides::mirror(&joints) {
            Mirror::Pairs(pairs) => (pairs, None),
            Mirror::Unknown(why) => (Vec::new(), Some(why)),
        };
        let skeleton = Skeleton {
            name: name.to_owned(),
            bones: Vec::new(),
            flip_pairs,
            upper_body: Vec::new(),
            mirrors: why_not.is_none(),
            sigmas: vec![DEFAULT_SIGMA; joints.len()],
            category: Id::Number(1),
            joints,
        };
        (skeleton, why_not)
    }

    fn with_sigmas(self, sigmas: &[f64]) -> Skeleton {
        Skeleton { sigmas: sigmas.to_vec(), ..self }
    }

    /// Whether the joints have the names of `other`'s, however their words are joined.
    pub fn names_equal(&self, other: &[String]) -> bool {
        self.joints.len() == other.len()
            && self.joints.iter().zip(other).all(|(a, b)| sides::plain(a) == sides::plain(b))
    }

    /// The skeleton of that [`name`](Self::name) among [`skeletons`].
    pub fn by_name(name: &str) -> Option<&'static Arc<Skeleton>> {
        skeletons().into_iter().find(|skeleton| skeleton.name == name)
    }

    /// For each joint the joint whose place it takes in a mirrored picture; joints of the axis keep theirs.
    pub fn flipped_joints(&self) -> Vec<usize> {
        let mut permutation: Vec<usize> = (0..self.joints.len()).collect();
        for &(a, b) in &self.flip_pairs {
            permutation.swap(a, b);
        }
        permutation
    }

    /// For each bone (a, b) the bone that joins the partners of a and b, whichever way round.
    pub fn flipped_bones(&self) -> Vec<usize> {
        let partner = self.flipped_joints();
        let position = |a: usize, b: usize| self.bones.iter().position(|&bone| bone == (a, b) || bone == (b, a));
        self.bones
            .iter()
            .enumerate()
            // A bone whose mirror image is not listed would stay; the tests show that the skeletons here have none.
            .map(|(i, &(a, b))| position(partner[a], partner[b]).unwrap_or(i))
            .collect()
    }

    /// The side of a joint, as its name and that of its partner say.
    pub fn side(&self, joint: usize) -> Side {
        let partner = self.flip_pairs.iter().find_map(|&(a, b)| match joint {
            _ if joint == a => Some(b),
            _ if joint == b => Some(a),
            _ => None,
        });
        sides::side(&self.joints[joint], partner.map(|partner| self.joints[partner].as_str()))
    }

    /// The side of a bone: that of its ends, where one of them has a side and the other not the opposite one.
    pub fn bone_side(&self, bone: usize) -> Side {
        let (a, b) = self.bones[bone];
        match (self.side(a), self.side(b)) {
            (a, b) if a == b => a,
            (Side::Middle, side) | (side, Side::Middle) => side,
            _ => Side::Middle,
        }
    }

    /// The joint of that name, however its words are joined.
    pub fn joint(&self, name: &str) -> Option<usize> {
        let exact = self.joints.iter().position(|joint| joint == name);
        exact.or_else(|| self.joints.iter().position(|joint| sides::plain(joint) == sides::plain(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_exchanges_left_and_right_and_undoes_itself() {
        for skeleton in skeletons() {
            let partner = skeleton.flipped_joints();
            for (joint, &mirrored) in partner.iter().enumerate() {
                assert_eq!(partner[mirrored], joint);
                let name = &skeleton.joints[joint];
                let expected = match skeleton.side(joint) {
                    Side::Left => name.replace("left", "right"),
                    Side::Right => name.replace("right", "left"),
                    Side::Middle => name.to_string(),
                };
                assert_eq!(skeleton.joints[mirrored], expected, "{}", skeleton.name);
            }
        }
    }

    #[test]
    fn every_bone_has_a_mirrored_bone_that_joins_the_partners_of_its_ends() {
        for skeleton in skeletons() {
            let partner = skeleton.flipped_joints();
            let flipped = skeleton.flipped_bones();
            for (bone, &(a, b)) in skeleton.bones.iter().enumerate() {
                let (c, d) = skeleton.bones[flipped[bone]];
                assert!(
                    (c, d) == (partner[a], partner[b]) || (d, c) == (partner[a], partner[b]),
                    "{} {bone}",
                    skeleton.name
                );
                assert_eq!(flipped[flipped[bone]], bone);
            }
        }
    }

    #[test]
    fn bones_reach_every_joint_and_join_two_different_ones() {
        for skeleton in skeletons() {
            for joint in 0..skeleton.joints.len() {
                assert!(skeleton.bones.iter().any(|&(a, b)| a == joint || b == joint), "{} {joint}", skeleton.name);
            }
            assert!(skeleton.bones.iter().all(|&(a, b)| a != b));
        }
        assert_eq!(skeletons().map(|s| (s.joints.len(), s.bones.len())), [(16, 15), (17, 19), (14, 14)]);
    }
}
