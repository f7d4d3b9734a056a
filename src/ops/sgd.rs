//! Stochastic gradient descent with momentum, as an operator that updates in place.

use crate::ir::Argument::Input;
use crate::ir::{Case, Cost, Dispatch, Operator, Shape, ShapeError, Variant, absolute, take};

use super::shaders::kernels;
use super::table::table;
use super::{OperatorCase, TableLayout, update};

kernels! { "sgd":
    UPDATE, "update", "p, b = SGD(p, g, b), in place";
}

/// What stays the same over a training run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdSettings {
    /// Share of the last step's direction that a step keeps.
    pub momentum: f64,
    /// Times the parameter, added to its gradient.
    pub weight_decay: f64,
}

impl Default for SgdSettings {
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 0.0 }
    }
}

impl SgdSettings {
    /// The contents of [`Sgd`]'s input `hyper`: weight decay, momentum and learning rate are numbers 1, 2 and 6, the scale
    /// of the gradient is number 7. Of the numbers with which [`AdamW`](super::adamw::AdamW) changes nothing,
    /// `[1, 0, 1, 0, 1, 1, 0, 0]`, this operator changes nothing either.
    pub fn hyper(&self, learning_rate: f64) -> [f32; 8] {
        bytemuck::cast(SgdHyper {
            unused_0: 0.0,
            weight_decay: self.weight_decay as f32,
            momentum: self.momentum as f32,
            unused_3: 0.0,
            unused_4: 0.0,
            unused_5: 0.0,
            learning_rate: learning_rate as f32,
            gradient_scale: 1.0,
        })
    }
}

table! {
    /// The contents of [`Sgd`]'s input `hyper`.
    struct SgdHyper {
        unused_0: f32,
        weight_decay: f32,
        momentum: f32,
        unused_3: f32,
        unused_4: f32,
        unused_5: f32,
        learning_rate: f32,
        gradient_scale: f32,
    }
}

/// The layouts of this file.
pub(super) const TABLES: &[TableLayout] = &[SgdHyper::LAYOUT];

/// (parameter, gradient, momentum, hyper \[8\]) -> nothing: overwrites the parameter and its momentum with those of the next
/// step. The first three have one shape; `hyper` is of [`SgdSettings::hyper`].
///
/// b = momentum b + g + weight_decay p, p = p - lr b: torch.optim.SGD without dampening and Nesterov's rule, with g the
/// gradient times the last number of `hyper` and b starting at 0. It cannot be differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sgd;

impl Operator for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [parameter, gradient, momentum, hyper] = take(self.name(), inputs)?;
        update::check(self.name(), parameter, &[(gradient, "gradient"), (momentum, "momentum")], hyper)
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let bindings: Vec<_> = (0..4).map(Input).collect();
        let update = Dispatch::per_invocation(&UPDATE, case.inputs[0].elements(), Vec::new(), bindings);
        vec![Variant::new("plain", vec![update])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let &[_, weight_decay, momentum, _, _, _, learning_rate, gradient_scale] = inputs[3] else {
            unreachable!("output_shapes accepts 8 hyper values only")
        };
        let [mut parameter, mut direction] = [inputs[0], inputs[2]].map(<[f64]>::to_vec);
        for (index, g) in inputs[1].iter().enumerate() {
            let (p, b) = (&mut parameter[index], &mut direction[index]);
            let g = if gradient_scale == 0.0 { 0.0 } else { g * gradient_scale };
            *b = momentum * *b + g + weight_decay * *p;
            *p -= learning_rate * *b;
        }
        vec![parameter, direction]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [parameter, gradient, direction, mut hyper] = [0, 1, 2, 3].map(|number| absolute(inputs[number]));
        // With a learning rate below zero the terms of p add up.
        hyper[6] = -hyper[6];
        self.reference(shapes, &[&parameter, &gradient, &direction, &hyper])
    }

    fn cost(&self, inputs: &[&Shape], _: &[&Shape]) -> Cost {
        // Parameter and momentum are written as well as read.
        Cost::new(7.0 * inputs[0].elements() as f64, inputs, &[inputs[0], inputs[2]])
    }

    fn overwrites(&self) -> &'static [usize] {
        &[0, 2]
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::Given;
    let case = |shape: Shape, settings: SgdSettings| {
        let shapes = [shape.clone(), shape.clone(), shape, [8].into()];
        OperatorCase::new(Sgd, &shapes).fill(3, Given(settings.hyper(0.1).to_vec()))
    };
    let decaying = SgdSettings { momentum: 0.9, weight_decay: 1e-2 };
    // After an overflow of the gradient nothing changes: see loss_scale.rs.
    let skipped = case([12].into(), decaying).fill(1, Given(vec![f32::INFINITY; 12]));
    vec![
        case([8, 5, 3, 3].into(), decaying),
        case([67].into(), SgdSettings { momentum: 0.0, weight_decay: 0.0 }),
        case([1].into(), SgdSettings::default()),
        skipped.fill(3, Given(update::NOTHING.to_vec())),
    ]
}
