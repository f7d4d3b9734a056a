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
    BACKWARD_SUMS, "backward_sums", "dgamma and dbeta of splits of each channel";
    BACKWARD_SUMS_VEC4, "backward_sums_vec4", "the same, four elements a load";
    BACKWARD_INPUT, "backward_input", "dgamma, dbeta, dx and the gradient of the residual, from the sums over splits";
    BACKWARD_INPUT_VEC4, "backward_input_vec4", "the same, four elements a load";
    BACKWARD_CHANNEL_VEC4, "backward_channel_vec4", "all gradients, a channel a workgroup, four elements a load";
    RUNNING_STATISTICS, "running_statistics", "moves running mean and variance towards the batch's";
    FOLD, "fold", "weight and bias of a convolution with a normalisation behind it";
}

/// Elements of a channel that one workgroup reduces: enough to keep its lanes busy, few enough that large channels
/// spread over many workgroups.
pub(super) const SPLIT_SIZE: usize = 16_384;

/// The planes of a tensor and the width of the loads that its kernels use.
pub(super) struct Planes {
    batch: usize,
    channels: usize,
    area: usize,
    vec4: bool,
    /// vec4 that an invocation of the normalisation computes with `vec4`.
    vectors: usize,
    /// Invocations of a workgroup of the reductions with `vec4`.
    lanes: usize,
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
    let widest = Planes::of(x, capabilities);
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

/// The variants of the gradient, of (dy, x, gamma, mean, variance\[, y\]) as inputs: those [`by_width`], and one of a
/// workgroup a channel where the adapter binds as many buffers. That is preferred on CPU adapters, whose few cores the
/// channels keep busy, and where a channel would not be split anyway.
pub(super) fn backward(x: &Shape, capabilities: &Capabilities, eps: f32, epilogue: Epilogue) -> Vec<Variant> {
    let mut variants = by_width(x, capabilities, |planes| planes.backward(eps, epilogue));
    let planes = Planes::of(x, capabilities);
    let (dispatch, scratch) = planes.backward_by_channel(eps, epilogue);
    if planes.vec4 && dispatch.bindings.len() <= capabilities.max_storage_buffers as usize {
        let place = if capabilities.is_cpu || planes.splits() == 1 { 0 } else { 1 };
        variants.insert(place, Variant::new("channel", vec![dispatch]).with_scratch(scratch));
    }
    variants
}

/// `variant`, which computes the tensor of shape `y` as output 0, and behind it mean and biased variance of its channels
/// as outputs 1 and 2.
pub(in crate::ops) fn followed_by_statistics(mut variant: Variant, y: &Shape, capabilities: &Capabilities) -> Variant {
    let first = variant.scratch.len();
    let partial = [Scratch(first), Scratch(first + 1)];
    let (dispatches, scratch) = Planes::of(y, capabilities).statistics(Output(0), [Output(1), Output(2)], partial);
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

table! {
    /// The sums over a split of a channel, and what the gradient of x needs of the channel besides.
    pub(in crate::ops) struct SplitSums {
        dgamma: f32,
        dbeta: f32,
        gamma: f32,
        mean: f32,
        inverse: f32,
    }
}

/// The layouts of this file.
pub(in crate::ops) const TABLES: &[TableLayout] = &[Moments::LAYOUT, MomentsExtents::LAYOUT, SplitSums::LAYOUT];

impl Planes {
    /// With loads as wide as the planes allow, one an invocation.
    pub(super) fn of(x: &Shape, capabilities: &Capabilities) -> Self {
        let extents = x.extents();
        let area = extents[2] * extents[3];
        // On a GPU it takes many loads at a time to reach the bandwidth of its memory.
        let lanes = if capabilities.is_cpu { 64 } else { 256 };
        Self { batch: extents[0], channels: extents[1], area, vec4: area.is_multiple_of(4), vectors: 1, lanes }
    }

    fn width(&self) -> usize {
        if self.vec4 { 4 } else { 1 }
    }

    /// Splits a channel.
    pub(super) fn splits(&self) -> usize {
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

    /// A reduction or what follows it: a workgroup a split of each channel, with its size and number among the constants.
    fn by_split(
        &self,
        [plain, vec4]: [&'static Kernel; 2],
        others: &[(&'static str, f64)],
        bindings: Vec<Argument>,
    ) -> Dispatch {
        let mut constants = self.constants(&[&self.split_constants(), others].concat());
        if self.vec4 {
            constants.push(("LANES", self.lanes as f64));
        }
        let workgroups = folded(self.channels * self.splits());
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
        let mut dispatches = vec![self.by_split([&STATISTICS, &STATISTICS_VEC4], &[], vec![x, mean, variance])];
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

    /// The normalisation, with EPS, RESIDUAL and RELU; `bindings` in the shader's order.
    pub(super) fn normalise(&self, eps: f32, epilogue: Epilogue, bindings: Vec<Argument>) -> Dispatch {
        let mut constants = self.constants(&[&[("EPS", f64::from(eps))], &epilogue.constants()[..]].concat());
        let mut elements = self.width();
        if self.vec4 {
            constants.push(("VECTORS", self.vectors as f64));
            elements *= self.vectors;
        }
        let kernel = if self.vec4 { &NORMALISE_VEC4 } else { &NORMALISE };
        let workgroups = folded((self.batch * self.channels * self.area / elements).div_ceil(64));
        Dispatch { kernel, constants, bindings, workgroups }
    }

    /// The gradients by way of the sums over splits, with what they need of scratch memory.
    fn backward(&self, eps: f32, epilogue: Epilogue) -> (Vec<Dispatch>, Vec<usize>) {
        let [y, dresidual] = optional(epilogue, Input(5), Scratch(1));
        let sums = self.backward_sums(eps, epilogue, y, Scratch(0));
        (vec![sums, self.backward_of_sums(epilogue, y, Scratch(0), dresidual)], vec![self.sums(), UNWRITTEN])
    }

    /// Words of the [`SplitSums`] of all splits.
    pub(super) fn sums(&self) -> usize {
        size_of::<SplitSums>() / 4 * self.channels * self.splits()
    }

    /// The sums over splits, of (dy, x, gamma, mean, variance) as inputs.
    pub(super) fn backward_sums(&self, eps: f32, epilogue: Epilogue, y: Argument, sums: Argument) -> Dispatch {
        let [_, relu] = epilogue.constants();
        let bindings = vec![Input(0), Input(1), Input(2), Input(3), Input(4), y, sums];
        self.by_split([&BACKWARD_SUMS, &BACKWARD_SUMS_VEC4], &[("EPS", f64::from(eps)), relu], bindings)
    }

    /// The gradients from the sums over splits, of (dy, x) as inputs.
    pub(super) fn backward_of_sums(
        &self,
        epilogue: Epilogue,
        y: Argument,
        sums: Argument,
        dresidual: Argument,
    ) -> Dispatch {
        let bindings = vec![Input(0), Input(1), y, sums, Output(0), dresidual, Output(1), Output(2)];
        self.by_split([&BACKWARD_INPUT, &BACKWARD_INPUT_VEC4], &epilogue.constants(), bindings)
    }

    /// The gradients in one dispatch of a workgroup a channel.
    fn backward_by_channel(&self, eps: f32, epilogue: Epilogue) -> (Dispatch, Vec<usize>) {
        let [y, dresidual] = optional(epilogue, Input(5), Scratch(0));
        let others = [&self.split_constants()[..], &[("EPS", f64::from(eps)), ("LANES", self.lanes as f64)]].concat();
        let constants = self.constants(&[&others[..], &epilogue.constants()].concat());
        let inputs = (0..5).map(Input);
        let bindings = inputs.chain([y, Output(0), dresidual, Output(1), Output(2)]).collect();
        let workgroups = folded(self.channels);
        (Dispatch { kernel: &BACKWARD_CHANNEL_VEC4, constants, bindings, workgroups }, vec![UNWRITTEN])
    }
}

/// Elements of a scratch tensor that is bound but neither read nor written.
pub(super) const UNWRITTEN: usize = 4;

/// What the gradient's kernels bind as y and as the gradient of the residual: where there is none, x and `unwritten`, a buffer
/// that is written by nobody else.
pub(super) fn optional(epilogue: Epilogue, y: Argument, unwritten: Argument) -> [Argument; 2] {
    let y = if epilogue.relu { y } else { Input(1) };
    [y, if epilogue.residual { Output(3) } else { unwritten }]
}
