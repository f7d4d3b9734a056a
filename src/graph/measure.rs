//! How long one variant of one node takes on a device.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::check::CheckError;
use super::{Plan, Session, Step, Store};
use crate::gpu::{Element, Gpu};
use crate::ir::{Case, Graph, Node, Operator, Shape, Stored, ValueId, Variant};
use crate::ops::Fill;

/// An operator at shapes, taken out of its network.
#[derive(Debug, Clone)]
pub struct Isolated {
    /// The operator with its attributes.
    pub operator: Arc<dyn Operator>,
    /// Shapes of its inputs.
    pub inputs: Vec<Shape>,
    /// Whether each input stays the same from run to run.
    pub constant: Vec<bool>,
    /// How its tensors are stored.
    pub stored: Stored,
}

impl Isolated {
    /// The operator of a node in its case.
    pub fn new(node: &Node, case: &Case) -> Self {
        let inputs = case.inputs.iter().map(|&shape| shape.clone()).collect();
        let (constant, stored) = (case.constant.to_vec(), case.stored.clone());
        Self { operator: Arc::clone(&node.operator), inputs, constant, stored }
    }

    /// The operator of one of a plan's steps.
    pub fn of(plan: &Plan, step: &Step) -> Self {
        let inputs = step.node.inputs.iter().map(|&id| plan.graph.shape(id).clone()).collect();
        let constant = step.node.inputs.iter().map(|id| plan.constants.contains(id)).collect();
        Self { operator: Arc::clone(&step.node.operator), inputs, constant, stored: step.stored.clone() }
    }

    /// An operator all of whose inputs change and whose tensors are float32.
    pub fn changing(operator: Arc<dyn Operator>, inputs: Vec<Shape>) -> Self {
        let constant = vec![false; inputs.len()];
        Self { operator, inputs, constant, stored: Stored::default() }
    }

    /// What tells it from others: the operator's attributes, the shapes, which inputs are constant and which tensors are
    /// stored as F16.
    pub fn key(&self) -> String {
        let mut key = format!("{:?}", self.operator);
        // Writing to a String cannot fail.
        for (number, (shape, &constant)) in self.inputs.iter().zip(&self.constant).enumerate() {
            let half = if self.stored.input(number) == Element::F16 { " f16" } else { "" };
            let _ = write!(key, " {shape}{half}{}", if constant { " constant" } else { "" });
        }
        for (number, &element) in self.stored.outputs.iter().enumerate() {
            let _ = if element == Element::F16 { write!(key, " -> {number} f16") } else { Ok(()) };
        }
        key
    }

    /// The ways to compute it on a device.
    ///
    /// # Errors
    /// [`CheckError`] where the operator does not take the shapes or they do not fit the device.
    pub fn variants(&self, gpu: &Arc<Gpu>) -> Result<Vec<Variant>, CheckError> {
        let all = std::cell::RefCell::new(Vec::new());
        self.plan(gpu, |variants| {
            all.replace(variants.clone());
            0
        })?;
        Ok(all.into_inner())
    }

    /// Variant number `number` with inputs uniform in [-1, 1], ready to run.
    ///
    /// # Errors
    /// As [`Isolated::variants`], and what the device reports.
    pub fn session(&self, gpu: &Arc<Gpu>, number: usize) -> Result<Session, CheckError> {
        let (plan, inputs) = self.plan(gpu, |_| number)?;
        let session = Session::new(gpu, plan, &mut Store::new(gpu))?;
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for (input, shape) in inputs.into_iter().zip(&self.inputs) {
            session.upload(input, &Fill::Uniform(-1.0, 1.0).draw(shape.elements(), &mut random))?;
        }
        Ok(session)
    }

    fn plan(
        &self,
        gpu: &Arc<Gpu>,
        choose: impl Fn(&Vec<Variant>) -> usize,
    ) -> Result<(Plan, Vec<ValueId>), CheckError> {
        let mut graph = Graph::new();
        let name = |number| format!("input {number}");
        let mut add = |(number, (shape, &constant)): (usize, (&Shape, &bool))| {
            let (name, shape) = (name(number), shape.clone());
            if constant { graph.parameter(&name, shape) } else { graph.input(&name, shape) }
        };
        let inputs: Vec<ValueId> = self.inputs.iter().zip(&self.constant).enumerate().map(&mut add).collect();
        let outputs = graph.apply_shared(Arc::clone(&self.operator), &inputs)?;
        let elements = self.stored.inputs.iter().zip(&inputs).chain(self.stored.outputs.iter().zip(&outputs));
        elements.for_each(|(&element, &value)| graph.store_as(value, element));
        let plan = Plan::with_variants(graph, &outputs, gpu.capabilities(), |_, _, mut variants| {
            let number = choose(&variants).min(variants.len() - 1);
            variants.swap_remove(number)
        })?;
        Ok((plan, inputs))
    }
}

/// The names of all variants that operators have on a device, at the shapes of [`cases`](crate::ops::cases).
///
/// # Errors
/// As [`Isolated::variants`].
pub fn variant_names(gpu: &Arc<Gpu>) -> Result<BTreeSet<&'static str>, CheckError> {
    let mut names = BTreeSet::new();
    for case in crate::ops::cases() {
        let inputs = case.inputs.into_iter().map(|(shape, _)| shape).collect();
        let variants = Isolated::changing(case.operator, inputs).variants(gpu)?;
        names.extend(variants.into_iter().map(|variant| variant.name));
    }
    Ok(names)
}

/// Seconds that one run of a session takes: the median of `samples` measurements, each of as many runs in a row as fill
/// `least`, after one run that is not counted.
///
/// # Errors
/// What the device reports.
pub fn seconds_a_run(gpu: &Arc<Gpu>, session: &Session, samples: usize, least: Duration) -> Result<f64, CheckError> {
    let time = |runs: u32| -> Result<f64, CheckError> {
        let start = Instant::now();
        for _ in 0..runs {
            session.run()?;
        }
        gpu.wait().map_err(super::SessionError::from)?;
        Ok(start.elapsed().as_secs_f64() / f64::from(runs))
    };
    // The first run compiles and pages in.
    time(1)?;
    let once = time(1)?;
    let runs = (least.as_secs_f64() / once.max(1e-9)).ceil().clamp(1.0, 1000.0) as u32;
    let mut seconds = (0..samples.max(1)).map(|_| time(runs)).collect::<Result<Vec<_>, _>>()?;
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
