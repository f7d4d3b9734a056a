//! Every shader's header has the parts that `shaders/README.md` names, in their order.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

const PARTS: [&str; 5] = ["Computes", "Grid", "Memory", "Why", "Measured"];

/// Words in capitals that are not constants.
const WORDS: [&str; 6] = ["CPU", "GPU", "CVPR", "DITN", "GFLOP", "SGD"];

fn shaders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("src/gpu/cooperative.wgsl")];
    let mut folders = vec![root.join("shaders")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wgsl") {
                files.push(path);
            }
        }
    }
    files
}

/// The comment that a shader begins with, line by line, and the rest.
fn split(source: &str) -> (Vec<&str>, String) {
    let header: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//")).collect();
    let rest = source.lines().skip(header.len()).collect::<Vec<_>>().join("\n");
    (header, rest)
}

/// The names of shaders in a text.
fn files_named(text: &str) -> impl Iterator<Item = &str> {
    let separates = |it: char| !(it.is_alphanumeric() || "_/.".contains(it));
    text.split(separates).map(|word| word.trim_end_matches('.')).filter(|word| word.ends_with(".wgsl"))
}

/// The words in capitals of a text, of three letters or more.
fn constants_named(text: &str) -> impl Iterator<Item = &str> {
    let is_capital = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_';
    text.split(|it: char| !(it.is_alphanumeric() || it == '_'))
        .filter(move |word| word.len() > 2 && word.starts_with(char::is_alphabetic) && word.chars().all(is_capital))
        .filter(|word| word.chars().filter(char::is_ascii_uppercase).count() > 1)
}

#[test]
fn every_header_has_a_formula_and_then_the_five_parts_in_order() {
    for path in shaders() {
        let source = fs::read_to_string(&path).expect("a readable file");
        let (header, rest) = split(&source);
        let label = |line: &&str| {
            let (label, text) = line.strip_prefix(' ')?.split_once(':')?;
            PARTS.contains(&label).then_some((label.to_string(), text.trim().to_string()))
        };
        let found: Vec<(String, String)> = header.iter().filter_map(label).collect();
        let labels: Vec<&str> = found.iter().map(|(label, _)| label.as_str()).collect();
        let path = path.display();
        assert_eq!(labels, PARTS, "{path}: the parts of the header");
        assert!(found.iter().all(|(_, text)| !text.is_empty()), "{path}: a part says nothing");
        assert!(label(&header[0]).is_none() && header[0].len() > 1, "{path}: begins without a formula");
        assert!(rest.starts_with('\n'), "{path}: no blank line behind the header");
    }
}

#[test]
fn what_headers_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    for path in shaders() {
        let source = fs::read_to_string(&path).expect("a readable file");
        let (header, rest) = split(&source);
        let folder = path.parent().expect("a file in a folder");
        let known: HashSet<&str> = constants_named(&rest).chain(WORDS).collect();
        for line in header {
            for name in files_named(line) {
                assert!(
                    folder.join(name).exists() || root.join(name).exists(),
                    "{}: there is no {name}",
                    path.display()
                );
            }
            for name in constants_named(line) {
                assert!(known.contains(name), "{}: there is no {name}", path.display());
            }
        }
    }
}
