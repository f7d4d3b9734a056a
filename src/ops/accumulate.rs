//! Sums over the micro-batches of a step.

use super::OperatorCase;
use super::shaders::kernels;
use crate::ir::Argument::Input;
use crate::ir::{Case, Cost, Dispatch, Operator, Shape, ShapeError, Variant, take};

kernels! { "accumulate":
    ADD, "add", "sum = x where keep = 0, sum + x otherwise, in place";
    ADD_VEC4, "add_vec4", "the same, four elements an invocation";
}

/// (sum, x, both of one shape, keep `[1]`) -> nothing: overwrites `sum` with x where `keep` is 0, which says that x is the
/// first of the sum, and otherwise adds x to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accumulate {
    /// What is added up.
    pub of: Quantity,
}

/// What training adds up over micro-batches. Sums of one quantity share their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Gradients of parameters.
    Gradients,
    /// Means of the channels of a batch normalisation.
    Means,
    /// Their biased variances.
    Variances,
}

impl Quantity {
    /// In a word: `gradients`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradients => "gradients",
            Self::Means => "means",
            Self::Variances => "variances",
        }
    }
}

impl Operator for Accumulate {
    fn name(&self) -> &'static str {
        "accumulate"
    }

    fn attributes(&self) -> String {
        format!("of={}", self.of.name())
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [sum, x, keep] = take(self.name(), inputs)?;
        ShapeError::unless(sum == x, self.name(), || format!("{x} cannot be added to {sum}"))?;
        ShapeError::unless(keep.extents() == [1], self.name(), || format!("keep {keep} is not [1]"))?;
        Ok(Vec::new())
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let bindings: Vec<_> = (0..3).map(Input).collect();
        let elements = case.inputs[0].elements();
        let mut variants = Vec::new();
        if elements.is_multiple_of(4) {
            let add = Dispatch::per_invocation(&ADD_VEC4, elements / 4, Vec::new(), bindings.clone());
            variants.push(Variant::new("vec4", vec![add]));
        }
        variants.push(Variant::new("plain", vec![Dispatch::per_invocation(&ADD, elements, Vec::new(), bindings)]));
        variants
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let is_first = inputs[2][0] == 0.0;
        vec![inputs[0].iter().zip(inputs[1]).map(|(sum, x)| if is_first { *x } else { sum + x }).collect()]
    }

    fn cost(&self, inputs: &[&Shape], _: &[&Shape]) -> Cost {
        // The sum is written as well as read.
        Cost::new(inputs[0].elements() as f64, inputs, &inputs[..1])
    }

    fn overwrites(&self) -> &'static [usize] {
        &[0]
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::Given;
    let case = |of, elements: usize, keep: f32| {
        let shapes: [Shape; 3] = [[elements].into(), [elements].into(), [1].into()];
        OperatorCase::new(Accumulate { of }, &shapes).fill(2, Given(vec![keep]))
    };
    let of_gradients = [67, 128].into_iter().flat_map(|n| [0.0, 1.0].map(|keep| case(Quantity::Gradients, n, keep)));
    // What the sum was before the first summand has no part in it.
    let spoiled = case(Quantity::Gradients, 8, 0.0).fill(0, Given(vec![f32::NAN; 8]));
    let statistics = [case(Quantity::Means, 64, 1.0), case(Quantity::Variances, 64, 1.0), spoiled];
    of_gradients.chain(statistics).collect()
}
