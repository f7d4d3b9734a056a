//! What the tests of all operators share.

use std::sync::{Arc, OnceLock};

use ditn::gpu::{AdapterChoice, Gpu, list_adapters};
use ditn::graph::check::{check_gradients, check_values};
use ditn::ops::OperatorCase;

/// Most that a gradient may differ from the numeric one, relative to the largest: float32 sums against central
/// differences with a step of 1e-4, whose own error is about 1e-8.
const GRADIENT_TOLERANCE: f64 = 2e-5;

/// All adapters of this machine, opened once.
pub fn gpus() -> &'static [Arc<Gpu>] {
    static GPUS: OnceLock<Vec<Arc<Gpu>>> = OnceLock::new();
    GPUS.get_or_init(|| {
        let adapters = list_adapters();
        assert!(!adapters.is_empty(), "no adapter: run tools/setup.sh");
        let open = |number: usize| Gpu::open(&AdapterChoice { name: Some(number.to_string()) });
        // One adapter a test run unless asked for all: software adapters are slow.
        let count = if std::env::var_os("DITN_TEST_ALL_ADAPTERS").is_some() { adapters.len() } else { 1 };
        (0..count).map(|number| open(number).unwrap_or_else(|error| panic!("{error}"))).collect()
    })
}

/// Every variant of the case gives the twin's values on every adapter, and writes nowhere else.
pub fn values_agree(case: &OperatorCase, seed: u64) {
    for gpu in gpus() {
        let results = check_values(gpu, case, seed).unwrap_or_else(|error| panic!("{}: {error}", case.describe()));
        for result in results {
            assert!(
                result.error <= case.tolerance,
                "{} ({}) on {}: error {:e}, allowed {:e}",
                case.describe(),
                result.variant,
                gpu.report().name,
                result.error,
                case.tolerance
            );
        }
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

/// The cases of an operator's own table: values of all, gradients where the case asks for them.
pub fn table_agrees(cases: &[OperatorCase]) {
    for (number, case) in cases.iter().enumerate() {
        values_agree(case, number as u64);
        if !case.differentiable.is_empty() {
            gradients_agree(case, number as u64);
        }
    }
}
