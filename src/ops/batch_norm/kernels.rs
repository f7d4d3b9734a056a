//! The kernels and how they are dispatched over the planes of `[N, C, H, W]`.

use crate::ir::Argument::{Input, Output, Scratch};
use crate::ir::{Argument, Capabilities, Dispatch, Kernel, Shape, Variant, folded};
use crate::ops::shaders::kernels;
use crate::ops::table::table;
use crate::ops::{Epilogue, TableLayout};

kernels! { "batch_norm":
    STATISTICS, "statistics", "mean and biased variance of each channel, or of splits of it";
    STATISTICS_VEC4, "statistics_vec4", "the same, four elements a load";
    STATISTICS_MERGE, "statistics_merge", "joins the statistics of a channel's splits";
    STATISTICS_OF_SPLITS, "statistics_of_splits", "the same of many splits, from their counts and moments";
    NORMALISE, "normalise", "y = [relu] (gamma (x - mean) / sqrt(variance + eps) + beta [+ residual])";
    NORMALISE_VEC4, "normalise_vec4", "the same, four elements an invocation";
    BACKWARD_SUMS, "backward_sums", "dgamma and dbeta of each channel, or of splits of it";
    BACKWARD_SUMS_VEC4, "backward_sums_vec4", "the same, four elements a load";
    BACKWARD_MERGE, "backward_merge", "adds up dgamma and dbeta of a channel's splits";
    BACKWARD_INPUT, "backward_input", "dx and the gradient of the residual";
    BACKWARD_INPUT_VEC4, "backward_input_vec4", "the same, four elements an invocation";
    RUNNING_STATISTICS, "running_statistics", "moves running mean and variance towards the batch's";
    FOLD, "fold", "weight and bias of a convolution with a normalisation behind it";
}

/// Elements of a channel that one workgroup reduces: enough to keep 64 lanes busy, few enough that large channels
/// spread over many workgroups.
const SPLIT_SIZE: usize = 16_384;

/// The planes of a tensor and the width of the loads that its kernels use.
pub(super) struct Planes {
    batch: usize,
    channels: usize,
    area: usize,
    vec4: bool,
    /// vec4 that an invocation of the elementwise kernels computes with `vec4`.
    vectors: usize,
}

/// The variants of a case: four elements a load where a plane's size allows it, and one.
///
/// Several vec4 an invocation suit CPU adapters, where loads cost most; on a GPU neighbouring lanes should load
/// neighbouring vec4.
pub(super) fn by_width(
    x: &Shape,
    capabilities: &Capabilities,
    build: impl Fn(&Planes) -> (Vec<Dispatch>, Vec<usize>),
) -> Vec<Variant> {
    const VECTORS: usize = 4;
    let widest = Planes::of(x);
    let vectors = if capabilities.is_cpu && widest.area.is_multiple_of(4 * VECTORS) { VECTORS } else { 1 };
    let widths = if widest.vec4 { &[true, false][..] } else { &[false][..] };
    widths
        .iter()
        .map(|&vec4| {
            let (dispatches, scratch) = build(&Planes { vec4, vectors, ..widest });
            Variant::new(if vec4 { "vec4" } else { "plain" }, dispatches).with_scratch(scratch)
        })
        .collect()
}

/// `variant`, which computes the tensor of shape `y` as output 0, and behind it mean and biased variance of its channels
/// as outputs 1 and 2.
pub(in crate::ops) fn followed_by_statistics(mut variant: Variant, y: &Shape) -> Variant {
    let first = variant.scratch.len();
    let partial = [Scratch(first), Scratch(first + 1)];
    let (dispatches, scratch) = Planes::of(y).statistics(Output(0), [Output(1), Output(2)], partial);
    variant.dispatches.extend(dispatches);
    variant.scratch.extend(scratch);
    variant
}

/// Mean and biased variance as outputs 1 and 2 from `moments`, those of each split of each channel, whose numbers `extents` holds:
/// [`MomentsExtents`].
pub(in crate::ops) fn statistics_of_splits(
    channels: usize,
    splits: usize,
    moments: Argument,
    extents: Argument,
) -> Dispatch {
    /// Joined in a row: with fewer, the lanes would mostly wait for each other.
    const SPLITS_A_LANE: usize = 16;
    let lanes = splits.div_ceil(SPLITS_A_LANE).next_power_of_two().min(64);
    Dispatch {
        kernel: &STATISTICS_OF_SPLITS,
        constants: vec![("LANES", lanes as f64)],
        bindings: vec![moments, extents, Output(1), Output(2)],
        workgroups: folded((channels * lanes).div_ceil(64)),
    }
}

table! {
    /// Number, mean and sum of squared deviations from that mean of some elements.
    pub(in crate::ops) struct Moments {
        count: f32,
        mean: f32,
        squares: f32,
    }
}

table! {
    /// The extents of the [`Moments`] of a tensor's channels.
    pub(in crate::ops) struct MomentsExtents {
        channels: u32,
        splits: u32,
    }
}

/// The layouts of this file.
pub(in crate::ops) const TABLES: &[TableLayout] = &[Moments::LAYOUT, MomentsExtents::LAYOUT];

impl Planes {
    /// With loads as wide as the planes allow, one an invocation.
    fn of(x: &Shape) -> Self {
        let extents = x.extents();
        let area = extents[2] * extents[3];
        Self { batch: extents[0], channels: extents[1], area, vec4: area.is_multiple_of(4), vectors: 1 }
    }

    fn width(&self) -> usize {
        if self.vec4 { 4 } else { 1 }
    }

    /// Splits a channel.
    fn splits(&self) -> usize {
        (self.batch * self.area).div_ceil(SPLIT_SIZE)
    }

    /// BATCH, CHANNELS, AREA and what else a kernel needs.
    fn constants(&self, others: &[(&'static str, f64)]) -> Vec<(&'static str, f64)> {
        let extents = [("BATCH", self.batch), ("CHANNELS", self.channels), ("AREA", self.area)];
        extents.map(|(name, value)| (name, value as f64)).iter().chain(others).copied().collect()
    }

    fn split_constants(&self) -> [(&'static str, f64); 2] {
        [("SPLIT_SIZE", (SPLIT_SIZE / self.width()) as f64), ("SPLITS", self.splits() as f64)]
    }

    /// A kernel that computes every element on its own, with EPS, RESIDUAL and RELU.
    fn elementwise(
        &self,
        [plain, vec4]: [&'static Kernel; 2],
        eps: f32,
        epilogue: Epilogue,
        bindings: Vec<Argument>,
    ) -> Dispatch {
        let mut constants = self.constants(&[&[("EPS", f64::from(eps))], &epilogue.constants()[..]].concat());
        let mut elements = self.width();
        if self.vec4 {
            constants.push(("VECTORS", self.vectors as f64));
            elements *= self.vectors;
        }
        let workgroups = folded((self.batch * self.channels * self.area / elements).div_ceil(64));
        Dispatch { kernel: if self.vec4 { vec4 } else { plain }, constants, bindings, workgroups }
    }

    /// Mean and variance of `x` into `targets`, by way of `partial` where a channel has several splits.
    pub(super) fn statistics(
        &self,
        x: Argument,
        targets: [Argument; 2],
        partial: [Argument; 2],
    ) -> (Vec<Dispatch>, Vec<usize>) {
        let splits = self.splits();
        let [mean, variance] = if splits == 1 { targets } else { partial };
        let mut dispatches = vec![Dispatch {
            kernel: if self.vec4 { &STATISTICS_VEC4 } else { &STATISTICS },
            constants: self.constants(&self.split_constants()),
            bindings: vec![x, mean, variance],
            workgroups: folded(self.channels * splits),
        }];
        if splits == 1 {
            return (dispatches, Vec::new());
        }
        dispatches.push(Dispatch {
            kernel: &STATISTICS_MERGE,
            constants: vec![
                ("CHANNELS", self.channels as f64),
                ("SPLIT_SIZE", SPLIT_SIZE as f64),
                ("SPLITS", splits as f64),
                ("COUNT", (self.batch * self.area) as f64),
            ],
            bindings: vec![mean, variance, targets[0], targets[1]],
            workgroups: [self.channels.div_ceil(64) as u32, 1, 1],
        });
        (dispatches, vec![self.channels * splits; 2])
    }

    /// The normalisation; `bindings` in the shader's order.
    pub(super) fn normalise(&self, eps: f32, epilogue: Epilogue, bindings: Vec<Argument>) -> Dispatch {
        self.elementwise([&NORMALISE, &NORMALISE_VEC4], eps, epilogue, bindings)
    }

    /// dgamma and dbeta into `targets`, from (dy, x, gamma, mean, variance) as inputs 0 to 4 and `y`.
    pub(super) fn backward_sums(
        &self,
        eps: f32,
        relu: bool,
        y: Argument,
        targets: [Argument; 2],
    ) -> (Vec<Dispatch>, Vec<usize>) {
        let splits = self.splits();
        let [dgamma, dbeta] = if splits == 1 { targets } else { [Scratch(0), Scratch(1)] };
        let [size, splits_constant] = self.split_constants();
        let mut dispatches = vec![Dispatch {
            kernel: if self.vec4 { &BACKWARD_SUMS_VEC4 } else { &BACKWARD_SUMS },
            constants: self.constants(&[
                size,
                splits_constant,
                ("EPS", f64::from(eps)),
                ("RELU", f64::from(u8::from(relu))),
            ]),
            bindings: vec![Input(0), Input(1), Input(3), Input(4), y, dgamma, dbeta],
            workgroups: folded(self.channels * splits),
        }];
        if splits == 1 {
            return (dispatches, Vec::new());
        }
        dispatches.push(Dispatch {
            kernel: &BACKWARD_MERGE,
            constants: vec![("CHANNELS", self.channels as f64), ("SPLITS", splits as f64)],
            bindings: vec![dgamma, dbeta, targets[0], targets[1]],
            workgroups: [self.channels.div_ceil(64) as u32, 1, 1],
        });
        (dispatches, vec![self.channels * splits; 2])
    }

    /// dx (output 0) and dresidual from inputs 0 to 4, `y`, dgamma and dbeta (outputs 1 and 2).
    pub(super) fn backward_input(&self, eps: f32, epilogue: Epilogue, y: Argument, dresidual: Argument) -> Dispatch {
        let results = [y, Output(1), Output(2), Output(0), dresidual];
        let bindings = (0..5).map(Input).chain(results).collect();
        self.elementwise([&BACKWARD_INPUT, &BACKWARD_INPUT_VEC4], eps, epilogue, bindings)
    }
}
