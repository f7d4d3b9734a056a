//! The cases of all operators with what their references give: every kernel, to be run and edited in a page.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::WebError;
use super::bundle::{Bundle, Tensors};
use super::numbers::{PRINT, fingerprint, hash, uniform};
use super::plan::PlanFile;
use super::references::{Reference, references};
use super::target::Target;
use crate::bench::probe;
use crate::graph::{Plan, Workload};
use crate::ir::{Kernel, ValueId};
use crate::ops::{Fill, OperatorCase, cases};

/// Elements of a result that are compared one by one; of a larger one every few are, and the fingerprint of all.
const ELEMENTS: usize = 4096;

/// The file of the cases' tensors.
const TENSORS: &str = "tensors/cases.safetensors";

#[derive(Serialize)]
struct Kernels {
    tensors: &'static str,
    kernels: Vec<KernelEntry>,
    references: BTreeMap<&'static str, Reference>,
    cases: Vec<CaseEntry>,
}

#[derive(Serialize)]
struct KernelEntry {
    name: &'static str,
    summary: &'static str,
    operators: BTreeSet<&'static str>,
}

#[derive(Serialize)]
struct CaseEntry {
    operator: &'static str,
    title: String,
    inputs: Vec<Input>,
    outputs: Vec<String>,
    variants: Vec<VariantEntry>,
}

#[derive(Serialize)]
struct Input {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uniform: Option<[f32; 2]>,
}

#[derive(Serialize)]
struct VariantEntry {
    name: &'static str,
    tolerance: f64,
    normwise: bool,
    kernels: Vec<&'static str>,
    plan: PlanFile,
}

/// Adds `kernels.json`, the cases' tensors and all kernels that they use; returns the number of variants of cases.
pub(super) fn add(bundle: &mut Bundle, path: &str) -> Result<usize, WebError> {
    let mut tensors = Tensors::default();
    let mut used: BTreeMap<&'static str, (&'static Kernel, BTreeSet<&'static str>)> = BTreeMap::new();
    let mut entries = Vec::new();
    for (number, case) in cases().into_iter().chain(probe::cases()).enumerate() {
        let inputs = inputs_of(&case, number, &mut tensors);
        let outputs = expected(&case, &inputs, number, &mut tensors);
        let variants = variants_of(&case, &outputs)?;
        for kernel in variants.iter().flat_map(|variant| variant.plan.kernels()) {
            used.entry(kernel.name).or_insert((kernel, BTreeSet::new())).1.insert(case.operator.name());
        }
        entries.push(CaseEntry {
            operator: case.operator.name(),
            title: title(&case),
            inputs: inputs.into_iter().map(|(input, _)| input).collect(),
            outputs,
            variants,
        });
    }
    bundle.kernels(&used.values().map(|(kernel, _)| *kernel).collect::<Vec<_>>());
    let kernels = used.into_values();
    let kernels =
        kernels.map(|(kernel, operators)| KernelEntry { name: kernel.name, summary: kernel.summary, operators });
    let number = entries.iter().map(|case| case.variants.len()).sum();
    let file = Kernels { tensors: TENSORS, kernels: kernels.collect(), references: references(), cases: entries };
    bundle.json(path, &file)?;
    bundle.tensors(TENSORS, &tensors)?;
    Ok(number)
}

/// Operator, attributes and shapes.
fn title(case: &OperatorCase) -> String {
    let attributes = case.operator.attributes();
    let shapes: Vec<String> = case.inputs.iter().map(|(shape, _)| shape.to_string()).collect();
    [case.operator.name().to_owned(), attributes, shapes.join(" ")].join(" ").replace("  ", " ")
}

/// The inputs with their contents. Uniform ones are drawn in the page.
fn inputs_of(case: &OperatorCase, number: usize, tensors: &mut Tensors) -> Vec<(Input, Vec<f32>)> {
    let seed = |input: usize| hash((1000 * number + input) as u32);
    let drawn = |(input, (shape, fill)): (usize, &(crate::ir::Shape, Fill))| {
        let name = format!("input {input}");
        let elements = shape.elements();
        if let Fill::Uniform(low, high) = *fill {
            return (Input { name, uniform: Some([low, high]) }, uniform(elements, low, high, seed(input)));
        }
        let data = fill.draw(elements, &mut ChaCha8Rng::seed_from_u64(u64::from(seed(input))));
        let bits: &[u32] = bytemuck::cast_slice(&data);
        tensors.words(format!("{number}.{name}"), shape.extents().to_vec(), bits);
        (Input { name, uniform: None }, data)
    };
    case.inputs.iter().enumerate().map(drawn).collect()
}

/// Adds what the reference gives for the inputs, with each element's magnitude; returns the names of the results.
fn expected(case: &OperatorCase, inputs: &[(Input, Vec<f32>)], number: usize, tensors: &mut Tensors) -> Vec<String> {
    let data: Vec<Vec<f32>> = inputs.iter().map(|(_, data)| data.clone()).collect();
    let exact = case.exact(&data);
    let (shapes, slices): (Vec<_>, Vec<&[f64]>) =
        case.inputs.iter().map(|(shape, _)| shape).zip(exact.iter().map(Vec::as_slice)).unzip();
    let results = case.operator.reference(&shapes, &slices);
    let magnitudes = case.operator.magnitudes(&shapes, &slices);
    let outputs = results.iter().zip(&magnitudes).enumerate().map(|(output, (result, magnitudes))| {
        let name = format!("output {output}");
        let rounded: Vec<f32> = result.iter().map(|&x| x as f32).collect();
        // Odd, to meet every column of rows of even length.
        let every = rounded.len().div_ceil(ELEMENTS) | 1;
        if every > 1 {
            tensors.floats(format!("{number}.print {output}"), vec![PRINT], &fingerprint(&rounded));
        }
        let rounded: Vec<f32> = rounded.into_iter().step_by(every).collect();
        let magnitudes: Vec<f64> = magnitudes.iter().copied().step_by(every).collect();
        tensors.floats(format!("{number}.{name}"), vec![rounded.len()], &rounded);
        tensors.upper_halves(format!("{number}.magnitude {output}"), vec![magnitudes.len()], &magnitudes);
        name
    });
    outputs.collect()
}

/// Every variant that some target has, each once.
fn variants_of(case: &OperatorCase, names: &[String]) -> Result<Vec<VariantEntry>, WebError> {
    let mut entries: Vec<VariantEntry> = Vec::new();
    for target in [Target::default_limits(), Target::subgroups_of_8()] {
        let inputs = case.inputs.iter().map(|(shape, _)| shape.clone()).collect();
        let workload = Workload::of_operator(Arc::clone(&case.operator), inputs);
        for variant in workload.variants(&target.capabilities)? {
            if entries.iter().any(|entry| entry.name == variant.name) {
                continue;
            }
            let (graph, inputs, outputs) = workload.graph()?;
            let overwritten: Vec<ValueId> = case.operator.overwrites().iter().map(|&input| inputs[input]).collect();
            let results = if overwritten.is_empty() { outputs.clone() } else { overwritten };
            let plan = Plan::with_variants(graph, &outputs, &target.capabilities, |_, _, mut variants| {
                let number = variants.iter().position(|other| other.name == variant.name).unwrap_or(0);
                variants.swap_remove(number)
            })?;
            let named: Vec<(String, ValueId)> = names.iter().cloned().zip(results).collect();
            let plan = PlanFile::new(&title(case), &target, &plan, &named, &HashMap::new());
            entries.push(VariantEntry {
                name: variant.name,
                // The reference is rounded to float32, by half a unit of its last place.
                tolerance: variant.accuracy.tolerance(case.tolerance) + 1.0,
                normwise: variant.normwise,
                kernels: plan.kernels().iter().map(|kernel| kernel.name).collect(),
                plan,
            });
        }
    }
    Ok(entries)
}
