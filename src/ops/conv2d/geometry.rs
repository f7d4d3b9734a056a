//! The extents of a convolution.

use crate::ir::{Shape, ShapeError};

/// Who refuses shapes.
pub(super) const NAME: &str = "conv2d";

/// All extents of one convolution, forward or backward; pairs are (vertical, horizontal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub batch: usize,
    pub channels: usize,
    pub size: [usize; 2],
    pub out_channels: usize,
    pub out_size: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub groups: usize,
}

impl Geometry {
    /// The convolution of x with a weight.
    pub fn forward(
        x: &Shape,
        weight: &Shape,
        stride: [usize; 2],
        padding: [usize; 2],
        groups: usize,
    ) -> Result<Self, ShapeError> {
        let [batch, channels, h, w] = x.nchw(NAME)?;
        let [out_channels, group, kh, kw] = weight.nchw(NAME)?;
        ShapeError::unless(groups > 0 && stride[0] > 0 && stride[1] > 0, NAME, || {
            format!("groups {groups} and stride {stride:?} must be positive")
        })?;
        ShapeError::unless(channels == group * groups && out_channels.is_multiple_of(groups), NAME, || {
            format!("weight {weight} in {groups} groups does not fit input {x}")
        })?;
        let padded = [h + 2 * padding[0], w + 2 * padding[1]];
        ShapeError::unless(padded[0] >= kh && padded[1] >= kw && kh > 0 && kw > 0, NAME, || {
            format!("kernel {kh}x{kw} is larger than input {x} with padding {padding:?}")
        })?;
        let out_size = [(padded[0] - kh) / stride[0] + 1, (padded[1] - kw) / stride[1] + 1];
        Ok(Self { batch, channels, size: [h, w], out_channels, out_size, kernel: [kh, kw], stride, padding, groups })
    }

    /// The geometry of inputs that the shape rule has accepted.
    pub fn of(checked: Result<Self, ShapeError>) -> Self {
        // Operators are lowered and evaluated only at shapes that `output_shapes` accepted, which computes this same
        // geometry.
        checked.unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Whether dy has the shape of this convolution's output.
    pub fn check_output(&self, dy: &Shape) -> Result<(), ShapeError> {
        ShapeError::unless(*dy == self.output(), NAME, || {
            format!("gradient {dy} does not match output {}", self.output())
        })
    }

    pub fn input(&self) -> Shape {
        [self.batch, self.channels, self.size[0], self.size[1]].into()
    }

    pub fn weight(&self) -> Shape {
        [self.out_channels, self.group_channels(), self.kernel[0], self.kernel[1]].into()
    }

    pub fn output(&self) -> Shape {
        [self.batch, self.out_channels, self.out_size[0], self.out_size[1]].into()
    }

    /// Input channels of a group.
    pub fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    /// The same with the extents of x and y exchanged: those of a kernel that reads dy and writes dx.
    pub fn transposed(&self) -> Self {
        Self {
            channels: self.out_channels,
            size: self.out_size,
            out_channels: self.channels,
            out_size: self.size,
            ..*self
        }
    }

    /// The convolution in a word: `n2_c32_o64_16x16_k3_s1_g1`, of batch, channels, outputs, size of the input, kernel,
    /// stride and groups.
    pub fn label(&self) -> String {
        let Self { batch, channels, size: [h, w], out_channels, kernel: [k, _], stride: [s, _], groups, .. } = self;
        format!("n{batch}_c{channels}_o{out_channels}_{h}x{w}_k{k}_s{s}_g{groups}")
    }

    /// The convolution of dy with the weight rotated by 180 degrees that gives dx, where there is one: with stride 1 and less
    /// padding than kernel.
    pub fn rotated(&self) -> Option<Self> {
        let exists = self.stride == [1, 1] && self.padding[0] < self.kernel[0] && self.padding[1] < self.kernel[1];
        exists.then(|| {
            let padding = [0, 1].map(|axis| self.kernel[axis] - 1 - self.padding[axis]);
            Self { padding, ..self.transposed() }
        })
    }

    /// Whether an output pixel sees one input pixel, that at its own place.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// The same with all pixels of a picture in one row, for what is pointwise.
    pub fn in_one_row(&self) -> Self {
        let row = [1, self.size[0] * self.size[1]];
        Self { size: row, out_size: row, ..*self }
    }

    /// Whether it is a 9x9 convolution of each channel on its own.
    pub fn is_depthwise_9x9(&self) -> bool {
        self.kernel == [9, 9] && self.groups == self.channels && self.out_channels == self.channels
    }

    /// Whether x and dy are large enough to be bound as vec4 too.
    pub fn has_vec4(&self) -> bool {
        self.input().elements() >= 4 && self.output().elements() >= 4
    }

    /// Whether rows of x are multiples of 4 and the padding is this one, with which the kernels that look for it load x as
    /// vec4.
    pub fn has_vec4_rows(&self, padding: usize) -> bool {
        self.size[1].is_multiple_of(4) && self.padding[1] == padding
    }

    /// Elements of the weight of an output channel, where there is one group.
    pub fn taps(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Operations of a pass: two for every weight and output pixel.
    pub fn flops(&self) -> f64 {
        2.0 * self.output().elements() as f64 * (self.group_channels() * self.kernel[0] * self.kernel[1]) as f64
    }

    /// The `override` constants of the plain kernels.
    pub fn constants(&self) -> Vec<(&'static str, f64)> {
        [
            ("BATCH", self.batch),
            ("CHANNELS", self.channels),
            ("HEIGHT", self.size[0]),
            ("WIDTH", self.size[1]),
            ("OUT_CHANNELS", self.out_channels),
            ("OUT_HEIGHT", self.out_size[0]),
            ("OUT_WIDTH", self.out_size[1]),
            ("PADDING_Y", self.padding[0]),
            ("PADDING_X", self.padding[1]),
            ("KERNEL_HEIGHT", self.kernel[0]),
            ("KERNEL_WIDTH", self.kernel[1]),
            ("STRIDE_Y", self.stride[0]),
            ("STRIDE_X", self.stride[1]),
            ("GROUPS", self.groups),
        ]
        .map(|(name, value)| (name, value as f64))
        .to_vec()
    }
}

/// What all operators of a convolution have, as a text: see [`Operator::attributes`](crate::ir::Operator::attributes).
pub(super) fn attributes(stride: [usize; 2], padding: [usize; 2], groups: usize) -> String {
    let pair = |[y, x]: [usize; 2]| format!("{y}x{x}");
    format!("stride={} padding={} groups={groups}", pair(stride), pair(padding))
}
