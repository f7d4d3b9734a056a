//! What an operator must tell about itself.

use std::any::Any;
use std::fmt::Debug;

use super::{Graph, Node, Shape, ShapeError, ValueId};
use crate::gpu::{Argument, Capabilities, Dispatch, Element, Halves};

/// Work that an operator does, for the cost table and for ceilings.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts as 2.
    pub flops: f64,
    /// Bytes that must be read and written at least: each input and output once.
    pub bytes: f64,
}

impl Cost {
    /// `flops` operations that touch each of these tensors once.
    pub fn new(flops: f64, inputs: &[&Shape], outputs: &[&Shape]) -> Self {
        let elements: usize = inputs.iter().chain(outputs).map(|shape| shape.elements()).sum();
        Self { flops, bytes: 4.0 * elements as f64 }
    }
}

/// One operator at the shapes of one node, on one adapter.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Shapes of the inputs.
    pub inputs: &'a [&'a Shape],
    /// Shapes of the outputs.
    pub outputs: &'a [&'a Shape],
    /// Whether each input stays the same from run to run.
    pub constant: &'a [bool],
    /// How the elements of the inputs and outputs are stored.
    pub stored: &'a Stored,
    /// What kernels may rely on.
    pub capabilities: &'a Capabilities,
}

/// How the elements of a node's tensors are stored; what it does not name is F32.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Stored {
    /// Of each input.
    pub inputs: Vec<Element>,
    /// Of each output.
    pub outputs: Vec<Element>,
}

impl Stored {
    /// Of input number `number`.
    pub fn input(&self, number: usize) -> Element {
        self.inputs.get(number).copied().unwrap_or_default()
    }

    /// Of output number `number`.
    pub fn output(&self, number: usize) -> Element {
        self.outputs.get(number).copied().unwrap_or_default()
    }

    /// The bindings of `dispatch` that are stored as F16; scratch tensors and tables never are.
    pub fn halves(&self, dispatch: &Dispatch) -> Halves {
        let half = |argument: &Argument| match *argument {
            Argument::Input(number) => self.input(number) == Element::F16,
            Argument::Output(number) => self.output(number) == Element::F16,
            Argument::Scratch(_) | Argument::Table(_) => false,
        };
        let bindings = dispatch.bindings.iter().enumerate();
        bindings.filter(|(_, argument)| half(argument)).map(|(binding, _)| binding).collect()
    }
}

/// One way to compute an operator: some dispatches in a row, with scratch memory between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Name of the way: `plain`, `tiled`, ...
    pub name: &'static str,
    /// Elements of each scratch tensor.
    pub scratch: Vec<usize>,
    /// Words that dispatches bind as [`Argument::Table`](crate::gpu::Argument::Table): attributes of the operator that
    /// are too long for `override` constants. Uploaded once.
    pub tables: Vec<Vec<u32>>,
    /// What runs, in order.
    pub dispatches: Vec<Dispatch>,
    /// What can be left out of all runs but the first where some inputs stay the same.
    pub preparation: Preparation,
    /// It rounds more than the others, so that being fast is no reason to choose it: for who asks for it by name.
    pub coarse: bool,
}

/// The first dispatches of a [`Variant`], which read nothing but some inputs and write nothing but some scratch tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preparation {
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
        let (scratch, tables, preparation) = (Vec::new(), Vec::new(), Preparation::default());
        Self { name, scratch, tables, dispatches, preparation, coarse: false }
    }

    /// Whether its kernels take tensors that are stored so.
    pub fn accepts(&self, stored: &Stored) -> bool {
        self.dispatches.iter().all(|dispatch| dispatch.kernel.accepts(stored.halves(dispatch)))
    }

    /// `stored`, with F16 only where every kernel takes that tensor so.
    pub fn halvable(&self, stored: &Stored) -> Stored {
        let takes = |wanted: Argument| {
            self.dispatches.iter().all(|dispatch| {
                let bindings = dispatch.bindings.iter().enumerate();
                let of_tensor = bindings.filter(|&(_, &argument)| argument == wanted).map(|(binding, _)| binding);
                dispatch.kernel.accepts(of_tensor.collect())
            })
        };
        let keep = |argument, element| if takes(argument) { element } else { Element::F32 };
        let inputs = stored.inputs.iter().enumerate();
        let outputs = stored.outputs.iter().enumerate();
        Stored {
            inputs: inputs.map(|(number, &element)| keep(Argument::Input(number), element)).collect(),
            outputs: outputs.map(|(number, &element)| keep(Argument::Output(number), element)).collect(),
        }
    }

    /// The same with scratch tensors of these many elements.
    #[must_use]
    pub fn with_scratch(mut self, scratch: Vec<usize>) -> Self {
        self.scratch = scratch;
        self
    }

    /// The same with a preparation.
    #[must_use]
    pub fn with_preparation(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    /// The same, marked as coarse where `coarse`.
    #[must_use]
    pub fn with_coarse(mut self, coarse: bool) -> Self {
        self.coarse = coarse;
        self
    }

    /// The same with these tables.
    #[must_use]
    pub fn with_tables(mut self, tables: Vec<Vec<u32>>) -> Self {
        self.tables = tables;
        self
    }
}

/// An operator of the graph: shape rule, gradient rule, kernels, float64 twin and cost.
///
/// Operators are values that hold their attributes (stride, padding, ...). The methods that take shapes or data may
/// rely on [`Operator::output_shapes`] having accepted them.
pub trait Operator: Any + Debug + Send + Sync {
    /// Name of the operator, the same as of its folder under `shaders/`.
    fn name(&self) -> &'static str;

    /// Shapes of the outputs.
    ///
    /// # Errors
    /// [`ShapeError`] where the inputs do not fit the operator or each other.
    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError>;

    /// Appends the nodes that compute the gradients of `node`'s inputs from those of its outputs.
    ///
    /// One entry an input; `None` for what has no gradient. `output_gradients` holds `None` for outputs that nothing
    /// differentiates through; at least one is `Some`. Nodes whose results nobody uses are dropped later.
    ///
    /// # Errors
    /// [`ShapeError`] as from any node that is added.
    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError>;

    /// The ways to compute it in this case, the one to prefer first; never empty.
    fn variants(&self, case: &Case) -> Vec<Variant>;

    /// The float64 twin: the outputs from the inputs, in plain loops. For an operator that overwrites inputs, the
    /// new contents of those (in the order of [`Operator::overwrites`]) instead.
    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>>;

    /// What it costs.
    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost;

    /// Numbers of the inputs that it overwrites in place (state such as parameters and running statistics).
    fn overwrites(&self) -> &'static [usize] {
        &[]
    }
}
