//! Devices that check no accesses take this crate's kernels only.

use ditn::gpu::{AdapterChoice, Gpu, GpuError};
use ditn::ir::{Argument, Dispatch, F16Bindings, Kernel};

static FOREIGN: Kernel = Kernel::new(
    "test/trusted",
    "x = 0",
    "@group(0) @binding(0) var<storage, read_write> x: array<f32>;\n\
     @compute @workgroup_size(1) fn main() { x[0] = 0.0; }",
);

#[test]
fn a_kernel_of_ones_own_runs_only_where_the_driver_checks_accesses() {
    let dispatch =
        Dispatch { kernel: &FOREIGN, constants: vec![], bindings: vec![Argument::Output(0)], workgroups: [1; 3] };
    let compile = |trusted_kernels_only| {
        let gpu = Gpu::open(&AdapterChoice { trusted_kernels_only, ..AdapterChoice::default() }).expect("an adapter");
        let is_vulkan = gpu.report().backend == "vulkan";
        (is_vulkan, gpu.compile([(&dispatch, F16Bindings::NONE)].into_iter()))
    };
    assert!(compile(false).1.is_ok());
    let (is_vulkan, compiled) = compile(true);
    let keeps_checks = std::env::var_os("DITN_ROBUST").is_some_and(|value| value == "1");
    if is_vulkan && !keeps_checks {
        assert!(matches!(compiled, Err(GpuError::Untrusted { kernel: "test/trusted" })), "{compiled:?}");
    } else {
        assert!(compiled.is_ok(), "{compiled:?}");
    }
}
