//! Roofline probes: operators that reach what an adapter can do at most, arithmetic that touches no memory and a copy that
//! computes nothing. No network has them; the rates of all other kernels are set beside theirs.

use std::sync::Arc;

use crate::graph::Workload;
use crate::ir::Argument::{Input, Output};
use crate::ir::{Capabilities, Case, Cost, Dispatch, Operator, Shape, ShapeError, Variant, take};
use crate::ops::OperatorCase;
use crate::ops::shaders::kernels;

kernels! { "roofline":
    FMA, "fma", "chains of fused multiply-adds in registers";
    COPY, "copy", "y = x, four elements an invocation";
}

/// Chains of each element.
const CHAINS: usize = 8;
/// Multiply-adds of each chain in a round.
const STEPS: u32 = 8;

/// x -> y of the same shape: the sum of 8 chains that start at x, x + 1, ... and become a / 2 + 1 again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiplyAdds {
    /// Rounds of eight multiply-adds of each chain.
    pub rounds: u32,
}

/// y = x for a number of elements that is a multiple of 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy;

impl Operator for MultiplyAdds {
    fn name(&self) -> &'static str {
        "roofline_fma"
    }

    fn attributes(&self) -> String {
        format!("rounds={}", self.rounds)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        Ok(vec![x.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let elements = case.outputs[0].elements();
        let constants = vec![("ROUNDS", f64::from(self.rounds)), ("ELEMENTS", elements as f64)];
        let dispatch = Dispatch::per_invocation(&FMA, elements, constants, vec![Input(0), Output(0)]);
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let chain = |start: f64| (0..STEPS * self.rounds).fold(start, |a, _| a.mul_add(0.5, 1.0));
        vec![inputs[0].iter().map(|&x| (0..CHAINS).map(|k| chain(x + k as f64)).sum()).collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        let operations = 2.0 * CHAINS as f64 * f64::from(STEPS * self.rounds);
        Cost::new(operations * outputs[0].elements() as f64, inputs, outputs)
    }
}

impl Operator for Copy {
    fn name(&self) -> &'static str {
        "roofline_copy"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        ShapeError::unless(x.elements().is_multiple_of(4), self.name(), || {
            format!("{x} is not a multiple of 4 elements")
        })?;
        Ok(vec![x.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let elements = case.outputs[0].elements();
        let constants = vec![("ELEMENTS", elements as f64)];
        vec![Variant::new(
            "plain",
            vec![Dispatch::per_invocation(&COPY, elements / 4, constants, vec![Input(0), Output(0)])],
        )]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].to_vec()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(0.0, inputs, outputs)
    }
}

/// What an adapter's two ceilings are measured by: arithmetic, then the copy.
pub fn workloads(capabilities: &Capabilities) -> [Workload; 2] {
    // About 20 ms each on a CPU of a few cores, and on a large GPU; the copy well past any cache.
    let (elements, rounds, words) =
        if capabilities.is_cpu { (1 << 16, 1 << 6, 1 << 24) } else { (1 << 22, 1 << 9, 1 << 27) };
    let limit = capabilities.max_tensor_bytes() as usize / 4;
    let arithmetic = Workload::of_operator(Arc::new(MultiplyAdds { rounds }), vec![Shape::from([elements])]);
    [arithmetic, Workload::of_operator(Arc::new(Copy), vec![Shape::from([words.min(limit) / 4 * 4])])]
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    vec![
        OperatorCase::new(MultiplyAdds { rounds: 5 }, &[[2, 3, 5, 7]]),
        OperatorCase::new(MultiplyAdds { rounds: 0 }, &[[1]]),
        OperatorCase::new(Copy, &[[3, 4, 25]]),
    ]
}
