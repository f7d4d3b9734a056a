//! Numbers that the program and the pages must compute alike: `web/numbers.js` has the same functions.

use crate::nn::Initial;

/// Projections of a [`fingerprint`].
const PROJECTIONS: usize = 16;
/// Numbers of a [`fingerprint`].
pub const PRINT: usize = 1 + PROJECTIONS;

/// A hash of 32 bits whose bits all depend on all bits of `x` (lowbias32 of Wellons' search for such functions).
pub fn hash(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A number from 0 to 1 of 24 bits.
fn unit(x: u32) -> f64 {
    f64::from(hash(x) >> 8) * f64::from(1.0 / (1_u32 << 24) as f32)
}

/// `elements` numbers uniform between `low` and `high`.
pub fn uniform(elements: usize, low: f32, high: f32, seed: u32) -> Vec<f32> {
    let (start, low) = (hash(seed), f64::from(low));
    let width = f64::from((f64::from(high) - low) as f32);
    let number = |index: usize| {
        let step = (width * unit(start.wrapping_add(index as u32))) as f32;
        (low + f64::from(step)) as f32
    };
    (0..elements).map(number).collect()
}

/// Initial values of tensor `name`, which depend on seed and name alone. A normal distribution is drawn as the sum of twelve
/// uniform numbers (Irwin and Hall), which rounds the same everywhere.
pub fn initial_values(initial: Initial, elements: usize, name: &str, seed: u32) -> Vec<f32> {
    let stream = hash(fnv1a(name) ^ hash(seed));
    match initial {
        Initial::Constant(value) => vec![value; elements],
        Initial::Uniform(bound) => uniform(elements, -bound, bound, stream),
        Initial::Normal(deviation) => {
            let start = |index: usize| stream.wrapping_add(12 * index as u32);
            let sum = |index| (0..12).map(|k| unit(start(index).wrapping_add(k))).sum::<f64>();
            (0..elements).map(|index| deviation * (sum(index) - 6.0) as f32).collect()
        }
    }
}

/// The 32-bit FNV-1a hash of a text's UTF-8.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A short trace of a tensor by which another can be compared with it: its norm and its products with 16 vectors of random
/// signs (Johnson and Lindenstrauss 1984).
pub fn fingerprint(tensor: &[f32]) -> [f32; PRINT] {
    let mut sums = [0.0_f64; PRINT];
    for (index, &x) in tensor.iter().enumerate() {
        let (x, signs) = (f64::from(x), hash(index as u32));
        sums[0] += x * x;
        for (k, sum) in sums[1..].iter_mut().enumerate() {
            *sum += if (signs >> k) & 1 == 1 { x } else { -x };
        }
    }
    sums[0] = sums[0].sqrt();
    sums.map(|sum| sum as f32)
}

/// The distance of two tensors relative to the norm of the second, as their fingerprints let it be guessed: within a factor of
/// two nearly always.
pub fn distance(found: &[f32; PRINT], expected: &[f32; PRINT]) -> f32 {
    let squares = found[1..].iter().zip(&expected[1..]).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    let (sum, norm): (f64, f64) = (squares.sum(), f64::from(expected[0]));
    if sum == 0.0 { 0.0 } else { ((sum / PROJECTIONS as f64).sqrt() / norm) as f32 }
}

/// `numbers`, each larger or smaller by one unit in its last place.
pub fn nudged(numbers: &[f32]) -> Vec<f32> {
    let nudge = |(index, &x): (usize, &f32)| if hash(index as u32) & 1 == 1 { x.next_up() } else { x.next_down() };
    numbers.iter().enumerate().map(nudge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `web/numbers.js` gives for the same arguments; `web/tests/numbers.test.js` checks the same numbers.
    #[test]
    fn numbers_are_those_of_the_pages() {
        assert_eq!([0, 1, 0xffff_ffff].map(hash), HASHES);
        let numbers = uniform(100, -0.3, 1.1, 7);
        assert!(numbers.iter().all(|x| (-0.3..=1.1).contains(x)));
        assert_eq!(crc(&numbers), UNIFORM);
        assert_eq!(crc(&initial_values(Initial::Normal(0.001), 100, "conv1.weight", 3)), NORMAL);
        assert_eq!(crc(&fingerprint(&numbers)), FINGERPRINT);
    }

    #[test]
    fn initial_values_have_the_deviation_that_was_asked_for() {
        let numbers = initial_values(Initial::Normal(0.5), 50_000, "w", 0);
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / 5e4;
        let variance = numbers.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 5e4;
        assert!(mean.abs() < 0.01 && (variance.sqrt() - 0.5).abs() < 0.01, "{mean} {variance}");
    }

    /// A fingerprint tells how far tensors are apart.
    #[test]
    fn distances_are_guessed_within_a_factor_of_two() {
        let one = uniform(5000, -1.0, 1.0, 1);
        for distance in [1e-5, 1e-2] {
            let other: Vec<f32> = one.iter().zip(uniform(5000, -1.0, 1.0, 2)).map(|(x, y)| x + distance * y).collect();
            let guess = super::distance(&fingerprint(&other), &fingerprint(&one));
            assert!((0.5..2.0).contains(&(guess / distance)), "{guess} for {distance}");
        }
    }

    const HASHES: [u32; 3] = [0, 1_753_845_952, 1_734_902_346];
    const UNIFORM: u32 = 952_940_487;
    const NORMAL: u32 = 323_738_764;
    const FINGERPRINT: u32 = 145_286_980;

    fn crc(numbers: &[f32]) -> u32 {
        numbers.iter().fold(0, |sum, number| hash(sum ^ number.to_bits()))
    }
}
