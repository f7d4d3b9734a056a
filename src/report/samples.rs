//! Documents for the tests of this room.

use super::document::Document;
use super::rows::{Kernels, StepKernel, Storage, TimedNetwork};
use crate::bench::{Ceiling, KernelTime, NetworkTime};
use crate::data::Size;
use crate::gpu::AdapterReport;
use crate::ir::Capabilities;

/// An adapter of this name.
pub(super) fn adapter(name: &str) -> AdapterReport {
    AdapterReport {
        name: name.to_owned(),
        backend: "vulkan".to_owned(),
        kind: "discrete GPU".to_owned(),
        driver: "driver".to_owned(),
        driver_info: "1.2".to_owned(),
        capabilities: Capabilities {
            subgroups: true,
            subgroup_min_size: 32,
            subgroup_max_size: 64,
            shader_f16: true,
            cooperative_matrix: None,
            timestamps: true,
            pipeline_cache: true,
            max_binding_bytes: 1 << 31,
            max_buffer_bytes: 1 << 32,
            workgroup_memory: 49_152,
            max_workgroup_invocations: 1024,
            max_storage_buffers: 64,
            is_cpu: false,
        },
    }
}

/// A document of an adapter with ceilings, a kernel and a network that does so many pictures a second.
pub(super) fn measured(name: &str, rate: f64) -> Document {
    let mut document = Document::new(adapter(name), vec![adapter(name)], 10.0);
    document.ceiling = Some(Ceiling { gflops: 20_000.0, gbps: 800.0 });
    let kernel = KernelTime {
        operator: "conv2d".to_owned(),
        pass: "forward".to_owned(),
        case: "n32_c32_o32_64x64_k3_s1_g1".to_owned(),
        variant: "gemm 64x64".to_owned(),
        seconds: 1e-3,
        gflops: 5_000.0,
        gbps: 100.0,
        share: 0.25,
        count: 2,
    };
    document.step.push(StepKernel { storage: Storage::F32, batch: 32, time: kernel });
    document.networks.push(network(rate, Kernels::Default));
    document
}

/// DITN-W32 at so many pictures a second.
pub(super) fn network(rate: f64, kernels: Kernels) -> TimedNetwork {
    let time = NetworkTime {
        name: "ditn-w32".to_owned(),
        size: Size::new(256, 256),
        batch: 8,
        pass: "infer".to_owned(),
        seconds: 8.0 / rate,
        peak_bytes: 1 << 28,
        dispatches: 900,
        host_seconds: 1e-3,
        slow_share: None,
    };
    TimedNetwork { storage: Storage::F32, kernels, time }
}
