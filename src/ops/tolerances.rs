//! How exact the kernels of each operator must be, in units of 2^-24 of an element's magnitude.
//!
//! At most four times the largest error that `tools/rounding_errors.py` has seen (`docs/tolerances.md`), one unit where that
//! is less, and nothing for what copies.

/// Most that results may differ from the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tolerance {
    /// With tensors stored as F32.
    pub(super) f32: f64,
    /// With tensors stored as F16, beyond the rounding of outputs that are.
    pub(super) f16: f64,
}

/// Of operators that are not in the table, such as those outside this crate: what sums of products need. Kernels add up in
/// parts, so that it does not grow with the number of terms: sums of four million have stayed below 5 units.
const OTHERS: f64 = 16.0;

/// By the operators' names, or for one of an operator's rules by name and attributes.
const TOLERANCES: &[(&str, f64)] = &[
    ("accumulate", 1.0),
    ("adam", 11.0),
    ("adamw", 12.0),
    ("add", 1.0),
    ("avg_pool", 10.0),
    ("avg_pool_backward", 8.0),
    ("batch_norm", 13.0),
    ("batch_norm_backward", 16.0),
    ("batch_norm_backward_of_sums", 14.0),
    ("batch_norm_backward_sums", 10.0),
    ("batch_norm_flat_running_statistics", 6.0),
    ("batch_norm_fold", 10.0),
    ("batch_norm_inference", 9.0),
    ("batch_norm_running_statistics", 7.0),
    ("batch_norm_statistics", 9.0),
    ("batch_norm_with_statistics", 6.0),
    ("concat", 0.0),
    ("concat_split", 0.0),
    ("conv2d", 18.0),
    ("conv2d_backward_bias", 4.0),
    ("conv2d_backward_input", 21.0),
    ("conv2d_backward_weight", 17.0),
    ("conv2d_with_statistics", 18.0),
    ("coordinate_loss", 11.0),
    ("coordinate_loss_backward", 9.0),
    ("crop", 4.5),
    ("decode", 4.0),
    ("decode expectation", 9.0),
    ("dynamic_conv", 17.0),
    ("dynamic_conv_backward_input", 17.0),
    ("dynamic_conv_backward_theta", 9.0),
    ("expectation", 7.0),
    ("expectation_backward", 14.0),
    ("expectation_softmax", 12.0),
    ("expectation_softmax_backward", 11.0),
    ("flip_horizontal", 0.0),
    ("flip_merge", 1.0),
    ("flip_merge_points", 6.0),
    ("gate", 10.0),
    ("gate_backward", 11.0),
    ("gather_channels", 0.0),
    ("gather_channels_backward", 10.0),
    ("gather_channels_scatter_add", 9.0),
    ("global_average_pool", 2.0),
    ("global_average_pool_backward", 3.0),
    ("linear", 14.0),
    ("linear_backward_bias", 11.0),
    ("linear_backward_input", 15.0),
    ("linear_backward_weight", 15.0),
    ("loss", 13.0),
    ("loss_backward", 20.0),
    ("loss_scale_non_finite", 0.0),
    ("loss_scale_seed", 1.0),
    ("loss_scale_unscale", 1.0),
    ("loss_scale_update", 0.0),
    ("max_pool", 0.0),
    ("max_pool_backward", 3.0),
    ("over_ranks_mean", 0.0),
    ("over_ranks_statistics", 0.0),
    ("relu", 0.0),
    ("relu_backward", 0.0),
    ("reshape", 0.0),
    ("resize", 15.0),
    ("resize_backward", 15.0),
    ("rmsprop", 12.0),
    ("roofline_copy", 0.0),
    ("roofline_fma", 5.0),
    ("scale", 3.0),
    ("sgd", 8.0),
    ("softmax_cross_entropy", 6.0),
    ("softmax_cross_entropy_backward", 10.0),
    ("targets_blurred", 17.0),
    ("targets_bones", 11.0),
    ("targets_coordinates", 3.0),
    ("targets_joints", 10.0),
    ("upsample", 0.0),
    ("upsample_add", 4.0),
    ("upsample_add_backward", 11.0),
    ("upsample_backward", 17.0),
];

/// The same with tensors stored as F16, where it is another.
const F16: &[(&str, f64)] = &[
    // Where y is stored as F16, kernels that read it again give the statistics of the rounded y: 2^-11, or 2^13 units.
    ("conv2d_with_statistics", 8192.0),
];

/// What an operator of this name and with these attributes is called in the table.
pub(super) fn entry(name: &str, attributes: &str) -> String {
    let whole = format!("{name} {attributes}");
    if TOLERANCES.iter().any(|(entry, _)| *entry == whole) { whole } else { name.to_owned() }
}

/// The tolerance of the operators that are called so in the table.
pub(super) fn of(entry: &str) -> Tolerance {
    let find = |table: &[(&str, f64)]| table.iter().find(|(name, _)| *name == entry).map(|(_, units)| *units);
    let f32 = find(TOLERANCES).unwrap_or(OTHERS);
    Tolerance { f32, f16: find(F16).unwrap_or(f32) }
}
