//! `gt_valid.mat`: the joints and head boxes of the 2958 validation people, by which the public code scores.

use super::super::{DataError, Joint, mat, skeleton::MPII};
use std::path::Path;

const ADVICE: &str = "expected gt_valid.mat, which comes with the annotations of the public HRNet code";

/// The head's size is this part of the diagonal of its box.
pub const HEAD_PART: f64 = 0.6;

/// What a validation person is scored by.
#[derive(Clone, Debug, PartialEq)]
pub struct TruePerson {
    /// The 16 joints in 0-based picture pixels.
    pub joints: Vec<Joint>,
    /// 0.6 of the head box's diagonal, picture pixels.
    pub head_size: f32,
}

/// The validation people in the file's order.
///
/// # Errors
/// Where the file is missing, or its arrays `jnt_missing` \[16, people\], `pos_gt_src` \[16, 2, people\] (1-based pixels) and
/// `headboxes_src` \[2, 2, people\] are not there.
pub fn read(path: &Path) -> Result<Vec<TruePerson>, DataError> {
    let (missing, places, heads) = (
        mat::read(path, "jnt_missing", ADVICE)?,
        mat::read(path, "pos_gt_src", ADVICE)?,
        mat::read(path, "headboxes_src", ADVICE)?,
    );
    let joints = MPII.joints.len();
    let people = missing.shape.get(1).copied().unwrap_or(0);
    for (name, array, shape) in [
        ("jnt_missing", &missing, vec![joints, people]),
        ("pos_gt_src", &places, vec![joints, 2, people]),
        ("headboxes_src", &heads, vec![2, 2, people]),
    ] {
        if array.shape != shape {
            let problem = format!("`{name}` has the shape {:?}, expected {shape:?}", array.shape);
            return Err(DataError::Annotation { path: path.to_path_buf(), problem });
        }
    }
    let person = |number: usize| {
        let joint = |joint: usize| {
            let labelled = missing.values[number * joints + joint] == 0.0;
            let [x, y] = [0, 1].map(|axis| (places.values[(2 * number + axis) * joints + joint] - 1.0) as f32);
            Joint { x, y, labelled, visible: labelled }
        };
        // Upper left x, lower right x, upper left y, lower right y.
        let head = &heads.values[4 * number..4 * number + 4];
        let head_size = (HEAD_PART * (head[1] - head[0]).hypot(head[3] - head[2])) as f32;
        TruePerson { joints: (0..joints).map(joint).collect(), head_size }
    };
    Ok((0..people).map(person).collect())
}
