//! Targets from joints: Gaussian peaks or blurred pixels for joints, ridges along the bones, coordinates.

mod blurred;
mod bones;
mod coordinates;
mod joints;
mod kernels;

pub use blurred::{BlurredTargets, PEAK};
pub use bones::BoneTargets;
pub use coordinates::CoordinateTargets;
pub use joints::JointTargets;
pub use kernels::kernels;

use super::OperatorCase;

/// The cases of this folder's operators.
pub fn cases() -> Vec<OperatorCase> {
    [joints::cases(), bones::cases(), coordinates::cases(), blurred::cases()].concat()
}
