//! A classifier of handwritten digits: `cargo run --release --example digits`.

use std::{error::Error, io};

use ditn::gpu::{AdapterChoice, Gpu};
use ditn::ir::{ShapeError, ValueId};
use ditn::nn::{BatchNormLayer, Conv2dLayer, LinearLayer, Mode, Network, Pool2d, Trainer, Training};

const BATCH: usize = 64;

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

/// Grey values and labels of every fifth picture, or of the others.
fn pictures(csv: &str, fifth: bool) -> (Vec<f32>, Vec<u32>) {
    let lines = csv.lines().enumerate().filter(|(number, _)| (number % 5 == 0) == fifth);
    let numbers: Vec<Vec<f32>> = lines.map(|(_, line)| line.split(',').flat_map(str::parse).collect()).collect();
    let grey = numbers.iter().flat_map(|line| line[..64].iter().map(|grey| grey / 16.0)).collect();
    (grey, numbers.iter().map(|line| line[64] as u32).collect())
}

/// Trains on four pictures of five, and returns the share of the others that the network gets right.
pub fn run() -> Result<f64, Box<dyn Error>> {
    let csv = io::read_to_string(flate2::read::GzDecoder::new(&include_bytes!("data/digits.csv.gz")[..]))?;
    let (grey, labels) = pictures(&csv, false);
    let mut net = Network::new(Mode::Training);
    let (x, y) = (net.input("pictures", [BATCH, 1, 8, 8]), net.input("labels", [BATCH]));
    let logits = classifier(&mut net, x)?;
    let loss = net.softmax_cross_entropy(logits, y)?;
    let mut trainer = Trainer::new(&Gpu::open(&AdapterChoice::default())?, net, Training::minimize(loss))?;
    for step in 0..300 {
        let first = step * BATCH % (labels.len() - BATCH);
        trainer.write(x, &grey[64 * first..64 * (first + BATCH)])?;
        trainer.write(y, &labels[first..first + BATCH])?;
        println!("step {step}: loss {:.4}", trainer.step(3e-3)?);
    }
    let (grey, labels) = pictures(&csv, true);
    let mut net = Network::new(Mode::Inference);
    let x = net.input("pictures", [labels.len(), 1, 8, 8]);
    let logits = classifier(&mut net, x)?;
    let session = trainer.inference(net, &[logits])?;
    session.write(x, &grey)?;
    session.run()?;
    let is_right = |(row, label): &(&[f32], &u32)| row.iter().all(|logit| *logit <= row[**label as usize]);
    let right = session.read(logits)?.chunks(10).zip(&labels).filter(is_right).count();
    Ok(right as f64 / labels.len() as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    run().map(|right| println!("{:.1} % of the held-out pictures are right", 100.0 * right))
}
