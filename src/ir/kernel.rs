//! Kernels and their dispatches as data: what to run, not yet on which device.

use std::borrow::Cow;

use super::{DType, DTypes, F16Bindings};

/// One WGSL compute shader, entry point `main`. The source is valid on its own; shapes enter as `override` constants.
///
/// Tensors that may be stored as [`DType::F16`](super::DType::F16) are arrays of an alias, which says `f32` in the file:
///
/// ```wgsl
/// alias X = f32;
/// @group(0) @binding(0) var<storage, read> x: array<X>;  // or array<vec4<X>>
/// ```
///
/// The kernel converts what it loads, `f32(x[i])`, and what it stores, `X(value)`. WGSL has no `override` for types: the
/// alias is the one line that is replaced.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Folder and file below `shaders/`, without the ending: `conv2d/forward`.
    pub name: &'static str,
    /// What it computes, in a line.
    pub summary: &'static str,
    /// The WGSL.
    pub source: &'static str,
    /// It is compiled without run-time checks.
    trusted: bool,
}

impl Kernel {
    /// A kernel; `name` is one that no other kernel has, of the form `folder/file`.
    ///
    /// It is compiled with wgpu's run-time checks: an index out of range reads or writes another element, and no memory
    /// that is not the tensor's.
    pub const fn new(name: &'static str, summary: &'static str, source: &'static str) -> Self {
        Self { name, summary, source, trusted: false }
    }

    /// As [`Kernel::new`], compiled without run-time checks: for this crate's kernels, whose indices tests show to be in
    /// range.
    pub(crate) const fn trusted(name: &'static str, summary: &'static str, source: &'static str) -> Self {
        Self { name, summary, source, trusted: true }
    }

    /// Whether it is compiled without run-time checks.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The folder of its file: the family of operators that it computes.
    pub fn folder(&self) -> &'static str {
        self.name.split_once('/').map_or(self.name, |(folder, _)| folder)
    }

    /// Whether it can be compiled for tensors of which those of `f16` are stored as F16.
    pub fn accepts(&self, f16: F16Bindings) -> bool {
        let same = |bindings: &[usize]| bindings.iter().all(|&it| f16.contains(it) == f16.contains(bindings[0]));
        f16.is_subset(self.f16_bindings()) && self.aliases().iter().all(|alias| same(&alias.bindings))
    }

    /// All bindings that it can take as F16.
    pub fn f16_bindings(&self) -> F16Bindings {
        self.aliases().iter().flat_map(|alias| alias.bindings.iter().copied()).collect()
    }

    /// Whether it uses subgroups, which other WGSL compilers than wgpu's want to be told (`enable subgroups;`).
    pub fn uses_subgroups(&self) -> bool {
        self.source.lines().any(|line| line.split("//").next().is_some_and(|code| code.contains("subgroup")))
    }

    /// Whether each binding is declared `read_write`, by its number.
    pub(crate) fn written(&self) -> Vec<bool> {
        let mut written = Vec::new();
        for (_, statement) in wgsl::statements(self.source, "binding") {
            let tokens = wgsl::tokens(statement);
            let number = tokens.get(2).and_then(|(number, _)| number.parse::<usize>().ok());
            if let Some(number) = number {
                written.resize(written.len().max(number + 1), false);
                written[number] = tokens.iter().any(|&(token, _)| token == "read_write");
            }
        }
        written
    }

    /// The WGSL for tensors of which those of `f16`, which it must accept, are stored as F16.
    pub fn source_for(&self, f16: F16Bindings) -> Cow<'static, str> {
        if f16 == F16Bindings::NONE {
            return Cow::Borrowed(self.source);
        }
        let mut source = self.source.to_string();
        for alias in self.aliases() {
            if alias.bindings.iter().any(|&binding| f16.contains(binding)) {
                // As long as before, so that the places of the others stay the same.
                source.replace_range(alias.dtype..alias.dtype + "f32".len(), "f16");
            }
        }
        Cow::Owned(format!("enable f16;\n{source}"))
    }

    /// This kernel, which is made for cooperative matrices of 8 x 8, for those of 16 x 16: WGSL has no `override` for types.
    /// Leaks the new source: for statics.
    pub fn with_matrices_of_16(&self, name: &'static str) -> Self {
        let source = self.source.replace("coop_mat8x8", "coop_mat16x16").replace("SIZE = 8u;", "SIZE = 16u;");
        Self { name, source: source.leak(), ..*self }
    }

    /// What stands for the dtypes of tensors.
    fn aliases(&self) -> Vec<Alias> {
        let statements = |keyword| wgsl::statements(self.source, keyword);
        let bindings: Vec<_> = statements("binding").map(|(_, statement)| wgsl::tokens(statement)).collect();
        let alias = |(at, statement): (usize, &'static str)| {
            let [("alias", _), (name, _), ("=", _), ("f32", dtype)] = wgsl::tokens(statement)[..] else { return None };
            let of_alias = bindings.iter().filter_map(|tokens| binding_of(tokens, name));
            Some(Alias { dtype: at + dtype, bindings: of_alias.collect() })
        };
        statements("alias").filter_map(alias).collect()
    }
}

/// A name that stands for the dtype of a tensor.
struct Alias {
    /// Where the source says which: `f32`.
    dtype: usize,
    /// The bindings that are arrays of it or of vectors of it.
    bindings: Vec<usize>,
}

/// The number of a binding, declared as `binding(number)` and so on, if it is an array of `alias` or of vectors of it.
fn binding_of(tokens: &[(&str, usize)], alias: &str) -> Option<usize> {
    let words: Vec<&str> = tokens.iter().map(|&(token, _)| token).collect();
    let is_array = words.ends_with(&[":", "array", "<", alias, ">"])
        || words.ends_with(&[":", "array", "<", "vec4", "<", alias, ">", ">"]);
    let ["binding", "(", number, ")", ..] = words[..] else { return None };
    number.parse().ok().filter(|_| is_array)
}

/// As much of the syntax of WGSL as tells where declarations are.
mod wgsl {
    /// Each `keyword` outside of comments with what follows up to a semicolon, and where it is.
    pub fn statements(source: &'static str, keyword: &'static str) -> impl Iterator<Item = (usize, &'static str)> {
        source.match_indices(keyword).filter_map(move |(at, _)| {
            let line = source[..at].rsplit('\n').next().unwrap_or_default();
            let is_word =
                !line.ends_with(is_part_of_word) && !source[at + keyword.len()..].starts_with(is_part_of_word);
            let end = source[at..].find(';')?;
            (is_word && !line.contains("//")).then_some((at, &source[at..at + end]))
        })
    }

    /// The words and signs of a statement and where they are, without comments.
    pub fn tokens(statement: &str) -> Vec<(&str, usize)> {
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(first) = statement[at..].chars().next() {
            let rest = &statement[at..];
            let length = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if is_part_of_word(first) {
                rest.find(|c| !is_part_of_word(c)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            if !rest.starts_with("//") && !first.is_whitespace() {
                tokens.push((&rest[..length], at));
            }
            at += length;
        }
        tokens
    }

    fn is_part_of_word(c: char) -> bool {
        c.is_alphanumeric() || c == '_'
    }
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

impl Dispatch {
    /// A kernel of one invocation an element, in workgroups of 64, with the constant `ELEMENTS`.
    pub fn elementwise(kernel: &'static Kernel, elements: usize, bindings: Vec<Argument>) -> Self {
        Self::per_invocation(kernel, elements, vec![("ELEMENTS", elements as f64)], bindings)
    }

    /// A kernel of one invocation an item, in workgroups of 64: [`folded`], so that the kernel finds its item as
    /// `(workgroup_id.x + workgroup_id.y * num_workgroups.x) * 64 + local_invocation_index`.
    pub fn per_invocation(
        kernel: &'static Kernel,
        items: usize,
        constants: Vec<(&'static str, f64)>,
        bindings: Vec<Argument>,
    ) -> Self {
        Self { kernel, constants, bindings, workgroups: folded(items.div_ceil(64)) }
    }

    /// A kernel of one workgroup an item: [`folded`].
    pub fn per_workgroup(
        kernel: &'static Kernel,
        items: usize,
        constants: Vec<(&'static str, f64)>,
        bindings: Vec<Argument>,
    ) -> Self {
        Self { kernel, constants, bindings, workgroups: folded(items) }
    }

    /// The memory of which it writes one binding and reads another, if there is any; `memory` tells that of the binding of a
    /// number, where it matters.
    ///
    /// No device takes that: it tracks whole buffers, and one is either read or written by a dispatch, by several bindings
    /// at once if need be.
    pub fn reads_and_writes<M: PartialEq>(&self, memory: impl Fn(usize) -> Option<M>) -> Option<M> {
        let mut memories: Vec<Option<M>> = (0..self.bindings.len()).map(memory).collect();
        let is_shared = |one: usize| memories[one].is_some() && memories[..one].contains(&memories[one]);
        if !(0..memories.len()).any(is_shared) {
            return None;
        }
        let written = self.kernel.written();
        let is_written = |binding: usize| written.get(binding) == Some(&true);
        let is_read_too = |one: usize| (0..memories.len()).any(|it| !is_written(it) && memories[it] == memories[one]);
        let mixed = (0..memories.len()).find(|&one| memories[one].is_some() && is_written(one) && is_read_too(one));
        mixed.and_then(|binding| memories.swap_remove(binding))
    }

    /// The bindings that are F16 where the operator's tensors have these dtypes; scratch tensors and tables never are.
    pub fn f16_bindings(&self, dtypes: &DTypes) -> F16Bindings {
        let is_f16 = |argument: &Argument| match *argument {
            Argument::Input(number) => dtypes.input(number) == DType::F16,
            Argument::Output(number) => dtypes.output(number) == DType::F16,
            Argument::Scratch(_) | Argument::Table(_) => false,
        };
        let bindings = self.bindings.iter().enumerate();
        bindings.filter(|(_, argument)| is_f16(argument)).map(|(binding, _)| binding).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: Kernel = Kernel {
        name: "test",
        summary: "",
        source: "alias X = f32;\nalias Y = f32;\n\
            @group(0) @binding(0) var<storage, read> x: array<X>;\n\
            @group(0) @binding(1) var<storage, read> x4: array<vec4<X>>;\n\
            @group(0) @binding(2) var<storage, read> weight: array<f32>;\n\
            @group(0) @binding(3) var<storage, read_write> y: array<Y>;\n",
        trusted: true,
    };

    #[test]
    fn a_kernel_takes_f16_where_an_alias_stands_for_all_bindings_of_a_tensor() {
        let accepts = |bindings: &[usize]| KERNEL.accepts(bindings.iter().copied().collect());
        assert!(accepts(&[]) && accepts(&[3]) && accepts(&[0, 1]) && accepts(&[0, 1, 3]));
        assert!(!accepts(&[0]) && !accepts(&[2]) && !accepts(&[2, 3]) && !accepts(&[4]));
    }

    #[test]
    fn only_the_alias_of_an_f16_tensor_changes() {
        let source = KERNEL.source_for([3].into_iter().collect());
        assert!(source.starts_with("enable f16;\nalias X = f32;\nalias Y = f16;\n"), "{source}");
        assert_eq!(KERNEL.source_for(F16Bindings::NONE), KERNEL.source);
    }

    #[test]
    fn a_dispatch_must_not_read_and_write_one_memory() {
        let bindings = (0..4).map(Argument::Input).collect();
        let dispatch = Dispatch::elementwise(&KERNEL, 1, bindings);
        let mixed = |memories: [Option<char>; 4]| dispatch.reads_and_writes(|binding| memories[binding]);
        assert_eq!(mixed([Some('a'), Some('a'), Some('b'), Some('c')]), None);
        assert_eq!(mixed([Some('a'), Some('a'), Some('b'), Some('b')]), Some('b'));
        assert_eq!(mixed([None; 4]), None);
        static BOTH: Kernel = Kernel {
            source: "@group(0) @binding(1) var<storage, read_write> x: array<f32>;\n\
                @group(0) @binding(0) var<storage, read_write> // and read\n y: array<f32>;",
            ..KERNEL
        };
        let dispatch = Dispatch::elementwise(&BOTH, 1, vec![Argument::Output(0), Argument::Output(1)]);
        assert_eq!(dispatch.reads_and_writes(|_| Some(())), None);
    }

    #[test]
    fn declarations_are_found_however_they_are_wrapped() {
        let source = "// alias Z = f32;\nalias  X\n    = f32;  // as stored\nalias Y=f32; alias Rows = array<X, 4>;\n\
            @binding(1) @group(0) var<storage, read>  // x\n    x: array<\n        vec4<X>>;\n\
            @group(0)\n@binding(0)\nvar<storage, read_write> y : array<Y>;";
        let kernel = Kernel { source, ..KERNEL };
        assert_eq!(kernel.f16_bindings(), [0, 1].into_iter().collect());
        assert_eq!(
            kernel.source_for([1].into_iter().collect()),
            format!("enable f16;\n{}", source.replace("X\n    = f32", "X\n    = f16"))
        );
    }
}
