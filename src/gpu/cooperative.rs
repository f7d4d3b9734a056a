//! Cooperative matrices: products of small matrices that the lanes of a subgroup hold together ("tensor cores").
//!
//! Experimental in wgpu, and drivers have returned wrong sums: they are used only where `DITN_COOPERATIVE_MATRIX` is 1 and
//! one product on the opened device is right.

use std::sync::{Arc, LazyLock};

use super::{Buffer, Commands, Gpu, GpuError};
use crate::ir::{Dispatch, F16Bindings, Kernel};

/// Permission to use wgpu's experimental features.
#[allow(unsafe_code)]
pub(super) fn experimental_features() -> wgpu::ExperimentalFeatures {
    // SAFETY: wgpu warns that experimental features may be unsound where they are used incorrectly. Only cooperative
    // matrices are requested; the kernels that use them load and store them within workgroup memory, in uniform control flow
    // and by whole subgroups, as the Vulkan extension asks.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

static PRODUCT: Kernel =
    Kernel::trusted("gpu/cooperative", "sum of products of 8 x 8 matrices", include_str!("cooperative.wgsl"));
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
