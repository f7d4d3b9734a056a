//! What the tests of all operators share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ditn::gpu::{AdapterChoice, Gpu, list_adapters};
use ditn::graph::{GraphError, Plan, Session, Store, differentiate};
use ditn::ir::{DType, Graph, ValueId, Variant};
use ditn::ops::{Fill, OperatorCase};
use ditn::verify::operators::{
    GRADIENT_TOLERANCE, VariantError, check_f16_values, check_gradients, check_values, check_variants,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::common::skipped;

/// The adapters of this machine, opened once; `WGPU_BACKEND` says of which interfaces, and GL is asked only there or where
/// there is no other.
pub fn gpus() -> &'static [Arc<Gpu>] {
    static GPUS: OnceLock<Vec<Arc<Gpu>>> = OnceLock::new();
    GPUS.get_or_init(|| {
        let adapters = list_adapters();
        assert!(!adapters.is_empty(), "no adapter: run tools/setup.sh");
        let choice = |number: usize| AdapterChoice {
            name: Some(number.to_string()),
            trusted_kernels_only: true,
            ..AdapterChoice::default()
        };
        let open = |number: usize| Gpu::open(&choice(number));
        (0..adapters.len()).map(|number| open(number).unwrap_or_else(|error| panic!("{error}"))).collect()
    })
}

/// Every variant of the case gives the reference's values on every adapter, and writes nowhere else.
pub fn values_agree(case: &OperatorCase, seed: u64) {
    for gpu in gpus() {
        for filling in 0..fillings() {
            within(case, DType::F32, gpu, check_values(gpu, case, seed.wrapping_add(filling)));
        }
    }
}

/// The same of the variants that need more than 65,535 workgroups in a row for it, of which there must be some.
pub fn folded_values_agree(case: &OperatorCase, seed: u64) {
    for gpu in gpus() {
        let folds = |variant: &Variant| variant.dispatches.iter().any(|dispatch| dispatch.workgroups[1] > 1);
        let found = within(case, DType::F32, gpu, check_variants(gpu, case, seed, folds));
        assert!(found > 0, "nothing folds: {}", case.describe());
    }
}

/// The same with all tensors stored as F16 that a variant can take so, on every adapter that has F16. How many variants took
/// some so, on all adapters together.
pub fn f16_values_agree(case: &OperatorCase, seed: u64) -> usize {
    let gpus = gpus().iter().filter(|gpu| gpu.capabilities().shader_f16);
    let check = |gpu: &Arc<Gpu>, filling| {
        within(case, DType::F16, gpu, check_f16_values(gpu, case, seed.wrapping_add(filling)))
    };
    gpus.map(|gpu| (0..fillings()).map(|filling| check(gpu, filling)).sum::<usize>()).sum()
}

/// Asserts that all results are within the case's tolerance, and says how many there are.
fn within(case: &OperatorCase, dtype: DType, gpu: &Gpu, results: Result<Vec<VariantError>, GraphError>) -> usize {
    let results = results.unwrap_or_else(|error| panic!("{}: {error}", case.describe()));
    for result in &results {
        let (VariantError { variant, error, .. }, allowed) = (result, result.allowed(case, dtype));
        let name = &gpu.report().name;
        record(case, (variant, dtype), [*error, allowed], name);
        assert!(
            *error <= allowed,
            "{} ({variant}, {dtype:?}) on {name}: error {error:.2} units of 2^-24, allowed {allowed}",
            case.describe()
        );
    }
    results.len()
}

/// Adds a line to the file that `DITN_ERRORS` names, if any: operator, variant, dtype, error and tolerance in units of
/// 2^-24, case and adapter, apart by tabs; only where the error is larger than any before of the same operator, variant and dtype.
fn record(case: &OperatorCase, (variant, dtype): (&str, DType), [error, allowed]: [f64; 2], adapter: &str) {
    static LARGEST: Mutex<BTreeMap<String, f64>> = Mutex::new(BTreeMap::new());
    let Some(file) = std::env::var_os("DITN_ERRORS") else { return };
    let key = format!("{}\t{variant}\t{dtype:?}", case.judged_as());
    let mut largest = LARGEST.lock().unwrap_or_else(PoisonError::into_inner);
    if largest.get(&key).is_none_or(|before| error > *before) {
        let line = format!("{key}\t{error:.3}\t{allowed}\t{}\t{adapter}\n", case.describe());
        let mut file = File::options().create(true).append(true).open(file).expect("DITN_ERRORS names a file");
        file.write_all(line.as_bytes()).expect("room for a line");
        largest.insert(key, error);
    }
}

/// Random contents to check each case with: `DITN_FILLINGS`, or 1. More of them are cheap beside more shapes, each of which
/// compiles its own kernels.
fn fillings() -> u64 {
    std::env::var("DITN_FILLINGS").ok().and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// Seed of what the tables of cases are filled with: that of the random shapes.
fn table_seed() -> u64 {
    std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// The case's gradients agree with numeric ones on every adapter.
pub fn gradients_agree(case: &OperatorCase, seed: u64) {
    for gpu in gpus() {
        let error = check_gradients(gpu, case, seed).unwrap_or_else(|error| panic!("{}: {error}", case.describe()));
        let name = &gpu.report().name;
        assert!(error <= GRADIENT_TOLERANCE, "{} on {name}: gradient error {error:e}", case.describe());
    }
}

/// The cases of an operator's own table: values of all, in F16 too, and gradients where the case asks for them. Every
/// operator must have a variant that takes F16 but those of `f32_only`, which must have none.
pub fn table_agrees(cases: &[OperatorCase], f32_only: &[&str]) {
    let mut f16: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let seed = table_seed().wrapping_mul(1_000_003).wrapping_add(number as u64);
        values_agree(case, seed);
        *f16.entry(case.operator.name()).or_default() += f16_values_agree(case, seed);
        // Filled as ever: an element within a step of a kink would fail by chance.
        if !case.differentiable.is_empty() {
            gradients_agree(case, number as u64);
        }
    }
    if gpus().iter().all(|gpu| !gpu.capabilities().shader_f16) {
        skipped("F16: no adapter has it");
        return;
    }
    let found: Vec<&str> = f16.iter().filter(|(_, variants)| **variants == 0).map(|(name, _)| *name).collect();
    assert_eq!(found, f32_only, "operators without a variant that takes F16");
}

/// <A x, w> = <x, transpose of A w> on every adapter for an operator A that is linear in `inputs` taken together and
/// has one output: its kernels compute A x, those of its gradient rule the other.
pub fn adjoint_holds(case: &OperatorCase, inputs: &[usize], seed: u64) {
    /// Relative to the sum of the products' sizes, whose factors are float32 sums.
    const TOLERANCE: f64 = 1e-6;
    let data = case.draw(seed);
    let mut graph = Graph::new();
    let values: Vec<ValueId> = case
        .inputs
        .iter()
        .enumerate()
        .map(|(number, (shape, _))| graph.input(&format!("input {number}"), shape.clone()))
        .collect();
    let output = graph.apply_shared(Arc::clone(&case.operator), &values).unwrap()[0];
    let shape = graph.shape(output).clone();
    let mut random = ChaCha8Rng::seed_from_u64(seed + 1);
    let weights = Fill::Uniform(-1.0, 1.0).draw(shape.elements(), &mut random);
    let weight = graph.input("gradient of the output", shape);
    let wanted: Vec<ValueId> = inputs.iter().map(|&input| values[input]).collect();
    let gradients: Vec<ValueId> =
        differentiate(&mut graph, &[(output, weight)], &wanted).unwrap().into_iter().map(Option::unwrap).collect();
    for gpu in gpus() {
        let mut outputs = gradients.clone();
        outputs.push(output);
        let plan = Plan::new(graph.clone(), &outputs, gpu.capabilities()).unwrap();
        let session = Session::new(gpu, plan, &mut Store::new(gpu)).unwrap();
        session.poison().unwrap();
        for (&value, words) in values.iter().zip(&data).chain([(&weight, &weights)]) {
            session.write(value, words).unwrap();
        }
        session.run().unwrap();
        let products = |a: &[f32], b: &[f32]| -> Vec<f64> {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).collect()
        };
        let left = products(&session.read(output).unwrap(), &weights);
        let right: Vec<f64> = inputs
            .iter()
            .zip(&gradients)
            .flat_map(|(&input, &gradient)| products(&session.read(gradient).unwrap(), &data[input]))
            .collect();
        let size: f64 = left.iter().chain(&right).map(|product| product.abs()).sum();
        let difference = left.iter().sum::<f64>() - right.iter().sum::<f64>();
        assert!(
            difference.abs() <= TOLERANCE * size.max(1e-30),
            "{}: <A x, w> and <x, transpose of A w> differ by {difference:e} of {size:e}",
            case.describe()
        );
    }
}
