//! `ditn summary`

use std::fmt::Write;

use anyhow::Context;
use serde::Serialize;

use super::common::{Common, Status, parse_size, precision_parser, print, print_json};
use super::scale::{self, ScaleArguments, Scaling, rank_by_rank};
use crate::data::{Size, Skeleton};
use crate::graph::Choices;
use crate::ir::ValueId;
use crate::models::{self, Block, ModelConfig, NAMES, NetworkConfig};
use crate::train::config::Config;
use crate::train::memory::TrainingMemory;
use crate::train::step::{Precision, StepGraph};

const EXAMPLES: &str = "\
Examples:
  ditn summary                                       every network, beside the paper's Tables 3 and 4
  ditn summary ditn-w32 --size 256x256               block by block, beside its Table 8
  ditn summary --skeleton coco --batch 32            and what training takes in memory on this adapter
  ditn summary ditn-w32 --batch 32 --ranks 1,2,4,8 --bandwidth 25Gbit/s
                                                     how fast so many adapters like this one would train it
  ditn summary ditn-w32 --batch 32 --ranks 1,2,4,8 --bandwidth 25Gbit/s --step-seconds 0.12
                                                     or adapters on which a step takes so long";

/// Arguments of `ditn summary`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Networks to show [default: all]
    #[arg(value_name = "MODEL", value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    models: Vec<String>,
    /// Whose joints and bones are predicted
    #[arg(long, default_value = "mpii", value_parser = ["mpii", "coco", "lsp"])]
    skeleton: String,
    /// Height and width of the input in pixels, multiples of 32, for hourglasses of 64
    #[arg(long, value_name = "HxW", default_value = "256x192", value_parser = parse_size)]
    size: Size,
    /// Also plan a training step of so many pictures on this adapter, and show the memory that it takes
    #[arg(long, value_name = "PICTURES", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
    /// How that step stores feature maps
    #[arg(long, default_value = "f32", value_parser = precision_parser())]
    precision: Precision,
    /// What of the network that step leaves as it is (`train.freeze`)
    #[arg(long, value_name = "PART", value_parser = ["backbone"], requires = "batch")]
    freeze: Option<String>,
    #[command(flatten)]
    scale: ScaleArguments,
}

#[derive(Serialize)]
struct Document<'a> {
    skeleton: &'a str,
    size: Size,
    models: Vec<Row>,
    /// Networks that do not take the size, or have no backbone to freeze.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    parameters: usize,
    multiply_adds: u64,
    blocks: Vec<Block>,
    #[serde(skip_serializing_if = "Option::is_none")]
    training: Option<TrainingMemory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling: Option<Scaling>,
}

/// Prints the networks, a row each; a single one block by block.
pub(super) fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let skeleton = Skeleton::by_name(&arguments.skeleton).context("an unknown skeleton")?;
    let all = arguments.models.is_empty();
    let mut names = if all { NAMES.map(String::from).to_vec() } else { arguments.models };
    let mut left_out = Vec::new();
    if all {
        let freeze = arguments.freeze.is_some();
        names.retain(|name| {
            let suits = suits(name, arguments.size, freeze);
            left_out.extend((!suits).then(|| name.clone()));
            suits
        });
    }
    arguments.scale.check(&names)?;
    let gpu = arguments.batch.map(|_| common.gpu()).transpose()?;
    let mut rows = Vec::with_capacity(names.len());
    for (number, name) in names.into_iter().enumerate() {
        let model = ModelConfig::named(&name, skeleton).context("an unknown network")?;
        let blocks = models::blocks(&model, arguments.size)?;
        let (training, scaling) = match (&gpu, arguments.batch) {
            (Some(gpu), Some(batch)) => {
                let mut config = Config::default();
                (config.train.size, config.train.batch) = (arguments.size, batch.into());
                config.train.precision = arguments.precision;
                let model = ModelConfig { frozen_backbone: arguments.freeze.is_some(), ..model };
                let of_batch = || format!("{name} at a batch of {batch}");
                // Initial values have no part in a plan.
                let step = StepGraph::new(&model, &config.step_config(), 0).with_context(of_batch)?.step;
                let choices = Choices::of(gpu)?;
                let seeds: Vec<ValueId> = step.seeds().iter().map(|&(seed, _)| seed).collect();
                let plan = || step.plan(gpu.capabilities(), &choices).with_context(of_batch);
                let scaling = arguments.scale.estimate(gpu, (number, &name), plan, &seeds, batch.into())?;
                (Some(TrainingMemory::of(&plan()?, batch.into())), scaling)
            }
            _ => (None, None),
        };
        let parameters = blocks.iter().map(|block| block.parameters).sum();
        let multiply_adds = blocks.iter().map(|block| block.multiply_adds).sum();
        rows.push(Row { name, parameters, multiply_adds, blocks, training, scaling });
    }
    let document = Document { skeleton: &skeleton.name, size: arguments.size, models: rows, left_out };
    if common.json {
        print_json(&document)?;
    } else if let [row] = document.models.as_slice() {
        print(&block_by_block(row, &document))?;
    } else {
        print(&side_by_side(&document))?;
    }
    Ok(Status::Done)
}

/// Whether a network takes an input of this size, and can be trained with a frozen backbone where that is asked for.
fn suits(name: &str, size: Size, freeze: bool) -> bool {
    NetworkConfig::named(name).is_some_and(|network| {
        size.is_multiple_of(network.input_multiple() as u32) && (!freeze || network.has_backbone())
    })
}

/// Parameters in millions and multiply-adds in 2^30 as the paper's Tables 3 and 4 print them (COCO, 256x192), and as the README of
/// its authors' code does for RSN.
const PUBLISHED: [(&str, &str, &str); 10] = [
    ("hrnet-w32", "28.5 M", "7.10"),
    ("hrnet-w48", "63.6 M", "14.6"),
    ("simplebaseline-50", "34.0 M", "8.90"),
    ("simplebaseline-101", "53.0 M", "12.4"),
    ("simplebaseline-152", "68.6 M", "15.7"),
    ("ditn-w32", "28.6 M", "7.26"),
    ("hourglass-8", "25.1 M", "14.3"),
    ("cpn-50", "27.0 M", "6.20"),
    ("rsn-50", "-", "6.4"),
    ("ipr-101", "45.0 M", "11.0"),
];

const NOTES: &str = "\
The published columns are the paper's Tables 3 and 4, for COCO at 256x192. A multiply-add is one; they are counted in units of 2^30, for
convolutions alone. For SimpleBaseline the published figures count each transposed convolution at the size of its output,
four times its work: `as published` counts so. What cannot be the network here:
  hourglass-8  14.3 was copied from table to table: CPN's paper counts 19.48 for it at 256x192, in units of 2^30
  cpn-50       27.0 M is the form of its authors' code, whose RefineNet keeps the identity in six blocks where the checkpoints
               here project; 6.20 is neither form's
  rsn-50       6.4 is the authors' README on a network that is not public; the one here is MMPose's
  ipr-101      45.0 M is about a ResNet-101 with its classifier; the authors' own head gives 53.0 M. 11.0 is at 256x256
";

fn side_by_side(document: &Document<'_>) -> String {
    let mut text = heading(document);
    let has_training = document.models.iter().any(|row| row.training.is_some());
    let memory_head = if has_training { "    training memory" } else { "" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<20} {:>12} {:>9}   {:>13} {:>13} {:>9}{memory_head}",
        "network", "parameters", "published", "multiply-adds", "as published", "published"
    );
    for row in &document.models {
        let printed = PUBLISHED.iter().find(|(name, ..)| *name == row.name);
        let (parameters, multiply_adds) = printed.map_or(("-", "-"), |&(_, p, m)| (p, m));
        let transposed: u64 = row.blocks.iter().map(|block| block.transposed_multiply_adds).sum();
        let memory = row.training.map(|training| format!("  {:>13} GiB", gibi(training.total))).unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<20} {:>12} {:>9}   {:>13} {:>13} {:>9}{memory}",
            row.name,
            grouped(row.parameters),
            parameters,
            gibi(row.multiply_adds),
            gibi(row.multiply_adds + 3 * transposed),
            multiply_adds
        );
    }
    if !document.left_out.is_empty() {
        let _ = write!(text, "\nLeft out, as they do not suit: {}\n", document.left_out.join(", "));
    }
    let _ = write!(text, "\n{NOTES}");
    text +=
        &scale::side_by_side(document.models.iter().filter_map(|row| Some((row.name.as_str(), row.scaling.as_ref()?))));
    text
}

/// Parameters and operations of DITN-W32's blocks as the paper's Table 8 prints them (MPII, 256x256).
const TABLE_8: [(&str, &str, &str); 6] = [
    ("joint_decoder", "21.2 k", "83.6 M"),
    ("bone_decoder", "21.2 k", "83.4 M"),
    ("transfer", "3.2 k", "12.5 M"),
    ("transfer.adapter", "1.6 k", "0.6 M"),
    ("transfer.channel_attention", "0.8 k", "3.1 M"),
    ("transfer.spatial_attention", "4.0 k", "16.1 M"),
];

const TABLE_8_NOTES: &str = "
The paper's columns are its Table 8, for MPII at 256x256 (its 9.49 G for the body are in units of 2^30, the others here and
there in units of 2^20). Where it counts differently:
  joint_decoder   `32 -> 32` is a misprint: 21.2 k parameters need 64, as in the bone decoder
  transfer        3.2 k and 12.5 M are the 1x1 mix and a dense 2 -> 2 dynamic convolution, with its kernels as parameters;
                  the adapter makes one kernel a channel, so it is depthwise, and its kernels are not trained
  decoders and attention   the printed operations are a little more than those of the convolutions
";

fn block_by_block(row: &Row, document: &Document<'_>) -> String {
    let mut text = heading(document);
    let is_ditn_w32 = row.name == "ditn-w32";
    let paper_head = if is_ditn_w32 { "       paper" } else { "" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<28} {:>14} {:>12}{paper_head} {:>16}{paper_head}",
        row.name, "output", "parameters", "multiply-adds"
    );
    for block in &row.blocks {
        let output: Vec<String> = block.output.iter().map(ToString::to_string).collect();
        let printed = TABLE_8.iter().find(|(name, ..)| *name == block.name).filter(|_| is_ditn_w32);
        let column = |text: &str| if is_ditn_w32 { format!("{text:>12}") } else { String::new() };
        let (parameters, multiply_adds) = printed.map_or(("", ""), |&(_, p, m)| (p, m));
        let _ = writeln!(
            text,
            "  {:<26} {:>14} {:>12}{} {:>14} M{}",
            block.name,
            output.join("x"),
            grouped(block.parameters),
            column(parameters),
            format!("{:.2}", block.multiply_adds as f64 / f64::from(1 << 20)),
            column(multiply_adds),
        );
    }
    let _ = writeln!(
        text,
        "\n{} parameters, {} G multiply-adds (2^30) a picture",
        grouped(row.parameters),
        gibi(row.multiply_adds)
    );
    if let Some(TrainingMemory { batch, parameters, state, slots, total }) = row.training {
        let _ = writeln!(
            text,
            "\nTraining at a batch of {batch}: {} GiB = {} parameters + {} optimizer and running statistics + {} activations, \
             gradients and scratch",
            gibi(total),
            gibi(parameters),
            gibi(state),
            gibi(slots)
        );
    }
    text.extend(row.scaling.as_ref().map(rank_by_rank));
    if is_ditn_w32 {
        text += TABLE_8_NOTES;
    }
    text
}

fn heading(document: &Document<'_>) -> String {
    format!("Input {}, skeleton {}\n\n", document.size, document.skeleton)
}

/// In units of 2^30.
fn gibi(count: u64) -> String {
    format!("{:.2}", count as f64 / f64::from(1 << 30))
}

/// With a comma before every three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!([0, 999, 1_000, 28_536_080].map(grouped), ["0", "999", "1,000", "28,536,080"]);
    }
}
