//! A quarter pixel from the largest value of the blurred map towards the second largest.

use super::kernels::{BLUR, BLUR_VEC4, SECOND_MAXIMUM};
use crate::ir::Argument::{Input, Output, Scratch, Table};
use crate::ir::{Argument, Dispatch, Kernel, Shape, ShapeError, Variant};
use crate::ops::{blur, targets::PEAK};

/// Pixels of zeros around a map before it is blurred.
const BORDER: usize = 10;

/// Extents of a map with its border.
fn padded([height, width]: [usize; 2]) -> [usize; 2] {
    [height + 2 * BORDER, width + 2 * BORDER]
}

/// Refuses what no map of these extents can be blurred with.
pub(super) fn check(operator: &'static str, side: usize, extents: [usize; 2]) -> Result<(), ShapeError> {
    blur::check(operator, side, padded(extents))
}

/// Blurs rows, then columns, into scratch memory, and searches; columns by vec4 where the padded rows allow it.
pub(super) fn variants(maps: &Shape, side: usize) -> Vec<Variant> {
    let extents = maps.extents();
    let (count, height, width) = (extents[0] * extents[1], extents[2], extents[3]);
    let [padded_height, padded_width] = padded([height, width]);
    let blur = |kernel: &'static Kernel, [from, to]: [Argument; 2], elements: usize, [length, inner]: [usize; 2]| {
        let constants = vec![
            ("ELEMENTS", elements as f64),
            ("LENGTH", length as f64),
            ("INNER", inner as f64),
            ("BORDER", BORDER as f64),
            ("REACH", (side / 2) as f64),
        ];
        let vectors = if std::ptr::eq(kernel, &BLUR_VEC4) { 4 } else { 1 };
        Dispatch::per_invocation(kernel, elements / vectors, constants, vec![from, Table(0), to])
    };
    let scratch = vec![count * height * padded_width, count * padded_height * padded_width];
    let rows = blur(&BLUR, [Input(0), Scratch(0)], scratch[0], [width, 1]);
    let columns = |kernel| blur(kernel, [Scratch(0), Scratch(1)], scratch[1], [height, padded_width]);
    let constants = vec![
        ("MAPS", count as f64),
        ("HEIGHT", height as f64),
        ("WIDTH", width as f64),
        ("BORDER", BORDER as f64),
        ("PEAK", f64::from(PEAK)),
    ];
    let search = Dispatch::per_workgroup(&SECOND_MAXIMUM, count, constants, vec![Scratch(1), Input(0), Output(0)]);
    let variant = |name, kernel| {
        Variant::new(name, vec![rows.clone(), columns(kernel), search.clone()])
            .with_scratch(scratch.clone())
            .with_tables(vec![blur::table(&blur::unit_taps(side))])
    };
    let mut variants = vec![variant("plain", &BLUR)];
    if padded_width.is_multiple_of(4) {
        variants.insert(0, variant("vec4", &BLUR_VEC4));
    }
    variants
}

/// Operations of both blurs and both searches.
pub(super) fn operations(maps: &Shape, side: usize) -> f64 {
    let extents = maps.extents();
    let [height, width] = padded([extents[2], extents[3]]);
    ((extents[0] * extents[1]) * (2 * side * width * (extents[2] + height) + 2 * height * width)) as f64
}

/// The point of a map.
pub(super) fn point(map: &[f64], width: usize, side: usize) -> [f64; 3] {
    let height = map.len() / width;
    let mut blurred = blurred(map, width, side);
    let first = place_of_largest(&blurred);
    blurred[first] = 0.0;
    let second = place_of_largest(&blurred);
    let columns = width + 2 * BORDER;
    let [first, second] =
        [first, second].map(|place| [place % columns, place / columns].map(|at| at as f64 - BORDER as f64));
    let way = [second[0] - first[0], second[1] - first[1]];
    let distance = way[0].hypot(way[1]);
    let step = way.map(|way| if distance > 1e-3 { 0.25 * way / distance } else { 0.0 });
    let x = (first[0] + step[0]).clamp(0.0, (width - 1) as f64);
    let y = (first[1] + step[1]).clamp(0.0, (height - 1) as f64);
    let value = map[y.round() as usize * width + x.round() as usize];
    [x + 0.5, y + 0.5, value / f64::from(PEAK) + 0.5]
}

/// The sums of the absolute terms of [`point`], which it gave: a place in the map with its step, and the score.
pub(super) fn point_magnitude([x, y, score]: [f64; 3]) -> [f64; 3] {
    [x + 0.5, y + 0.5, (score - 0.5).abs() + 0.5]
}

/// The first of the largest values.
fn place_of_largest(values: &[f64]) -> usize {
    let mut place = 0;
    for (other, value) in values.iter().enumerate() {
        if *value > values[place] {
            place = other;
        }
    }
    place
}

/// The map in its border of zeros, blurred and mirrored at the border's edge.
fn blurred(map: &[f64], width: usize, side: usize) -> Vec<f64> {
    let (taps, reach) = (blur::unit_taps(side), (side / 2) as isize);
    let [rows, columns] = padded([map.len() / width, width]);
    let mut padded = vec![0.0; rows * columns];
    for (y, row) in map.chunks_exact(width).enumerate() {
        padded[(y + BORDER) * columns + BORDER..][..width].copy_from_slice(row);
    }
    let along = |values: &[f64], extent: usize, step: usize, at: usize| -> f64 {
        let (place, first) = ((at / step % extent) as isize, at - at / step % extent * step);
        let tap = |d: isize| taps[d.unsigned_abs()] * values[first + blur::mirrored(place + d, extent) * step];
        (-reach..=reach).map(tap).sum()
    };
    let of_rows: Vec<f64> = (0..padded.len()).map(|at| along(&padded, columns, 1, at)).collect();
    (0..padded.len()).map(|at| along(&of_rows, rows, columns, at)).collect()
}
