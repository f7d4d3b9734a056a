//! What the tests of all operators share.

use std::sync::{Arc, OnceLock};

use ditn::gpu::{AdapterChoice, Gpu, list_adapters};
use ditn::graph::{GraphError, Plan, Session, Store, differentiate};
use ditn::ir::{Graph, ValueId, Variant};
use ditn::ops::{Fill, OperatorCase};
use ditn::verify::operators::{
    GRADIENT_TOLERANCE, VariantError, check_f16_values, check_gradients, check_values, check_variants,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The adapters of this machine, opened once; `WGPU_BACKEND` says of which interfaces, and GL is asked only there or where
/// there is no other.
pub fn gpus() -> &'static [Arc<Gpu>] {
    static GPUS: OnceLock<Vec<Arc<Gpu>>> = OnceLock::new();
    GPUS.get_or_init(|| {
        let adapters = list_adapters();
        assert!(!adapters.is_empty(), "no adapter: run tools/setup.sh");
        let open = |number: usize| Gpu::open(&AdapterChoice { name: Some(number.to_string()) });
        (0..adapters.len()).map(|number| open(number).unwrap_or_else(|error| panic!("{error}"))).collect()
    })
}

/// Every variant of the case gives the twin's values on every adapter, and writes nowhere else.
pub fn values_agree(case: &OperatorCase, seed: u64) {
    for gpu in gpus() {
        within(case, case.tolerance, gpu, check_values(gpu, case, seed));
    }
}

/// The same of the variants that need more than 65,535 workgroups in a row for it, of which there must be some.
pub fn folded_values_agree(case: &OperatorCase, seed: u64) {
    for gpu in gpus() {
        let folds = |variant: &Variant| variant.dispatches.iter().any(|dispatch| dispatch.workgroups[1] > 1);
        let results = check_variants(gpu, case, seed, folds);
        assert!(results.as_ref().is_ok_and(|results| !results.is_empty()), "nothing folds: {}", case.describe());
        within(case, case.tolerance, gpu, results);
    }
}

/// The same with all tensors stored as F16 that a variant can take so, on every adapter that has F16.
pub fn f16_values_agree(case: &OperatorCase, seed: u64) {
    for gpu in gpus().iter().filter(|gpu| gpu.capabilities().shader_f16) {
        within(case, case.f16_tolerance, gpu, check_f16_values(gpu, case, seed));
    }
}

fn within(case: &OperatorCase, allowed: f64, gpu: &Gpu, results: Result<Vec<VariantError>, GraphError>) {
    for VariantError { variant, accuracy, error } in
        results.unwrap_or_else(|error| panic!("{}: {error}", case.describe()))
    {
        let allowed = accuracy.tolerance(allowed);
        let (case, name) = (case.describe(), &gpu.report().name);
        assert!(error <= allowed, "{case} ({variant}) on {name}: error {error:e}, allowed {allowed:e}");
    }
}

/// The case's gradients agree with numeric ones on every adapter.
pub fn gradients_agree(case: &OperatorCase, seed: u64) {
    for gpu in gpus() {
        let error = check_gradients(gpu, case, seed).unwrap_or_else(|error| panic!("{}: {error}", case.describe()));
        let name = &gpu.report().name;
        assert!(error <= GRADIENT_TOLERANCE, "{} on {name}: gradient error {error:e}", case.describe());
    }
}

/// The cases of an operator's own table: values of all, in F16 too, and gradients where the case asks for them.
pub fn table_agrees(cases: &[OperatorCase]) {
    for (number, case) in cases.iter().enumerate() {
        values_agree(case, number as u64);
        f16_values_agree(case, number as u64);
        if !case.differentiable.is_empty() {
            gradients_agree(case, number as u64);
        }
    }
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
