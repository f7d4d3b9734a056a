use ditn::ir::Shape;
use ditn::ops::Epilogue;
use ditn::ops::batch_norm::{self, BatchNorm, BatchNormGradient};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    let not_differentiated = ["batch_norm_flat_running_statistics", "batch_norm_fold", "batch_norm_running_statistics"];
    table_agrees(&batch_norm::cases(), &not_differentiated);
}

#[test]
fn the_variance_survives_a_mean_a_thousand_deviations_away() {
    let operator = BatchNorm { eps: 1e-5, epilogue: Epilogue::NONE };
    for x in [[4, 3, 20, 21], [2, 3, 17, 7]] {
        let shapes: [Shape; 3] = [x.into(), [3].into(), [3].into()];
        let case = OperatorCase::new(operator, &shapes).fill(0, Fill::Uniform(999.0, 1001.0));
        values_agree(&case, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_agree_with_the_reference(
        n in 1_usize..5, c in 1_usize..70, h in 4_usize..20, w in 4_usize..20,
        residual: bool, relu: bool, seed: u64,
    ) {
        let (x, vector): (Shape, Shape) = ([n, c, h, w].into(), [c].into());
        let epilogue = Epilogue { residual, relu };
        let mut shapes = vec![x.clone(), vector.clone(), vector.clone()];
        if residual {
            shapes.push(x.clone());
        }
        values_agree(&OperatorCase::new(BatchNorm { eps: 1e-5, epilogue }, &shapes), seed);
        let mut shapes = vec![x.clone(), x.clone(), vector.clone(), vector.clone(), vector];
        if relu {
            shapes.push(x);
        }
        let case = OperatorCase::new(BatchNormGradient { eps: 1e-5, epilogue }, &shapes);
        values_agree(&case.fill(4, Fill::Uniform(0.5, 1.5)), seed);
    }

    #[test]
    fn channels_of_few_elements_agree_with_the_reference(c in 1_usize..70, h in 1_usize..4, w in 2_usize..4, seed: u64) {
        let shapes: [Shape; 3] = [[1, c, h, w].into(), [c].into(), [c].into()];
        let case = OperatorCase::new(BatchNorm { eps: 1e-5, epilogue: Epilogue::NONE }, &shapes);
        values_agree(&case, seed);
    }
}
