//! Three operators by hand, without layers and trainer: the graph, its gradient, its plan, a run.
//! `cargo run --example inspect`.

use std::error::Error;

use ditn::gpu::{AdapterChoice, Gpu};
use ditn::graph::{Plan, Session, Store, differentiate};
use ditn::ir::Graph;
use ditn::ops::global_average_pool::GlobalAveragePool;
use ditn::ops::max_pool::MaxPool;
use ditn::ops::relu::Relu;

/// Returns y and dx of y = mean(max pool(relu(x))).
pub fn run() -> Result<(Vec<f32>, Vec<f32>), Box<dyn Error>> {
    // 1. A graph: values and the operators between them. Shapes are checked here.
    let mut graph = Graph::new();
    let x = graph.input("x", [1, 1, 4, 4]);
    let positive = graph.apply_one(Relu, &[x])?;
    let pooled = graph.apply_one(MaxPool { kernel: 2, stride: 2, padding: 0 }, &[positive])?;
    let y = graph.apply_one(GlobalAveragePool, &[pooled])?;

    // 2. Its gradient: more nodes of the same graph. The backward pass starts from `dy`.
    let dy = graph.input("dy", [1, 1, 1, 1]);
    let dx = differentiate(&mut graph, &[(y, dy)], &[x])?[0].ok_or("y does not depend on x")?;

    // 3. A plan: order, kernels and memory. Only what the adapter can do is asked of it.
    let gpu = Gpu::open(&AdapterChoice::default())?;
    let plan = Plan::new(graph, &[y, dx], gpu.capabilities())?;
    println!("{}", plan.describe());

    // 4. A session: the plan's memory and pipelines on the device, replayed run after run.
    let session = Session::new(&gpu, plan, &mut Store::new(&gpu))?;
    let numbers: Vec<f32> = (0..16).map(|number| number as f32 - 6.0).collect();
    session.write(x, &numbers)?;
    session.write(dy, &[1.0_f32])?;
    session.run()?;
    Ok((session.read(y)?, session.read(dx)?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (y, dx) = run()?;
    println!("y = {y:?}");
    for row in dx.chunks(4) {
        println!("dx = {row:?}");
    }
    Ok(())
}
