use std::sync::Arc;

use ditn::graph::{Choices, Plan, Session, Store, Workload};
use ditn::ir::{Capabilities, STORAGE_BUFFERS, Shape};
use ditn::ops::Epilogue;
use ditn::ops::batch_norm::{self, BatchNorm, BatchNormGradient};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::harness::{gpus, table_agrees, values_agree};

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

#[test]
fn with_8_storage_buffers_the_gradient_has_kernels_of_no_more() {
    let epilogue = Epilogue { residual: true, relu: true };
    let (x, vector): (Shape, Shape) = ([2, 3, 8, 8].into(), [3].into());
    let inputs = vec![x.clone(), x.clone(), vector.clone(), vector.clone(), vector, x];
    let workload = Workload::of_operator(Arc::new(BatchNormGradient { eps: 1e-5, epilogue }), inputs);
    let names = |max_storage_buffers| -> Vec<&str> {
        let capabilities = Capabilities { max_storage_buffers, ..gpus()[0].capabilities().clone() };
        let variants = workload.variants(&capabilities).expect("the shapes fit");
        let bound = variants.iter().flat_map(|variant| &variant.dispatches).map(|dispatch| dispatch.bindings.len());
        assert!(bound.max() <= Some(max_storage_buffers as usize));
        variants.iter().map(|variant| variant.name).collect()
    };
    assert_eq!(names(STORAGE_BUFFERS), ["vec4", "plain"]);
    assert_eq!(names(10), ["channel", "vec4", "plain"]);
}

#[test]
fn a_channel_a_workgroup_gives_the_bits_of_split_channels_on_a_cpu_adapter() {
    let epilogue = Epilogue { residual: true, relu: true };
    // Two splits a channel, the second of another size.
    let (x, vector): (Shape, Shape) = ([3, 5, 96, 100].into(), [5].into());
    let inputs = vec![x.clone(), x.clone(), vector.clone(), vector.clone(), vector, x];
    let workload = Workload::of_operator(Arc::new(BatchNormGradient { eps: 1e-5, epilogue }), inputs);
    for gpu in gpus().iter().filter(|gpu| gpu.capabilities().is_cpu) {
        let bits = |variant: &str| -> Vec<Vec<u32>> {
            let (graph, inputs, outputs) = workload.graph().expect("the shapes fit");
            let choices = Choices::everywhere(variant);
            let plan = Plan::with_choices(graph, &outputs, gpu.capabilities(), &choices).expect("it fits");
            assert_eq!(plan.steps[0].variant.name, variant);
            let session = Session::guarded(gpu, plan, &mut Store::new(gpu)).expect("it fits");
            let mut random = ChaCha8Rng::seed_from_u64(7);
            for &input in &inputs {
                let elements = session.plan().graph.shape(input).elements();
                session.write(input, &Fill::Uniform(0.1, 1.0).draw(elements, &mut random)).expect("it fits");
            }
            session.run().expect("a device");
            session.check_guards().expect("guards as they were");
            let read = |&output| session.read(output).expect("an output").iter().map(|value| value.to_bits()).collect();
            outputs.iter().map(read).collect()
        };
        assert!(bits("channel") == bits("vec4"), "{}", gpu.report().name);
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
