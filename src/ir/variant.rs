//! The ways to compute an operator, as data: what runs, in which memory, how exactly.

use super::{Argument, DType, DTypes, Dispatch};

/// One way to compute an operator: some dispatches in a row, with scratch memory between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Name of the way: `plain`, `tiled`, ...
    pub name: &'static str,
    /// Elements of each scratch tensor.
    pub scratch: Vec<usize>,
    /// Words that dispatches bind as [`Argument::Table`]: attributes of the operator that are too long for `override`
    /// constants. Uploaded once.
    pub tables: Vec<Vec<u32>>,
    /// What runs, in order.
    pub dispatches: Vec<Dispatch>,
    /// What can be left out of all runs but the first where some inputs stay the same.
    pub prepacking: Prepacking,
    /// How exactly it computes.
    pub accuracy: Accuracy,
    /// Whether its rounding is relative to the largest magnitude of an output and not to each element's own: an algorithm
    /// such as Winograd's, which computes neighbouring elements from sums that they share.
    pub normwise: bool,
}

/// How exactly a variant computes, beyond the rounding of what it reads and writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accuracy {
    /// Products and sums in float32, rounded as often as the operator's other variants do.
    #[default]
    Full,
    /// Products and sums in float32, rounded more often: within the operator's tolerance, but never chosen for its speed,
    /// only by name.
    Reduced,
    /// Products of operands that are rounded to f16 first, summed in float32.
    F16Products,
}

impl Accuracy {
    /// The tolerance of a result in units of 2^-24 of its magnitude, where `tolerance` is that of [`Accuracy::Full`].
    ///
    /// Rounding a factor to f16 changes it by 2^-11 at most, and a product of two by 2^-10: 2^14 units.
    pub fn tolerance(self, tolerance: f64) -> f64 {
        match self {
            Self::Full | Self::Reduced => tolerance,
            Self::F16Products => tolerance + 16_384.0,
        }
    }
}

/// The first dispatches of a [`Variant`], which read nothing but some inputs and write nothing but some scratch tensors:
/// weights brought into the layout that the kernels behind them read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepacking {
    /// How many dispatches.
    pub dispatches: usize,
    /// Numbers of the inputs that they read.
    pub inputs: Vec<usize>,
    /// Numbers of the scratch tensors that they write, and that nothing else does.
    pub scratch: Vec<usize>,
}

impl Variant {
    /// A variant that needs no scratch memory and no tables.
    pub fn new(name: &'static str, dispatches: Vec<Dispatch>) -> Self {
        Self {
            name,
            scratch: Vec::new(),
            tables: Vec::new(),
            dispatches,
            prepacking: Prepacking::default(),
            accuracy: Accuracy::default(),
            normwise: false,
        }
    }

    /// Nothing runs: the one output is the one input in place, of as many elements and the same dtype. A plan leaves it out
    /// where the input is overwritten.
    pub fn view() -> Self {
        Self::new("view", Vec::new())
    }

    /// Whether it is [`Variant::view`].
    pub fn is_view(&self) -> bool {
        self.dispatches.is_empty()
    }

    /// Whether its kernels take tensors of these dtypes.
    pub fn accepts(&self, dtypes: &DTypes) -> bool {
        self.dispatches.iter().all(|dispatch| dispatch.kernel.accepts(dispatch.f16_bindings(dtypes)))
    }

    /// `dtypes`, with F16 only where every kernel takes that tensor so.
    pub fn supported_dtypes(&self, dtypes: &DTypes) -> DTypes {
        let takes = |wanted: Argument| {
            self.dispatches.iter().all(|dispatch| {
                let bindings = dispatch.bindings.iter().enumerate();
                let of_tensor = bindings.filter(|&(_, &argument)| argument == wanted).map(|(binding, _)| binding);
                dispatch.kernel.accepts(of_tensor.collect())
            })
        };
        let keep = |argument, dtype| if takes(argument) { dtype } else { DType::F32 };
        let inputs = dtypes.inputs.iter().enumerate();
        let outputs = dtypes.outputs.iter().enumerate();
        DTypes {
            inputs: inputs.map(|(number, &dtype)| keep(Argument::Input(number), dtype)).collect(),
            outputs: outputs.map(|(number, &dtype)| keep(Argument::Output(number), dtype)).collect(),
        }
    }

    /// The same with scratch tensors of these many elements.
    #[must_use]
    pub fn with_scratch(mut self, scratch: Vec<usize>) -> Self {
        self.scratch = scratch;
        self
    }

    /// The same with prepacking.
    #[must_use]
    pub fn with_prepacking(mut self, prepacking: Prepacking) -> Self {
        self.prepacking = prepacking;
        self
    }

    /// The same with this accuracy.
    #[must_use]
    pub fn with_accuracy(mut self, accuracy: Accuracy) -> Self {
        self.accuracy = accuracy;
        self
    }

    /// The same with rounding that is relative to the largest magnitude.
    #[must_use]
    pub fn with_normwise_rounding(mut self) -> Self {
        self.normwise = true;
        self
    }

    /// The same with these tables.
    #[must_use]
    pub fn with_tables(mut self, tables: Vec<Vec<u32>>) -> Self {
        self.tables = tables;
        self
    }
}
