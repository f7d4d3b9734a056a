//! Optimizers as a choice.

use crate::graph::{Plan, as_type};
use crate::ir::{Graph, Node, ShapeError, ValueId};
use crate::ops::adam::{Adam, AdamSettings};
use crate::ops::adamw::{AdamW, AdamWSettings};
use crate::ops::loss_scale::{NonFinite, UnscaledHyper, UpdateLossScale};
use crate::ops::rmsprop::{RmsProp, RmsPropSettings};
use crate::ops::sgd::{Sgd, SgdSettings};

/// The tensor of a checkpoint that holds the state of the loss scale.
pub const LOSS_SCALE: &str = "optimizer.loss_scale";

/// How parameters follow their gradients. The learning rate is given at each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    AdamW(AdamWSettings),
    /// Adam with weight decay in the gradient.
    Adam(AdamSettings),
    /// RMSprop without momentum and centring.
    RmsProp(RmsPropSettings),
    /// Stochastic gradient descent with momentum.
    Sgd(SgdSettings),
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::AdamW(AdamWSettings::default())
    }
}

impl From<AdamWSettings> for Optimizer {
    fn from(settings: AdamWSettings) -> Self {
        Self::AdamW(settings)
    }
}

impl From<AdamSettings> for Optimizer {
    fn from(settings: AdamSettings) -> Self {
        Self::Adam(settings)
    }
}

impl From<RmsPropSettings> for Optimizer {
    fn from(settings: RmsPropSettings) -> Self {
        Self::RmsProp(settings)
    }
}

impl From<SgdSettings> for Optimizer {
    fn from(settings: SgdSettings) -> Self {
        Self::Sgd(settings)
    }
}

impl Optimizer {
    /// What to upload to the input of [`Optimizer::append`] before step number `step`, counted from 1.
    pub fn hyper(&self, step: u64, learning_rate: f64) -> [f32; 8] {
        match self {
            Self::AdamW(settings) => settings.hyper(step, learning_rate),
            Self::Adam(settings) => settings.hyper(step, learning_rate),
            Self::RmsProp(settings) => settings.hyper(learning_rate),
            Self::Sgd(settings) => settings.hyper(learning_rate),
        }
    }

    /// Appends the update of each (parameter, gradient) and returns the input of [`Optimizer::hyper`]. The optimizer's
    /// state is named after the parameter: `optimizer.m.NAME` and `optimizer.v.NAME` for AdamW and Adam, `optimizer.v.NAME`
    /// for RMSprop, `optimizer.momentum.NAME` for SGD.
    ///
    /// With the state of a [loss scale](crate::ops::loss_scale) the gradients are divided by it, and where one has
    /// overflowed nothing is updated but the scale.
    ///
    /// # Errors
    /// [`ShapeError`] where a gradient does not match its parameter.
    pub fn append(
        &self,
        graph: &mut Graph,
        gradients: &[(ValueId, ValueId)],
        loss_scale: Option<ValueId>,
    ) -> Result<ValueId, ShapeError> {
        let input = graph.input("hyper", [8]);
        let hyper = match loss_scale {
            None => input,
            Some(state) => graph.scoped_as("loss scale", |graph| {
                let overflow = NonFinite::append(graph, gradients.iter().map(|&(_, gradient)| gradient).collect())?;
                graph.apply(UpdateLossScale, &[state, overflow])?;
                graph.apply_one(UnscaledHyper, &[input, state, overflow])
            })?,
        };
        for &(parameter, gradient) in gradients {
            let (name, shape) = (graph.value(parameter).name.clone(), graph.shape(parameter).clone());
            let mut state = |kind: &str| graph.state(&format!("optimizer.{kind}.{name}"), shape.clone());
            match self {
                Self::AdamW(_) => {
                    let inputs = [parameter, gradient, state("m"), state("v"), hyper];
                    graph.scoped_as(&name, |graph| graph.apply(AdamW, &inputs))?;
                }
                Self::Adam(_) => {
                    let inputs = [parameter, gradient, state("m"), state("v"), hyper];
                    graph.scoped_as(&name, |graph| graph.apply(Adam, &inputs))?;
                }
                Self::RmsProp(_) => {
                    let inputs = [parameter, gradient, state("v"), hyper];
                    graph.scoped_as(&name, |graph| graph.apply(RmsProp, &inputs))?;
                }
                Self::Sgd(_) => {
                    let inputs = [parameter, gradient, state("momentum"), hyper];
                    graph.scoped_as(&name, |graph| graph.apply(Sgd, &inputs))?;
                }
            }
        }
        Ok(input)
    }

    /// What the updates of a planned step read as gradients: all gradients of the step, in a few flat values where they have
    /// been [laid flat](crate::graph::flatten). With a loss scale they are that many times as large.
    pub fn gradients(plan: &Plan) -> Vec<ValueId> {
        let is_update = |node: &&Node| {
            let is_adam = as_type::<AdamW>(node).is_some() || as_type::<Adam>(node).is_some();
            is_adam || as_type::<RmsProp>(node).is_some() || as_type::<Sgd>(node).is_some()
        };
        let updates = plan.steps.iter().map(|step| &step.node).filter(is_update);
        updates.map(|node| node.inputs[1]).collect()
    }
}
