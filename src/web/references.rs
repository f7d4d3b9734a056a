//! The float64 references of the operators as text, for who reads their kernels in a browser.

use std::collections::BTreeMap;

use serde::Serialize;

/// The reference of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// Where it stands in the repository.
    pub file: &'static str,
    /// The function.
    pub source: String,
}

macro_rules! sources {
    ($($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $file)))),+]
    };
}

/// The files with operators; a test finds those that are missing.
const SOURCES: &[(&str, &str)] = sources![
    "src/bench/probe.rs",
    "src/ops/accumulate.rs",
    "src/ops/adam.rs",
    "src/ops/adamw.rs",
    "src/ops/add.rs",
    "src/ops/avg_pool.rs",
    "src/ops/batch_norm/fold.rs",
    "src/ops/batch_norm/mod.rs",
    "src/ops/batch_norm/running.rs",
    "src/ops/batch_norm/synchronised.rs",
    "src/ops/batch_norm/with_statistics.rs",
    "src/ops/concat.rs",
    "src/ops/conv2d/backward.rs",
    "src/ops/conv2d/forward.rs",
    "src/ops/conv2d/statistics.rs",
    "src/ops/coordinate_loss.rs",
    "src/ops/crop.rs",
    "src/ops/decode/mod.rs",
    "src/ops/dynamic_conv.rs",
    "src/ops/expectation.rs",
    "src/ops/flip.rs",
    "src/ops/gate.rs",
    "src/ops/gather_channels.rs",
    "src/ops/global_average_pool.rs",
    "src/ops/linear.rs",
    "src/ops/loss.rs",
    "src/ops/loss_scale.rs",
    "src/ops/max_pool.rs",
    "src/ops/over_ranks.rs",
    "src/ops/relu.rs",
    "src/ops/reshape.rs",
    "src/ops/resize.rs",
    "src/ops/rmsprop.rs",
    "src/ops/scale.rs",
    "src/ops/sgd.rs",
    "src/ops/softmax_cross_entropy.rs",
    "src/ops/targets/blurred.rs",
    "src/ops/targets/bones.rs",
    "src/ops/targets/coordinates.rs",
    "src/ops/targets/joints.rs",
    "src/ops/upsample.rs",
];

/// Those of all operators, by the operator's name.
pub fn references() -> BTreeMap<&'static str, Reference> {
    SOURCES.iter().flat_map(|&(file, text)| references_in(file, text)).collect()
}

fn references_in(file: &'static str, text: &'static str) -> Vec<(&'static str, Reference)> {
    let operators = text.split("\nimpl Operator for ").skip(1);
    // A name that the files of a folder share is the folder's.
    let folder = file.rsplit('/').nth(1).unwrap_or_default();
    let found = operators.filter_map(|rest| reference_in(rest, text));
    found.map(|(name, source)| (name.unwrap_or(folder), Reference { file, source })).collect()
}

/// Name and reference of the operator whose `impl` `rest` begins with.
fn reference_in(rest: &'static str, file: &'static str) -> Option<(Option<&'static str>, String)> {
    let body = rest.split("\n}\n").next()?;
    let name = between(body, "fn name(&self) -> &'static str {", "}")?.trim();
    // A literal, or a constant of the file.
    let name = match name.strip_prefix('"') {
        Some(name) => name.strip_suffix('"'),
        None => between(file, &format!("const {name}: &str = \""), "\""),
    };
    let function = between(body, "    fn reference(", "\n    }")?;
    let lines = format!("    fn reference({function}\n    }}");
    let lines = lines.lines().map(|line| line.strip_prefix("    ").unwrap_or(line));
    Some((name, lines.collect::<Vec<_>>().join("\n")))
}

/// What stands between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(start)?.1.split_once(end)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_has_its_reference() {
        let references = references();
        for case in crate::ops::cases().into_iter().chain(crate::bench::probe::cases()) {
            let name = case.operator.name();
            let reference = references.get(name).unwrap_or_else(|| panic!("no file of {name} in SOURCES"));
            assert!(reference.source.starts_with("fn reference(&self"), "{name}: {}", reference.source);
            assert!(reference.source.ends_with('}') && reference.source.lines().count() > 1, "{name}");
        }
    }
}
