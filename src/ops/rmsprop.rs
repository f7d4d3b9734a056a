//! RMSprop (Tieleman and Hinton, 2012) without momentum and centring, as an operator that updates in place.

use crate::ir::{Case, Cost, Operator, Shape, ShapeError, Variant, take};

use super::shaders::kernels;
use super::table::table;
use super::{OperatorCase, TableLayout, update};

kernels! { "rmsprop":
    UPDATE, "update", "p, v = RMSprop(p, g + wd p, v), in place";
    UPDATE_VEC4, "update_vec4", "the same, four elements an invocation";
}

/// What stays the same over a training run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsPropSettings {
    /// Share of the second moment that a step keeps.
    pub alpha: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Times the parameter, added to its gradient.
    pub weight_decay: f64,
}

impl Default for RmsPropSettings {
    fn default() -> Self {
        Self { alpha: 0.99, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl RmsPropSettings {
    /// The contents of [`RmsProp`]'s input `hyper`: weight decay, alpha, 1 - alpha, eps and learning rate are numbers 1, 2,
    /// 3, 5 and 6, the scale of the gradient is number 7. Of the numbers with which [`AdamW`](super::adamw::AdamW) changes
    /// nothing, `[1, 0, 1, 0, 1, 1, 0, 0]`, this operator changes nothing either.
    pub fn hyper(&self, learning_rate: f64) -> [f32; 8] {
        bytemuck::cast(RmsPropHyper {
            unused_0: 0.0,
            weight_decay: self.weight_decay as f32,
            alpha: self.alpha as f32,
            one_minus_alpha: (1.0 - self.alpha) as f32,
            unused_4: 0.0,
            eps: self.eps as f32,
            learning_rate: learning_rate as f32,
            gradient_scale: 1.0,
        })
    }
}

table! {
    /// The contents of [`RmsProp`]'s input `hyper`.
    struct RmsPropHyper {
        unused_0: f32,
        weight_decay: f32,
        alpha: f32,
        one_minus_alpha: f32,
        unused_4: f32,
        eps: f32,
        learning_rate: f32,
        gradient_scale: f32,
    }
}

/// The layouts of this file.
pub(super) const TABLES: &[TableLayout] = &[RmsPropHyper::LAYOUT];

/// (parameter, gradient, second moment, hyper \[8\]) -> nothing: overwrites the parameter and the second moment with those of
/// the next step. The first three have one shape; `hyper` is of [`RmsPropSettings::hyper`].
///
/// g = g + wd p, v = alpha v + (1 - alpha) g^2, p = p - lr g / (sqrt(v) + eps): the order of operations of PyTorch's
/// single-tensor RMSprop without momentum and centring, with g at first the gradient times the last number of `hyper`. It
/// cannot be differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RmsProp;

impl Operator for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [parameter, gradient, second, hyper] = take(self.name(), inputs)?;
        update::check(self.name(), parameter, &[(gradient, "gradient"), (second, "second moment")], hyper)
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        update::variants(case, &UPDATE, &UPDATE_VEC4)
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let &[_, weight_decay, alpha, one_minus_alpha, _, eps, learning_rate, gradient_scale] = inputs[3] else {
            unreachable!("output_shapes accepts 8 hyper values only")
        };
        let [mut parameter, mut second] = [inputs[0], inputs[2]].map(<[f64]>::to_vec);
        for (index, g) in inputs[1].iter().enumerate() {
            let (p, v) = (&mut parameter[index], &mut second[index]);
            let g = if gradient_scale == 0.0 { 0.0 } else { g * gradient_scale } + weight_decay * *p;
            *v = *v * alpha + one_minus_alpha * g * g;
            *p -= learning_rate * g / (v.sqrt() + eps);
        }
        vec![parameter, second]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let &[_, weight_decay, alpha, one_minus_alpha, _, eps, learning_rate, gradient_scale] = inputs[3] else {
            unreachable!("output_shapes accepts 8 hyper values only")
        };
        let mut magnitudes = self.reference(shapes, inputs);
        for (index, g) in inputs[1].iter().enumerate() {
            let (p, v) = (inputs[0][index].abs(), inputs[2][index]);
            let g = if gradient_scale == 0.0 { 0.0 } else { (g * gradient_scale).abs() } + weight_decay * p;
            // The terms of g may cancel, so that v is less exact than its own size, and with it the divisor.
            let (second, exact) = (v * alpha + one_minus_alpha * g * g, magnitudes[1][index]);
            let inexact = if exact > 0.0 { second / exact } else { 1.0 };
            magnitudes[0][index] = p + learning_rate * g / (exact.sqrt() + eps) * inexact;
            magnitudes[1][index] = second;
        }
        magnitudes
    }

    fn cost(&self, inputs: &[&Shape], _: &[&Shape]) -> Cost {
        // Parameter and second moment are written as well as read.
        Cost::new(12.0 * inputs[0].elements() as f64, inputs, &[inputs[0], inputs[2]])
    }

    fn overwrites(&self) -> &'static [usize] {
        &[0, 2]
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::{Given, Uniform};
    let case = |shape: Shape, learning_rate, weight_decay| {
        let shapes = [shape.clone(), shape.clone(), shape, [8].into()];
        let hyper = RmsPropSettings { weight_decay, ..RmsPropSettings::default() }.hyper(learning_rate);
        OperatorCase::new(RmsProp, &shapes).fill(2, Uniform(0.01, 1.0)).fill(3, Given(hyper.to_vec()))
    };
    // After an overflow of the gradient nothing changes: see loss_scale.rs.
    let skipped = |shape: Shape| {
        let infinite = vec![f32::INFINITY; shape.elements()];
        case(shape, 1e-3, 0.1).fill(1, Given(infinite)).fill(3, Given(update::NOTHING.to_vec()))
    };
    vec![
        case([8, 5, 3, 3].into(), 1e-3, 0.1),
        case([256, 64, 3, 3].into(), 2.5e-4, 0.0),
        case([67].into(), 0.1, 1.0),
        case([1].into(), 1e-3, 0.0),
        skipped([12].into()),
        skipped([5].into()),
    ]
}
