//! AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as an operator that updates in place.

use crate::ir::{Case, Cost, Operator, Shape, ShapeError, Variant, take};

use super::shaders::kernels;
use super::table::table;
use super::{OperatorCase, TableLayout, update};

kernels! { "adamw":
    UPDATE, "update", "p, m, v = AdamW(p, g, m, v), in place";
    UPDATE_VEC4, "update_vec4", "the same, four elements an invocation";
}

/// What stays the same over a training run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    /// Share of the first moment that a step keeps.
    pub beta1: f64,
    /// Share of the second moment that a step keeps.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Share of a parameter that a step removes, times the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-4 }
    }
}

impl AdamWSettings {
    /// The contents of [`AdamW`]'s input `hyper` for step number `step`, counted from 1: 1 - lr wd, 1 - beta1, beta2,
    /// 1 - beta2, sqrt(1 - beta2^step), eps, lr / (1 - beta1^step), 1; computed in float64 as PyTorch does.
    pub fn hyper(&self, step: u64, learning_rate: f64) -> [f32; 8] {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        bytemuck::cast(AdamWHyper {
            decay: (1.0 - learning_rate * self.weight_decay) as f32,
            one_minus_beta1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            one_minus_beta2: (1.0 - self.beta2) as f32,
            root_of_correction2: correction(self.beta2).sqrt() as f32,
            eps: self.eps as f32,
            step_size: (learning_rate / correction(self.beta1)) as f32,
            gradient_scale: 1.0,
        })
    }
}

table! {
    /// The contents of [`AdamW`]'s input `hyper`.
    struct AdamWHyper {
        decay: f32,
        one_minus_beta1: f32,
        beta2: f32,
        one_minus_beta2: f32,
        root_of_correction2: f32,
        eps: f32,
        step_size: f32,
        gradient_scale: f32,
    }
}

/// The layouts of this file.
pub(super) const TABLES: &[TableLayout] = &[AdamWHyper::LAYOUT];

/// (parameter, gradient, first moment, second moment, hyper \[8\]) -> nothing: overwrites the parameter and both
/// moments with those of the next step. The first four have one shape; `hyper` is of [`AdamWSettings::hyper`].
///
/// p = p (1 - lr wd), m = m + (1 - beta1) (g - m), v = beta2 v + (1 - beta2) g^2,
/// p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps): the order of operations of PyTorch's
/// single-tensor AdamW, with g the gradient times the last number of `hyper`. It cannot be differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdamW;

impl Operator for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [parameter, gradient, first, second, hyper] = take(self.name(), inputs)?;
        update::check(
            self.name(),
            parameter,
            &[(gradient, "gradient"), (first, "first moment"), (second, "second moment")],
            hyper,
        )
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        update::variants(case, &UPDATE, &UPDATE_VEC4)
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let &[decay, one_minus_beta1, beta2, one_minus_beta2, root_of_correction2, eps, step_size, gradient_scale] =
            inputs[4]
        else {
            unreachable!("output_shapes accepts 8 hyper values only")
        };
        let [mut parameter, mut first, mut second] = [inputs[0], inputs[2], inputs[3]].map(<[f64]>::to_vec);
        for (index, g) in inputs[1].iter().enumerate() {
            let (p, m, v) = (&mut parameter[index], &mut first[index], &mut second[index]);
            let g = if gradient_scale == 0.0 { 0.0 } else { g * gradient_scale };
            *p *= decay;
            *m += one_minus_beta1 * (g - *m);
            *v = *v * beta2 + one_minus_beta2 * g * g;
            *p -= step_size * *m / (v.sqrt() / root_of_correction2 + eps);
        }
        vec![parameter, first, second]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let hyper = inputs[4];
        let (one_minus_beta1, root_of_correction2, eps, step_size) = (hyper[1], hyper[4], hyper[5], hyper[6]);
        let gradient_scale = hyper[7];
        let mut magnitudes = self.reference(shapes, inputs);
        for (index, g) in inputs[1].iter().enumerate() {
            let g = if gradient_scale == 0.0 { 0.0 } else { (g * gradient_scale).abs() };
            // The second moment is a sum of squares: no element of it is less exact than its own size.
            let divisor = magnitudes[2][index].sqrt() / root_of_correction2 + eps;
            let first = inputs[2][index].abs();
            magnitudes[1][index] = first + one_minus_beta1 * (g + first);
            magnitudes[0][index] = (inputs[0][index] * hyper[0]).abs() + step_size * magnitudes[1][index] / divisor;
        }
        magnitudes
    }

    fn cost(&self, inputs: &[&Shape], _: &[&Shape]) -> Cost {
        // Parameter and moments are written as well as read.
        Cost::new(15.0 * inputs[0].elements() as f64, inputs, &[inputs[0], inputs[2], inputs[3]])
    }

    fn overwrites(&self) -> &'static [usize] {
        &[0, 2, 3]
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::{Given, Uniform};
    let case = |shape: Shape, step, learning_rate| {
        let shapes = [shape.clone(), shape.clone(), shape.clone(), shape, [8].into()];
        let hyper = AdamWSettings::default().hyper(step, learning_rate);
        OperatorCase::new(AdamW, &shapes).fill(3, Uniform(0.01, 1.0)).fill(4, Given(hyper.to_vec()))
    };
    // After an overflow of the gradient nothing changes: see loss_scale.rs.
    let skipped = |shape: Shape| {
        let infinite = vec![f32::INFINITY; shape.elements()];
        case(shape, 7, 1e-3).fill(1, Given(infinite)).fill(4, Given(update::NOTHING.to_vec()))
    };
    vec![
        case([8, 5, 3, 3].into(), 1, 1e-3),
        case([67].into(), 1000, 0.1),
        case([1].into(), 7, 1e-3),
        skipped([12].into()),
        skipped([5].into()),
    ]
}
