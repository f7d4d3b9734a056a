//! The training steps of a dump by several ranks, each with its share of the batch and the statistics of all.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::runs::{TRAJECTORY_RATE, TrainingGraph, named_losses, training_graph};
use super::{Dump, VerifyError};
use crate::gpu::Gpu;
use crate::graph::{Choices, TEMPORARY, Tensor};
use crate::nn::{OPTIMIZER, Spread, Trainer, TrainingStep};
use crate::ranks::{Communicator, gather};

/// loss.*, grad.* and stats.* of a first step and the losses of all: trajectory.loss. Those of all ranks, on each of them.
pub(super) fn run_steps(
    gpu: &Arc<Gpu>,
    dump: &Dump,
    choices: &Choices,
    ranks: &Rc<dyn Communicator>,
) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    let size = ranks.size();
    let batch = dump.image().shape[0];
    if !batch.is_multiple_of(size) {
        return Err(VerifyError::Ranks { batch, ranks: size });
    }
    let TrainingGraph { net, losses, inputs, .. } = training_graph(dump, size)?;
    let spread = Spread { ranks: size, sync_batch_norm: true, ..Spread::default() };
    let step = TrainingStep::new(net, losses.training().spread(spread))?;
    let mut trainer = Trainer::with_ranks(gpu, step, choices, ranks)?;
    let parameters = dump.with_prefix("param.");
    for (name, tensor) in &parameters {
        trainer.store().write(name, &tensor.data)?;
    }
    for (value, name) in inputs {
        let data = &dump.required(&name)?.data;
        let share = data.chunks_exact(data.len() / size).nth(ranks.rank());
        trainer.write(value, share.unwrap_or_default())?;
    }
    let mut found = BTreeMap::new();
    let mut totals = Vec::with_capacity(dump.trajectory);
    for step in 0..dump.trajectory {
        let own = trainer.submit(TRAJECTORY_RATE)?.wait()?;
        let all = gather(&**ranks, &own.iter().map(|loss| loss[0].to_bits()).collect::<Vec<_>>());
        let mean = |loss: usize| {
            let losses = all.iter().map(|losses| f64::from(f32::from_bits(losses[loss])));
            (losses.sum::<f64>() / size as f64) as f32
        };
        let values: Vec<f32> = (0..own.len()).map(mean).collect();
        totals.push(losses.total(&values));
        if step > 0 {
            continue;
        }
        for (name, loss) in named_losses(dump, &losses, &values) {
            found.insert(name, Tensor { shape: Vec::new(), data: vec![loss] });
        }
        for name in dump.with_prefix("grad.").into_keys() {
            let sum = trainer.store().read(&format!("{TEMPORARY}gradient.{name}"))?;
            found.insert(format!("grad.{name}"), sum);
        }
        let trained = trainer.plan().graph.parameters();
        let trained: Vec<String> = trained.iter().map(|&id| trainer.plan().graph.value(id).name.clone()).collect();
        let state = trainer.state()?;
        let is_statistic = |name: &String| !name.starts_with(OPTIMIZER) && !trained.contains(name);
        for (name, tensor) in state.into_iter().filter(|(name, _)| is_statistic(name)) {
            found.insert(format!("stats.{name}"), tensor);
        }
    }
    found.insert("trajectory.loss".to_string(), Tensor { shape: vec![totals.len()], data: totals });
    Ok(found)
}
