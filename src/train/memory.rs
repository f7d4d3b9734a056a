//! What a training step needs in the device's memory, without running it.

use serde::Serialize;

use super::step::{StepConfig, StepGraph};
use crate::graph::{Choices, Plan};
use crate::ir::{Capabilities, Role};
use crate::models::ModelConfig;
use crate::nn::NetworkError;

/// Bytes on the device, by what they are for. Pictures are left out: they are as large as the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TrainingMemory {
    /// Pictures a step.
    pub batch: usize,
    /// Trained tensors.
    pub parameters: u64,
    /// The optimizer's two moments, the running statistics, and what of the network is frozen.
    pub state: u64,
    /// Activations, gradients and scratch memory: slots that they share, and the flat values of the parameters' gradients and
    /// the batch's statistics.
    pub slots: u64,
    /// All of it.
    pub total: u64,
}

impl TrainingMemory {
    /// What a planned training step of `batch` pictures takes.
    pub fn of(plan: &Plan, batch: usize) -> Self {
        let bytes = |role| -> u64 {
            let values = plan.graph.values().iter().filter(|value| value.role == role);
            values.map(|value| 4 * value.shape.elements() as u64).sum()
        };
        let (parameters, state) = (bytes(Role::Parameter), bytes(Role::State));
        let slots = plan.slot_bytes() + plan.workspace_bytes();
        Self { batch, parameters, state, slots, total: parameters + state + slots }
    }
}

/// The plan of the step `config` of a network.
///
/// # Errors
/// [`NetworkError`] where the network does not fit the size or a tensor does not fit the adapter.
pub fn training_plan(
    model: &ModelConfig,
    config: &StepConfig,
    capabilities: &Capabilities,
    choices: &Choices,
) -> Result<Plan, NetworkError> {
    // Initial values have no part in a plan.
    let StepGraph { step, .. } = StepGraph::new(model, config, 0)?;
    step.plan(capabilities, choices)
}
