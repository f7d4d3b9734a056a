use ditn::graph::{Plan, Session, Store, differentiate};
use ditn::ir::{Graph, ValueId};
use ditn::ops::OperatorCase;
use ditn::ops::relu::Relu;
use ditn::ops::reshape::{self, Reshape};
use ditn::ops::sgd::Sgd;

use crate::harness::{adjoint_holds, folded_values_agree, gpus, table_agrees};

fn reshaped(graph: &mut Graph, x: ValueId, extents: &[usize]) -> ValueId {
    graph.apply_one(Reshape { extents: extents.to_vec() }, &[x]).unwrap()
}

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&reshape::cases(), &[]);
}

#[test]
fn the_gradient_is_the_transpose() {
    adjoint_holds(&OperatorCase::new(Reshape { extents: vec![4, 15] }, &[[2, 3, 10]]), &[0], 0);
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    let elements = 65_535 * 64 + 1;
    folded_values_agree(&OperatorCase::new(Reshape { extents: vec![elements, 1] }, &[[1, elements]]), 0);
}

#[test]
fn another_number_of_elements_is_refused() {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 3]);
    let error = graph.apply(Reshape { extents: vec![7] }, &[x]).unwrap_err();
    assert!(error.to_string().contains("[2, 3] has 6 elements, [7] has 7"), "{error}");
}

/// relu, two reshapes in a row and relu again run as two dispatches; so does their gradient, and what is between stays as
/// it was while it is read.
#[test]
fn views_take_no_dispatch_and_no_memory() {
    for gpu in gpus() {
        let mut graph = Graph::new();
        let x = graph.input("x", [2, 3, 4]);
        let y = graph.apply_one(Relu, &[x]).unwrap();
        let flat = reshaped(&mut graph, y, &[24]);
        let z = reshaped(&mut graph, flat, &[4, 6]);
        let out = graph.apply_one(Relu, &[z]).unwrap();
        let seed = graph.input("seed", [4, 6]);
        let gradient = differentiate(&mut graph, &[(out, seed)], &[x]).unwrap()[0].unwrap();
        let plan = Plan::new(graph, &[z, out, gradient], gpu.capabilities()).unwrap();
        assert_eq!(plan.dispatches().count(), 4, "{}", plan.describe());
        assert_eq!(plan.value_binding(z), plan.value_binding(y));
        let session = Session::new(gpu, plan, &mut Store::new(gpu)).unwrap();
        session.poison().unwrap();
        let numbers: Vec<f32> = (0..24).map(|number| number as f32 - 12.0).collect();
        session.write(x, &numbers).unwrap();
        session.write(seed, &[1.0_f32; 24]).unwrap();
        session.run().unwrap();
        let positive: Vec<f32> = numbers.iter().map(|number| number.max(0.0)).collect();
        assert_eq!(session.read(z).unwrap(), positive);
        assert_eq!(session.read(out).unwrap(), positive);
        let step: Vec<f32> = numbers.iter().map(|&number| f32::from(u8::from(number > 0.0))).collect();
        assert_eq!(session.read(gradient).unwrap(), step);
    }
}

/// The input itself is read through the view.
#[test]
fn a_view_of_an_input_is_the_input() {
    for gpu in gpus() {
        let mut graph = Graph::new();
        let x = graph.input("x", [2, 3]);
        let y = reshaped(&mut graph, x, &[6]);
        let plan = Plan::new(graph, &[y], gpu.capabilities()).unwrap();
        assert_eq!(plan.dispatches().count(), 0);
        let session = Session::new(gpu, plan, &mut Store::new(gpu)).unwrap();
        session.write(x, &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        session.run().unwrap();
        assert_eq!(session.read(y).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }
}

/// What a step overwrites is copied: the copy keeps the value from before the update.
#[test]
fn what_is_overwritten_has_no_views() {
    for gpu in gpus() {
        let mut graph = Graph::new();
        let parameter = graph.parameter("p", [2, 3]);
        let y = reshaped(&mut graph, parameter, &[6]);
        let (gradient, momentum) = (graph.input("g", [2, 3]), graph.state("m", [2, 3]));
        let hyper = graph.input("hyper", [8]);
        graph.apply(Sgd, &[parameter, gradient, momentum, hyper]).unwrap();
        let plan = Plan::new(graph, &[y], gpu.capabilities()).unwrap();
        assert_eq!(plan.steps[0].variant.name, "copy", "{}", plan.describe());
        let session = Session::new(gpu, plan, &mut Store::new(gpu)).unwrap();
        session.write(parameter, &[1.0_f32; 6]).unwrap();
        session.write(gradient, &[1.0_f32; 6]).unwrap();
        session.write(hyper, &[0.0_f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0]).unwrap();
        session.run().unwrap();
        assert_eq!(session.read(y).unwrap(), [1.0; 6]);
        assert_eq!(session.read(parameter).unwrap(), [0.5; 6]);
    }
}
