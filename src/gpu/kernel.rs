//! Kernels and their dispatches as data: what to run, not yet on which device.

/// One WGSL compute shader, entry point `main`. The source is valid on its own; shapes enter as `override` constants.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Folder and file below `shaders/`, without the ending: `conv2d/forward`.
    pub name: &'static str,
    /// What it computes, in a line.
    pub summary: &'static str,
    /// The WGSL.
    pub source: &'static str,
    /// It uses subgroup operations.
    pub subgroups: bool,
}

/// The tensor behind a binding, from the point of view of the operator that dispatches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Argument {
    /// The operator's input of this number.
    Input(usize),
    /// The operator's output of this number.
    Output(usize),
    /// The operator's scratch memory of this number.
    Scratch(usize),
    /// The variant's table of this number: words that do not change from run to run.
    Table(usize),
}

/// One launch of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// What runs.
    pub kernel: &'static Kernel,
    /// Values of the `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// What is bound, in order of `@binding`.
    pub bindings: Vec<Argument>,
    /// Workgroups along x, y and z.
    pub workgroups: [u32; 3],
}

/// Most workgroups along one dimension of a dispatch, on every adapter.
pub const MAX_WORKGROUPS: u32 = 65_535;

/// Workgroups for `count` of them in a row, folded into y past [`MAX_WORKGROUPS`].
///
/// The kernel finds its number as `workgroup_id.x + workgroup_id.y * num_workgroups.x` and leaves
/// where that is past the end.
pub fn folded(count: usize) -> [u32; 3] {
    let count = count.max(1) as u64;
    let rows = count.div_ceil(u64::from(MAX_WORKGROUPS));
    [count.div_ceil(rows) as u32, rows as u32, 1]
}
