//! The operators of ONNX that exported networks use, in float64 and plain loops after ONNX's own description of them.
//! Integers and truth values are held as floats.

use std::collections::HashMap;

use ditn::onnx::proto::{Graph, Node, data_type};

/// A tensor, whatever its type of element.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

/// Computes every value that follows from `given`. Nodes of values that are given, and nodes whose inputs are not known,
/// are left out.
pub fn run(graph: &Graph, given: HashMap<String, Array>) -> HashMap<String, Array> {
    let mut values = given;
    for tensor in &graph.initializer {
        let data = match tensor.data_type {
            data_type::FLOAT => numbers(&tensor.raw_data, |word| f64::from(f32::from_le_bytes(word))),
            data_type::INT64 => numbers(&tensor.raw_data, |word| i64::from_le_bytes(word) as f64),
            other => panic!("{} is of type {other}", tensor.name),
        };
        let shape: Vec<usize> = tensor.dims.iter().map(|&extent| extent as usize).collect();
        assert_eq!(data.len(), shape.iter().product::<usize>(), "{}", tensor.name);
        assert!(values.insert(tensor.name.clone(), Array { shape, data }).is_none(), "{} twice", tensor.name);
    }
    for node in &graph.node {
        let inputs: Vec<Option<&Array>> = node.input.iter().map(|name| values.get(name)).collect();
        let is_ready = inputs.iter().zip(&node.input).all(|(value, name)| value.is_some() || name.is_empty());
        if is_ready && !values.contains_key(&node.output[0]) {
            let inputs: Vec<&Array> = inputs.into_iter().flatten().collect();
            let outputs = compute(node, &inputs);
            assert_eq!(outputs.len(), node.output.len(), "{}", node.name);
            values.extend(node.output.iter().cloned().zip(outputs));
        }
    }
    values
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|&word| number(word)).collect()
}

fn compute(node: &Node, inputs: &[&Array]) -> Vec<Array> {
    let (x, truth) = (inputs[0], |is: bool| f64::from(u8::from(is)));
    let one = match node.op_type.as_str() {
        "Relu" => map(x, |x| x.max(0.0)),
        "Sigmoid" => map(x, |x| 1.0 / (1.0 + (-x).exp())),
        "Sign" => map(x, |x| if x == 0.0 { 0.0 } else { x.signum() }),
        "Cast" => x.clone(),
        "Add" => broadcast(x, inputs[1], |a, b| a + b),
        "Sub" => broadcast(x, inputs[1], |a, b| a - b),
        "Mul" => broadcast(x, inputs[1], |a, b| a * b),
        "Min" => broadcast(x, inputs[1], f64::min),
        "Max" => broadcast(x, inputs[1], f64::max),
        // Of integers, which is all that is divided.
        "Div" => broadcast(x, inputs[1], |a, b| (a / b).trunc()),
        "Mod" => broadcast(x, inputs[1], |a, b| a.rem_euclid(b)),
        "Greater" => broadcast(x, inputs[1], |a, b| truth(a > b)),
        "Less" => broadcast(x, inputs[1], |a, b| truth(a < b)),
        "And" => broadcast(x, inputs[1], |a, b| a * b),
        "Conv" => conv(node, x, inputs[1], inputs.get(2).copied()),
        "ConvTranspose" => conv_transpose(node, x, inputs[1], inputs.get(2).copied()),
        "MaxPool" => max_pool(node, x),
        "GlobalAveragePool" => planes(x, [1, 1], |plane, _, _| plane.iter().sum::<f64>() / plane.len() as f64),
        "Shape" => {
            let range = int(node, "start", 0)..int(node, "end", x.shape.len());
            let data: Vec<f64> = x.shape[range].iter().map(|&extent| extent as f64).collect();
            Array { shape: vec![data.len()], data }
        }
        // Inputs that are left out are not among them: the last one is the factors or the sizes.
        "Resize" if node.input.len() == 4 => resize_linear(node, x, &whole(inputs[1])),
        "Resize" => resize(node, x, inputs[1]),
        "Pad" => pad(x, &whole(inputs[1]), inputs.get(2).map_or(0.0, |value| value.data[0])),
        "Softmax" => softmax(x, int(node, "axis", 0)),
        "MatMul" => product(x, inputs[1]),
        "Slice" => slice(x, [inputs[1], inputs[2], inputs[3]].map(whole)),
        "Reshape" => reshape(x, &whole(inputs[1])),
        "Gather" => take(x, int(node, "axis", 0), &whole(inputs[1])),
        "GatherElements" => gather_elements(node, x, inputs[1]),
        "ArgMax" => reduce(x, int(node, "axis", 0), |row| {
            (0..row.len()).fold(0, |best, next| if row[next] > row[best] { next } else { best }) as f64
        }),
        "ReduceMax" => {
            reduce(x, ints(node, "axes", &[])[0], |row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        }
        "Concat" => concat(inputs, int(node, "axis", 0)),
        "Split" => {
            let (axis, parts) = (int(node, "axis", 0), node.output.len());
            let sizes = inputs.get(1).map_or_else(|| vec![x.shape[axis] / parts; parts], |sizes| whole(sizes));
            assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (parts, x.shape[axis]), "{}", node.name);
            let mut first = 0;
            let part = |size| {
                let index: Vec<usize> = (first..first + size).collect();
                first += size;
                take(x, axis, &index)
            };
            return sizes.into_iter().map(part).collect();
        }
        other => panic!("{}: no operator {other}", node.name),
    };
    vec![one]
}

fn int(node: &Node, name: &str, default: usize) -> usize {
    let found = node.attribute.iter().find(|attribute| attribute.name == name);
    found.map_or(default, |attribute| attribute.i.expect("an integer") as usize)
}

fn ints(node: &Node, name: &str, default: &[usize]) -> Vec<usize> {
    let found = node.attribute.iter().find(|attribute| attribute.name == name);
    found.map_or(default.to_vec(), |attribute| attribute.ints.iter().map(|&number| number as usize).collect())
}

fn whole(numbers: &Array) -> Vec<usize> {
    numbers.data.iter().map(|&number| number as usize).collect()
}

fn map(x: &Array, f: impl Fn(f64) -> f64) -> Array {
    Array { shape: x.shape.clone(), data: x.data.iter().map(|&x| f(x)).collect() }
}

/// Shapes are aligned at their ends; an extent of 1 is repeated.
fn broadcast(a: &Array, b: &Array, f: impl Fn(f64, f64) -> f64) -> Array {
    let rank = a.shape.len().max(b.shape.len());
    let aligned = |x: &Array| [vec![1; rank - x.shape.len()], x.shape.clone()].concat();
    let (left, right) = (aligned(a), aligned(b));
    let extent = |(&a, &b): (&usize, &usize)| {
        assert!(a == b || a == 1 || b == 1, "{left:?} and {right:?}");
        a.max(b)
    };
    let shape: Vec<usize> = left.iter().zip(&right).map(extent).collect();
    let place = |index: usize, of: &[usize]| {
        let (mut rest, mut place, mut step) = (index, 0, 1);
        for axis in (0..rank).rev() {
            let at = rest % shape[axis];
            rest /= shape[axis];
            place += if of[axis] == 1 { 0 } else { at * step };
            step *= of[axis];
        }
        place
    };
    let data = (0..shape.iter().product()).map(|i| f(a.data[place(i, &left)], b.data[place(i, &right)])).collect();
    Array { shape, data }
}

/// Each map of `[N, C, H, W]` becomes one of that size, `f` a pixel of it.
fn planes(x: &Array, [height, width]: [usize; 2], f: impl Fn(&[f64], usize, usize) -> f64) -> Array {
    let mut data = Vec::new();
    for plane in x.data.chunks(x.shape[2] * x.shape[3]) {
        data.extend((0..height * width).map(|pixel| f(plane, pixel / width, pixel % width)));
    }
    Array { shape: vec![x.shape[0], x.shape[1], height, width], data }
}

/// Rows and columns of a window that lie in a map, with their numbers in the window.
fn window(
    at: usize,
    stride: usize,
    before: usize,
    kernel: usize,
    extent: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let inside = move |k: usize| (at * stride + k).checked_sub(before).filter(|&place| place < extent);
    (0..kernel).filter_map(move |k| Some((k, inside(k)?)))
}

/// The extent of what windows are taken of: pads are rows before, columns before, rows after, columns after.
fn windows(extent: usize, axis: usize, kernel: &[usize], strides: &[usize], pads: &[usize]) -> usize {
    (extent + pads[axis] + pads[axis + 2] - kernel[axis]) / strides[axis] + 1
}

fn conv(node: &Node, x: &Array, weight: &Array, bias: Option<&Array>) -> Array {
    let (strides, pads) = (ints(node, "strides", &[1, 1]), ints(node, "pads", &[0; 4]));
    let (groups, kernel) = (int(node, "group", 1), weight.shape[2..].to_vec());
    assert_eq!(ints(node, "kernel_shape", &kernel), kernel, "{}", node.name);
    let [pictures, inputs, height, width] = x.shape[..] else { panic!("{:?}", x.shape) };
    let [outputs, per_group, _, _] = weight.shape[..] else { panic!("{:?}", weight.shape) };
    assert_eq!((inputs, outputs % groups), (per_group * groups, 0), "{}", node.name);
    let [rows, columns] =
        [(height, 0), (width, 1)].map(|(extent, axis)| windows(extent, axis, &kernel, &strides, &pads));
    let mut data = Vec::with_capacity(pictures * outputs * rows * columns);
    for n in 0..pictures {
        for o in 0..outputs {
            let first = o / (outputs / groups) * per_group;
            for pixel in 0..rows * columns {
                let mut sum = bias.map_or(0.0, |bias| bias.data[o]);
                for c in 0..per_group {
                    let plane = &x.data[(n * inputs + first + c) * height * width..][..height * width];
                    let taps = &weight.data[(o * per_group + c) * kernel[0] * kernel[1]..][..kernel[0] * kernel[1]];
                    for (u, row) in window(pixel / columns, strides[0], pads[0], kernel[0], height) {
                        for (v, column) in window(pixel % columns, strides[1], pads[1], kernel[1], width) {
                            sum += taps[u * kernel[1] + v] * plane[row * width + column];
                        }
                    }
                }
                data.push(sum);
            }
        }
    }
    Array { shape: vec![pictures, outputs, rows, columns], data }
}

/// Of one group: each number of x is spread over the window that a convolution would gather it from.
fn conv_transpose(node: &Node, x: &Array, weight: &Array, bias: Option<&Array>) -> Array {
    let (strides, pads) = (ints(node, "strides", &[1, 1]), ints(node, "pads", &[0; 4]));
    let left_over = ints(node, "output_padding", &[0, 0]);
    assert_eq!(int(node, "group", 1), 1, "{}", node.name);
    let [pictures, inputs, height, width] = x.shape[..] else { panic!("{:?}", x.shape) };
    let [_, outputs, kernel_rows, kernel_columns] = weight.shape[..] else { panic!("{:?}", weight.shape) };
    let rows = (height - 1) * strides[0] + kernel_rows + left_over[0] - pads[0] - pads[2];
    let columns = (width - 1) * strides[1] + kernel_columns + left_over[1] - pads[1] - pads[3];
    let mut data = vec![0.0; pictures * outputs * rows * columns];
    for (start, plane) in data.chunks_mut(rows * columns).enumerate() {
        plane.fill(bias.map_or(0.0, |bias| bias.data[start % outputs]));
        for c in 0..inputs {
            let from = &x.data[(start / outputs * inputs + c) * height * width..][..height * width];
            let taps = &weight.data[(c * outputs + start % outputs) * kernel_rows * kernel_columns..];
            for (pixel, number) in from.iter().enumerate() {
                for (u, row) in window(pixel / width, strides[0], pads[0], kernel_rows, rows) {
                    for (v, column) in window(pixel % width, strides[1], pads[1], kernel_columns, columns) {
                        plane[row * columns + column] += taps[u * kernel_columns + v] * number;
                    }
                }
            }
        }
    }
    Array { shape: vec![pictures, outputs, rows, columns], data }
}

fn max_pool(node: &Node, x: &Array) -> Array {
    let (kernel, strides) = (ints(node, "kernel_shape", &[]), ints(node, "strides", &[1, 1]));
    let pads = ints(node, "pads", &[0; 4]);
    let (height, width) = (x.shape[2], x.shape[3]);
    let size = [(height, 0), (width, 1)].map(|(extent, axis)| windows(extent, axis, &kernel, &strides, &pads));
    planes(x, size, |plane, row, column| {
        let rows = window(row, strides[0], pads[0], kernel[0], height);
        let all = rows.flat_map(|(_, row)| {
            window(column, strides[1], pads[1], kernel[1], width).map(move |(_, column)| plane[row * width + column])
        });
        all.fold(f64::NEG_INFINITY, f64::max)
    })
}

/// A text attribute.
fn text<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    let found = node.attribute.iter().find(|attribute| attribute.name == name)?;
    std::str::from_utf8(found.s.as_deref()?).ok()
}

/// Each pixel takes the one at its place divided by the factor, rounded down.
fn resize(node: &Node, x: &Array, factors: &Array) -> Array {
    let texts = [("mode", "nearest"), ("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")];
    for (name, expected) in texts {
        assert_eq!(text(node, name), Some(expected), "{}", node.name);
    }
    let [1.0, 1.0, rows, columns] = factors.data[..] else { panic!("{factors:?}") };
    let size = [(x.shape[2] as f64 * rows) as usize, (x.shape[3] as f64 * columns) as usize];
    planes(x, size, |plane, row, column| {
        plane[(row as f64 / rows) as usize * x.shape[3] + (column as f64 / columns) as usize]
    })
}

/// Each pixel is the sum of all pixels of the map, weighted by how near they are to its place along both axes; beyond the
/// border the map goes on as it ends there.
fn resize_linear(node: &Node, x: &Array, sizes: &[usize]) -> Array {
    assert_eq!((text(node, "mode"), &sizes[..2]), (Some("linear"), &x.shape[..2]), "{}", node.name);
    let place = |resized: usize, axis: usize| {
        let (from, to, resized) = (x.shape[axis] as f64, sizes[axis] as f64, resized as f64);
        let place = match text(node, "coordinate_transformation_mode") {
            Some("align_corners") if to == 1.0 => 0.0,
            Some("align_corners") => resized * (from - 1.0) / (to - 1.0),
            // Also what is assumed where nothing is said.
            Some("half_pixel") | None => (resized + 0.5) / (to / from) - 0.5,
            other => panic!("{}: {other:?}", node.name),
        };
        place.clamp(0.0, from - 1.0)
    };
    let weight = |pixel: usize, place: f64| (1.0 - (pixel as f64 - place).abs()).max(0.0);
    planes(x, [sizes[2], sizes[3]], |plane, row, column| {
        let (row, column) = (place(row, 2), place(column, 3));
        let weighted =
            |(at, number): (usize, &f64)| weight(at / x.shape[3], row) * weight(at % x.shape[3], column) * number;
        plane.iter().enumerate().map(weighted).sum()
    })
}

/// Zeros before and after each axis of `[N, C, H, W]`, of which the first two get none.
fn pad(x: &Array, pads: &[usize], value: f64) -> Array {
    if let &[0, 0, 0, 0, 0, after] = pads {
        let row = |row: &[f64]| [row, &vec![value; after]].concat();
        let extents = [x.shape[0], x.shape[1], x.shape[2] + after];
        return Array { shape: extents.to_vec(), data: x.data.chunks(x.shape[2]).flat_map(row).collect() };
    }
    let [0, 0, top, left, 0, 0, bottom, right] = pads[..] else { panic!("{pads:?}") };
    let (height, width) = (x.shape[2], x.shape[3]);
    planes(x, [height + top + bottom, width + left + right], |plane, row, column| {
        let inside = row.checked_sub(top).zip(column.checked_sub(left));
        let inside = inside.filter(|&(row, column)| row < height && column < width);
        inside.map_or(value, |(row, column)| plane[row * width + column])
    })
}

fn slice(x: &Array, [starts, ends, axes]: [Vec<usize>; 3]) -> Array {
    axes.iter().zip(starts.iter().zip(&ends)).fold(x.clone(), |x, (&axis, (&start, &end))| {
        let end = end.min(x.shape[axis]);
        take(&x, axis, &(start..end).collect::<Vec<_>>())
    })
}

/// A 0 stands for the extent that was there.
fn reshape(x: &Array, extents: &[usize]) -> Array {
    let extent = |(axis, &extent): (usize, &usize)| if extent == 0 { x.shape[axis] } else { extent };
    let shape: Vec<usize> = extents.iter().enumerate().map(extent).collect();
    assert_eq!(shape.iter().product::<usize>(), x.data.len(), "{:?} as {extents:?}", x.shape);
    Array { shape, data: x.data.clone() }
}

/// The slices of x along an axis that `index` names.
fn take(x: &Array, axis: usize, index: &[usize]) -> Array {
    let inner: usize = x.shape[axis + 1..].iter().product();
    let mut data = Vec::new();
    for block in x.data.chunks(x.shape[axis] * inner) {
        index.iter().for_each(|&at| data.extend_from_slice(&block[at * inner..(at + 1) * inner]));
    }
    let mut shape = x.shape.clone();
    shape[axis] = index.len();
    Array { shape, data }
}

/// Along the last axis.
fn gather_elements(node: &Node, x: &Array, index: &Array) -> Array {
    let [rank, extent] = [x.shape.len(), x.shape[x.shape.len() - 1]];
    assert_eq!((int(node, "axis", 0), &x.shape[..rank - 1]), (rank - 1, &index.shape[..rank - 1]), "{}", node.name);
    let each = index.shape[rank - 1];
    let data = index.data.iter().enumerate().map(|(at, &place)| x.data[at / each * extent + place as usize]);
    Array { shape: index.shape.clone(), data: data.collect() }
}

/// The last axis, which is kept with one element.
fn reduce(x: &Array, axis: usize, f: impl Fn(&[f64]) -> f64) -> Array {
    let last = x.shape.len() - 1;
    assert_eq!(axis, last);
    let mut shape = x.shape.clone();
    shape[last] = 1;
    Array { shape, data: x.data.chunks(x.shape[last]).map(f).collect() }
}

fn concat(inputs: &[&Array], axis: usize) -> Array {
    let block = |x: &Array| -> usize { x.shape[axis..].iter().product() };
    let blocks = inputs[0].data.len() / block(inputs[0]);
    let of_block = |at: usize| inputs.iter().flat_map(move |x| x.data[at * block(x)..(at + 1) * block(x)].to_vec());
    let mut shape = inputs[0].shape.clone();
    shape[axis] = inputs.iter().map(|x| x.shape[axis]).sum();
    for x in inputs {
        assert_eq!((&x.shape[..axis], &x.shape[axis + 1..]), (&shape[..axis], &shape[axis + 1..]));
    }
    Array { shape, data: (0..blocks).flat_map(of_block).collect() }
}

/// Over the last axis.
fn softmax(x: &Array, axis: usize) -> Array {
    assert_eq!(axis + 1, x.shape.len());
    let row = |row: &[f64]| {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
        row.iter().map(|x| (x - largest).exp() / sum).collect::<Vec<f64>>()
    };
    Array { shape: x.shape.clone(), data: x.data.chunks(x.shape[axis]).flat_map(row).collect() }
}

/// Of each row of `x` with a matrix.
fn product(x: &Array, matrix: &Array) -> Array {
    let &[inner, columns] = matrix.shape.as_slice() else { panic!("{:?}", matrix.shape) };
    let (&last, shape) = x.shape.split_last().expect("an extent");
    assert_eq!(last, inner);
    let column = |row: &[f64], j: usize| (0..inner).map(|i| row[i] * matrix.data[i * columns + j]).sum::<f64>();
    let data = x.data.chunks(inner).flat_map(|row| (0..columns).map(move |j| column(row, j)));
    Array { shape: [shape, &[columns]].concat(), data: data.collect() }
}
