//! Memory planning: computed values and scratch tensors are packed into a few buffers, the slots, by their live ranges.
//!
//! A value is live from the step that computes it to the last one that reads it; what is computed once is live always. Two
//! tensors that are never live at the same time may share memory. Two that are may lie side by side in one slot, unless
//! a step writes the one while it reads the other: wgpu tracks whole buffers, and a dispatch must not read and write one.
//!
//! Flat values and their parts have buffers of their own, no slots.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::Step;
use crate::ir::{ALIGNMENT, Graph, ValueId};

/// A stretch of a memory slot that holds one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Placement {
    /// Number of the slot.
    pub slot: usize,
    /// Its first 4-byte word there.
    pub offset: usize,
    /// 4-byte words.
    pub words: usize,
}

/// The memory of a plan: slots, and the tensors in them.
#[derive(Debug, Default)]
pub struct Memory {
    /// 4-byte words of each slot.
    pub slots: Vec<usize>,
    /// Where each computed value lies that is no view and no [part](crate::ir::Part) of another.
    pub values: HashMap<ValueId, Placement>,
    /// The value whose memory each [view](crate::ir::Variant::view) has.
    pub views: HashMap<ValueId, ValueId>,
    /// Where the scratch tensors of each step lie.
    pub scratch: Vec<Vec<Placement>>,
}

impl Memory {
    /// The value whose memory a value is: of a view, that which it shows; otherwise itself.
    pub fn shown(&self, id: ValueId) -> ValueId {
        self.views.get(&id).copied().unwrap_or(id)
    }

    /// Where a computed value lies, by way of what it shows; None of inputs, parameters, state, flat values and their parts.
    pub fn placement(&self, id: ValueId) -> Option<Placement> {
        self.values.get(&self.shown(id)).copied()
    }
}

/// A tensor that must stay in memory from one step to another, both included.
struct LiveRange {
    words: usize,
    first_step: usize,
    last_step: usize,
    tensor: Tensor,
    /// Other ranges that share a step with it, one of the two being written there.
    conflicts: Vec<usize>,
}

/// A computed value, or the scratch tensor of a step that has this number there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Tensor {
    Value(ValueId),
    Scratch { step: usize, number: usize },
}

/// Finds memory for everything that `steps` compute.
///
/// The largest come first, so that no slot ever grows; each goes into the narrowest gap that is free while it lives
/// ("greedy by size for offset calculation", Pisarchyk and Lee 2020, with several slots instead of one).
pub(super) fn allocate(graph: &Graph, steps: &[Step], outputs: &[ValueId]) -> Memory {
    let views = views(steps);
    let ranges = live_ranges(graph, steps, outputs, &views);
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|&number| (Reverse(ranges[number].words), ranges[number].first_step));
    let mut slots: Vec<usize> = Vec::new();
    let mut in_slot: Vec<Vec<usize>> = Vec::new();
    let mut placements: Vec<Option<Placement>> = vec![None; ranges.len()];
    for number in order {
        let range = &ranges[number];
        let size = range.words.max(1).next_multiple_of(ALIGNMENT);
        let forbidden: Vec<usize> = range.conflicts.iter().filter_map(|&other| Some(placements[other]?.slot)).collect();
        let gaps = (0..slots.len()).filter(|slot| !forbidden.contains(slot)).filter_map(|slot| {
            let alive = in_slot[slot].iter().filter(|&&other| ranges[other].overlaps(range));
            let taken = alive.filter_map(|&other| placements[other]).map(|it| (it.offset, it.words));
            let (gap, offset) = narrowest_gap(slots[slot], taken.collect(), size)?;
            Some((gap, slot, offset))
        });
        let (_, slot, offset) = gaps.min().unwrap_or((0, slots.len(), 0));
        if slot == slots.len() {
            slots.push(size);
            in_slot.push(Vec::new());
        }
        in_slot[slot].push(number);
        placements[number] = Some(Placement { slot, offset, words: range.words });
    }
    let mut memory = Memory { slots, values: HashMap::new(), views, scratch: vec![Vec::new(); steps.len()] };
    for (range, placement) in ranges.iter().zip(placements) {
        match (range.tensor, placement) {
            (Tensor::Value(value), Some(placement)) => {
                memory.values.insert(value, placement);
            }
            // In the order of their numbers, as the ranges are.
            (Tensor::Scratch { step, .. }, Some(placement)) => memory.scratch[step].push(placement),
            (_, None) => {}
        }
    }
    memory
}

impl LiveRange {
    fn overlaps(&self, other: &Self) -> bool {
        self.first_step <= other.last_step && other.first_step <= self.last_step
    }
}

/// (words, start) of the narrowest stretch of at least `size` words that none of `taken` (start, words) covers.
fn narrowest_gap(slot: usize, mut taken: Vec<(usize, usize)>, size: usize) -> Option<(usize, usize)> {
    taken.sort_unstable();
    let mut narrowest: Option<(usize, usize)> = None;
    let mut start = 0;
    for (first, words) in taken.into_iter().chain([(slot, 0)]) {
        if first >= start + size {
            let gap = (first - start, start);
            narrowest = Some(narrowest.map_or(gap, |narrowest| narrowest.min(gap)));
        }
        start = start.max((first + words).next_multiple_of(ALIGNMENT));
    }
    narrowest
}

/// The value that each view, or view of a view, shows.
fn views(steps: &[Step]) -> HashMap<ValueId, ValueId> {
    let mut views = HashMap::new();
    for Step { node, .. } in steps.iter().filter(|step| step.variant.is_view()) {
        let shown = views.get(&node.inputs[0]).copied().unwrap_or(node.inputs[0]);
        views.insert(node.outputs[0], shown);
    }
    views
}

/// Everything that needs memory, in the order of the steps.
fn live_ranges(
    graph: &Graph,
    steps: &[Step],
    outputs: &[ValueId],
    views: &HashMap<ValueId, ValueId>,
) -> Vec<LiveRange> {
    let shown = |value: ValueId| views.get(&value).copied().unwrap_or(value);
    let mut last_use: HashMap<ValueId, usize> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        for &value in step.node.inputs.iter().chain(&step.node.outputs) {
            last_use.insert(shown(value), index);
        }
    }
    last_use.extend(outputs.iter().map(|&output| (shown(output), usize::MAX)));

    let mut ranges: Vec<LiveRange> = Vec::new();
    let mut numbers: HashMap<Tensor, usize> = HashMap::new();
    const ALWAYS: (usize, usize) = (0, usize::MAX);
    for (step, planned) in steps.iter().enumerate() {
        let Step { node, variant, once, .. } = planned;
        let constant = planned.is_constant();
        let placed = |id: &&ValueId| !views.contains_key(id) && graph.value(**id).part.is_none();
        let values = node.outputs.iter().filter(placed).map(|&value| {
            let life = if constant { ALWAYS } else { (step, last_use[&value]) };
            (graph.value(value).words(), life, Tensor::Value(value))
        });
        let scratch = variant.scratch.iter().enumerate().map(|(number, &words)| {
            let kept = *once > 0 && !constant && variant.prepacking.scratch.contains(&number);
            (words, if kept { ALWAYS } else { (step, step) }, Tensor::Scratch { step, number })
        });
        let mut written: Vec<usize> = Vec::new();
        for (words, (first_step, last_step), tensor) in values.chain(scratch) {
            written.push(ranges.len());
            numbers.insert(tensor, ranges.len());
            ranges.push(LiveRange { words, first_step, last_step, tensor, conflicts: Vec::new() });
        }
        let range_of = |input: &ValueId| numbers.get(&Tensor::Value(shown(*input))).copied();
        let read: Vec<usize> = node.inputs.iter().filter_map(range_of).collect();
        written.extend(node.operator.overwrites().iter().filter_map(|&number| range_of(&node.inputs[number])));
        for &one in &written {
            for &other in written.iter().chain(&read).filter(|&&other| other != one) {
                ranges[one].conflicts.push(other);
                ranges[other].conflicts.push(one);
            }
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::narrowest_gap;

    #[test]
    fn the_narrowest_gap_that_is_wide_enough_is_taken() {
        assert_eq!(narrowest_gap(640, vec![(128, 64), (448, 64)], 64), Some((128, 0)));
        assert_eq!(narrowest_gap(640, vec![(128, 64), (448, 64)], 192), Some((256, 192)));
        assert_eq!(narrowest_gap(640, vec![(128, 64), (448, 64)], 320), None);
        assert_eq!(narrowest_gap(640, vec![], 640), Some((640, 0)));
        assert_eq!(narrowest_gap(640, vec![(0, 65), (0, 320)], 64), Some((320, 320)));
    }
}
