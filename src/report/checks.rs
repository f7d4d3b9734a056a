//! What is right: gradients, kernels and whole networks against their references.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::attempt::Failure;
use super::context::Context;
use super::document::Event;
use super::rows::{CheckedKernel, CheckedNetwork, Storage};
use crate::bench::probe;
use crate::graph::{Choices, Workload};
use crate::ir::{Capabilities, DType, DTypes};
use crate::ops::{OperatorCase, cases};
use crate::verify::operators::{GRADIENT_TOLERANCE, Tally, check_f16_variants, check_gradients, check_variants};
use crate::verify::{Dump, verify_dump};

/// Small networks of PyTorch's: all heads and bodies between them.
const DUMPS: [(&str, &[u8]); 3] = [
    ("ditn_mpii", include_bytes!("../../tests/dumps/ditn_mpii.safetensors")),
    ("hrnet_coco", include_bytes!("../../tests/dumps/hrnet_coco.safetensors")),
    ("resnet_mpii", include_bytes!("../../tests/dumps/resnet_mpii.safetensors")),
];

/// Every differentiable case of every operator.
pub(super) fn gradients(context: &mut Context) -> Result<(), Failure> {
    let cases: Vec<(usize, OperatorCase)> =
        cases().into_iter().enumerate().filter(|(_, case)| !case.differentiable.is_empty()).collect();
    context.each(
        &cases,
        |(_, case)| case.describe(),
        |context, (seed, case)| {
            let error = check_gradients(&context.gpu()?, case, *seed as u64)?;
            context.say(Event::Gradient(Tally::of(case, error, GRADIENT_TOLERANCE)));
            Ok(())
        },
    )
}

/// A variant of a case.
struct KernelPiece {
    case: Arc<OperatorCase>,
    seed: u64,
    variant: &'static str,
    storage: Storage,
}

/// The names of a case's variants where tensors are stored so; of f16 with those that take none as f16.
fn variants(case: &OperatorCase, storage: Storage, capabilities: &Capabilities) -> Result<Vec<&'static str>, Failure> {
    let inputs = case.inputs.iter().map(|(shape, _)| shape.clone()).collect();
    let mut workload = Workload::of_operator(Arc::clone(&case.operator), inputs);
    if storage != Storage::F32 {
        let (_, inputs, outputs) = workload.graph()?;
        workload.dtypes = DTypes { inputs: vec![DType::F16; inputs.len()], outputs: vec![DType::F16; outputs.len()] };
    }
    Ok(workload.every_variant(capabilities)?.into_iter().map(|variant| variant.name).collect())
}

/// Every variant of every case, with tensors as float32 and as f16.
pub(super) fn kernels(context: &mut Context) -> Result<(), Failure> {
    let mut pieces = Vec::new();
    let cases: Vec<Arc<OperatorCase>> = cases().into_iter().chain(probe::cases()).map(Arc::new).collect();
    for storage in context.storages()? {
        let gpu = context.gpu_for(storage)?;
        let plain = context.gpu()?;
        for (seed, case) in cases.iter().enumerate() {
            let known = variants(case, storage, plain.capabilities())?;
            for variant in variants(case, storage, gpu.capabilities())? {
                // With matrices only the variants are new that use them.
                if storage != Storage::Cooperative || !known.contains(&variant) {
                    pieces.push(KernelPiece { case: Arc::clone(case), seed: seed as u64, variant, storage });
                }
            }
        }
    }
    context.each(
        &pieces,
        |piece| format!("{} ({}, {})", piece.case.describe(), piece.variant, piece.storage.name()),
        |context, piece| {
            let KernelPiece { case, seed, variant, storage } = piece;
            let gpu = context.gpu_for(*storage)?;
            let (dtype, results) = match storage {
                Storage::F32 => (DType::F32, check_variants(&gpu, case, *seed, |it| it.name == *variant)?),
                // Variants that take nothing as f16 give no result.
                _ => (DType::F16, check_f16_variants(&gpu, case, *seed, |it| it.name == *variant)?),
            };
            for result in results {
                let tally = Tally::of(case, result.error, result.allowed(case, dtype));
                let variant = result.variant.to_owned();
                context.say(Event::Kernel(CheckedKernel { variant, storage: *storage, tally }));
            }
            Ok(())
        },
    )
}

/// The embedded dumps: first by the operators' own choice of kernels in every storage, then by each variant wherever there is
/// one.
pub(super) fn networks(context: &mut Context) -> Result<(), Failure> {
    let mut dumps = Vec::new();
    for (name, bytes) in DUMPS {
        dumps.push((name, Dump::from_bytes(Path::new(name), bytes)?));
    }
    let storages = context.storages()?;
    let plain = context.gpu()?;
    let by_default: Vec<(Storage, Option<&str>)> = storages.iter().map(|&storage| (storage, None)).collect();
    let mut by_variant: Vec<(Storage, Option<&str>)> = Vec::new();
    for storage in storages {
        let gpu = context.gpu_for(storage)?;
        let (mut names, mut known) = (BTreeSet::new(), BTreeSet::new());
        for case in cases() {
            names.extend(variants(&case, storage, gpu.capabilities())?);
            known.extend(variants(&case, storage, plain.capabilities())?);
        }
        names.retain(|name| storage != Storage::Cooperative || !known.contains(name));
        by_variant.extend(names.into_iter().map(|name| (storage, Some(name))));
    }
    // Where time runs out, one network has been seen by as many variants as could be.
    let pieces: Vec<(Storage, Option<&str>, &(&str, Dump))> = [by_default, by_variant]
        .iter()
        .flat_map(|ways| dumps.iter().map(move |dump| (ways, dump)))
        .flat_map(|(ways, dump)| ways.iter().map(move |&(storage, variant)| (storage, variant, dump)))
        .collect();
    context.each(
        &pieces,
        |(storage, variant, (name, _))| {
            format!("{name} ({}, {})", variant.unwrap_or("default kernels"), storage.name())
        },
        |context, (storage, variant, (name, dump))| {
            let choices = variant.map_or_else(Choices::default, Choices::everywhere);
            let report = verify_dump(&context.gpu_for(*storage)?, dump, &choices, storage.precision())?;
            context.say(Event::Verified(CheckedNetwork::new(name, *variant, *storage, report)));
            Ok(())
        },
    )
}
