use ditn::ir::{Operator, Shape};
use ditn::ops::OperatorCase;
use ditn::ops::gather_channels::{self, GatherChannels, ScatterAdd, ScatterAddChannels};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&gather_channels::cases(), &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_and_index_agree_with_the_reference(
        (n, c, h, w) in (1..4_usize, 1..20_usize, 1..9_usize, 1..20_usize),
        picks in proptest::collection::vec(0..1000_usize, 1..40),
        seed: u64,
    ) {
        let index: Vec<usize> = picks.iter().map(|pick| pick % c).collect();
        let (few, many) = ([n, c, h, w], [n, index.len(), h, w]);
        let scatter = ScatterAddChannels { index: index.clone(), channels: c };
        values_agree(&OperatorCase::new(scatter, &[many]), seed);
        values_agree(&OperatorCase::new(ScatterAdd { index: index.clone() }, &[few, many]), seed);
        values_agree(&OperatorCase::new(GatherChannels { index }, &[few]), seed);
    }
}

#[test]
fn gather_and_scatter_add_are_each_others_transposes() {
    let (index, channels) = (vec![3, 0, 3, 1, 3, 0], 5);
    let (few, many) = ([2, 5, 9, 7], [2, 6, 9, 7]);
    let scatter = ScatterAddChannels { index: index.clone(), channels };
    adjoint_holds(&OperatorCase::new(scatter, &[many]), &[0], 0);
    adjoint_holds(&OperatorCase::new(ScatterAdd { index: index.clone() }, &[few, many]), &[0, 1], 0);
    adjoint_holds(&OperatorCase::new(GatherChannels { index }, &[few]), &[0], 0);
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    let shape = [1, 2, 1, 65_536 * 32];
    folded_values_agree(&OperatorCase::new(GatherChannels { index: vec![1, 0] }, &[shape]), 0);
    folded_values_agree(&OperatorCase::new(ScatterAdd { index: vec![1, 1] }, &[shape, shape]), 0);
}

#[test]
fn indices_and_shapes_that_do_not_fit_are_refused() {
    let refused = |operator: &dyn Operator, shapes: &[[usize; 4]]| {
        let shapes: Vec<Shape> = shapes.iter().map(|&shape| shape.into()).collect();
        operator.output_shapes(&shapes.iter().collect::<Vec<_>>()).unwrap_err().to_string()
    };
    let error = refused(&GatherChannels { index: vec![0, 5] }, &[[1, 5, 2, 2]]);
    assert!(error.contains("the index holds 5, but there are 5 channels"), "{error}");
    let scatter = ScatterAddChannels { index: vec![0, 1], channels: 3 };
    let error = refused(&scatter, &[[1, 3, 2, 2]]);
    assert!(error.contains("[1, 3, 2, 2] does not have the 2 channels"), "{error}");
    let error = refused(&ScatterAdd { index: vec![0, 1] }, &[[1, 2, 4, 2], [1, 2, 2, 2]]);
    assert!(error.contains("[1, 2, 4, 2] cannot take the channels of [1, 2, 2, 2]"), "{error}");
}
