//! Checks an operator on an adapter: its kernels against the float64 reference, its gradient rule against numeric
//! gradients of the reference.
//!
//! An element's error is judged against what float32 can know of it: 2^-24 of its magnitude, the sum of the absolute values
//! of the terms that it is computed from. A long sum that cancels is then as exact as one that does not, whatever the seed.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Deserializer, Serialize};

use crate::gpu::Gpu;
use crate::graph::{GraphError, Plan, Session, Store, Workload, differentiate};
use crate::ir::{Accuracy, DType, DTypes, Graph, Shape, UNIT_ROUNDOFF, ValueId, Variant};
use crate::ops::{Fill, OperatorCase};

/// Most that a gradient may differ from the numeric one, relative to the largest: float32 sums against central
/// differences with a step of 1e-4, whose own error is about 1e-8.
pub const GRADIENT_TOLERANCE: f64 = 2e-6;

/// How far one variant is from the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantError {
    /// Name of the variant.
    pub variant: &'static str,
    /// How exactly it computes.
    pub accuracy: Accuracy,
    /// Whether its rounding is judged against the largest magnitude.
    pub normwise: bool,
    /// Largest |kernel - reference| of all elements, in units of 2^-24 of the element's magnitude
    /// ([`Operator::magnitudes`](crate::ir::Operator::magnitudes)), or of the largest for a variant with
    /// [`normwise`](Variant::normwise) rounding; NaN if any element is, infinite where an element of
    /// magnitude 0 is not 0. The rounding of an output that is stored as F16 does not count.
    pub error: f64,
}

impl VariantError {
    /// What the error may be, of a case whose tensors are stored as `dtype` where they can be.
    pub fn allowed(&self, case: &OperatorCase, dtype: DType) -> f64 {
        /// What variants with normwise rounding, Winograd's, may err more: their transforms add up weighted terms.
        const NORMWISE: f64 = 2.0;
        let of_case = if dtype == DType::F16 { case.f16_tolerance } else { case.tolerance };
        self.accuracy.tolerance(of_case) * if self.normwise { NORMWISE } else { 1.0 }
    }
}

/// How the cases of an operator did in a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The operator.
    pub operator: String,
    /// Cases.
    pub cases: usize,
    /// The case that came nearest to what it was allowed, or went furthest over it.
    pub worst_case: String,
    /// Its error; NaN where an element was.
    #[serde(deserialize_with = "nan_where_null")]
    pub worst_error: f64,
    /// What that may be.
    pub allowed: f64,
    /// Whether all cases were within what they were allowed.
    pub pass: bool,
}

impl Tally {
    /// One case.
    pub fn of(case: &OperatorCase, error: f64, allowed: f64) -> Self {
        let (operator, worst_case) = (case.operator.name().to_owned(), case.describe());
        // Written so that NaN fails.
        Self { operator, cases: 1, worst_case, worst_error: error, allowed, pass: error <= allowed }
    }

    /// Takes in further cases of the operator.
    pub fn merge(&mut self, other: Self) {
        let share = |it: &Self| if it.worst_error.is_nan() { f64::INFINITY } else { it.worst_error / it.allowed };
        let (cases, pass) = (self.cases + other.cases, self.pass && other.pass);
        if share(&other) > share(self) {
            *self = other;
        }
        (self.cases, self.pass) = (cases, pass);
    }
}

/// Reads a number that JSON has no way to write, and `null` instead, as NaN.
///
/// # Errors
/// Those of the reader.
pub fn nan_where_null<'de, D: Deserializer<'de>>(reader: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(reader)?.unwrap_or(f64::NAN))
}

/// Runs every variant of the case on poisoned, guarded memory and compares all outputs with the float64 reference.
///
/// # Errors
/// [`GraphError`] where it cannot run or a guard word was overwritten.
pub fn check_values(gpu: &Arc<Gpu>, case: &OperatorCase, seed: u64) -> Result<Vec<VariantError>, GraphError> {
    check_variants(gpu, case, seed, |_| true)
}

/// As [`check_values`], of the variants that are `wanted`.
///
/// # Errors
/// As [`check_values`].
pub fn check_variants(
    gpu: &Arc<Gpu>,
    case: &OperatorCase,
    seed: u64,
    wanted: impl Fn(&Variant) -> bool,
) -> Result<Vec<VariantError>, GraphError> {
    let inputs = case.inputs.iter().map(|(shape, _)| shape.clone()).collect();
    let variants = Workload::of_operator(Arc::clone(&case.operator), inputs).variants(gpu.capabilities())?;
    let wanted = variants.iter().filter(|variant| wanted(variant));
    wanted.map(|variant| check_variant(gpu, case, seed, variant.name, &DTypes::default())).collect()
}

/// As [`check_values`], with every tensor stored as F16 that a variant can take so; variants that take none are left out.
/// The reference gets the rounded inputs.
///
/// # Errors
/// As [`check_values`].
pub fn check_f16_values(gpu: &Arc<Gpu>, case: &OperatorCase, seed: u64) -> Result<Vec<VariantError>, GraphError> {
    check_f16_variants(gpu, case, seed, |_| true)
}

/// As [`check_f16_values`], of the variants that are `wanted`.
///
/// # Errors
/// As [`check_values`].
pub fn check_f16_variants(
    gpu: &Arc<Gpu>,
    case: &OperatorCase,
    seed: u64,
    wanted: impl Fn(&Variant) -> bool,
) -> Result<Vec<VariantError>, GraphError> {
    let inputs: Vec<Shape> = case.inputs.iter().map(|(shape, _)| shape.clone()).collect();
    let mut workload = Workload::of_operator(Arc::clone(&case.operator), inputs);
    let (_, inputs, outputs) = workload.graph()?;
    let all = DTypes { inputs: vec![DType::F16; inputs.len()], outputs: vec![DType::F16; outputs.len()] };
    let mut errors = Vec::new();
    workload.dtypes = all.clone();
    for variant in workload.every_variant(gpu.capabilities())?.into_iter().filter(wanted) {
        let dtypes = variant.supported_dtypes(&all);
        if dtypes.any_f16() {
            errors.push(check_variant(gpu, case, seed, variant.name, &dtypes)?);
        }
    }
    Ok(errors)
}

/// Runs the variant of this name with tensors of these dtypes.
fn check_variant(
    gpu: &Arc<Gpu>,
    case: &OperatorCase,
    seed: u64,
    variant: &'static str,
    dtypes: &DTypes,
) -> Result<VariantError, GraphError> {
    let mut data = case.draw(seed);
    let (mut graph, inputs) = inputs_of(case);
    let outputs = graph.apply_shared(Arc::clone(&case.operator), &inputs)?;
    for ((&dtype, &value), numbers) in dtypes.inputs.iter().zip(&inputs).zip(&mut data) {
        graph.set_dtype(value, dtype);
        if dtype == DType::F16 {
            numbers.iter_mut().for_each(|x| *x = half::f16::from_f32(*x).to_f32());
        }
    }
    for (&dtype, &value) in dtypes.outputs.iter().zip(&outputs) {
        graph.set_dtype(value, dtype);
    }
    let exact = case.exact(&data);
    let (expected, mut magnitudes) = (reference_of(case, &exact), magnitudes_of(case, &exact));
    let overwritten: Vec<ValueId> = case.operator.overwrites().iter().map(|&input| inputs[input]).collect();
    let results = if overwritten.is_empty() { outputs.clone() } else { overwritten };
    let plan = Plan::with_variants(graph, &outputs, gpu.capabilities(), |_, _, mut variants| {
        let number = variants.iter().position(|other| other.name == variant).unwrap_or(0);
        variants.swap_remove(number)
    })?;
    let (accuracy, normwise) = (plan.steps[0].variant.accuracy, plan.steps[0].variant.normwise);
    if normwise {
        for magnitudes in &mut magnitudes {
            let largest = magnitudes.iter().copied().fold(0.0, f64::max);
            magnitudes.fill(largest);
        }
    }
    let are_f16: Vec<bool> = results.iter().map(|&id| plan.graph.value(id).dtype == DType::F16).collect();
    let session = Session::guarded(gpu, plan, &mut Store::new(gpu))?;
    session.poison()?;
    for (&input, words) in inputs.iter().zip(&data) {
        session.upload(input, words)?;
    }
    session.run()?;
    let mut error: f64 = 0.0;
    for (((&output, expected), magnitudes), is_f16) in results.iter().zip(&expected).zip(&magnitudes).zip(are_f16) {
        error = worst(error, rounding_error(&session.read(output)?, expected, magnitudes, is_f16));
    }
    session.check_guards()?;
    Ok(VariantError { variant, accuracy, normwise, error })
}

/// Most that rounding to F16 changes a number, relative to it.
const F16_ROUNDING: f64 = 1.0 / 2048.0;
/// Half the distance between the smallest F16 numbers; drivers may flush those to zero.
const F16_STEP: f64 = 6.2e-5;
/// The smallest normal number of float32; drivers may flush those below to zero.
const F32_STEP: f64 = f32::MIN_POSITIVE as f64;

/// Largest |found - expected| in units of 2^-24 of the element's magnitude, as of [`VariantError::error`].
fn rounding_error(found: &[f32], expected: &[f64], magnitudes: &[f64], is_f16: bool) -> f64 {
    if found.len() != expected.len() || magnitudes.len() != expected.len() {
        return f64::INFINITY;
    }
    let of_element = |((&found, &expected), &magnitude): ((&f32, &f64), &f64)| {
        let found = f64::from(found);
        if found.is_nan() || found == expected {
            return if found.is_nan() { f64::NAN } else { 0.0 };
        }
        let stored = if is_f16 { expected.abs() * F16_ROUNDING + F16_STEP } else { F32_STEP };
        let beyond = (found - expected).abs() - stored;
        // Less than nothing over no magnitude is no error; more is an infinite one.
        if beyond <= 0.0 { 0.0 } else { beyond / (UNIT_ROUNDOFF * magnitude) }
    };
    found.iter().zip(expected).zip(magnitudes).map(of_element).fold(0.0, worst)
}

/// Compares the gradients that autodiff and the kernels give for a random linear function of the outputs with
/// central differences of the float64 reference: the worst relative error over the case's differentiable inputs.
///
/// # Errors
/// [`GraphError`] where it cannot run.
pub fn check_gradients(gpu: &Arc<Gpu>, case: &OperatorCase, seed: u64) -> Result<f64, GraphError> {
    let data = case.draw(seed);
    let (mut graph, inputs) = inputs_of(case);
    let outputs = graph.apply_shared(Arc::clone(&case.operator), &inputs)?;
    let (mut seeds, mut weights) = (Vec::new(), Vec::new());
    for (number, &output) in outputs.iter().enumerate().take(case.differentiable_outputs) {
        let shape = graph.shape(output).clone();
        let mut random = ChaCha8Rng::seed_from_u64(seed + 1 + number as u64);
        weights.push(Fill::Uniform(-1.0, 1.0).draw(shape.elements(), &mut random));
        seeds.push((output, graph.input(&format!("gradient of output {number}"), shape)));
    }
    let wanted: Vec<ValueId> = case.differentiable.iter().map(|&input| inputs[input]).collect();
    let gradients = differentiate(&mut graph, &seeds, &wanted)?;
    let computed: Vec<ValueId> = gradients.iter().flatten().copied().collect();
    let session = Session::new(gpu, Plan::new(graph, &computed, gpu.capabilities())?, &mut Store::new(gpu))?;
    session.poison()?;
    for (&input, words) in inputs.iter().zip(&data).chain(seeds.iter().map(|(_, seed)| seed).zip(&weights)) {
        session.write(input, words)?;
    }
    session.run()?;
    let mut error: f64 = 0.0;
    for (&input, gradient) in case.differentiable.iter().zip(&gradients) {
        let expected = numeric_gradient(case, &data, &weights, input);
        let found = match gradient {
            Some(gradient) => session.read(*gradient)?,
            None => vec![0.0; expected.len()],
        };
        error = worst(error, relative_error(&found, &expected));
    }
    Ok(error)
}

/// Largest |a - b| relative to the largest |b|; NaN if any of `a` is.
fn relative_error(a: &[f32], b: &[f64]) -> f64 {
    let scale = b.iter().fold(0.0_f64, |largest, b| largest.max(b.abs())).max(1e-30);
    let difference = |(&a, &b): (&f32, &f64)| (f64::from(a) - b).abs();
    let largest = a.iter().zip(b).map(difference).fold(0.0, worst);
    if a.len() == b.len() { largest / scale } else { f64::INFINITY }
}

/// The larger of two errors, where NaN is the largest of all.
fn worst(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn inputs_of(case: &OperatorCase) -> (Graph, Vec<ValueId>) {
    let mut graph = Graph::new();
    let inputs = case
        .inputs
        .iter()
        .enumerate()
        .map(|(number, (shape, _))| graph.input(&format!("input {number}"), shape.clone()))
        .collect();
    (graph, inputs)
}

fn reference_of(case: &OperatorCase, data: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let shapes: Vec<_> = case.inputs.iter().map(|(shape, _)| shape).collect();
    let inputs: Vec<&[f64]> = data.iter().map(Vec::as_slice).collect();
    case.operator.reference(&shapes, &inputs)
}

fn magnitudes_of(case: &OperatorCase, data: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let shapes: Vec<_> = case.inputs.iter().map(|(shape, _)| shape).collect();
    let inputs: Vec<&[f64]> = data.iter().map(Vec::as_slice).collect();
    case.operator.magnitudes(&shapes, &inputs)
}

/// d/dx of sum over outputs of <weights, output>, by central differences of the reference.
fn numeric_gradient(case: &OperatorCase, data: &[Vec<f32>], weights: &[Vec<f32>], input: usize) -> Vec<f64> {
    const STEP: f64 = 1e-4;
    let mut exact = case.exact(data);
    let value = |exact: &[Vec<f64>]| -> f64 {
        let outputs = reference_of(case, exact);
        let products = outputs.iter().zip(weights);
        products.map(|(y, w)| y.iter().zip(w).map(|(y, &w)| y * f64::from(w)).sum::<f64>()).sum()
    };
    (0..exact[input].len())
        .map(|element| {
            let here = exact[input][element];
            exact[input][element] = here + STEP;
            let above = value(&exact);
            exact[input][element] = here - STEP;
            let below = value(&exact);
            exact[input][element] = here;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}
