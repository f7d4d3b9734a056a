//! A classifier of handwritten digits: `cargo run --release --example digits`.

use std::{error::Error, io::Read};

use ditn::gpu::{AdapterChoice, Gpu};
use ditn::ir::{ShapeError, ValueId};
use ditn::nn::{BatchNormLayer, Conv2dLayer, LinearLayer, Mode, Network, Pool2d, Trainer, Training};

const BATCH: usize = 64;
const TRAINING: usize = 1437;

/// Grey values `[N, 1, 8, 8]` -> logits `[N, 10]`.
fn classifier(net: &mut Network, mut x: ValueId) -> Result<ValueId, ShapeError> {
    for (number, channels) in [16, 32].into_iter().enumerate() {
        x = net.conv2d(format!("conv{number}"), x, Conv2dLayer::new(channels, 3))?;
        x = net.batch_norm(format!("bn{number}"), x, BatchNormLayer::new())?;
        x = net.relu(x)?;
    }
    x = net.max_pool2d(x, Pool2d::new(2))?;
    x = net.flatten(x)?;
    net.linear("head", x, LinearLayer::new(10))
}

/// Trains on the first 1437 pictures; returns the share of the other 360 that the network gets right.
pub fn run() -> Result<f64, Box<dyn Error>> {
    let mut csv = String::new();
    flate2::read::GzDecoder::new(&include_bytes!("data/digits.csv.gz")[..]).read_to_string(&mut csv)?;
    let lines: Vec<Vec<f32>> = csv.lines().map(|line| line.split(',').flat_map(str::parse).collect()).collect();
    let pictures: Vec<f32> = lines.iter().flat_map(|line| line[..64].iter().map(|grey| grey / 16.0)).collect();
    let labels: Vec<u32> = lines.iter().map(|line| line[64] as u32).collect();

    let gpu = Gpu::open(&AdapterChoice::default())?;
    let mut net = Network::new(Mode::Training);
    let (x, y) = (net.input("pictures", [BATCH, 1, 8, 8]), net.input("labels", [BATCH]));
    let logits = classifier(&mut net, x)?;
    let loss = net.softmax_cross_entropy(logits, y)?;
    let mut trainer = Trainer::new(&gpu, net, Training::minimize(loss))?;
    for step in 0..400 {
        let first = step * BATCH % (TRAINING - BATCH);
        trainer.write(x, &pictures[64 * first..64 * (first + BATCH)])?;
        trainer.write(y, &labels[first..first + BATCH])?;
        println!("step {step}: loss {:.4}", trainer.step(3e-3)?);
    }

    let mut net = Network::new(Mode::Inference);
    let x = net.input("pictures", [labels.len() - TRAINING, 1, 8, 8]);
    let logits = classifier(&mut net, x)?;
    let session = trainer.inference(net, &[logits])?;
    session.write(x, &pictures[64 * TRAINING..])?;
    session.run()?;
    let logits = session.read(logits)?;
    let likeliest = |row: &[f32]| (0..10).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let answers = logits.chunks(10).zip(&labels[TRAINING..]);
    let right = answers.filter(|&(row, &label)| likeliest(row) == Some(label as usize)).count();
    Ok(right as f64 / (labels.len() - TRAINING) as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    run().map(|right| println!("{:.1} % of the held-out pictures are right", 100.0 * right))
}
