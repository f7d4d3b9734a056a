//! Which memory each binding of each dispatch of a plan is.
//!
//! [`Session`](super::Session) binds buffers by it, and so does whoever writes a plan to a file.

use super::{Placement, Plan, PlanError};
use crate::ir::{Argument, Dispatch, F16Bindings, Part, Role, ValueId};

/// What holds the data behind a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The memory slot of this number, see [`Memory::slots`](super::Memory).
    Slot(usize),
    /// The memory of an input, a parameter, state or a flat value.
    Kept(ValueId),
    /// A table of a step's variant.
    Table {
        /// Number of the step.
        step: usize,
        /// Number of the table, an index of [`Variant::tables`](crate::ir::Variant).
        number: usize,
    },
}

/// A stretch of memory that a dispatch binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Binding {
    /// What it is a stretch of.
    pub source: Source,
    /// Its first 4-byte word.
    pub offset: usize,
    /// 4-byte words.
    pub words: usize,
}

/// One dispatch of a plan with its memory.
#[derive(Debug)]
pub struct PlannedDispatch<'a> {
    /// Number of the step that it belongs to.
    pub step: usize,
    /// What runs.
    pub dispatch: &'a Dispatch,
    /// The bindings that are F16.
    pub f16: F16Bindings,
    /// It depends on [`Plan::constants`] alone and runs again only where those have changed.
    pub once: bool,
    /// Node and kernel, for messages and profiles.
    pub label: String,
    /// What is bound, in order of `@binding`.
    pub bindings: Vec<Binding>,
}

impl Plan {
    /// All dispatches in the order in which they run, with the memory that each binds.
    pub fn dispatches(&self) -> impl Iterator<Item = PlannedDispatch<'_>> {
        self.steps.iter().enumerate().flat_map(move |(number, step)| {
            step.dispatches().enumerate().map(move |(position, (dispatch, f16))| PlannedDispatch {
                step: number,
                dispatch,
                f16,
                once: position < step.once,
                label: format!("{} {}", step.node.name, dispatch.kernel.name),
                bindings: dispatch.bindings.iter().map(|&argument| self.resolve(number, argument)).collect(),
            })
        })
    }

    /// That no dispatch reads one and writes another part of a flat value.
    pub(super) fn check_flat_values(&self) -> Result<(), PlanError> {
        if self.graph.values().iter().all(|value| value.role != Role::Flat) {
            return Ok(());
        }
        for PlannedDispatch { dispatch, label, bindings, .. } in self.dispatches() {
            let kept = |binding: usize| match bindings[binding].source {
                Source::Kept(value) => Some(value),
                Source::Slot(_) | Source::Table { .. } => None,
            };
            if let Some(flat) = dispatch.reads_and_writes(kept) {
                return Err(PlanError::ReadsAndWrites { dispatch: label, flat: self.graph.value(flat).name.clone() });
            }
        }
        Ok(())
    }

    /// The memory behind an argument of a step.
    fn resolve(&self, step: usize, argument: Argument) -> Binding {
        let node = &self.steps[step].node;
        match argument {
            Argument::Input(number) => self.value_binding(node.inputs[number]),
            Argument::Output(number) => self.value_binding(node.outputs[number]),
            Argument::Scratch(number) => placed(self.memory.scratch[step][number]),
            Argument::Table(number) => {
                let words = self.steps[step].variant.tables[number].len();
                Binding { source: Source::Table { step, number }, offset: 0, words }
            }
        }
    }

    /// The memory of a value: its place in a slot where it is computed, in the flat value that it is a part of, or its own
    /// otherwise; of a view, that of the value that it shows.
    pub fn value_binding(&self, id: ValueId) -> Binding {
        let shown = self.memory.shown(id);
        let value = self.graph.value(shown);
        match (self.memory.placement(shown), value.part) {
            (Some(placement), _) => placed(placement),
            (None, Some(Part { of, offset })) => Binding { source: Source::Kept(of), offset, words: value.words() },
            (None, None) => Binding { source: Source::Kept(shown), offset: 0, words: value.words() },
        }
    }
}

fn placed(Placement { slot, offset, words }: Placement) -> Binding {
    Binding { source: Source::Slot(slot), offset, words }
}
