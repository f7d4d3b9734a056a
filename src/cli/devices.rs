//! `ditn devices`

use std::fmt::Write;

use super::common::{Common, Status, print, print_json};
use crate::gpu::{AdapterReport, list_adapters, missing_driver_advice};

/// Lists the adapters, best first.
pub fn run(common: &Common) -> anyhow::Result<Status> {
    let adapters = list_adapters();
    if common.json {
        print_json(&adapters)?;
    } else if !adapters.is_empty() {
        let mut text = String::new();
        for (number, adapter) in adapters.iter().enumerate() {
            describe(&mut text, number, adapter);
        }
        print(&text)?;
    }
    if adapters.is_empty() {
        anyhow::bail!("no adapter found. {}", missing_driver_advice());
    }
    Ok(Status::Done)
}

fn describe(text: &mut String, number: usize, adapter: &AdapterReport) {
    let AdapterReport { name, backend, kind, driver, driver_info, capabilities } = adapter;
    let yes = |has: bool| if has { "yes" } else { "no" };
    let subgroups = match (capabilities.subgroups, capabilities.subgroup_min_size, capabilities.subgroup_max_size) {
        (false, ..) => "no".to_owned(),
        (true, min, max) if min == max => format!("yes, of {min}"),
        (true, min, max) => format!("yes, of {min} to {max}"),
    };
    let matrices = match capabilities.cooperative_matrix {
        Some(size) => format!("cooperative, {size}x{size} (experimental; where a product at the start is right)"),
        None => "none used (DITN_COOPERATIVE_MATRIX=1 asks for cooperative ones: experimental)".to_owned(),
    };
    let mib = |bytes: u64| bytes / (1 << 20);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{number}  {name}{default}
     kind              {kind}, {backend}
     driver            {driver} {driver_info}
     subgroups         {subgroups}
     f16               {f16}
     matrices          {matrices}
     timestamps        {timestamps}
     pipeline cache    {cache}
     largest binding   {binding} MiB
     largest buffer    {buffer} MiB
     workgroup         {invocations} invocations, {memory} KiB",
        default = if number == 0 { "   (used unless --adapter or WGPU_ADAPTER_NAME says otherwise)" } else { "" },
        f16 = yes(capabilities.shader_f16),
        timestamps = yes(capabilities.timestamps),
        cache = yes(capabilities.pipeline_cache),
        binding = mib(capabilities.max_binding_bytes),
        buffer = mib(capabilities.max_buffer_bytes),
        invocations = capabilities.max_workgroup_invocations,
        memory = capabilities.workgroup_memory / 1024,
    );
}
