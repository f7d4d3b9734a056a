//! Loss scaling for training in half precision (Micikevicius et al., "Mixed precision training", 2018).
//!
//! Gradients that F16 cannot hold vanish: anything below 6e-8 is zero. So the backward pass starts from the loss times a
//! scale, and the optimizer divides by it. The scale is dynamic: a step with a gradient that is not finite
//! changes nothing and halves it, [`UpdateLossScale::INTERVAL`] steps without one double it. All of it happens on the
//! device, so no step waits for the host.
//!
//! 1. [`ScaledSeed`] multiplies the loss's share, and with it every gradient.
//! 2. [`NonFinite`] finds out whether any gradient overflowed, four tensors at a time and then over its own results.
//! 3. [`UnscaledHyper`] gives the optimizer the numbers that undo the scale, or that make it change nothing.
//! 4. [`UpdateLossScale`] moves the scale.
//!
//! Their state is `[3]`: the scale, the steps since it changed, and the steps skipped so far.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Argument, Case, Cost, Dispatch, Graph, Kernel, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::OperatorCase;
use super::shaders::kernels;
use super::update::NOTHING;

const NAME: &str = "loss_scale";
/// Elements that one workgroup of `non_finite` looks at.
const SPLIT_SIZE: usize = 4096;

kernels! { "loss_scale":
    NON_FINITE, "non_finite", "whether splits of four tensors hold what is not finite";
    SEED, "seed", "y = share * scale";
    UNSCALE, "unscale", "the optimizer's numbers with the scale undone, or changing nothing";
    UPDATE, "update", "halves the scale after an overflow, doubles it after a while without";
}

/// The state of a new run: the scale that PyTorch starts from.
pub const INITIAL: [f32; 3] = [65536.0, 0.0, 0.0];

/// Up to [`NonFinite::TENSORS`] tensors of any shapes -> `[splits]`, splits being 1 for each 4096 elements of the largest:
/// 1 where one of the split's elements is infinite or no number, 0 elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonFinite {
    /// The tensors are such flags themselves: 1 where one is not 0.
    pub flags: bool,
}

/// (share `[1]`, state `[3]`) -> share * scale `[1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScaledSeed;

/// (hyper `[8]` of [`AdamWSettings::hyper`](super::adamw::AdamWSettings::hyper), state `[3]`, overflow `[1]`) -> `[8]`:
/// hyper with its last number divided by the scale; after an overflow numbers that make [`AdamW`](super::adamw::AdamW) and
/// every other optimizer change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnscaledHyper;

/// (state `[3]`, overflow `[1]`) -> nothing: overwrites the state with that of the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateLossScale;

/// One invocation, or as many as the workgroup of the kernel has.
fn one_workgroup(kernel: &'static Kernel, constants: Vec<(&'static str, f64)>, bindings: Vec<Argument>) -> Dispatch {
    Dispatch::per_workgroup(kernel, 1, constants, bindings)
}

fn check(shape: &Shape, elements: usize, what: &str) -> Result<(), ShapeError> {
    ShapeError::unless(shape.extents() == [elements], NAME, || format!("{what} {shape} is not [{elements}]"))
}

impl NonFinite {
    /// Most tensors at a time.
    pub const TENSORS: usize = 4;

    /// Appends whether an element of `tensors` is not finite, `[1]`: of a few at a time, then of what that gave, to the
    /// last.
    ///
    /// # Errors
    /// None for one tensor or more; [`ShapeError`] where there are none.
    pub fn append(graph: &mut Graph, mut tensors: Vec<ValueId>) -> Result<ValueId, ShapeError> {
        ShapeError::unless(!tensors.is_empty(), NAME, || "there is no gradient".to_string())?;
        let mut flags = false;
        loop {
            let found: Result<Vec<_>, _> =
                tensors.chunks(Self::TENSORS).map(|some| graph.apply_one(Self { flags }, some)).collect();
            tensors = found?;
            flags = true;
            if let &[only] = &tensors[..]
                && graph.shape(only).elements() == 1
            {
                return Ok(only);
            }
        }
    }
}

impl Operator for NonFinite {
    fn name(&self) -> &'static str {
        "loss_scale_non_finite"
    }

    fn attributes(&self) -> String {
        format!("flags={}", self.flags)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        ShapeError::unless((1..=Self::TENSORS).contains(&inputs.len()), self.name(), || {
            format!("takes 1 to {} tensors, not {}", Self::TENSORS, inputs.len())
        })?;
        let largest = inputs.iter().map(|shape| shape.elements()).max().unwrap_or(0);
        Ok(vec![[largest.div_ceil(SPLIT_SIZE).max(1)].into()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let last = case.inputs.len() - 1;
        let bindings = (0..Self::TENSORS).map(|number| Input(number.min(last))).chain([Output(0)]).collect();
        let constants = vec![("FLAGS", f64::from(u8::from(self.flags)))];
        let splits = case.outputs[0].elements();
        vec![Variant::new("plain", vec![Dispatch::per_workgroup(&NON_FINITE, splits, constants, bindings)])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let splits = shapes.iter().map(|shape| shape.elements()).max().unwrap_or(0).div_ceil(SPLIT_SIZE).max(1);
        let wanted = |x: &f64| if self.flags { *x != 0.0 } else { !x.is_finite() };
        let of_split =
            |tensor: &&[f64], split: usize| tensor.iter().skip(split * SPLIT_SIZE).take(SPLIT_SIZE).any(wanted);
        let flag = |split| f64::from(u8::from(inputs.iter().any(|tensor| of_split(tensor, split))));
        vec![(0..splits).map(flag).collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(0.0, inputs, outputs)
    }
}

impl Operator for ScaledSeed {
    fn name(&self) -> &'static str {
        "loss_scale_seed"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [share, state] = take(self.name(), inputs)?;
        check(share, 1, "share")?;
        check(state, INITIAL.len(), "state")?;
        Ok(vec![[1].into()])
    }

    fn variants(&self, _: &Case) -> Vec<Variant> {
        let bindings = vec![Input(0), Input(1), Output(0)];
        vec![Variant::new("plain", vec![one_workgroup(&SEED, Vec::new(), bindings)])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![vec![inputs[0][0] * inputs[1][0]]]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(1.0, inputs, outputs)
    }
}

impl Operator for UnscaledHyper {
    fn name(&self) -> &'static str {
        "loss_scale_unscale"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [hyper, state, overflow] = take(self.name(), inputs)?;
        check(hyper, 8, "hyper")?;
        check(state, INITIAL.len(), "state")?;
        check(overflow, 1, "overflow")?;
        Ok(vec![[8].into()])
    }

    fn variants(&self, _: &Case) -> Vec<Variant> {
        let bindings = vec![Input(0), Input(1), Input(2), Output(0)];
        vec![Variant::new("plain", vec![one_workgroup(&UNSCALE, Vec::new(), bindings)])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (hyper, scale, overflows) = (inputs[0], inputs[1][0], inputs[2][0] != 0.0);
        // p = p 1, m = m + 0 (g - m), v = v 1 + 0 g g, p = p - 0.
        let nothing = NOTHING.map(f64::from).to_vec();
        let unscaled = [&hyper[..7], &[hyper[7] / scale]].concat();
        vec![if overflows { nothing } else { unscaled }]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(1.0, inputs, outputs)
    }
}

impl UpdateLossScale {
    /// Steps in a row without an overflow after which the scale doubles, as PyTorch's `GradScaler` has it.
    pub const INTERVAL: f64 = 2000.0;
    /// Where doubling ends.
    pub const LARGEST: f64 = 16_777_216.0;
}

impl Operator for UpdateLossScale {
    fn name(&self) -> &'static str {
        "loss_scale_update"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [state, overflow] = take(self.name(), inputs)?;
        check(state, INITIAL.len(), "state")?;
        check(overflow, 1, "overflow")?;
        Ok(Vec::new())
    }

    fn variants(&self, _: &Case) -> Vec<Variant> {
        let constants = vec![("INTERVAL", Self::INTERVAL), ("LARGEST", Self::LARGEST)];
        vec![Variant::new("plain", vec![one_workgroup(&UPDATE, constants, vec![Input(0), Input(1)])])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let &[scale, steps, skipped] = inputs[0] else { unreachable!("output_shapes accepts 3 numbers only") };
        vec![if inputs[1][0] != 0.0 {
            vec![(scale / 2.0).max(1.0), 0.0, skipped + 1.0]
        } else if steps + 1.0 >= Self::INTERVAL {
            vec![(2.0 * scale).min(Self::LARGEST), 0.0, skipped]
        } else {
            vec![scale, steps + 1.0, skipped]
        }]
    }

    fn cost(&self, inputs: &[&Shape], _: &[&Shape]) -> Cost {
        Cost::new(3.0, inputs, &[inputs[0]])
    }

    fn overwrites(&self) -> &'static [usize] {
        &[0]
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::{Given, Uniform};
    use crate::ops::adamw::AdamWSettings;
    let finite = NonFinite { flags: false };
    let spoiled = |place: usize, value: f32| {
        let mut numbers = vec![1.5; 9000];
        numbers[place] = value;
        Given(numbers)
    };
    let mut cases = vec![
        OperatorCase::new(finite, &[[8, 5, 3, 3]]),
        OperatorCase::new(finite, &[[9000], [1], [67]]).fill(0, spoiled(4096, f32::NAN)),
        OperatorCase::new(finite, &[[67], [9000]]).fill(1, spoiled(4095, f32::INFINITY)),
        OperatorCase::new(finite, &[[1], [2], [3], [9000]]).fill(3, spoiled(8999, f32::NEG_INFINITY)),
        OperatorCase::new(finite, &[[9000]]).fill(0, spoiled(0, f32::MAX)),
        OperatorCase::new(NonFinite { flags: true }, &[[5], [1]])
            .fill(0, Given(vec![0.0; 5]))
            .fill(1, Given(vec![1.0])),
        OperatorCase::new(NonFinite { flags: true }, &[[5]]).fill(0, Given(vec![0.0; 5])),
        OperatorCase::new(ScaledSeed, &[[1], [3]]).fill(1, Given(INITIAL.to_vec())),
    ];
    let hyper = AdamWSettings::default().hyper(7, 1e-3);
    let states = [INITIAL, [1024.0, 1998.0, 3.0], [1024.0, 1999.0, 3.0], [16_777_216.0, 1999.0, 0.0], [1.0, 5.0, 0.0]];
    for (state, overflow) in states.into_iter().flat_map(|state| [(state, 0.0), (state, 1.0)]) {
        let (state, overflow) = (Given(state.to_vec()), Given(vec![overflow]));
        let unscale = OperatorCase::new(UnscaledHyper, &[[8], [3], [1]]).fill(0, Given(hyper.to_vec()));
        cases.push(unscale.fill(1, state.clone()).fill(2, overflow.clone()));
        cases.push(OperatorCase::new(UpdateLossScale, &[[3], [1]]).fill(0, state).fill(1, overflow));
    }
    cases.push(OperatorCase::new(finite, &[[4, 4096]]).fill(0, Uniform(-1e38, 1e38)));
    cases
}
