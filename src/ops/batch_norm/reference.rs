//! The float64 references, in the order of the shaders.

use crate::ir::{Shape, UNIT_ROUNDOFF, absolute};

/// Index of element (n, c, p) and the extents (N, C, H W) of an accepted shape.
fn planes(shape: &Shape) -> (usize, usize, usize) {
    let extents = shape.extents();
    (extents[0], extents[1], extents[2] * extents[3])
}

/// Mean and biased variance of each channel.
pub(in crate::ops) fn statistics(shape: &Shape, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (batch, channels, area) = planes(shape);
    let count = (batch * area) as f64;
    let mut mean = vec![0.0; channels];
    let mut variance = vec![0.0; channels];
    for c in 0..channels {
        let elements = || (0..batch).flat_map(move |n| &x[(n * channels + c) * area..][..area]);
        mean[c] = elements().sum::<f64>() / count;
        variance[c] = elements().map(|value| (value - mean[c]).powi(2)).sum::<f64>() / count;
    }
    (mean, variance)
}

/// gamma (x - mean) / sqrt(variance + eps) + beta.
pub(super) fn normalise(shape: &Shape, x: &[f64], [gamma, beta, mean, variance]: [&[f64]; 4], eps: f32) -> Vec<f64> {
    let (_, channels, area) = planes(shape);
    x.iter()
        .enumerate()
        .map(|(index, value)| {
            let c = (index / area) % channels;
            (value - mean[c]) * scale(gamma[c], variance[c], eps) + beta[c]
        })
        .collect()
}

/// gamma / sqrt(variance + eps).
fn scale(gamma: f64, variance: f64, eps: f32) -> f64 {
    gamma / (variance + f64::from(eps)).sqrt()
}

/// The weight `[O, ...]` and bias `[O]` of a convolution with a batch normalisation behind it.
pub(super) fn fold(
    weight: &[f64],
    [gamma, beta, mean, variance]: [&[f64]; 4],
    bias: Option<&[f64]>,
    eps: f32,
) -> [Vec<f64>; 2] {
    let scales: Vec<f64> = gamma.iter().zip(variance).map(|(&gamma, &variance)| scale(gamma, variance, eps)).collect();
    let taps = weight.len() / scales.len().max(1);
    let weight = weight.iter().enumerate().map(|(index, weight)| weight * scales[index / taps]).collect();
    let bias = (0..scales.len()).map(|o| beta[o] + (bias.map_or(0.0, |bias| bias[o]) - mean[o]) * scales[o]).collect();
    [weight, bias]
}

/// dx, dgamma, dbeta, dresidual; `y` is given where ReLU followed.
#[allow(clippy::too_many_arguments)]
pub(super) fn gradient(
    shape: &Shape,
    dy: &[f64],
    x: &[f64],
    gamma: &[f64],
    mean: &[f64],
    variance: &[f64],
    y: Option<&[f64]>,
    eps: f32,
) -> Vec<Vec<f64>> {
    let (batch, channels, area) = planes(shape);
    let count = (batch * area) as f64;
    let inverse: Vec<f64> = variance.iter().map(|variance| 1.0 / (variance + f64::from(eps)).sqrt()).collect();
    let g: Vec<f64> = match y {
        None => dy.to_vec(),
        Some(y) => dy.iter().zip(y).map(|(dy, y)| if *y > 0.0 { *dy } else { 0.0 }).collect(),
    };
    let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
    for (index, g) in g.iter().enumerate() {
        let c = (index / area) % channels;
        dgamma[c] += g * (x[index] - mean[c]) * inverse[c];
        dbeta[c] += g;
    }
    let dx = g
        .iter()
        .enumerate()
        .map(|(index, g)| {
            let c = (index / area) % channels;
            let normalised = (x[index] - mean[c]) * inverse[c];
            gamma[c] * inverse[c] * (g - dbeta[c] / count - normalised * dgamma[c] / count)
        })
        .collect();
    vec![dx, dgamma, dbeta, g]
}

/// dgamma and dbeta of each split of `size` elements of a channel, each followed by the channel's gamma, mean and
/// 1 / sqrt(variance + eps): `[C, splits, 5]`.
pub(super) fn split_sums(
    shape: &Shape,
    dy: &[f64],
    x: &[f64],
    [gamma, mean, variance]: [&[f64]; 3],
    y: Option<&[f64]>,
    eps: f32,
    size: usize,
) -> Vec<f64> {
    let (batch, channels, area) = planes(shape);
    let mut sums = Vec::new();
    for c in 0..channels {
        let inverse = 1.0 / (variance[c] + f64::from(eps)).sqrt();
        let places: Vec<usize> = (0..batch * area).map(|p| (p / area * channels + c) * area + p % area).collect();
        for split in places.chunks(size) {
            let g = |at: usize| if y.is_none_or(|y| y[at] > 0.0) { dy[at] } else { 0.0 };
            let dgamma: f64 = split.iter().map(|&at| g(at) * (x[at] - mean[c]) * inverse).sum();
            let dbeta: f64 = split.iter().map(|&at| g(at)).sum();
            sums.extend([dgamma, dbeta, gamma[c], mean[c], inverse]);
        }
    }
    sums
}

/// dx, dgamma, dbeta, dresidual from the sums of [`split_sums`]; the terms of dbeta and dgamma in dx times `sign`, which is -1.
pub(super) fn gradient_of_sums(
    shape: &Shape,
    [dy, x, sums]: [&[f64]; 3],
    y: Option<&[f64]>,
    size: usize,
    sign: f64,
) -> Vec<Vec<f64>> {
    let (batch, channels, area) = planes(shape);
    let count = (batch * area) as f64;
    let of_channels = || sums.chunks_exact(5 * (batch * area).div_ceil(size));
    let sum_of = |word: usize| of_channels().map(|splits| splits.iter().skip(word).step_by(5).sum()).collect();
    let [dgamma, dbeta]: [Vec<f64>; 2] = [sum_of(0), sum_of(1)];
    let g: Vec<f64> = (0..dy.len()).map(|at| if y.is_none_or(|y| y[at] > 0.0) { dy[at] } else { 0.0 }).collect();
    let splits: Vec<&[f64]> = of_channels().collect();
    let dx = |at: usize| {
        let (c, place) = ((at / area) % channels, at / (area * channels) * area + at % area);
        let &[_, _, gamma, mean, inverse] = &splits[c][5 * (place / size)..][..5] else {
            unreachable!("of five words")
        };
        let normalised = (x[at] - mean) * inverse;
        gamma * inverse * (g[at] + sign * (dbeta[c] + normalised * dgamma[c]) / count)
    };
    vec![(0..dy.len()).map(dx).collect(), dgamma, dbeta, g]
}

/// The magnitudes of [`statistics`], where `magnitudes` are those of x. Those of the variance are what a deviation d that
/// errs as the mean m does adds to it: (d + u m)^2 - d^2 = u (2 d m + u m^2) with u the unit roundoff, besides d^2 itself.
pub(in crate::ops) fn statistics_magnitudes(shape: &Shape, x: &[f64], magnitudes: &[f64]) -> [Vec<f64>; 2] {
    let (mean, _) = statistics(shape, magnitudes);
    let (_, variance) = statistics(shape, x);
    let terms =
        |(&variance, &mean): (&f64, &f64)| variance + 2.0 * f64::sqrt(variance) * mean + UNIT_ROUNDOFF * mean * mean;
    let variance = variance.iter().zip(&mean).map(terms).collect();
    [mean, variance]
}

/// The magnitudes of [`normalise`] by the statistics of x itself, whose own magnitudes are `mean` and `variance`.
pub(super) fn normalise_magnitudes(
    shape: &Shape,
    x: &[f64],
    [gamma, beta, mean, variance]: [&[f64]; 4],
    eps: f32,
) -> Vec<f64> {
    let (_, channels, area) = planes(shape);
    let (middle, spread) = statistics(shape, x);
    x.iter()
        .enumerate()
        .map(|(index, value)| {
            let c = (index / area) % channels;
            let scale = scale(gamma[c], spread[c], eps).abs();
            // An error of the variance changes the scale by half its share of the variance.
            let of_scale = 0.5 * variance[c] / (spread[c] + f64::from(eps));
            scale * (value.abs() + mean[c] + (value - middle[c]).abs() * of_scale) + beta[c].abs()
        })
        .collect()
}

/// The magnitudes of [`gradient`].
#[allow(clippy::too_many_arguments)]
pub(super) fn gradient_magnitudes(
    shape: &Shape,
    dy: &[f64],
    x: &[f64],
    gamma: &[f64],
    mean: &[f64],
    variance: &[f64],
    y: Option<&[f64]>,
    eps: f32,
) -> Vec<Vec<f64>> {
    let (batch, channels, area) = planes(shape);
    let count = (batch * area) as f64;
    let [dy, x, gamma] = [dy, x, gamma].map(absolute);
    // With a mean below zero the terms of the sums add up.
    let mean: Vec<f64> = mean.iter().map(|mean| -mean.abs()).collect();
    let mut outputs = gradient(shape, &dy, &x, &gamma, &mean, variance, y, eps);
    outputs[0] = (0..x.len())
        .map(|index| {
            let c = (index / area) % channels;
            let inverse = 1.0 / (variance[c] + f64::from(eps)).sqrt();
            let normalised = (x[index] - mean[c]) * inverse;
            let [dgamma, dbeta] = [outputs[1][c], outputs[2][c]];
            gamma[c] * inverse * (outputs[3][index] + dbeta / count + normalised * dgamma / count)
        })
        .collect();
    outputs
}
