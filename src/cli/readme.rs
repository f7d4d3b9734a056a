//! Holds the commands of the READMEs against the command line: that each one's names and options exist.

use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;

use super::Cli;

/// A command of a README: the words behind `ditn`, and whether it is in a block of commands to type, where it must be whole.
struct Shown {
    place: String,
    words: Vec<String>,
    is_whole: bool,
}

/// The READMEs that give commands: their paths from the root of the project, and their texts.
fn readmes() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = ["README.md", "docs/reports/README.md", "docs/scale.md"].map(String::from).to_vec();
    for folder in std::fs::read_dir(root.join("datasets")).expect("a readable folder") {
        let name = folder.expect("a readable folder").file_name().to_string_lossy().into_owned();
        names.push(format!("datasets/{name}/README.md"));
    }
    let texts = names.into_iter().filter_map(|name| Some((std::fs::read_to_string(root.join(&name)).ok()?, name)));
    texts.map(|(text, name)| (name, text)).collect()
}

/// The words behind `ditn` of a command line, up to an explanation two spaces away, a comment or a redirection.
fn behind_ditn(line: &str) -> Option<Vec<String>> {
    let command = line.rsplit("&& ").next().unwrap_or(line).trim();
    let command = command.split("  ").next().unwrap_or_default();
    let mut words = command.split_whitespace().take_while(|word| !["#", ">", "|"].contains(word)).peekable();
    // A runner in front of the program: `target/newer_lavapipe/run target/release/ditn`.
    words.next_if(|word| word.ends_with("/run"));
    let program = words.next()?;
    if program == "cargo" {
        let arguments: Vec<&str> = words.collect();
        let split = arguments.iter().position(|word| *word == "--")?;
        // An example or another crate is another program.
        let others = ["--example", "--manifest-path"];
        let runs_ditn = arguments[0] == "run" && !arguments[..split].iter().any(|word| others.contains(word));
        return runs_ditn.then(|| arguments[split + 1..].iter().map(ToString::to_string).collect());
    }
    (program == "ditn" || program.ends_with("/ditn")).then(|| words.map(String::from).collect())
}

/// All commands of a README.
fn commands(name: &str, text: &str) -> Vec<Shown> {
    let (mut found, mut line) = (Vec::new(), 1);
    // Blocks are between lines of three backticks, spans in the text around them between single ones.
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 1 {
            let place = format!("{name}, block at line {line}");
            let block = part.split("\\\n").map(str::trim).collect::<Vec<_>>().join(" ");
            let lines = block.lines().filter_map(behind_ditn);
            found.extend(lines.map(|words| Shown { place: place.clone(), words, is_whole: true }));
            line += part.matches('\n').count();
            continue;
        }
        for (number, span) in part.split('`').enumerate() {
            let command = span.split_whitespace().collect::<Vec<_>>().join(" ");
            let words = if number % 2 == 1 { behind_ditn(&command) } else { None };
            found.extend(words.map(|words| Shown { place: format!("{name}:{line}"), words, is_whole: false }));
            line += span.matches('\n').count();
        }
    }
    found
}

#[test]
fn every_command_of_the_readmes_parses() {
    let mut whole = 0;
    for (name, text) in readmes() {
        for Shown { place, words, is_whole } in commands(&name, &text) {
            // `ditn` alone names the program; of alternatives `a|b` each is a word in its place.
            let alternatives = words.iter().map(|word| word.split('|').count()).max().unwrap_or(0);
            for choice in 0..alternatives {
                let word_of = |word: &String| word.split('|').nth(choice).or(word.split('|').next()).map(String::from);
                let words = words.iter().filter_map(word_of);
                let line: Vec<String> = std::iter::once("ditn".to_string()).chain(words).collect();
                whole += usize::from(is_whole);
                match Cli::try_parse_from(&line).map_err(|error| (error.kind(), error)) {
                    Ok(_) | Err((ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _)) => {}
                    // In running text a command may be named with only the option in question.
                    Err((ErrorKind::MissingRequiredArgument, _)) if !is_whole => {}
                    Err((_, error)) => panic!("{place}: {}\n{error}", line.join(" ")),
                }
            }
        }
    }
    assert!(whole >= 20, "only {whole} commands were found");
}

#[test]
fn commands_are_read_with_continuations_and_without_explanations() {
    let text = "Type `ditn kernels\nconv2d` or:\n```\ncargo run --release -- train A \\\n    --out B   to train\nditn bench --json > a.json\ncargo test\n```";
    let found: Vec<_> = commands("x", text).into_iter().map(|shown| (shown.words.join(" "), shown.is_whole)).collect();
    let expected = [("kernels conv2d", false), ("train A --out B", true), ("bench --json", true)];
    assert_eq!(found, expected.map(|(words, is_whole)| (words.to_string(), is_whole)));
}
