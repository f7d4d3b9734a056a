//! The order of the rooms of `src/`, read from its `use` lines and paths: who may import whom, where wgpu is named, that no
//! files import each other in a circle, and that no file is longer than a reader can hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// From the lowest room up: each imports only rooms before it.
const ROOMS: [&str; 19] = [
    "plot", "files", "ranks", "ir", "gpu", "ops", "graph", "nn", "data", "metrics", "models", "onnx", "predict",
    "train", "verify", "bench", "report", "web", "cli",
];

/// Rooms that import less than all below them.
const NARROWER: [(&str, &[&str]); 5] = [("plot", &[]), ("files", &[]), ("ranks", &[]), ("ir", &[]), ("gpu", &["ir"])];

/// Who imports `plot`, which knows nothing of the crate.
const PLOTTERS: [&str; 4] = ["bench", "report", "train", "cli"];

/// Imports that close a circle which is in the nature of the thing.
const ALLOWED: [(&str, &str); 1] = [
    // A graph holds operators, and their gradient rules append nodes to a graph.
    ("src/ir/operator.rs", "src/ir/graph.rs"),
];

const MOST_LINES: usize = 500;

/// A source file of the crate and what it imports of it.
struct Source {
    /// Path from the root of the project.
    file: String,
    /// The module's path below the crate: `["ops", "relu"]`.
    module: Vec<String>,
    imports: Vec<Import>,
}

/// A path of the crate that a file names.
#[derive(Clone)]
struct Import {
    line: usize,
    /// From the crate down: `["ops", "relu", "Relu"]`.
    path: Vec<String>,
    /// The name under which a `use` brings it in.
    name: Option<String>,
}

impl fmt::Display for Import {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "crate::{}", self.path.join("::"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder` with one of these extensions.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path.extension().is_some_and(|kind| extensions.iter().any(|wanted| kind == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/")
}

/// The code of a file, each comment and string literal as blanks, without the unit tests at its end.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut code = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(here) = rest.next() {
        match (here, rest.peek()) {
            ('/', Some('/')) => while rest.next_if(|next| *next != '\n').is_some() {},
            ('"', _) => {
                code.push_str("\"\"");
                while let Some(next) = rest.next() {
                    match next {
                        '\\' => {
                            rest.next();
                        }
                        '"' => break,
                        '\n' => code.push('\n'),
                        _ => {}
                    }
                }
            }
            // A character literal; a lifetime has no second quote.
            ('\'', Some(_)) => {
                let ahead: Vec<char> = rest.clone().take(3).collect();
                let length = if ahead.first() == Some(&'\\') { 3 } else { 2 };
                if ahead.get(length - 1) == Some(&'\'') {
                    rest.nth(length - 1);
                }
            }
            _ => code.push(here),
        }
    }
    code
}

/// Every path that a tree of a `use` stands for: `a::{b, c::d as e}` is `a::b` and `a::c::d`, with the names b and e.
fn leaves(tree: &str, before: &[String]) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
        let mut segments = before.to_vec();
        segments
            .extend(path.split("::").map(|segment| segment.trim().to_string()).filter(|segment| !segment.is_empty()));
        if segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        let name = name.map(str::trim).map(String::from).or(segments.last().cloned()).unwrap_or_default();
        return vec![(segments, name)];
    };
    let mut before = before.to_vec();
    before.extend(tree[..open].split("::").map(str::trim).filter(|segment| !segment.is_empty()).map(String::from));
    let inside = tree[open + 1..].trim_end().trim_end_matches('}');
    // The tree's own closing brace is the last; what is inside is split where no brace is open.
    let inside = if inside.matches('{').count() > inside.matches('}').count() {
        &tree[open + 1..tree.trim_end().len() - 1]
    } else {
        inside
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, here) in inside.char_indices() {
        match here {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(leaves(&inside[start..at], &before));
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inside[start..].trim().is_empty() {
        found.extend(leaves(&inside[start..], &before));
    }
    found
}

fn is_name(here: char) -> bool {
    here.is_alphanumeric() || here == '_'
}

/// All modules of the crate by their paths, and of each what it imports.
fn sources() -> Vec<Source> {
    let paths = files(&root().join("src"), &["rs"]);
    let module = |path: &Path| -> Vec<String> {
        let file = path.strip_prefix(root().join("src")).expect("below src").with_extension("");
        let mut module: Vec<String> = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib") {
            module.pop();
        }
        module
    };
    let modules: BTreeSet<Vec<String>> = paths.iter().map(|path| module(path)).collect();
    let own = paths.iter().filter(|path| !path.ends_with("main.rs"));
    own.map(|path| {
        let module = module(path);
        let imports = imports(&code(path), &module, &modules);
        Source { file: relative(path), module, imports }
    })
    .collect()
}

/// What the code of `module` names of the crate: in `use` declarations, and in paths that begin with `crate`, `super` or a
/// child module.
fn imports(code: &str, module: &[String], modules: &BTreeSet<Vec<String>>) -> Vec<Import> {
    let absolute = |segments: &[String]| -> Option<Vec<String>> {
        let mut path = module.to_vec();
        let mut segments = segments.iter().peekable();
        match segments.peek().map(|first| first.as_str()) {
            Some("crate") => {
                path.clear();
                segments.next();
            }
            Some("self") => {
                segments.next();
            }
            Some("super") => {
                while segments.next_if(|segment| *segment == "super").is_some() {
                    path.pop();
                }
            }
            Some(first) => {
                let child = [module, &[first.to_string()]].concat();
                if !modules.contains(&child) {
                    return None;
                }
            }
            None => return None,
        }
        path.extend(segments.cloned());
        Some(path)
    };
    let line_of = |at: usize| code[..at].matches('\n').count() + 1;
    let mut found = Vec::new();
    let mut declarations = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line_start = code[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let before = code[line_start..at].trim();
        if !(before.is_empty() || before.starts_with("pub")) {
            continue;
        }
        let end = at + code[at..].find(';').expect("a declaration ends");
        declarations.push(at..end);
        for (segments, name) in leaves(&code[at + 4..end], &[]) {
            let path = absolute(&segments);
            found.extend(path.map(|path| Import { line: line_of(at), path, name: Some(name) }));
        }
    }
    for (at, _) in code.match_indices("::") {
        if declarations.iter().any(|declaration| declaration.contains(&at)) {
            continue;
        }
        let start = code[..at].rfind(|here: char| !is_name(here)).map_or(0, |before| before + 1);
        let is_first = !code[..start].ends_with("::") && !code[..start].ends_with("in ") && start < at;
        if !is_first {
            continue;
        }
        let end = at + code[at..].find(|here: char| !is_name(here) && here != ':').unwrap_or(code.len() - at);
        let segments: Vec<String> =
            code[start..end].split("::").filter(|segment| !segment.is_empty()).map(String::from).collect();
        let path = absolute(&segments);
        found.extend(path.map(|path| Import { line: line_of(start), path, name: None }));
    }
    found
}

/// The file that an imported path is defined in: that of its longest module, or, where this brings the name in itself from
/// elsewhere in the crate, of that.
fn defined_in(path: &[String], by_module: &BTreeMap<Vec<String>, &Source>) -> String {
    let length = (0..=path.len()).rev().find(|&length| by_module.contains_key(&path[..length])).expect("the crate");
    let source = by_module[&path[..length]];
    let Some(item) = path.get(length) else { return source.file.clone() };
    let brought_in = source.imports.iter().find(|import| import.name.as_ref() == Some(item));
    match brought_in.filter(|import| import.path != path) {
        Some(import) => defined_in(&[&import.path[..], &path[length + 1..]].concat(), by_module),
        None => source.file.clone(),
    }
}

/// (importing source, import, file that it is defined in), for every import from another file.
fn edges(sources: &[Source]) -> Vec<(&Source, &Import, String)> {
    let by_module: BTreeMap<Vec<String>, &Source> =
        sources.iter().map(|source| (source.module.clone(), source)).collect();
    let all = sources.iter().flat_map(|source| source.imports.iter().map(move |import| (source, import)));
    let resolved = all.map(|(source, import)| (source, import, defined_in(&import.path, &by_module)));
    resolved.filter(|(source, _, file)| source.file != *file).collect()
}

/// The room of a file: `ops` of `src/ops/relu.rs`, `plot` of `src/plot.rs`; none of the crate's own file.
fn room(file: &str) -> Option<&str> {
    let name = file.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (name != "lib").then_some(name)
}

fn fail_with(what: &str, found: &BTreeSet<String>) {
    let list: Vec<&str> = found.iter().map(String::as_str).collect();
    assert!(found.is_empty(), "{what}:\n  {}\n", list.join("\n  "));
}

#[test]
fn every_room_imports_only_rooms_below_it() {
    let sources = sources();
    let rank = |room: &str| ROOMS.iter().position(|other| *other == room);
    let mut wrong = BTreeSet::new();
    for (source, import, file) in edges(&sources) {
        let place = format!("{}:{}", source.file, import.line);
        let Some(from) = room(&source.file) else { continue };
        let Some(from_rank) = rank(from) else {
            wrong.insert(format!("{}: the room '{from}' has no place in ROOMS", source.file));
            continue;
        };
        let Some(to) = room(&file) else {
            wrong.insert(format!("{place}: {import} is the crate's own, which no room imports"));
            continue;
        };
        let narrower = NARROWER.iter().find(|(room, _)| *room == from).map(|(_, allowed)| *allowed);
        let allowed = from == to
            || narrower.map_or(rank(to).is_some_and(|to_rank| to_rank < from_rank), |allowed| allowed.contains(&to))
                && (to != "plot" || PLOTTERS.contains(&from));
        if !allowed {
            wrong.insert(format!("{place}: {from} imports {import} of {file}"));
        }
    }
    fail_with("imports against the order of rooms", &wrong);
}

/// A module's own file (`x/mod.rs` or `x.rs`) declares, re-exports and dispatches to its children, and they use what it
/// defines for all of them: that is one thing in several files, and no circle. All others are, but those of `ALLOWED`.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let mut imported: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    for (source, import, file) in edges(&sources) {
        let parent = file.strip_suffix("/mod.rs").or(file.strip_suffix(".rs")).expect("a source file");
        let to_parent = source.file.starts_with(&format!("{parent}/"));
        let is_allowed = ALLOWED.contains(&(source.file.as_str(), file.as_str()));
        if !to_parent && !is_allowed && room(&file).is_some() && room(&source.file).is_some() {
            imported.entry(&source.file).or_default().entry(file).or_insert(import.line);
        }
    }
    let mut circles = BTreeSet::new();
    for (start, first) in &imported {
        // The shortest way back to the file, breadth first.
        let mut ways: Vec<Vec<&str>> = first.keys().map(|file| vec![*start, file.as_str()]).collect();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut next = 0;
        while let Some(way) = ways.get(next).cloned() {
            next += 1;
            let last = way[way.len() - 1];
            if last == *start {
                let smallest = way.iter().min() == Some(start);
                let steps = way
                    .windows(2)
                    .map(|pair| format!("{}:{} imports {}", pair[0], imported[pair[0]][pair[1]], pair[1]));
                circles.extend(smallest.then(|| steps.collect::<Vec<_>>().join(", ")));
                break;
            }
            if seen.insert(last) {
                let onward = imported.get(last).into_iter().flat_map(|files| files.keys());
                ways.extend(onward.map(|file| [&way[..], &[file.as_str()]].concat()));
            }
        }
    }
    fail_with("circles of imports", &circles);
}

#[test]
fn only_gpu_names_wgpu() {
    let mut wrong = BTreeSet::new();
    for path in files(&root().join("src"), &["rs"]) {
        let file = relative(&path);
        if room(&file) == Some("gpu") {
            continue;
        }
        for (number, line) in code(&path).lines().enumerate() {
            if line.split(|here| !is_name(here)).any(|word| word == "wgpu" || word.starts_with("wgpu_")) {
                wrong.insert(format!("{file}:{}", number + 1));
            }
        }
    }
    fail_with("wgpu outside src/gpu", &wrong);
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let folders = ["src", "shaders", "tests", "kernels-tests", "benches", "examples", "tools"];
    let mut long = BTreeSet::new();
    for path in folders.iter().flat_map(|folder| files(&root().join(folder), &["rs", "wgsl", "py", "sh"])) {
        let lines = std::fs::read_to_string(&path).expect("a text").lines().count();
        if lines > MOST_LINES {
            long.insert(format!("{}: {lines} lines", relative(&path)));
        }
    }
    fail_with("files of more than 500 lines", &long);
}

#[test]
fn the_reader_of_imports_finds_trees_paths_and_names() {
    let modules = ["ops", "ops::relu", "ir"].map(|path| path.split("::").map(String::from).collect::<Vec<_>>());
    let code = "use crate::ir::{Graph, kernel::{self, Kernel as K}};\npub use relu::Relu;\nfn f() { super::ir::g(); Vec::new() }";
    let found = imports(code, &modules[0].clone(), &modules.into_iter().collect());
    let found: Vec<_> = found.iter().map(|import| format!("{} {import} {:?}", import.line, import.name)).collect();
    let expected = [
        "1 crate::ir::Graph Some(\"Graph\")",
        "1 crate::ir::kernel Some(\"kernel\")",
        "1 crate::ir::kernel::Kernel Some(\"K\")",
        "2 crate::ops::relu::Relu Some(\"Relu\")",
        "3 crate::ir::g None",
    ];
    assert_eq!(found, expected);
}
