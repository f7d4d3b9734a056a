//! The command line: one file a subcommand, each of which parses, calls the library and prints. The binary calls it and
//! nothing else may; what another program could want is in the library below.
//!
//! Exit status: 0 done; 1 the check failed (a mismatch, numbers that are not finite); 2 the input, the arguments or the
//! machine are at fault; 130 stopped by Ctrl-C, with everything saved.

mod ablation;
mod bench;
mod common;
mod compare;
mod devices;
mod eval;
mod export;
mod gradcheck;
mod import;
mod kernels;
mod people;
mod plot;
mod predict;
mod progress;
mod ranks;
#[cfg(test)]
mod readme;
mod report;
mod rows;
mod scale;
mod score;
mod summary;
mod systems;
mod train;
mod tune;
mod verify;
mod web;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use common::{Common, Status};

use crate::train::TrainError;

const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    the check failed: a mismatch, a target missed, numbers that are not finite
  2    the input, the arguments or the machine are at fault; the message says which
  130  stopped by Ctrl-C; a training run has saved itself and can be resumed";

/// Human pose estimation with HRNet and DITN, trained and run by WGSL kernels on any GPU, or on the CPU through a
/// software Vulkan driver.
#[derive(Debug, Parser)]
#[command(name = "ditn", version, after_help = EXIT_STATUS, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a network; without arguments DITN on synthetic people
    Train(train::Arguments),
    /// Score a checkpoint on a data set's evaluation split
    Eval(eval::Arguments),
    /// Score results from files alone, as the public tools do
    Score(score::Arguments),
    /// Score two checkpoints on the same people, and show them side by side
    Compare(compare::Arguments),
    /// Find people's joints in pictures
    Predict(predict::Arguments),
    /// Make a checkpoint from weights of PyTorch or safetensors
    Import(import::Arguments),
    /// Write a checkpoint's network for PyTorch
    Export(export::Arguments),
    /// List the adapters of this machine and what each supports
    Devices,
    /// List the kernels, or show what one computes and its source
    Kernels(kernels::Arguments),
    /// Check every operator's gradients against numeric ones on this adapter
    Gradcheck,
    /// Compare a network with a dump of the PyTorch reference
    Verify(verify::Arguments),
    /// Train the rows of the paper's Table 5, 6 or 7 and print them beside the paper's figures
    Ablation(ablation::Arguments),
    /// Train or score the systems of the paper's Table 2, 3 or 4 and print them beside the paper's figures
    Systems(systems::Arguments),
    /// Draw the curves of runs, and scores by threshold
    Plot(plot::Arguments),
    /// Choose the kernels' variants by measuring on this adapter
    Tune(tune::Arguments),
    /// Measure this adapter: its ceilings, the kernels, whole networks
    Bench(bench::Arguments),
    /// Check and measure this adapter in ten minutes: one report to send
    Report(report::Arguments),
    /// Count parameters, multiply-adds and training memory of the networks, beside the paper's; estimate several ranks
    Summary(summary::Arguments),
    /// Write a network and every kernel for browsers, with pages that run them by WebGPU
    Web(web::Arguments),
    /// Draw a contact sheet of synthetic people with their joints
    People(people::Arguments),
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    crate::gpu::quiet_drivers();
    let cli = Cli::parse();
    start_logging(cli.common.verbose);
    let common = &cli.common;
    let takes_several = matches!(cli.command, Command::Train(_) | Command::Verify(_));
    let may_run = if takes_several { Ok(()) } else { ranks::be_alone() };
    let result = may_run.and_then(|()| match cli.command {
        Command::Train(arguments) => train::run(arguments, common),
        Command::Eval(arguments) => eval::run(arguments, common),
        Command::Score(arguments) => score::run(arguments, common),
        Command::Compare(arguments) => compare::run(arguments, common),
        Command::Predict(arguments) => predict::run(arguments, common),
        Command::Import(arguments) => import::run(arguments, common),
        Command::Export(arguments) => export::run(arguments, common),
        Command::Devices => devices::run(common),
        Command::Kernels(arguments) => kernels::run(arguments, common),
        Command::Gradcheck => gradcheck::run(common),
        Command::Verify(arguments) => verify::run(arguments, common),
        Command::Ablation(arguments) => ablation::run(arguments, common),
        Command::Systems(arguments) => systems::run(arguments, common),
        Command::Plot(arguments) => plot::run(arguments, common),
        Command::Tune(arguments) => tune::run(arguments, common),
        Command::Bench(arguments) => bench::run(arguments, common),
        Command::Report(arguments) => report::run(arguments, common),
        Command::Summary(arguments) => summary::run(arguments, common),
        Command::Web(arguments) => web::run(arguments, common),
        Command::People(arguments) => people::run(arguments, common),
    });
    match result {
        Ok(status) => status.into(),
        // Whoever read our output has closed it (`ditn kernels | head`): nothing is wrong.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<ranks::SaidByTheFirst>() => ExitCode::SUCCESS,
        Err(error) => {
            // What has gone wrong on another rank is said there.
            if !matches!(error.downcast_ref(), Some(TrainError::OtherRank { .. })) {
                eprintln!("error: {error:#}");
            }
            status_of(&error).into()
        }
    }
}

fn status_of(error: &anyhow::Error) -> Status {
    match error.downcast_ref::<TrainError>() {
        Some(error) if error.is_not_finite() => Status::CheckFailed,
        _ => Status::Fault,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// `RUST_LOG` where it is set, else by the number of `-v`.
fn start_logging(verbose: u8) {
    let level = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| format!("warn,wgpu_hal=error,ditn={level}").into());
    // Colours are for terminals, and modules for whoever debugs.
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time();
    log.with_ansi(colours).with_target(verbose > 1).init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
