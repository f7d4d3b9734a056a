//! What no compiler checks between WGSL files, and between WGSL and the host: layouts of structs, copies of functions, aliases
//! of dtypes.

use std::collections::{BTreeMap, BTreeSet};

use ditn::bench::probe;
use ditn::ir::{F16Bindings, Kernel, STORAGE_BUFFERS};
use ditn::ops::{self, TableLayout};
use naga::{AddressSpace, ArraySize, Module, ScalarKind, StructMember, Type, TypeInner, VectorSize};

/// Those of operators, and those of benchmarks.
fn kernels() -> Vec<&'static Kernel> {
    ops::kernels().into_iter().chain(probe::kernels()).collect()
}

#[test]
fn structs_in_buffers_lie_as_on_the_host() {
    let (mut found, mut faults) = (BTreeSet::new(), Vec::new());
    for kernel in kernels() {
        let (names, of_kernel) = compare_structs(kernel.source, &ops::tables());
        found.extend(names);
        faults.extend(of_kernel.into_iter().map(|fault| format!("{}: {fault}", kernel.name)));
    }
    let unused = ops::tables().into_iter().filter(|layout| !found.contains(layout.name));
    faults.extend(unused.map(|layout| format!("no kernel has struct {}", layout.name)));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn functions_of_one_name_have_one_body_or_are_listed() {
    let kernels = kernels();
    let faults = compare_functions(kernels.iter().map(|kernel| (kernel.name, kernel.source)), OWN_BODIES);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_alias_of_a_dtype_is_one_that_the_f16_substitution_finds() {
    let faults: Vec<String> = kernels().into_iter().flat_map(compare_aliases).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn kernels_bind_as_few_storage_buffers_as_every_adapter_has_or_are_listed() {
    for kernel in kernels() {
        let module = parse(kernel.source);
        let is_storage = |space: &AddressSpace| matches!(space, AddressSpace::Storage { .. });
        let count = module.global_variables.iter().filter(|(_, global)| is_storage(&global.space)).count();
        let listed = MORE_BUFFERS.iter().find(|(name, ..)| *name == kernel.name);
        let most = listed.map_or(STORAGE_BUFFERS as usize, |&(_, most, _)| most);
        assert!(count <= most, "{} binds {count} storage buffers, of which {most} are allowed", kernel.name);
    }
}

/// Kernels that bind more storage buffers than every adapter has: name, number, why that does no harm.
const MORE_BUFFERS: &[(&str, usize, &str)] =
    &[("batch_norm/backward_channel_vec4", 10, "offered where the adapter binds as many, beside others that bind 8")];

/// Functions whose name says what step of a kernel they are, and whose body is that kernel's: name, bodies, reason. WGSL has
/// no modules; a name that is not here means the same in all files.
const OWN_BODIES: &[(&str, usize, &str)] = &[
    ("add", 17, "adds products to the sums that an invocation of the kernel holds"),
    ("add_four", 2, "vec4 that wait in workgroup memory, to the first of them"),
    ("add_row", 3, "the same, of one row of them"),
    ("element", 2, "of a window: zero outside of the picture or the least number"),
    ("join", 5, "adds up two of what the kernel sums: moments or sums of tiles"),
    ("load", 7, "what a lane loads at a time"),
    ("load_column", 3, "what a lane loads at a time"),
    ("load_columns", 2, "pixels or taps"),
    ("load_gradient", 7, "what a lane loads of dy at a time"),
    ("load_input", 2, "what a lane loads of x at a time"),
    ("load_of_dy", 2, "what a lane loads of dy for a tile"),
    ("load_of_x", 2, "what a lane loads of x for a tile"),
    ("load_row", 6, "what a lane loads of a row of x at a time"),
    ("load_rows", 2, "channels of the weight or of dy"),
    ("load_taps", 3, "9 taps of own or shared lanes, or 81"),
    ("load_vec4", 3, "four elements of a tile, or of x"),
    ("row_at", 3, "a row of a tile in workgroup memory"),
    ("slide", 2, "moves a window along a row of a tile"),
    ("spread", 3, "hands what lanes loaded to all: as many as the kernel shares"),
    ("stage", 2, "a slice along taps or along pixels"),
    ("start", 5, "the bias in all sums that an invocation of the kernel holds"),
    ("store", 17, "the results that an invocation of the kernel holds"),
    ("store_four", 3, "four of these"),
    ("store_matrices", 2, "to y or to a split of dw"),
    ("store_moments", 2, "of 32 or 64 pixels"),
    ("store_row", 9, "a row of these"),
    ("store_rows", 2, "to y or to a split of dw"),
    ("store_vec4", 2, "four of these"),
    ("tap", 2, "of the weight in workgroup memory"),
    ("transform", 5, "by B, G, A or a transpose of these"),
    ("transform_rows", 2, "of 6 or of 4 rows"),
];

/// The structs in storage buffers of a shader, and where they differ from those of the host.
fn compare_structs(source: &str, layouts: &[TableLayout]) -> (BTreeSet<String>, Vec<String>) {
    let module = parse(source);
    let (mut found, mut faults) = (BTreeSet::new(), Vec::new());
    for (_, global) in module.global_variables.iter() {
        if matches!(global.space, AddressSpace::Storage { .. }) {
            compare_type(&module, &module.types[global.ty], layouts, &mut found, &mut faults);
        }
    }
    (found, faults)
}

fn compare_type(
    module: &Module,
    ty: &Type,
    layouts: &[TableLayout],
    found: &mut BTreeSet<String>,
    faults: &mut Vec<String>,
) {
    match &ty.inner {
        TypeInner::Array { base, stride, .. } => {
            let element = &module.types[*base];
            compare_type(module, element, layouts, found, faults);
            let layout = layouts.iter().find(|layout| element.name.as_deref() == Some(layout.name));
            if let Some(layout) = layout.filter(|layout| layout.size != *stride as usize) {
                faults.push(format!("elements {stride} bytes apart, struct {} has {}", layout.name, layout.size));
            }
        }
        TypeInner::Struct { members, span } => {
            let name = ty.name.clone().unwrap_or_default();
            let Some(layout) = layouts.iter().find(|layout| layout.name == name) else {
                faults.push(format!("the host has no struct {name}"));
                return;
            };
            found.insert(name.clone());
            let (fields, rows) = match members.split_last() {
                Some((last, others)) if is_unsized(module, last) => (others, Some(last)),
                _ => (&members[..], None),
            };
            let of_wgsl: Vec<(String, String, usize)> = fields.iter().map(|field| describe(module, field)).collect();
            let field = |field: &ops::TableField| (field.name.to_string(), field.wgsl.to_string(), field.offset);
            let of_host: Vec<_> = layout.fields.iter().map(field).collect();
            if of_wgsl != of_host {
                faults.push(format!("struct {name} is {of_wgsl:?}, on the host {of_host:?}"));
            }
            let end = rows.map_or(*span as usize, |rows| rows.offset as usize);
            if end != layout.size {
                faults.push(format!("struct {name} has {end} bytes, on the host {}", layout.size));
            }
            let rows = rows.map(|rows| describe(module, rows));
            let of_wgsl = rows.as_ref().map(|(name, ty, _)| (name.as_str(), ty.as_str()));
            if of_wgsl != layout.rows {
                faults.push(format!("struct {name} ends in {of_wgsl:?}, on the host in {:?}", layout.rows));
            }
            for member in members {
                let ty = &module.types[member.ty];
                if matches!(ty.inner, TypeInner::Array { .. } | TypeInner::Struct { .. }) {
                    compare_type(module, ty, layouts, found, faults);
                }
            }
        }
        _ => {}
    }
}

fn is_unsized(module: &Module, member: &StructMember) -> bool {
    matches!(module.types[member.ty].inner, TypeInner::Array { size: ArraySize::Dynamic, .. })
}

/// Name, type and offset of a field; of an array, the type of its elements.
fn describe(module: &Module, member: &StructMember) -> (String, String, usize) {
    (member.name.clone().unwrap_or_default(), type_name(module, &module.types[member.ty]), member.offset as usize)
}

/// As WGSL writes it, `u32` or `vec3i`.
fn type_name(module: &Module, ty: &Type) -> String {
    let letter = |kind| match kind {
        ScalarKind::Sint => "i",
        ScalarKind::Uint => "u",
        ScalarKind::Float => "f",
        _ => "?",
    };
    match &ty.inner {
        TypeInner::Scalar(scalar) => format!("{}{}", letter(scalar.kind), 8 * scalar.width),
        TypeInner::Vector { size, scalar } => {
            let size = match size {
                VectorSize::Bi => 2,
                VectorSize::Tri => 3,
                VectorSize::Quad => 4,
            };
            format!("vec{size}{}", letter(scalar.kind))
        }
        TypeInner::Array { base, .. } => type_name(module, &module.types[*base]),
        _ => ty.name.clone().unwrap_or_default(),
    }
}

/// Where functions of one name have more or fewer bodies than `listed` says, one where it says nothing.
fn compare_functions<'a>(
    shaders: impl Iterator<Item = (&'a str, &'a str)>,
    listed: &[(&str, usize, &str)],
) -> Vec<String> {
    let mut bodies: BTreeMap<&str, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
    for (shader, source) in shaders {
        for (name, body) in functions(source) {
            bodies.entry(name).or_default().entry(body).or_default().push(shader);
        }
    }
    let allowed = |name: &str| listed.iter().find(|(listed, ..)| *listed == name).map_or(1, |&(_, count, _)| count);
    let differ = |(&name, of_name): (&&str, &BTreeMap<String, Vec<&str>>)| {
        let files: Vec<String> = of_name.values().map(|files| files.join(", ")).collect();
        let (count, allowed) = (files.len(), allowed(name));
        (count != allowed).then(|| format!("{name} has {count} bodies, not {allowed}: {}", files.join(" | ")))
    };
    let gone = listed.iter().filter(|(name, ..)| !bodies.contains_key(name));
    bodies.iter().filter_map(differ).chain(gone.map(|(name, ..)| format!("no shader has {name}"))).collect()
}

/// Name and text of each function but `main`, without comments and white space.
fn functions(source: &str) -> Vec<(&str, String)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (start, _) in tokens.iter().enumerate().filter(|(_, token)| **token == "fn") {
        let (mut end, mut depth) = (start, 0);
        loop {
            end += 1;
            match tokens[end] {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                _ => {}
            }
        }
        if tokens[start + 1] != "main" {
            found.push((tokens[start + 1], tokens[start..=end].join(" ")));
        }
    }
    found
}

/// Where the F16 substitution of a kernel differs from what reflection finds.
fn compare_aliases(kernel: &Kernel) -> Vec<String> {
    let (name, tokens) = (kernel.name, tokens(kernel.source));
    let (mut faults, mut all) = (Vec::new(), BTreeSet::new());
    let of_dtypes: BTreeSet<&str> =
        tokens.windows(5).filter(|it| it[0] == "alias" && it[2..] == ["=", "f32", ";"]).map(|it| it[1]).collect();
    for alias in &of_dtypes {
        let declaration = tokens.windows(4).find(|it| it[0] == "alias" && it[1] == *alias).expect("as found above");
        let at = declaration[3].as_ptr() as usize - kernel.source.as_ptr() as usize;
        let mut changed = kernel.source.to_string();
        changed.replace_range(at..at + "f32".len(), "f16");
        let bindings = f16_storage(&format!("enable f16;\n{changed}"));
        let set: F16Bindings = bindings.iter().copied().collect();
        if !kernel.accepts(set) {
            faults.push(format!("{name}: alias {alias} is of {bindings:?}, which the kernel does not accept"));
        } else if f16_storage(&kernel.source_for(set)) != bindings {
            faults.push(format!("{name}: alias {alias} is of {bindings:?}, which are not all substituted"));
        }
        all.extend(bindings);
    }
    if all.iter().copied().collect::<F16Bindings>() != kernel.f16_bindings() {
        faults.push(format!("{name}: aliases are of {all:?}, the kernel says {:?}", kernel.f16_bindings()));
    }
    // Aliases of anything else, which nothing substitutes.
    let aliases: BTreeSet<&str> = tokens.windows(2).filter(|it| it[0] == "alias").map(|it| it[1]).collect();
    for (start, _) in tokens.iter().enumerate().filter(|(_, token)| **token == "binding") {
        let declaration = tokens[start..].iter().take_while(|token| **token != ";");
        let others = declaration.filter(|token| aliases.contains(*token) && !of_dtypes.contains(*token));
        faults.extend(others.map(|alias| format!("{name}: a buffer of alias {alias}, which is none of f32")));
    }
    faults
}

/// The storage bindings of a shader that hold f16.
fn f16_storage(source: &str) -> BTreeSet<usize> {
    let module = parse(source);
    let holds_f16 = |(_, global): &(_, &naga::GlobalVariable)| {
        let mut ty = &module.types[global.ty].inner;
        while let TypeInner::Array { base, .. } = ty {
            ty = &module.types[*base].inner;
        }
        matches!(global.space, AddressSpace::Storage { .. })
            && matches!(ty, TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } if scalar.width == 2)
    };
    let bindings = module.global_variables.iter().filter(holds_f16);
    bindings.filter_map(|(_, global)| global.binding.map(|at| at.binding as usize)).collect()
}

fn parse(source: &str) -> Module {
    naga::front::wgsl::parse_str(source).unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)))
}

/// The words and signs of WGSL, without comments.
fn tokens(source: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, behind)| behind);
        } else if rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, behind)| behind);
        } else {
            let end = if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
            tokens.push(&rest[..end]);
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    tokens
}

mod the_checks_fail {
    use super::*;

    const LAYOUT: TableLayout = TableLayout {
        name: "Extents",
        fields: &[
            ops::TableField { name: "height", wgsl: "u32", offset: 0 },
            ops::TableField { name: "width", wgsl: "u32", offset: 4 },
        ],
        size: 8,
        rows: None,
    };

    fn structs(extents: &str, ty: &str) -> String {
        let main = "@compute @workgroup_size(1) fn main() {}";
        let source =
            format!("struct Extents {{ {extents} }} @group(0) @binding(0) var<storage, read> it: {ty}; {main}");
        compare_structs(&source, &[LAYOUT]).1.join("\n")
    }

    #[test]
    fn on_structs_that_differ() {
        assert_eq!(structs("height: u32, width: u32", "Extents"), "");
        assert_eq!(structs("height: u32, width: u32", "array<Extents>"), "");
        assert!(structs("width: u32, height: u32", "Extents").contains("on the host"));
        assert!(structs("height: u32, width: i32", "array<Extents>").contains("on the host"));
        assert!(structs("height: u32, @align(16) width: u32", "Extents").contains("16"));
        assert!(structs("height: u32, @size(8) width: u32", "Extents").contains("12 bytes, on the host 8"));
        assert!(structs("height: u32, @align(8) width: u32", "array<Extents>").contains("16 bytes apart"));
        assert!(structs("height: u32, width: u32, rows: array<u32>", "Extents").contains("ends in"));
        let source = "struct Other { it: u32 } @group(0) @binding(0) var<storage, read> it: array<Other>;";
        assert_eq!(compare_structs(source, &[LAYOUT]).1, ["the host has no struct Other"]);
    }

    #[test]
    fn on_functions_that_differ() {
        let (one, same) =
            ("fn f(x: f32) -> f32 { return x; }", "// As there.\nfn f(x: f32) -> f32 {\n    return x;\n}");
        let other = "fn f(x: f32) -> f32 { if x > 0.0 { return x; } return 0.0; } fn g() {}";
        let compare = |sources: &[&'static str], listed: &[(&str, usize, &str)]| {
            compare_functions(sources.iter().map(|&source| ("shader", source)), listed)
        };
        assert!(compare(&[one, same], &[]).is_empty());
        assert_eq!(compare(&[one, same, other], &[]).len(), 1);
        assert!(compare(&[one, same, other], &[("f", 2, "")]).is_empty());
        assert_eq!(compare(&[one, same], &[("f", 2, ""), ("h", 1, "")]).len(), 2);
    }

    fn aliases(declarations: &str) -> String {
        let source = format!("{declarations}\nfn f(x: f32) -> f32 {{ return x; }}").leak();
        compare_aliases(&Kernel::new("test/test", "", source)).join("\n")
    }

    #[test]
    fn on_aliases_that_are_not_found() {
        assert_eq!(aliases("alias X = f32; @group(0) @binding(0) var<storage, read> x: array<vec4<X>>;"), "");
        assert_eq!(aliases("alias X\n    = f32;\n@group(0) @binding(0)\nvar<storage, read> x:\n    array<X>;"), "");
        assert_eq!(aliases("alias X = f32; // alias Y = f32;\n@binding(0) @group(0) var<storage> x: array<X>;"), "");
        let fault = aliases("alias X = f32; alias X4 = vec4<X>; @group(0) @binding(0) var<storage> x: array<X4>;");
        assert!(fault.contains("does not accept") && fault.contains("X4, which is none of f32"), "{fault}");
        let fault = aliases("alias X = f32; @group(0) @binding(0) var<storage> x: array<vec2<X>>;");
        assert!(fault.contains("does not accept"), "{fault}");
    }
}
