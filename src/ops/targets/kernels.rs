//! The kernels, and what their operators take.

use crate::ir::{Shape, ShapeError};
use crate::ops::shaders::kernels;

kernels! { "targets":
    JOINTS, "joints", "maps = exp(-distance to the rounded joint^2 / (2 sigma^2)), cut off at 3 sigma";
    BONES, "bones", "maps = exp(-distance to the bone^2 / (2 sigma^2))";
    COORDINATES, "coordinates", "coordinates = (x / W - 1/2, y / H - 1/2) of labelled joints";
    BLURRED, "blurred", "maps = the joint's pixel, blurred and mirrored at the border, over its largest value, times 255";
    BLURRED_VEC4, "blurred_vec4", "the same, four pixels an invocation";
}

/// Samples and joints of an input \[N, J, 3\].
pub(super) fn samples_and_joints(operator: &'static str, joints: &Shape) -> Result<(usize, usize), ShapeError> {
    let &[samples, count, 3] = joints.extents() else {
        return Err(ShapeError::new(operator, format!("joints {joints} are not [N, J, 3]")));
    };
    Ok((samples, count))
}

/// Refuses a deviation that is not more than 0.
pub(super) fn check_sigma(operator: &'static str, sigma: f32) -> Result<(), ShapeError> {
    ShapeError::unless(sigma > 0.0, operator, || format!("sigma {sigma} is not more than 0"))
}
