//! Every kernel, at the constants of every case, goes through naga to the shading languages of all adapters.

use std::collections::HashSet;

use ditn::bench::probe;
use ditn::graph::differentiate;
use ditn::ir::{Capabilities, Case, DType, DTypes, Dispatch, F16Bindings, Graph, ValueId};
use ditn::ops;
use naga::back::{PipelineConstants, glsl, hlsl, msl, spv};
use naga::valid::{ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};

/// Kernels of cooperative matrices, which SPIR-V has in both sizes, MSL of 8 x 8 only, and HLSL and GLSL not at all.
fn is_cooperative(name: &str) -> bool {
    name.contains("cooperative")
}

/// A GPU on which every variant is offered.
fn everything(cooperative_matrix: Option<u32>) -> Capabilities {
    Capabilities {
        subgroups: true,
        subgroup_min_size: 32,
        subgroup_max_size: 32,
        shader_f16: true,
        cooperative_matrix,
        timestamps: true,
        pipeline_cache: true,
        max_binding_bytes: 1 << 31,
        max_buffer_bytes: 1 << 31,
        workgroup_memory: 32 << 10,
        max_workgroup_invocations: 1024,
        max_storage_buffers: 16,
        is_cpu: false,
    }
}

/// Every dispatch of every variant of every case and of its gradient, each kernel and set of constants once.
fn dispatches() -> Vec<Dispatch> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let settings = [(DType::F32, None), (DType::F16, Some(8)), (DType::F16, Some(16))];
    for ((element, matrices), case) in
        settings.into_iter().flat_map(|it| ops::cases().into_iter().chain(probe::cases()).map(move |case| (it, case)))
    {
        let capabilities = everything(matrices);
        let mut graph = Graph::new();
        let inputs: Vec<ValueId> = case.inputs.iter().map(|(shape, _)| graph.input("input", shape.clone())).collect();
        let outputs = graph.apply_shared(case.operator.clone(), &inputs).unwrap_or_else(|error| panic!("{error}"));
        if !case.differentiable.is_empty() {
            let seed = graph.input("seed", graph.shape(outputs[0]).clone());
            let wanted: Vec<ValueId> = case.differentiable.iter().map(|&input| inputs[input]).collect();
            differentiate(&mut graph, &[(outputs[0], seed)], &wanted).unwrap_or_else(|error| panic!("{error}"));
        }
        for node in graph.nodes() {
            let (inputs, outputs) = (graph.shapes(&node.inputs), graph.shapes(&node.outputs));
            let constant = vec![false; inputs.len()];
            let (inputs, outputs) = (&inputs[..], &outputs[..]);
            let stored = DTypes { inputs: vec![element; inputs.len()], outputs: vec![element; outputs.len()] };
            let shapes = Case { inputs, outputs, constant: &constant, dtypes: &stored, capabilities: &capabilities };
            found.extend(node.operator.variants(&shapes).into_iter().flat_map(|variant| variant.dispatches));
        }
    }
    found.retain(|dispatch: &Dispatch| seen.insert(format!("{} {:?}", dispatch.kernel.name, dispatch.constants)));
    found
}

/// The shader with its constants put in and the tensors of `halves` stored as F16, validated again.
fn specialised(dispatch: &Dispatch, halves: F16Bindings) -> (Module, ModuleInfo) {
    let name = dispatch.kernel.name;
    let source = dispatch.kernel.source_for(halves);
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string_with_path(&source, name)));
    let capabilities = naga::valid::Capabilities::all();
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let constants: PipelineConstants =
        dispatch.constants.iter().map(|&(name, value)| (name.to_string(), value)).collect();
    let entry = Some((ShaderStage::Compute, "main"));
    let (module, info) = naga::back::pipeline_constants::process_overrides(&module, &info, entry, &constants)
        .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    (module.into_owned(), info.into_owned())
}

#[test]
fn every_kernel_is_dispatched_by_some_case() {
    let dispatched: HashSet<&str> = dispatches().iter().map(|dispatch| dispatch.kernel.name).collect();
    let missing: Vec<_> = ops::kernels()
        .into_iter()
        .chain(probe::kernels())
        .map(|kernel| kernel.name)
        .filter(|name| !dispatched.contains(name))
        .collect();
    assert!(missing.is_empty(), "no case dispatches {missing:?}");
}

#[test]
fn every_shader_file_belongs_to_a_kernel() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let known: HashSet<String> =
        ops::kernels().into_iter().chain(probe::kernels()).map(|kernel| format!("{}.wgsl", kernel.name)).collect();
    for folder in std::fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display())) {
        let folder = folder.expect("a readable folder").path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = file.expect("a readable folder").path();
            let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
            assert!(known.contains(&name), "shaders/{name} belongs to no kernel");
        }
    }
}

#[test]
fn every_kernel_translates_to_spirv_msl_hlsl_and_glsl() {
    for dispatch in dispatches() {
        translate(&dispatch, F16Bindings::NONE);
        translate(&dispatch, dispatch.kernel.f16_bindings());
    }
}

fn translate(dispatch: &Dispatch, halves: F16Bindings) {
    let name = dispatch.kernel.name;
    let (module, info) = specialised(dispatch, halves);
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    spv::write_vec(&module, &info, &options, None).unwrap_or_else(|error| panic!("{name} to SPIR-V: {error}"));
    if name.ends_with("cooperative_16") {
        return;
    }
    let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..msl::Options::default() };
    msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
        .unwrap_or_else(|error| panic!("{name} to MSL: {error}"));
    if is_cooperative(name) {
        return;
    }
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, ..hlsl::Options::default() };
    hlsl::Writer::new(&mut String::new(), &options, &hlsl::PipelineOptions::default())
        .write(&module, &info, None)
        .unwrap_or_else(|error| panic!("{name} to HLSL: {error}"));
    // GLSL has no 16-bit floats.
    if halves != F16Bindings::NONE {
        return;
    }
    let options = glsl::Options { version: glsl::Version::Desktop(450), ..glsl::Options::default() };
    let pipeline =
        glsl::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".to_string(), multiview: None };
    glsl::Writer::new(&mut String::new(), &module, &info, &options, &pipeline, Default::default())
        .and_then(|mut writer| writer.write().map(drop))
        .unwrap_or_else(|error| panic!("{name} to GLSL: {error}"));
}
