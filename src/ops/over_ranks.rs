//! What the ranks of a data-parallel step compute together in its middle.
//!
//! By itself a node of these is the identity, which is right for one rank. Where there are more, the step stops behind the
//! node, the ranks exchange what each of them has, and the host replaces the node's outputs by what [`join`] makes of it.

use std::any::Any;

use super::OperatorCase;
use super::shaders::kernels;
use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Operator, Shape, ShapeError, Variant, take};

kernels! { "over_ranks":
    COPY, "copy", "y = x: what one rank has is what all have";
}

/// x, float32 of any shape -> the mean of the ranks' x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeanOverRanks;

/// (mean, biased variance, each `[C]`) of a rank's elements -> those of all ranks' elements, of which each rank has as many.
///
/// mean = sum m_r / n, variance = sum (v_r + (m_r - mean)^2) / n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatisticsOverRanks;

/// What the outputs of `operator`, in a row, are for all ranks, where `of_ranks` are those of each in their order. None where
/// ranks have nothing to exchange behind this operator. Sums are in float64 and in the order of the ranks.
pub fn join(operator: &dyn Operator, of_ranks: &[&[f32]]) -> Option<Vec<f32>> {
    let operator: &dyn Any = operator;
    let mean = |words: std::ops::Range<usize>| -> Vec<f64> {
        let sum = |at: usize| of_ranks.iter().map(|words| f64::from(words[at])).sum::<f64>();
        words.map(|at| sum(at) / of_ranks.len() as f64).collect()
    };
    let words = of_ranks.first().map_or(0, |words| words.len());
    let joined = if operator.is::<MeanOverRanks>() {
        mean(0..words)
    } else if operator.is::<StatisticsOverRanks>() {
        let channels = words / 2;
        let (means, mut variances) = (mean(0..channels), mean(channels..words));
        for (channel, (mean, variance)) in means.iter().zip(&mut variances).enumerate() {
            let squares = of_ranks.iter().map(|words| (f64::from(words[channel]) - mean).powi(2));
            *variance += squares.sum::<f64>() / of_ranks.len() as f64;
        }
        [means, variances].concat()
    } else {
        return None;
    };
    Some(joined.into_iter().map(|x| x as f32).collect())
}

/// Whether ranks exchange something behind this operator.
pub fn is_exchanged(operator: &dyn Operator) -> bool {
    join(operator, &[]).is_some()
}

/// Copies of all inputs.
fn copies(inputs: &[&Shape]) -> Vec<Variant> {
    let copy = |(number, shape): (usize, &&Shape)| {
        Dispatch::elementwise(&COPY, shape.elements(), vec![Input(number), Output(number)])
    };
    vec![Variant::new("plain", inputs.iter().enumerate().map(copy).collect())]
}

impl Operator for MeanOverRanks {
    fn name(&self) -> &'static str {
        "over_ranks_mean"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        Ok(vec![x.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        copies(case.inputs)
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].to_vec()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(0.0, inputs, outputs)
    }
}

impl Operator for StatisticsOverRanks {
    fn name(&self) -> &'static str {
        "over_ranks_statistics"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [mean, variance] = take(self.name(), inputs)?;
        ShapeError::unless(mean == variance, self.name(), || format!("mean {mean} and variance {variance} differ"))?;
        Ok(vec![mean.clone(), variance.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        copies(case.inputs)
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        inputs[..2].iter().map(|input| input.to_vec()).collect()
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(0.0, inputs, outputs)
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    vec![
        OperatorCase::new(MeanOverRanks, &[[3, 67]]),
        OperatorCase::new(StatisticsOverRanks, &[[67]; 2]),
        OperatorCase::new(StatisticsOverRanks, &[[1]; 2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_all_ranks_are_those_of_all_their_elements() {
        // 1, 3 | 5, 9, and 2, 2 | 2, 2 in the second channel.
        let joined = join(&StatisticsOverRanks, &[&[2.0, 2.0, 1.0, 0.0], &[7.0, 2.0, 4.0, 0.0]]);
        assert_eq!(joined, Some(vec![4.5, 2.0, 8.75, 0.0]));
    }

    #[test]
    fn a_mean_is_of_each_element_and_of_equal_ones_that_element() {
        let equal = [0.1_f32, f32::MIN_POSITIVE];
        assert_eq!(join(&MeanOverRanks, &[&equal[..]; 3]), Some(equal.to_vec()));
        assert_eq!(join(&MeanOverRanks, &[&[1.0], &[4.0]]), Some(vec![2.5]));
        assert!(is_exchanged(&MeanOverRanks) && !is_exchanged(&crate::ops::add::Add));
    }
}
