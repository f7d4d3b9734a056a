//! The few distributions that people are drawn from.

use crate::data::augmentation::normal;
use rand::{Rng, RngExt};

/// Uniform in \[low, high).
pub fn between(rng: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// Normal, cut off at `limit` on each side of the mean.
pub fn spread(rng: &mut impl Rng, mean: f32, deviation: f32, limit: f32) -> f32 {
    mean + (deviation * normal(rng) as f32).clamp(-limit, limit)
}

/// True with that probability; values outside \[0, 1\] count as the nearer end.
pub fn chance(rng: &mut impl Rng, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

/// One of the values, each as likely.
pub fn pick<T: Copy>(rng: &mut impl Rng, values: &[T]) -> T {
    values[rng.random_range(0..values.len())]
}
