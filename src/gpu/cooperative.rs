//! Cooperative matrices: products of small matrices that the lanes of a subgroup hold together ("tensor cores").
//!
//! Experimental in wgpu, and drivers have returned wrong sums: they are used only where `DITN_COOPERATIVE_MATRIX` is 1 and
//! one product on the opened device is right.

use std::env;
use std::sync::{Arc, LazyLock};

use super::{Buffer, Commands, Gpu, GpuError};
use crate::ir::{Dispatch, F16Bindings, Kernel};

/// Rows and columns of the matrices that kernels may use on an adapter, f16 multiplied into f32 sums: 8 or 16. None unless
/// they are asked for and all subgroups have as many lanes.
pub(super) fn size(adapter: &wgpu::Adapter) -> Option<u32> {
    let info = adapter.get_info();
    let needed =
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
    let asked = env::var("DITN_COOPERATIVE_MATRIX").is_ok_and(|value| value == "1");
    if !asked || !adapter.features().contains(needed) || info.subgroup_min_size != info.subgroup_max_size {
        return None;
    }
    let (f16, f32) = (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
    let offered = adapter.cooperative_matrix_properties();
    let offers = |size: &u32| {
        offered
            .iter()
            .any(|it| [it.m_size, it.n_size, it.k_size] == [*size; 3] && (it.ab_type, it.cr_type) == (f16, f32))
    };
    [16, 8].into_iter().find(offers)
}

/// Permission to use wgpu's experimental features.
#[allow(unsafe_code)]
pub(super) fn experimental_features() -> wgpu::ExperimentalFeatures {
    // SAFETY: wgpu warns that experimental features may be unsound where they are used incorrectly. Only cooperative
    // matrices are requested; the kernels that use them load and store them within workgroup memory, in uniform control flow
    // and by whole subgroups, as the Vulkan extension asks.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

static PRODUCT: Kernel =
    Kernel::new("gpu/cooperative", "sum of products of 8 x 8 matrices", include_str!("cooperative.wgsl"));
static PRODUCT_16: LazyLock<Kernel> = LazyLock::new(|| PRODUCT.with_matrices_of_16("gpu/cooperative_16"));

/// Whether a sum of products of matrices of `size` x `size` on the device is what it is on the host.
///
/// # Errors
/// What the device reports, also where the driver refuses the kernel.
pub(super) fn is_right(gpu: &Arc<Gpu>, size: u32) -> Result<bool, GpuError> {
    const TERMS: usize = 5;
    let (side, area) = (size as usize, (size * size) as usize);
    // Small whole numbers, which f16 and sums in f32 hold exactly.
    let numbers = |factor: usize| (0..TERMS * area).map(|it| (it * factor % 7) as f32 - 3.0).collect::<Vec<f32>>();
    let (left, right) = (numbers(5), numbers(11));
    let expected = |at: usize| -> f32 {
        let terms = (0..TERMS * side).map(|it| (it / side * area, it % side));
        terms.map(|(term, k)| left[term + at / side * side + k] * right[term + k * side + at % side]).sum()
    };
    let buffer = |name, words| Buffer::new(gpu, name, words);
    let (terms, a, b) = (buffer("terms", 1)?, buffer("left", left.len())?, buffer("right", right.len())?);
    let product = buffer("product", area)?;
    gpu.write(terms.whole(), &[TERMS as u32])?;
    gpu.write(a.whole(), &left)?;
    gpu.write(b.whole(), &right)?;
    let dispatch = Dispatch {
        kernel: if size == 16 { &PRODUCT_16 } else { &PRODUCT },
        constants: vec![("SUBGROUP", f64::from(gpu.capabilities().subgroup_min_size))],
        bindings: Vec::new(),
        workgroups: [1; 3],
    };
    let mut commands = Commands::default();
    let views = [terms.whole(), a.whole(), b.whole(), product.whole()];
    commands.push(gpu, (&dispatch, F16Bindings::NONE), &views, "cooperative matrices")?;
    commands.submit(gpu)?;
    Ok(gpu.read::<f32>(product.whole())?.into_iter().enumerate().all(|(at, found)| found == expected(at)))
}
