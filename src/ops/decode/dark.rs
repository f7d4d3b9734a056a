//! DARK's step: Newton's method on the log of the smoothed map.

use crate::ir::absolute;

/// Deviation of the Gaussian that smooths the maps, in pixels.
const SIGMA: f64 = 2.0;

/// Pixels that the Gaussian reaches on either side.
const REACH: isize = 5;

/// Smoothed values needed around a place, on each axis.
const WINDOW: isize = 5;

/// Operations a map, beside the search.
pub(super) const OPERATIONS: f64 = (WINDOW * WINDOW * 2 * (2 * REACH + 1) * (2 * REACH + 1)) as f64;

/// Newton's step on the log of the smoothed map. Derivatives are central differences, second ones over two pixels.
pub(super) fn dark_step(map: &[f64], width: usize, [x, y]: [usize; 2]) -> [f64; 2] {
    let height = map.len() / width;
    if !(1 < x && x + 2 < width && 1 < y && y + 2 < height) {
        return [0.0; 2];
    }
    let log = |dx: isize, dy: isize| smoothed(map, width, x as isize + dx, y as isize + dy).max(1e-10).ln();
    let gradient = [0.5 * (log(1, 0) - log(-1, 0)), 0.5 * (log(0, 1) - log(0, -1))];
    let xx = 0.25 * (log(2, 0) - 2.0 * log(0, 0) + log(-2, 0));
    let yy = 0.25 * (log(0, 2) - 2.0 * log(0, 0) + log(0, -2));
    let xy = 0.25 * (log(1, 1) - log(-1, 1) - log(1, -1) + log(-1, -1));
    let determinant = xx * yy - xy * xy;
    if determinant == 0.0 {
        return [0.0; 2];
    }
    [(xy * gradient[1] - yy * gradient[0]) / determinant, (xy * gradient[0] - xx * gradient[1]) / determinant]
}

/// The sums of the absolute terms of [`dark_step`]: what the rounding of the logarithms does to gradient and Hessian, and
/// these to the step.
pub(super) fn dark_step_magnitude(map: &[f64], width: usize, [x, y]: [usize; 2]) -> [f64; 2] {
    let height = map.len() / width;
    if !(1 < x && x + 2 < width && 1 < y && y + 2 < height) {
        return [0.0; 2];
    }
    let step = dark_step(map, width, [x, y]);
    let absolute_map = absolute(map);
    // The smoothed value and the magnitude of its logarithm.
    let log = |dx: isize, dy: isize| {
        let (x, y) = (x as isize + dx, y as isize + dy);
        let value = smoothed(map, width, x, y).max(1e-10);
        (value.ln(), smoothed(&absolute_map, width, x, y) / value + value.ln().abs())
    };
    let difference = |terms: &[(f64, isize, isize)]| {
        let logs = terms.iter().map(|&(factor, dx, dy)| (factor, log(dx, dy)));
        logs.fold((0.0, 0.0), |sum, (factor, (log, magnitude))| {
            (sum.0 + factor * log, sum.1 + f64::abs(factor) * magnitude)
        })
    };
    let along = [difference(&[(0.5, 1, 0), (-0.5, -1, 0)]), difference(&[(0.5, 0, 1), (-0.5, 0, -1)])];
    let xx = difference(&[(0.25, 2, 0), (-0.5, 0, 0), (0.25, -2, 0)]);
    let yy = difference(&[(0.25, 0, 2), (-0.5, 0, 0), (0.25, 0, -2)]);
    let xy = difference(&[(0.25, 1, 1), (-0.25, -1, 1), (-0.25, 1, -1), (0.25, -1, -1)]);
    let determinant = xx.0 * yy.0 - xy.0 * xy.0;
    if determinant == 0.0 {
        return [0.0; 2];
    }
    // H step = -gradient: an error of either side goes through the inverse of H.
    let residue = [
        along[0].1 + xx.1 * step[0].abs() + xy.1 * step[1].abs(),
        along[1].1 + xy.1 * step[0].abs() + yy.1 * step[1].abs(),
    ];
    let products = ((xx.0 * yy.0).abs() + xy.0 * xy.0) / determinant.abs();
    let through = |diagonal: f64, own: usize| {
        let other = 1 - own;
        let inverse = [diagonal.abs(), xy.0.abs()].map(|entry| entry / determinant.abs());
        inverse[0] * residue[own] + inverse[1] * residue[other] + products * step[own].abs()
    };
    [through(yy.0, 0), through(xx.0, 1)]
}

/// The map convolved with a Gaussian of sum 1, at one pixel.
fn smoothed(map: &[f64], width: usize, x: isize, y: isize) -> f64 {
    let (width, height) = (width as isize, map.len() as isize / width as isize);
    let weight = |d: isize| (-((d * d) as f64) / (2.0 * SIGMA * SIGMA)).exp();
    let total: f64 = (-REACH..=REACH).map(weight).sum();
    let mut sum = 0.0;
    for dy in -REACH..=REACH {
        for dx in -REACH..=REACH {
            if (0..width).contains(&(x + dx)) && (0..height).contains(&(y + dy)) {
                sum += weight(dx) * weight(dy) * map[((y + dy) * width + x + dx) as usize];
            }
        }
    }
    sum / (total * total)
}
