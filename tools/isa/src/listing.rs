//! The driver's assembly: what the instructions of the main loop are.
//!
//! The main loop is the natural loop with the most multiply-adds (a jump back to a block that dominates it, and all blocks
//! in between).

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::targets::Vendor;

/// Passes of an inner loop, for one of the loop around it.
const TRIPS: u32 = 4;

/// Instructions of one pass of the main loop, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes {
    /// Fused multiply-adds.
    pub fma: u32,
    /// Other float additions and multiplications.
    pub float: u32,
    /// Integers, comparisons, moves.
    pub integer: u32,
    /// Global memory.
    pub memory: u32,
    /// Workgroup memory.
    pub shared: u32,
    /// Scalar units, branches, barriers.
    pub control: u32,
}

/// What an instruction does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Fma,
    Float,
    Integer,
    Memory,
    Shared,
    Control,
}

impl Classes {
    fn count(&mut self, class: Class) {
        let count = match class {
            Class::Fma => &mut self.fma,
            Class::Float => &mut self.float,
            Class::Integer => &mut self.integer,
            Class::Memory => &mut self.memory,
            Class::Shared => &mut self.shared,
            Class::Control => &mut self.control,
        };
        *count += 1;
    }

    pub fn total(&self) -> u32 {
        let Self { fma, float, integer, memory, shared, control } = self;
        fma + float + integer + memory + shared + control
    }

    /// These and `trips` times those.
    fn plus(self, those: Self, trips: u32) -> Self {
        Self {
            fma: self.fma + trips * those.fma,
            float: self.float + trips * those.float,
            integer: self.integer + trips * those.integer,
            memory: self.memory + trips * those.memory,
            shared: self.shared + trips * those.shared,
            control: self.control + trips * those.control,
        }
    }

    /// The share of multiply-adds among the instructions.
    pub fn fma_share(&self) -> f64 {
        f64::from(self.fma) / f64::from(self.total().max(1))
    }
}

/// A block of instructions and where it may go next.
#[derive(Default)]
struct Block {
    instructions: Vec<String>,
    successors: Vec<usize>,
}

/// The main loop's instructions; `None` where the listing has no loop.
///
/// Loops inside it count as often as gives `fma_a_pass` multiply-adds, where that is known, else [`TRIPS`] times.
pub fn main_loop(vendor: Vendor, listing: &str, fma_a_pass: Option<u32>) -> Option<Classes> {
    let blocks = match vendor {
        Vendor::Amd => amd_blocks(listing),
        Vendor::Nvidia => nvidia_blocks(listing),
    };
    let class = match vendor {
        Vendor::Amd => amd_class,
        Vendor::Nvidia => nvidia_class,
    };
    let classes_of = |block: &usize| blocks[*block].instructions.iter().filter_map(|line| class(line));
    let loops = natural_loops(&blocks);
    let fmas = |body: &BTreeSet<usize>| body.iter().flat_map(classes_of).filter(|&class| class == Class::Fma).count();
    let main = loops.values().max_by_key(|body| (fmas(body), body.len()))?;
    let (mut outside, mut inside) = (Classes::default(), Classes::default());
    for block in main {
        let is_inner = loops.values().any(|body| body.contains(block) && body.len() < main.len());
        let classes = if is_inner { &mut inside } else { &mut outside };
        classes_of(block).for_each(|class| classes.count(class));
    }
    let missing = fma_a_pass.map(|all| all.saturating_sub(outside.fma)).filter(|_| inside.fma > 0);
    Some(outside.plus(inside, missing.map_or(TRIPS, |missing| missing.div_ceil(inside.fma))))
}

/// `BB3:` begins a block; `s_branch BB3` and `s_cbranch_... BB3` jump.
fn amd_blocks(listing: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut numbers = HashMap::new();
    let mut jumps: Vec<(usize, String)> = Vec::new();
    for line in listing.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_suffix(':').filter(|name| name.starts_with("BB")) {
            numbers.insert(name.to_owned(), blocks.len());
            blocks.push(Block::default());
        } else if let Some(block) = blocks.last_mut() {
            block.instructions.push(line.to_owned());
            if line.starts_with("s_branch") || line.starts_with("s_cbranch") {
                let target = line.split_whitespace().find(|word| word.starts_with("BB"));
                jumps.extend(target.map(|target| (blocks.len() - 1, target.to_owned())));
            }
        }
    }
    for (from, target) in jumps {
        blocks[from].successors.extend(numbers.get(&target));
    }
    for number in 0..blocks.len().saturating_sub(1) {
        // What follows an unconditional jump in its block is padding.
        let ends = |line: &String| line.starts_with("s_branch") || line.starts_with("s_endpgm");
        if !blocks[number].instructions.iter().any(ends) {
            blocks[number].successors.push(number + 1);
        }
    }
    blocks
}

/// `block 3 L4 [...] {` begins a block, `} -> [5, 6]` ends it with its successors by number.
fn nvidia_blocks(listing: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut numbers = HashMap::new();
    let mut jumps: Vec<(usize, Vec<String>)> = Vec::new();
    for line in listing.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("block") {
            if let Some(number) = line.split_whitespace().nth(1) {
                numbers.insert(number.to_owned(), blocks.len());
                blocks.push(Block::default());
            }
        } else if let Some(targets) = line.strip_prefix("} -> [") {
            let targets = targets.trim_end_matches(']').split(',').map(|target| target.trim().to_owned());
            jumps.push((blocks.len().saturating_sub(1), targets.collect()));
        } else if let Some(block) = blocks.last_mut() {
            block.instructions.push(line.to_owned());
        }
    }
    for (from, targets) in jumps {
        blocks[from].successors.extend(targets.iter().filter_map(|target| numbers.get(target)));
    }
    blocks
}

/// The blocks of each loop, by the block that it begins with.
fn natural_loops(blocks: &[Block]) -> HashMap<usize, BTreeSet<usize>> {
    let mut predecessors = vec![Vec::new(); blocks.len()];
    for (number, block) in blocks.iter().enumerate() {
        for &next in &block.successors {
            predecessors[next].push(number);
        }
    }
    let all: BTreeSet<usize> = (0..blocks.len()).collect();
    let mut dominators = vec![all; blocks.len()];
    if let Some(first) = dominators.first_mut() {
        *first = BTreeSet::from([0]);
    }
    let mut changed = true;
    while changed {
        changed = false;
        for number in 1..blocks.len() {
            let mut of_all = predecessors[number].iter().map(|&before| dominators[before].clone());
            let mut common = of_all.next().unwrap_or_default();
            for other in of_all {
                common.retain(|block| other.contains(block));
            }
            common.insert(number);
            changed |= common != dominators[number];
            dominators[number] = common;
        }
    }
    let mut loops: HashMap<usize, BTreeSet<usize>> = HashMap::new();
    for (number, block) in blocks.iter().enumerate() {
        for &head in block.successors.iter().filter(|next| dominators[number].contains(next)) {
            let body = loops.entry(head).or_insert_with(|| BTreeSet::from([head]));
            let mut open = vec![number];
            while let Some(next) = open.pop() {
                if body.insert(next) {
                    open.extend(&predecessors[next]);
                }
            }
        }
    }
    loops
}

/// The class of an instruction of RADV's listing; `None` of hints, which take no issue slot.
fn amd_class(instruction: &str) -> Option<Class> {
    let name = instruction.split_whitespace().next().unwrap_or_default();
    let starts = |with: &[&str]| with.iter().any(|with| name.starts_with(with));
    if starts(&["s_waitcnt", "s_wait_", "s_delay", "s_clause", "s_nop"]) {
        return None;
    }
    Some(if starts(&["v_fma", "v_mac_f32", "v_mad_f32", "v_pk_fma", "v_dual", "v_mul_f32"]) {
        Class::Fma
    } else if starts(&["v_add_f32", "v_sub_f32", "v_pk_add_f", "v_pk_mul_f"]) {
        Class::Float
    } else if starts(&["ds_"]) {
        Class::Shared
    } else if starts(&["buffer_", "global_", "scratch_", "flat_"]) {
        Class::Memory
    } else if starts(&["v_"]) {
        Class::Integer
    } else {
        Class::Control
    })
}

/// The same of NVK's listing: `%r4 = ffma %r1 %r2 %r3 // delay=...`, with a predicate in front where there is one.
fn nvidia_class(instruction: &str) -> Option<Class> {
    let computed = instruction.split_once("= ").map_or(instruction, |(_, computed)| computed);
    let mut words = computed.split_whitespace().skip_while(|word| word.starts_with('@'));
    let name = words.next().unwrap_or_default();
    let starts = |with: &[&str]| with.iter().any(|with| name.starts_with(with));
    Some(if starts(&["ffma", "hfma"]) {
        Class::Fma
    } else if starts(&["fadd", "fmul", "hadd", "hmul"]) {
        Class::Float
    } else if starts(&["ld.shared", "st.shared", "lds", "sts"]) {
        Class::Shared
    } else if starts(&["ld", "st"]) && !name.starts_with("ldc") {
        Class::Memory
    } else if starts(&["bra", "bssy", "bsync", "bclear", "nop", "bar", "membar", "exit"]) {
        Class::Control
    } else {
        Class::Integer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMD: &str = "BB0:\n  v_mov_b32 v1, 0\nBB1:\n  global_load_b128 v[0:3], v0\n  s_waitcnt vmcnt(0)\nBB2:\n  \
        v_fmac_f32 v1, v2, v3\n  s_cbranch_scc1 BB2\nBB3:\n  v_add_u32 v4, 1, v4\n  s_cbranch_scc0 BB1\nBB4:\n  s_endpgm\n";

    #[test]
    fn inner_loops_count_more_than_once_and_hints_not_at_all() {
        let expected = Classes { fma: 4, memory: 1, integer: 1, control: 5, ..Classes::default() };
        assert_eq!(main_loop(Vendor::Amd, AMD, None), Some(expected));
        let expected = Classes { fma: 8, control: 9, ..expected };
        assert_eq!(main_loop(Vendor::Amd, AMD, Some(8)), Some(expected));
    }

    #[test]
    fn nvks_listing_is_read_by_its_lists_of_successors() {
        let listing = "block 0 L0 [] {\n  r0 = mov 0\n} -> [1]\nblock 1 L1 [0, 1] {\n  r1..5 = ld.global.b128 [r8..10]\n  \
            @!p0 r2 = ffma r1 r1 r2\n  @p0 bra L1\n} -> [1, 2]\nblock 2 L2 [1] {\n  exit\n} -> []\n";
        let expected = Classes { fma: 1, memory: 1, control: 1, ..Classes::default() };
        assert_eq!(main_loop(Vendor::Nvidia, listing, None), Some(expected));
    }

    #[test]
    fn a_listing_without_a_loop_has_none() {
        assert_eq!(main_loop(Vendor::Amd, "BB0:\n  s_endpgm\n", None), None);
    }
}
