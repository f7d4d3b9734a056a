//! The update of the running statistics: of one layer, or of all layers of a network at once.

use super::kernels;
use crate::ir::Argument::{Input, Table};
use crate::ir::{Case, Cost, Dispatch, Operator, Shape, ShapeError, Variant, take};
use crate::ops::table::{table, words};
use crate::ops::{Fill, OperatorCase, TableLayout};

/// Channels that share an entry of the kernel's table.
const BLOCK: usize = 64;

/// (running_mean, running_var, mean, variance, each `[C]`): overwrites the first two with
/// (1 - momentum) running + momentum batch, where the batch's variance is made unbiased, variance n / (n - 1). Mean and
/// variance are those of a batch, or their sums over several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunningStatistics {
    /// Weight of the batch: 0.1 in the networks here.
    pub momentum: f32,
    /// Elements a channel in the batch, n = N H W.
    pub count: usize,
    /// Batches that mean and variance are sums over: their means count as the batch's.
    pub batches: usize,
}

/// As [`RunningStatistics`] of several layers, each `[C]` followed by zeros up to the next multiple of 64, one behind the
/// other.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatRunningStatistics {
    layers: Vec<(usize, RunningStatistics)>,
}

impl FlatRunningStatistics {
    /// The operator of layers with these numbers of channels.
    pub fn new(layers: impl IntoIterator<Item = (usize, RunningStatistics)>) -> Self {
        let layers = layers.into_iter();
        Self { layers: layers.map(|(channels, update)| (channels.div_ceil(BLOCK), update)).collect() }
    }

    /// The update of each 64 channels.
    fn blocks(&self) -> impl Iterator<Item = RunningStatistics> {
        self.layers.iter().flat_map(|&(blocks, update)| std::iter::repeat_n(update, blocks))
    }
}

table! {
    /// What the kernel reads of each 64 channels.
    struct RunningStatisticsBlock {
        kept: f32,
        mean: f32,
        variance: f32,
    }
}

/// The layouts of this file.
pub(in crate::ops) const TABLES: &[TableLayout] = &[RunningStatisticsBlock::LAYOUT];

impl RunningStatistics {
    /// The factor of the variance is rounded once, here: what compilers that gather constant factors make of the formula.
    fn block(&self) -> RunningStatisticsBlock {
        let unbiased = self.count as f32 / (self.count - 1) as f32;
        let mean = self.momentum / self.batches as f32;
        RunningStatisticsBlock { kept: 1.0 - self.momentum, mean, variance: mean * unbiased }
    }

    fn check(&self, operator: &'static str) -> Result<(), ShapeError> {
        ShapeError::unless(self.count > 1, operator, || {
            "training needs more than one value per channel: use a larger batch or input size".to_string()
        })
    }

    /// The new mean and variance of one channel.
    fn reference(&self, [running_mean, running_var, mean, variance]: [f64; 4]) -> [f64; 2] {
        let momentum = f64::from(self.momentum);
        let unbiased = variance * self.count as f64 / (self.count as f64 - 1.0);
        let moved = |(old, sum): (f64, f64)| (1.0 - momentum) * old + momentum * sum / self.batches as f64;
        [(running_mean, mean), (running_var, unbiased)].map(moved)
    }
}

fn check_lengths(operator: &'static str, inputs: &[&Shape]) -> Result<usize, ShapeError> {
    let vectors: [&Shape; 4] = take(operator, inputs)?;
    let same = vectors.iter().all(|vector| *vector == vectors[0]);
    ShapeError::unless(same, operator, || format!("statistics of different lengths, {} first", vectors[0]))?;
    Ok(vectors[0].elements())
}

/// The variant for these updates of 64 channels each.
fn variant(blocks: impl Iterator<Item = RunningStatistics>) -> Variant {
    let rows: Vec<RunningStatisticsBlock> = blocks.map(|update| update.block()).collect();
    let bindings = vec![Input(0), Input(1), Input(2), Input(3), Table(0)];
    let update = Dispatch::per_workgroup(&kernels::RUNNING_STATISTICS, rows.len(), Vec::new(), bindings);
    Variant::new("plain", vec![update]).with_tables(vec![words(&rows)])
}

/// The new means and variances of channels with these updates.
fn reference(updates: impl Iterator<Item = RunningStatistics>, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
    let channels = updates.zip(0..inputs[0].len());
    let new = channels.map(|(update, channel)| update.reference([0, 1, 2, 3].map(|number| inputs[number][channel])));
    let (means, variances) = new.map(|[mean, variance]| (mean, variance)).unzip();
    vec![means, variances]
}

fn cost(inputs: &[&Shape]) -> Cost {
    // The running statistics are written as well as read.
    Cost::new(6.0 * inputs[0].elements() as f64, inputs, &inputs[..2])
}

impl Operator for RunningStatistics {
    fn name(&self) -> &'static str {
        "batch_norm_running_statistics"
    }

    fn attributes(&self) -> String {
        let batches = if self.batches > 1 { format!(" batches={}", self.batches) } else { String::new() };
        format!("momentum={} count={}{batches}", self.momentum, self.count)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        check_lengths(self.name(), inputs)?;
        self.check(self.name())?;
        Ok(Vec::new())
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        vec![variant(std::iter::repeat_n(*self, case.inputs[0].elements().div_ceil(BLOCK)))]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        reference(std::iter::repeat(*self), inputs)
    }

    fn cost(&self, inputs: &[&Shape], _: &[&Shape]) -> Cost {
        cost(inputs)
    }

    fn overwrites(&self) -> &'static [usize] {
        &[0, 1]
    }
}

impl Operator for FlatRunningStatistics {
    fn name(&self) -> &'static str {
        "batch_norm_flat_running_statistics"
    }

    fn attributes(&self) -> String {
        let rows = self.layers.chunk_by(|(_, one), (_, other)| one == other).map(|layers| {
            let blocks: usize = layers.iter().map(|(blocks, _)| blocks).sum();
            let RunningStatistics { momentum, count, batches } = layers[0].1;
            let batches = if batches > 1 { format!("/{batches}") } else { String::new() };
            format!("{blocks}x{momentum}/{count}{batches}")
        });
        format!("blocks={}", rows.collect::<Vec<_>>().join(","))
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let channels = check_lengths(self.name(), inputs)?;
        let blocks: usize = self.layers.iter().map(|(blocks, _)| blocks).sum();
        ShapeError::unless(channels == BLOCK * blocks, self.name(), || {
            format!("{channels} channels are not {blocks} times {BLOCK}")
        })?;
        self.layers.iter().try_for_each(|(_, update)| update.check(self.name()))?;
        Ok(Vec::new())
    }

    fn variants(&self, _: &Case) -> Vec<Variant> {
        vec![variant(self.blocks())]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        reference(self.blocks().flat_map(|update| std::iter::repeat_n(update, BLOCK)), inputs)
    }

    fn cost(&self, inputs: &[&Shape], _: &[&Shape]) -> Cost {
        cost(inputs)
    }

    fn overwrites(&self) -> &'static [usize] {
        &[0, 1]
    }
}

pub(super) fn cases() -> Vec<OperatorCase> {
    let update = |momentum, count| RunningStatistics { momentum, count, batches: 1 };
    let of_sums = RunningStatistics { batches: 3, ..update(0.1, 70) };
    let variances = |case: OperatorCase| case.fill(3, Fill::Uniform(0.5, 1.5));
    let single = [1, 67].map(|channels| variances(OperatorCase::new(update(0.1, 70), &[[channels]; 4])));
    let layers = [(67, update(0.1, 70)), (1, update(0.1, 70)), (64, update(0.01, 9)), (130, update(1.0, 2))];
    let flat = OperatorCase::new(FlatRunningStatistics::new(layers), &[[64 * 7]; 4]);
    let layers = [(1, of_sums), (64, update(0.1, 70))];
    let flat_sums = OperatorCase::new(FlatRunningStatistics::new(layers), &[[64 * 2]; 4]);
    let sums = OperatorCase::new(of_sums, &[[67]; 4]);
    single.into_iter().chain([flat, sums, flat_sums].map(variances)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_in_a_row_that_are_alike_share_an_entry_of_the_attributes() {
        let update = |count| RunningStatistics { momentum: 0.1, count, batches: 1 };
        let (update, other) = (update(70), update(9));
        let flat = FlatRunningStatistics::new([(67, update), (1, update), (64, other)]);
        assert_eq!(flat.attributes(), "blocks=3x0.1/70,1x0.1/9");
        let refused = |channels: usize| flat.output_shapes(&[&[channels].into(); 4]);
        assert!(refused(256).is_ok() && refused(192).is_err());
        assert!(
            FlatRunningStatistics::new([(1, RunningStatistics { count: 1, ..update })])
                .output_shapes(&[&[64].into(); 4])
                .is_err()
        );
    }
}
