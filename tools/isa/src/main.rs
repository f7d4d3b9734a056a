//! What the compilers of GPU drivers make of `ditn`'s kernels, without the GPUs: registers, spills, occupancy, code size, what the
//! main loop's instructions are, and a model of the time that a step would take.
//!
//! ```text
//! cargo run --release --manifest-path tools/isa/Cargo.toml -- targets
//! cargo run --release --manifest-path tools/isa/Cargo.toml -- step --target gfx1100 --json gfx1100.json
//! cargo run --release --manifest-path tools/isa/Cargo.toml -- kernel conv2d/gemm --target gfx1100 --listing
//! cargo run --release --manifest-path tools/isa/Cargo.toml -- compare before.json after.json
//! ```
//!
//! Mesa compiles for a GPU that is not there where its kernel driver is replaced by a stub: see [`targets`]. The statistics
//! come through `VK_KHR_pipeline_executable_properties`.
//!
//! `plans` makes the list of dispatches, `spirv` translates their shaders as wgpu does, `vulkan` compiles them, `listing`
//! reads the driver's assembly, `model` estimates times, `report` prints.

mod listing;
mod model;
mod plans;
mod report;
mod spirv;
mod targets;
mod vulkan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use ditn::data::Size;
use ditn::nn::Precision;

use report::{Pipeline, Report};
use targets::Target;

const EXAMPLES: &str = "\
Examples:
  isa targets                                          what this machine's drivers can compile for
  isa step --target gfx1100                            the training step of DITN-W32, a line a kernel
  isa step --plan inference --batch 1 --json a.json    inference, on the first target, kept for `compare`
  isa step --check --max-registers 256                 exit status 1 where a kernel spills or needs more registers
  isa kernel conv2d/gemm --listing                     one kernel, with the compiler's assembly
  isa compare a.json b.json                            what a change did

Targets beside gfx1100 need Mesa's stubs of kernel drivers:  tools/newer_lavapipe.sh DIR, then --mesa DIR.";

/// What GPU drivers' compilers make of the kernels of ditn, without the GPUs.
#[derive(Parser)]
#[command(name = "isa", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the targets, and which of them can be compiled for here
    Targets(MesaArguments),
    /// Compile all kernels of a network's plan: statistics and estimated time by kernel
    Step(StepArguments),
    /// Compile the pipelines of one kernel
    Kernel(KernelArguments),
    /// Show what differs between two files that --json wrote
    Compare {
        /// Before
        before: PathBuf,
        /// After
        after: PathBuf,
    },
    /// Compile on the driver of this environment and print JSON: what the other commands start with the driver that they need
    #[command(hide = true)]
    Here(HereArguments),
}

#[derive(Args)]
struct MesaArguments {
    /// A folder that tools/newer_lavapipe.sh made, with Mesa's stubs of kernel drivers
    #[arg(long, value_name = "DIR")]
    mesa: Option<PathBuf>,
}

#[derive(Args)]
struct PlanArguments {
    /// The network
    #[arg(long, default_value = "ditn-w32")]
    network: String,
    /// Training step or inference
    #[arg(long, value_enum, default_value = "training")]
    plan: plans::Kind,
    /// Size of the network's input, HEIGHTxWIDTH
    #[arg(long, default_value = "256x256", value_parser = size)]
    size: Size,
    /// Pictures
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// How feature maps are stored
    #[arg(long, default_value = "f32", value_parser = precision)]
    precision: Precision,
    /// Open the device without robustBufferAccess, which wgpu switches on
    #[arg(long)]
    plain: bool,
}

#[derive(Args)]
struct CompileArguments {
    /// The target [default: the first that works here]
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    mesa: MesaArguments,
    #[command(flatten)]
    plan: PlanArguments,
}

#[derive(Args)]
struct StepArguments {
    #[command(flatten)]
    compile: CompileArguments,
    /// Write everything to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with status 1 where a kernel spills
    #[arg(long)]
    check: bool,
    /// With --check: nor may a kernel need more registers than this
    #[arg(long, value_name = "NUMBER", requires = "check")]
    max_registers: Option<u32>,
}

#[derive(Args)]
struct KernelArguments {
    /// The kernel's name, such as conv2d/gemm, or a part that several have
    name: String,
    #[command(flatten)]
    compile: CompileArguments,
    /// Print the compiler's assembly
    #[arg(long)]
    listing: bool,
    /// Compile this WGSL instead of the kernel's own, with the same constants: to try a change without a build
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// Give these constants other values, or add them: NAME=VALUE
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = constant)]
    constants: Vec<(String, f64)>,
}

#[derive(Args)]
struct HereArguments {
    target: String,
    #[command(flatten)]
    plan: PlanArguments,
    /// Only kernels whose names contain this
    #[arg(long)]
    only: Option<String>,
    /// This WGSL instead of theirs
    #[arg(long)]
    source: Option<PathBuf>,
    #[arg(long = "set", value_parser = constant)]
    constants: Vec<(String, f64)>,
}

fn size(text: &str) -> Result<Size, String> {
    let numbers = text.split_once('x').and_then(|(height, width)| Some((height.parse().ok()?, width.parse().ok()?)));
    numbers.map(|(height, width)| Size::new(height, width)).ok_or_else(|| "expected HEIGHTxWIDTH".to_owned())
}

fn constant(text: &str) -> Result<(String, f64), String> {
    let pair = text.split_once('=').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    pair.ok_or_else(|| "expected NAME=VALUE".to_owned())
}

fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "f16" => Ok(Precision::F16),
        _ => Err("expected f32 or f16".to_owned()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Targets(MesaArguments { mesa }) => {
            targets::list(mesa.as_deref());
            Ok(())
        }
        Command::Step(arguments) => step(&arguments),
        Command::Kernel(arguments) => kernel(&arguments),
        Command::Compare { before, after } => {
            print!("{}", report::compare(&read(&before)?, &read(&after)?));
            Ok(())
        }
        Command::Here(arguments) => {
            println!("{}", serde_json::to_string(&here(&arguments)?)?);
            Ok(())
        }
    }
}

fn step(arguments: &StepArguments) -> Result<()> {
    let report = compiled(&arguments.compile, &[])?;
    print!("{}", report::table(&report));
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&report.without_listings())?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if arguments.check {
        let most = arguments.max_registers.unwrap_or(u32::MAX);
        let faults = report::faults(&report, most);
        ensure!(faults.is_empty(), "of {} pipelines:\n  {}", report.pipelines.len(), faults.join("\n  "));
        println!(
            "No kernel spills{}.",
            arguments.max_registers.map_or(String::new(), |most| format!(" or needs more than {most} registers"))
        );
    }
    Ok(())
}

fn kernel(arguments: &KernelArguments) -> Result<()> {
    let mut what = vec!["--only".to_owned(), arguments.name.clone()];
    what.extend(arguments.source.iter().flat_map(|path| ["--source".to_owned(), path.display().to_string()]));
    what.extend(arguments.constants.iter().flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]));
    let report = compiled(&arguments.compile, &what)?;
    ensure!(!report.pipelines.is_empty(), "the plan has no kernel whose name contains '{}'", arguments.name);
    print!("{}", report::pipelines(&report));
    if arguments.listing {
        for pipeline in &report.pipelines {
            println!("\n== {}\n{}", pipeline.key, pipeline.listing);
        }
    }
    Ok(())
}

/// Runs this program once more in the environment that the target's driver needs; `what` are arguments of its own.
fn compiled(arguments: &CompileArguments, what: &[String]) -> Result<Report> {
    let CompileArguments { target, mesa, plan } = arguments;
    let mesa = mesa.mesa.as_deref();
    let target = match target {
        Some(name) => Target::named(name)?,
        None => targets::first_here(mesa)?,
    };
    let mut command = target.command(mesa)?;
    command.args(["here", target.name, "--network", &plan.network, "--size", &plan.size.to_string()]);
    command.args(["--batch", &plan.batch.to_string(), "--plan", plan.plan.name()]);
    command.args(["--precision", if plan.precision == Precision::F16 { "f16" } else { "f32" }]);
    command.args(what);
    command.args(plan.plain.then_some("--plain"));
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    ensure!(
        output.status.success(),
        "the driver for {} did not compile:\n{}",
        target.name,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout).context("what the driver's process printed")
}

/// Compiles on the driver of this environment.
fn here(arguments: &HereArguments) -> Result<Report> {
    let HereArguments { target, plan, only, source, constants } = arguments;
    let target = Target::named(target)?;
    let planned = plans::plan(plan, &target.capabilities())?;
    let device = vulkan::Device::open(!plan.plain, plan.precision == Precision::F16)?;
    let mut kernels = planned.steps.iter().flat_map(|step| step.dispatches()).map(|(dispatch, _)| dispatch.kernel.name);
    let exact = only.as_ref().is_some_and(|only| kernels.any(|name| name == only));
    let wanted = |name: &str| only.as_ref().is_none_or(|only| if exact { name == only } else { name.contains(only) });
    let mut pipelines = BTreeMap::new();
    for step in &planned.steps {
        for (dispatch, f16) in step.dispatches() {
            let key = plans::key_of(dispatch, f16);
            if !wanted(dispatch.kernel.name) || pipelines.contains_key(&key) {
                continue;
            }
            let text = match source {
                None => dispatch.kernel.source_for(f16),
                Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?.into(),
            };
            let mut values: BTreeMap<String, f64> = BTreeMap::new();
            values.extend(dispatch.constants.iter().map(|&(name, value)| (name.to_owned(), value)));
            values.extend(constants.iter().cloned());
            let shader = spirv::translate(&text, &values).with_context(|| key.clone())?;
            let compiled = device.compile(&shader).with_context(|| key.clone())?;
            pipelines.insert(
                key.clone(),
                Pipeline::new(key, dispatch.kernel.name, &shader, compiled, plans::fma_a_pass(&values)),
            );
        }
    }
    Ok(Report {
        target: target.name.to_owned(),
        device: device.name.clone(),
        driver: device.driver.clone(),
        network: format!("{} {:?} {} x {}", plan.network, plan.plan, plan.batch, plan.size),
        robust: !plan.plain,
        dispatches: plans::dispatches(&planned),
        pipelines: pipelines.into_values().collect(),
    })
}

fn read(path: &Path) -> Result<Report> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not what `isa step --json` writes", path.display()))
}
