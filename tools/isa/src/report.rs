//! What is printed and kept as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::listing::{Classes, main_loop};
use crate::model::Gpu;
use crate::plans::PlannedDispatch;
use crate::spirv::Shader;
use crate::targets::{Target, Vendor};
use crate::vulkan::Compiled;

/// One run on one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub target: String,
    pub device: String,
    pub driver: String,
    /// Network, plan, batch and size.
    pub network: String,
    /// With robustBufferAccess, as wgpu opens devices.
    pub robust: bool,
    pub dispatches: Vec<PlannedDispatch>,
    pub pipelines: Vec<Pipeline>,
}

/// A compiled pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pipeline {
    /// Kernel, constants, F16 bindings.
    pub key: String,
    pub kernel: String,
    pub workgroup: [u32; 3],
    pub subgroup_size: u32,
    /// Vector registers a lane.
    pub registers: u32,
    /// Registers that were spilled to memory.
    pub spills: u32,
    /// Subgroups that a processor's scheduler holds at a time.
    pub occupancy: u32,
    /// Bytes of workgroup memory.
    pub shared_memory: u32,
    /// Bytes of code.
    pub code_size: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_loop: Option<Classes>,
    /// All that the driver says, by its own names.
    pub statistics: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub listing: String,
}

impl Pipeline {
    pub fn new(key: String, kernel: &str, shader: &Shader, compiled: Compiled, fma_a_pass: Option<u32>) -> Self {
        let Compiled { subgroup_size, statistics, listing } = compiled;
        // The drivers' own names: RADV's, then NVK's.
        let of = |names: &[&str]| names.iter().find_map(|&name| statistics.get(name)).map_or(0, |&value| value as u32);
        let vendor = if statistics.contains_key("VGPRs") { Vendor::Amd } else { Vendor::Nvidia };
        Self {
            kernel: kernel.to_owned(),
            workgroup: shader.workgroup,
            subgroup_size,
            registers: of(&["VGPRs", "Number of GPRs"]),
            spills: of(&["Spilled VGPRs", "Spills to memory"]),
            occupancy: of(&["Subgroups per SIMD", "Max warps/SM"]),
            shared_memory: of(&["LDS size", "LDS Size", "SLM size"]),
            code_size: of(&["Code size", "Code Size"]),
            main_loop: main_loop(vendor, &listing, fma_a_pass),
            key,
            statistics,
            listing,
        }
    }
}

impl Report {
    /// Without the assembly, which is long.
    pub fn without_listings(&self) -> Self {
        let mut short = self.clone();
        short.pipelines.iter_mut().for_each(|pipeline| pipeline.listing.clear());
        short
    }

    fn heading(&self) -> String {
        let robust = if self.robust { "" } else { ", without robust buffer access" };
        format!("{}, {} on {}{robust}\n{}\n", self.target, self.network, self.device, self.driver)
    }

    fn gpu(&self) -> Gpu {
        Gpu::of(Target::named(&self.target).map_or(Vendor::Nvidia, |target| target.vendor))
    }

    /// Its items, the one that takes longest first.
    fn items(&self) -> Vec<Item> {
        let gpu = self.gpu();
        let pipelines: BTreeMap<&str, &Pipeline> = self.pipelines.iter().map(|it| (it.key.as_str(), it)).collect();
        let mut items: BTreeMap<&str, Item> = BTreeMap::new();
        for dispatch in &self.dispatches {
            let Some(&pipeline) = pipelines.get(dispatch.pipeline.as_str()) else { continue };
            let item =
                items.entry(&dispatch.item).or_insert_with(|| Item { name: dispatch.item.clone(), ..Item::default() });
            item.dispatches += 1;
            item.seconds += gpu.seconds(dispatch, pipeline);
            item.flops += dispatch.flops;
            item.registers = item.registers.max(pipeline.registers);
            item.spills = item.spills.max(pipeline.spills);
            item.occupancy =
                if item.occupancy == 0 { pipeline.occupancy } else { item.occupancy.min(pipeline.occupancy) };
            if let Some(classes) = &pipeline.main_loop {
                let share = classes.fma_share();
                item.fma_share = Some(item.fma_share.map_or(share, |least| least.min(share)));
            }
        }
        let mut items: Vec<Item> = items.into_values().collect();
        items.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        items
    }
}

/// The dispatches of one kernel: the worst of its pipelines.
#[derive(Default)]
struct Item {
    name: String,
    dispatches: usize,
    seconds: f64,
    flops: f64,
    registers: u32,
    spills: u32,
    occupancy: u32,
    fma_share: Option<f64>,
}

/// A line a kernel.
pub fn table(report: &Report) -> String {
    let (items, gpu) = (report.items(), report.gpu());
    let mut text = report.heading();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\n{:<36} {:>10} {:>9} {:>6} {:>9} {:>6} {:>9} {:>9}",
        "kernel", "dispatches", "registers", "spills", "occupancy", "FMA", "GFLOP", "est. ms"
    );
    for item in &items {
        let share = item.fma_share.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share));
        let _ = writeln!(
            text,
            "{:<36} {:>10} {:>9} {:>6} {:>9} {:>6} {:>9.1} {:>9.2}",
            item.name,
            item.dispatches,
            item.registers,
            item.spills,
            item.occupancy,
            share,
            1e-9 * item.flops,
            1e3 * item.seconds
        );
    }
    let (dispatches, seconds): (usize, f64) =
        items.iter().fold((0, 0.0), |(count, sum), item| (count + item.dispatches, sum + item.seconds));
    let _ = writeln!(
        text,
        "\n{dispatches} dispatches, {} pipelines; estimated {:.1} ms on an idealised {}. Registers and spills: the most of the \
         kernel's pipelines; occupancy and FMA (the share of multiply-adds in the main loop): the least.",
        report.pipelines.len(),
        1e3 * seconds,
        gpu.name
    );
    text
}

/// A line a pipeline.
pub fn pipelines(report: &Report) -> String {
    let mut text = report.heading() + "\n";
    for pipeline in &report.pipelines {
        let _ = writeln!(
            text,
            "{}\n  registers {}  spills {}  occupancy {}  workgroup memory {}  code {} bytes",
            pipeline.key,
            pipeline.registers,
            pipeline.spills,
            pipeline.occupancy,
            pipeline.shared_memory,
            pipeline.code_size
        );
        if let Some(classes) = &pipeline.main_loop {
            let Classes { fma, float, integer, memory, shared, control } = classes;
            let _ = writeln!(
                text,
                "  main loop: {:.0} % FMA of {}: {fma} fma, {float} float, {integer} integer, {memory} memory, {shared} \
                 workgroup memory, {control} control",
                100.0 * classes.fma_share(),
                classes.total()
            );
        }
    }
    text
}

/// What breaks the rules: spills, and more registers than `most`.
pub fn faults(report: &Report, most: u32) -> Vec<String> {
    let spills = report
        .pipelines
        .iter()
        .filter(|it| it.spills > 0)
        .map(|it| format!("{} spills {} registers", it.key, it.spills));
    let large = report.pipelines.iter().filter(|it| it.registers > most);
    spills.chain(large.map(|it| format!("{} needs {} registers", it.key, it.registers))).collect()
}

/// The items of both, where something differs.
pub fn compare(before: &Report, after: &Report) -> String {
    let mut text = format!("before: {}after:  {}\n", before.heading(), after.heading());
    let (old, new) = (before.items(), after.items());
    let find = |items: &[Item], name: &str| items.iter().position(|item| item.name == name);
    let mut names: Vec<&str> = old.iter().chain(&new).map(|item| item.name.as_str()).collect();
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    let _ = writeln!(
        text,
        "{:<36} {:>16} {:>14} {:>11} {:>12} {:>19}",
        "kernel", "dispatches", "registers", "spills", "FMA %", "est. ms"
    );
    let none = Item::default();
    for name in names {
        let (a, b) = (find(&old, name).map_or(&none, |at| &old[at]), find(&new, name).map_or(&none, |at| &new[at]));
        let share = |item: &Item| item.fma_share.map_or(0.0, |share| (100.0 * share).round());
        let line = format!(
            "{name:<36} {:>7} -> {:>5} {:>6} -> {:>4} {:>4} -> {:>3} {:>4} -> {:>4} {:>8.2} -> {:>7.2}",
            a.dispatches,
            b.dispatches,
            a.registers,
            b.registers,
            a.spills,
            b.spills,
            share(a),
            share(b),
            1e3 * a.seconds,
            1e3 * b.seconds
        );
        let same = (a.dispatches, a.registers, a.spills) == (b.dispatches, b.registers, b.spills)
            && share(a) == share(b)
            && (a.seconds - b.seconds).abs() < 1e-5;
        if !same {
            let _ = writeln!(text, "{line}");
        }
    }
    let sum = |items: &[Item]| {
        (items.iter().map(|it| it.dispatches).sum::<usize>(), 1e3 * items.iter().map(|it| it.seconds).sum::<f64>())
    };
    let ((n, t), (m, u)) = (sum(&old), sum(&new));
    let _ = writeln!(text, "\nall: {n} -> {m} dispatches, estimated {t:.1} -> {u:.1} ms");
    text
}
