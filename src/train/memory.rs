//! What a training step needs in the device's memory, without running it.

use serde::Serialize;

use super::step::{StepConfig, StepGraph};
use crate::gpu::Gpu;
use crate::graph::Plan;
use crate::ir::Role;
use crate::models::ModelConfig;
use crate::predict::predictor::NetworkError;

/// Bytes on the device, by what they are for. Pictures are left out: they are as large as the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TrainingMemory {
    /// Pictures a step.
    pub batch: usize,
    /// Trained tensors.
    pub parameters: u64,
    /// The optimizer's two moments and the running statistics.
    pub state: u64,
    /// Activations, gradients and scratch memory, in slots that they share.
    pub slots: u64,
    /// All of it.
    pub total: u64,
}

/// What the step `config` of a network takes on a device.
///
/// # Errors
/// [`NetworkError`] where the network does not fit the size or a tensor does not fit the adapter.
pub fn training_memory(model: &ModelConfig, config: &StepConfig, gpu: &Gpu) -> Result<TrainingMemory, NetworkError> {
    let plan = training_plan(model, config, gpu)?;
    let bytes = |role| -> u64 {
        let values = plan.graph.values().iter().filter(|value| value.role == role);
        values.map(|value| 4 * value.shape.elements() as u64).sum()
    };
    let (parameters, state, slots) = (bytes(Role::Parameter), bytes(Role::State), plan.slot_bytes());
    Ok(TrainingMemory { batch: config.batch, parameters, state, slots, total: parameters + state + slots })
}

/// The plan of the step `config` of a network for a device.
///
/// # Errors
/// As [`training_memory`].
pub fn training_plan(model: &ModelConfig, config: &StepConfig, gpu: &Gpu) -> Result<Plan, NetworkError> {
    StepGraph::new(model, config)?.plan(gpu, config.precision)
}
