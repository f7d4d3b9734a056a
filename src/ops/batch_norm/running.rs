//! The update of the running statistics.

use super::kernels;
use crate::ir::Argument::Input;
use crate::ir::{Case, Cost, Dispatch, Operator, Shape, ShapeError, Variant, take};
use crate::ops::{Fill, OperatorCase};

/// (running_mean, running_var, mean, variance, each `[C]`): overwrites the first two with
/// (1 - momentum) running + momentum batch, where the batch's variance is made unbiased, variance n / (n - 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunningStatistics {
    /// Weight of the batch: 0.1 in the networks here.
    pub momentum: f32,
    /// Elements a channel in the batch, n = N H W.
    pub count: usize,
}

impl Operator for RunningStatistics {
    fn name(&self) -> &'static str {
        "batch_norm_running_statistics"
    }

    fn attributes(&self) -> String {
        format!("momentum={} count={}", self.momentum, self.count)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let vectors: [&Shape; 4] = take(self.name(), inputs)?;
        let same = vectors.iter().all(|vector| *vector == vectors[0]);
        ShapeError::unless(same, self.name(), || format!("statistics of different lengths, {} first", vectors[0]))?;
        ShapeError::unless(self.count > 1, self.name(), || {
            "training needs more than one value per channel: use a larger batch or input size".to_string()
        })?;
        Ok(Vec::new())
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let channels = case.inputs[0].elements();
        let dispatch = Dispatch {
            kernel: &kernels::RUNNING_STATISTICS,
            constants: vec![
                ("CHANNELS", channels as f64),
                ("COUNT", self.count as f64),
                ("MOMENTUM", f64::from(self.momentum)),
            ],
            bindings: vec![Input(0), Input(1), Input(2), Input(3)],
            workgroups: [channels.div_ceil(64) as u32, 1, 1],
        };
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let momentum = f64::from(self.momentum);
        let unbiased = self.count as f64 / (self.count as f64 - 1.0);
        let mix = |running: &[f64], batch: &[f64], factor: f64| {
            running.iter().zip(batch).map(|(old, new)| (1.0 - momentum) * old + momentum * new * factor).collect()
        };
        vec![mix(inputs[0], inputs[2], 1.0), mix(inputs[1], inputs[3], unbiased)]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(6.0 * inputs[0].elements() as f64, inputs, outputs)
    }

    fn overwrites(&self) -> &'static [usize] {
        &[0, 1]
    }
}

pub(super) fn cases() -> Vec<OperatorCase> {
    let case = |channels: usize| {
        OperatorCase::new(RunningStatistics { momentum: 0.1, count: 70 }, &[[channels]; 4])
            .fill(3, Fill::Uniform(0.5, 1.5))
    };
    vec![case(1), case(67)]
}
