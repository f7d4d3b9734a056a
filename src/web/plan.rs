//! A plan as a file: buffers, pipelines and dispatches by number, without the graph that they come from. `web/README.md` says
//! what each field is; `web/runtime.js` replays it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::target::Target;
use crate::graph::{Binding, Plan, PlannedDispatch, Source};
use crate::ir::{Argument, Kernel, Role, ValueId};

/// The format of the files; `web/runtime.js` has the same number.
pub const FORMAT: u32 = 1;

/// A plan that a page can replay.
#[derive(Debug, Serialize)]
pub struct PlanFile {
    format: u32,
    name: String,
    target: &'static str,
    requires: Requirements,
    buffers: Vec<Buffer>,
    pipelines: Vec<Pipeline>,
    dispatches: Vec<Dispatch>,
    outputs: Vec<Output>,
    #[serde(skip)]
    kernels: Vec<&'static Kernel>,
}

#[derive(Debug, Serialize)]
struct Requirements {
    features: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subgroup_size: Option<u32>,
    limits: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Buffer {
    /// Computed values and scratch memory share it.
    Slot { bytes: u64 },
    /// Flat values whose parts are computed: zero between the parts.
    Workspace { bytes: u64 },
    /// Uploaded before a run.
    Input { bytes: u64, name: String, shape: Vec<usize> },
    /// Parameters and state.
    Kept { bytes: u64, tensors: Vec<Tensor> },
    /// Words that stay the same.
    Table { words: Vec<u32> },
}

#[derive(Debug, Serialize)]
struct Tensor {
    name: String,
    offset: u64,
    shape: Vec<usize>,
    role: &'static str,
}

#[derive(Debug, PartialEq, Serialize)]
struct Pipeline {
    kernel: &'static str,
    constants: BTreeMap<&'static str, f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    features: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Dispatch {
    pipeline: usize,
    workgroups: [u32; 3],
    bindings: Vec<[u64; 3]>,
    label: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    once: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prints: Vec<[usize; 2]>,
}

#[derive(Debug, Serialize)]
struct Output {
    name: String,
    buffer: usize,
    offset: u64,
    shape: Vec<usize>,
}

impl PlanFile {
    /// `plan`, which was planned for `target`, with names for what can be read after a run. `prints` has the number of the
    /// fingerprint of each computed value that there is one of.
    pub fn new(
        name: &str,
        target: &Target,
        plan: &Plan,
        outputs: &[(String, ValueId)],
        prints: &HashMap<ValueId, usize>,
    ) -> Self {
        let mut writer = Writer { plan, numbers: HashMap::new(), buffers: Vec::new() };
        let (mut pipelines, mut dispatches, mut kernels) = (Vec::new(), Vec::new(), Vec::new());
        let (mut binding_bytes, mut storage_buffers) = (0, 0);
        let prints = prints_by_dispatch(plan, prints);
        for (number, planned) in plan.dispatches().enumerate() {
            let PlannedDispatch { dispatch, once, label, bindings, .. } = planned;
            let pipeline = Pipeline {
                kernel: dispatch.kernel.name,
                constants: dispatch.constants.iter().copied().collect(),
                features: if dispatch.kernel.uses_subgroups() { vec!["subgroups"] } else { Vec::new() },
            };
            let pipeline = pipelines.iter().position(|it| *it == pipeline).unwrap_or_else(|| {
                pipelines.push(pipeline);
                kernels.push(dispatch.kernel);
                pipelines.len() - 1
            });
            let bindings: Vec<[u64; 3]> = bindings.iter().map(|binding| writer.place(binding)).collect();
            binding_bytes = bindings.iter().map(|&[_, _, bytes]| bytes).fold(binding_bytes, u64::max);
            storage_buffers = storage_buffers.max(bindings.len());
            let prints = prints.get(&number).cloned().unwrap_or_default();
            dispatches.push(Dispatch { pipeline, workgroups: dispatch.workgroups, bindings, label, once, prints });
        }
        let outputs = outputs.iter().map(|(name, id)| {
            let [buffer, offset, _] = writer.place(&plan.value_binding(*id));
            let shape = plan.graph.shape(*id).extents().to_vec();
            Output { name: name.clone(), buffer: buffer as usize, offset, shape }
        });
        let outputs = outputs.collect();
        let largest = writer.buffers.iter().map(Buffer::bytes).max().unwrap_or(0);
        kernels.sort_by_key(|kernel| kernel.name);
        kernels.dedup_by_key(|kernel| kernel.name);
        Self {
            format: FORMAT,
            name: name.to_owned(),
            target: target.name,
            requires: Requirements {
                features: target.features.clone(),
                subgroup_size: target.subgroup_size,
                limits: target.limits(binding_bytes, largest, storage_buffers),
            },
            buffers: writer.buffers,
            pipelines,
            dispatches,
            outputs,
            kernels,
        }
    }

    /// The kernels that it dispatches, by name.
    pub fn kernels(&self) -> &[&'static Kernel] {
        &self.kernels
    }

    /// Bytes of its buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(Buffer::bytes).sum()
    }

    /// Dispatches of a run, without those that run once.
    pub fn dispatches(&self) -> usize {
        self.dispatches.iter().filter(|dispatch| !dispatch.once).count()
    }
}

impl Buffer {
    fn bytes(&self) -> u64 {
        match self {
            Self::Slot { bytes } | Self::Workspace { bytes } | Self::Input { bytes, .. } | Self::Kept { bytes, .. } => {
                *bytes
            }
            Self::Table { words } => 4 * words.len() as u64,
        }
    }
}

/// Numbers the buffers as they are met.
struct Writer<'a> {
    plan: &'a Plan,
    numbers: HashMap<Source, usize>,
    buffers: Vec<Buffer>,
}

impl Writer<'_> {
    /// Buffer, first byte, bytes.
    fn place(&mut self, binding: &Binding) -> [u64; 3] {
        let Binding { source, offset, words } = *binding;
        let number = self.numbers.get(&source).copied().unwrap_or_else(|| {
            self.buffers.push(self.buffer(source));
            self.numbers.insert(source, self.buffers.len() - 1);
            self.buffers.len() - 1
        });
        [number as u64, 4 * offset as u64, 4 * words as u64]
    }

    fn buffer(&self, source: Source) -> Buffer {
        let graph = &self.plan.graph;
        let id = match source {
            Source::Slot(slot) => return Buffer::Slot { bytes: 4 * self.plan.memory.slots[slot] as u64 },
            Source::Table { step, number } => {
                return Buffer::Table { words: self.plan.steps[step].variant.tables[number].clone() };
            }
            Source::Kept(id) => id,
        };
        let value = graph.value(id);
        let bytes = 4 * value.words() as u64;
        let parts = || graph.value_ids().filter(|(_, part)| part.part.is_some_and(|part| part.of == id));
        match value.role {
            Role::Input => Buffer::Input { bytes, name: value.name.clone(), shape: value.shape.extents().to_vec() },
            Role::Flat if parts().any(|(_, part)| part.role == Role::Computed) => Buffer::Workspace { bytes },
            Role::Flat => Buffer::Kept { bytes, tensors: parts().map(|(part, _)| self.tensor(part)).collect() },
            _ => Buffer::Kept { bytes, tensors: vec![self.tensor(id)] },
        }
    }

    fn tensor(&self, id: ValueId) -> Tensor {
        let value = self.plan.graph.value(id);
        Tensor {
            name: value.name.clone(),
            offset: value.part.map_or(0, |part| 4 * part.offset as u64),
            shape: value.shape.extents().to_vec(),
            role: if value.role == Role::Parameter { "parameter" } else { "state" },
        }
    }
}

/// By number of the dispatch: the bindings that hold whole outputs of its node from then on, with their fingerprints.
fn prints_by_dispatch(plan: &Plan, prints: &HashMap<ValueId, usize>) -> HashMap<usize, Vec<[usize; 2]>> {
    let mut found: HashMap<usize, Vec<[usize; 2]>> = HashMap::new();
    let mut seen = HashSet::new();
    let planned: Vec<(usize, PlannedDispatch)> = plan.dispatches().enumerate().collect();
    // The last dispatch that writes an output leaves it whole.
    for (number, PlannedDispatch { step, dispatch, .. }) in planned.iter().rev() {
        let written = dispatch.kernel.written();
        for (binding, argument) in
            dispatch.bindings.iter().enumerate().filter(|(it, _)| written.get(*it) == Some(&true))
        {
            let Argument::Output(output) = argument else { continue };
            let id = plan.steps[*step].node.outputs[*output];
            if let Some(&print) = prints.get(&id).filter(|_| seen.insert(id)) {
                found.entry(*number).or_default().push([binding, print]);
            }
        }
    }
    found
}
