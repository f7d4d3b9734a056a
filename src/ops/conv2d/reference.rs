//! The float64 references, in the loops of the plain kernels.

use super::geometry::Geometry;
use crate::ir::Shape;

/// Every product of the convolution: (index in y, index in x, index in weight).
fn for_each_product(g: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
    let (channels, outputs) = (g.group_channels(), g.out_channels / g.groups);
    for n in 0..g.batch {
        for o in 0..g.out_channels {
            for i in 0..g.out_size[0] {
                for j in 0..g.out_size[1] {
                    let y = ((n * g.out_channels + o) * g.out_size[0] + i) * g.out_size[1] + j;
                    for c in 0..channels {
                        let channel = o / outputs * channels + c;
                        for u in 0..g.kernel[0] {
                            for v in 0..g.kernel[1] {
                                let row = (i * g.stride[0] + u).wrapping_sub(g.padding[0]);
                                let column = (j * g.stride[1] + v).wrapping_sub(g.padding[1]);
                                if row < g.size[0] && column < g.size[1] {
                                    let x = ((n * g.channels + channel) * g.size[0] + row) * g.size[1] + column;
                                    let weight = ((o * channels + c) * g.kernel[0] + u) * g.kernel[1] + v;
                                    visit(y, x, weight);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn forward(g: &Geometry, x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    let area = g.out_size[0] * g.out_size[1];
    let mut y: Vec<f64> =
        (0..g.output().elements()).map(|index| bias.map_or(0.0, |bias| bias[index / area % g.out_channels])).collect();
    for_each_product(g, |to, from, tap| y[to] += weight[tap] * x[from]);
    y
}

pub(super) fn backward_input(g: &Geometry, dy: &[f64], weight: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; g.input().elements()];
    for_each_product(g, |from, to, tap| dx[to] += weight[tap] * dy[from]);
    dx
}

pub(super) fn backward_weight(g: &Geometry, dy: &[f64], x: &[f64]) -> Vec<f64> {
    let mut dweight = vec![0.0; g.weight().elements()];
    for_each_product(g, |at_y, at_x, tap| dweight[tap] += dy[at_y] * x[at_x]);
    dweight
}

pub(super) fn backward_bias(dy_shape: &Shape, dy: &[f64]) -> Vec<f64> {
    let extents = dy_shape.extents();
    let area = extents[2] * extents[3];
    let mut dbias = vec![0.0; extents[1]];
    for (index, dy) in dy.iter().enumerate() {
        dbias[index / area % extents[1]] += dy;
    }
    dbias
}
