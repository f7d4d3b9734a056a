//! The kinds of data sets that a configuration can name.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::skeleton::{COCO, LSP, MPII, Skeleton};

/// The kind of data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// Endless generated people with MPII's 16 joints.
    Synthetic,
    /// Leeds Sports Pose in its release layout, 14 joints.
    Lsp,
    /// MPII Human Pose, 16 joints.
    Mpii,
    /// COCO keypoints in its release layout, 17 joints.
    Coco,
}

impl DataKind {
    /// The joints of its people.
    pub fn skeleton(self) -> &'static Arc<Skeleton> {
        match self {
            Self::Synthetic | Self::Mpii => &MPII,
            Self::Lsp => &LSP,
            Self::Coco => &COCO,
        }
    }

    /// A kind of data set whose people have the joints of `skeleton`.
    pub fn of_skeleton(skeleton: &Skeleton) -> Self {
        match skeleton.name.as_str() {
            "lsp" => Self::Lsp,
            "mpii" => Self::Mpii,
            // Skeletons of their own come from files in COCO's format.
            _ => Self::Coco,
        }
    }
}
