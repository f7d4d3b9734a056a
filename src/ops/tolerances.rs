//! How exact the kernels of each operator must be, in units of 2^-24 of an element's magnitude.
//!
//! At most four times the largest error that `tools/rounding_errors.py` has seen (`docs/tolerances.md`).

/// What results may differ from the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tolerance {
    /// With tensors stored as F32.
    pub(super) f32: f64,
    /// With tensors stored as F16, beyond the rounding of outputs that are.
    pub(super) f16: f64,
}

/// Of operators that are not in the table, such as those outside this crate: what sums of some hundred terms need.
const OTHERS: Tolerance = Tolerance { f32: 32.0, f16: 32.0 };

/// By the operators' names.
const TOLERANCES: &[(&str, f64, f64)] = &[
    // Where y is stored as F16, kernels that read it again give the statistics of the rounded y: 2^-11, or 2^13 units.
    ("conv2d_with_statistics", 32.0, 8192.0),
];

/// The tolerance of the operator of this name.
pub(super) fn of(name: &str) -> Tolerance {
    let known = TOLERANCES.iter().find(|(operator, ..)| *operator == name);
    known.map_or(OTHERS, |&(_, f32, f16)| Tolerance { f32, f16 })
}
