//! Initial values of parameters.

use std::f64::consts::PI;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How a tensor starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// One value everywhere.
    Constant(f32),
    /// Normal with mean 0 and this deviation.
    Normal(f32),
    /// Uniform between minus and plus this bound.
    Uniform(f32),
}

/// How the weights of a layer start: the initialisation scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightInit {
    /// Normal with deviation 0.001: the public code's pose bodies and final layers. Batch normalisation makes up for
    /// the scale; AdamW's first steps at a high rate are larger than such weights and start them over.
    #[default]
    Public,
    /// Normal with deviation sqrt(2 / fan_in) (He et al. 2015).
    KaimingNormal,
    /// Uniform within 1 / sqrt(fan_in): what PyTorch gives a layer that nobody initialises.
    KaimingUniform,
}

impl WeightInit {
    /// For weights of which each output sees `fan_in` inputs.
    pub(super) fn initial(self, fan_in: usize) -> Initial {
        let fan_in = fan_in as f64;
        match self {
            Self::Public => Initial::Normal(0.001),
            Self::KaimingNormal => Initial::Normal((2.0 / fan_in).sqrt() as f32),
            Self::KaimingUniform => Initial::Uniform((1.0 / fan_in).sqrt() as f32),
        }
    }
}

impl Initial {
    /// The values of tensor `name` with `elements` elements. They depend on seed and name alone, so that adding a
    /// layer does not change the others.
    pub fn draw(self, seed: u64, name: &str, elements: usize) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(fnv1a(name));
        match self {
            Self::Constant(value) => vec![value; elements],
            Self::Normal(deviation) => {
                (0..elements).map(|_| (f64::from(deviation) * normal(&mut random)) as f32).collect()
            }
            Self::Uniform(bound) => (0..elements).map(|_| random.random_range(-bound..=bound)).collect(),
        }
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (2.0 * PI * random.random::<f64>()).cos()
}

/// The 64-bit FNV-1a hash: the same on every platform and in every version, unlike the standard library's.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normal_tensor_has_the_deviation_that_was_asked_for() {
        let values = Initial::Normal(0.5).draw(7, "conv1.weight", 100_000);
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e5;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((variance.sqrt() - 0.5).abs() < 0.01, "deviation {}", variance.sqrt());
    }

    #[test]
    fn values_depend_on_the_name_and_the_seed() {
        let draw = |seed, name| Initial::Normal(1.0).draw(seed, name, 4);
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }
}
