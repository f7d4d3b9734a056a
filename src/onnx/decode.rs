//! Joints in ONNX: from heat maps by the rule [`Decode::Quarter`](crate::ops::decode::Decode::Quarter), and from the coordinates of
//! integral pose regression.

use super::builder::{Builder, int, ints};
use super::proto::data_type;

/// What is stepped towards the larger neighbour, in pixels of the map.
const STEP: f64 = 0.25;

/// Adds what finds joints in `maps` `[N, J, height, width]`; returns the name of the joints `[N, J, 3]`: x and y in pixels
/// of the input, `stride` of which a pixel of the maps has, and the map's largest value.
pub(super) fn decode(out: &mut Builder, maps: &str, [height, width]: [usize; 2], stride: usize) -> String {
    let list = out.list(&[0, 0, height * width]);
    let flat = out.node("Reshape", "decode.flat", &[maps, &list], &[]);
    let place = out.node("ArgMax", "decode.place", &[&flat], &[int("axis", 2)]);
    let score = out.node("ReduceMax", "decode.score", &[&flat], &[ints("axes", &[2])]);
    let columns = out.integer(width);
    let column = out.node("Mod", "decode.column", &[&place, &columns], &[]);
    let row = out.node("Div", "decode.row", &[&place, &columns], &[]);

    // A joint at the border has no quarter, one of a map that is nowhere above 0 no place.
    let zero = out.float(0.0);
    let found = out.node("Greater", "decode.is_found", &[&score, &zero], &[]);
    let found = float(out, "decode.found", &found);
    let inside = [(&column, width), (&row, height)].map(|(coordinate, extent)| {
        let (first, last) = (out.integer(1), out.integer(extent - 1));
        let behind = out.node("Greater", "decode.is_behind", &[coordinate, &first], &[]);
        let before = out.node("Less", "decode.is_before", &[coordinate, &last], &[]);
        out.node("And", "decode.is_between", &[&behind, &before], &[])
    });
    let inside = out.node("And", "decode.is_inside", &[&inside[0], &inside[1]], &[]);
    let inside = float(out, "decode.inside", &inside);

    let (first, last) = (out.integer(0), out.integer(height * width - 1));
    let [quarter, stride] = [STEP, stride as f64].map(|number| out.float(number));
    let [x, y] = [(&column, 1), (&row, width)].map(|(coordinate, distance)| {
        let distance = out.integer(distance);
        let after = out.node("Add", "decode.after", &[&place, &distance], &[]);
        let after = out.node("Min", "decode.after", &[&after, &last], &[]);
        let before = out.node("Sub", "decode.before", &[&place, &distance], &[]);
        let before = out.node("Max", "decode.before", &[&before, &first], &[]);
        let [after, before] = [after, before]
            .map(|place| out.node("GatherElements", "decode.neighbour", &[&flat, &place], &[int("axis", 2)]));
        let slope = out.node("Sub", "decode.slope", &[&after, &before], &[]);
        let side = out.node("Sign", "decode.side", &[&slope], &[]);
        let step = out.node("Mul", "decode.step", &[&side, &quarter], &[]);
        let step = out.node("Mul", "decode.step", &[&step, &inside], &[]);
        let coordinate = float(out, "decode.coordinate", coordinate);
        let coordinate = out.node("Add", "decode.coordinate", &[&coordinate, &step], &[]);
        let coordinate = out.node("Mul", "decode.coordinate", &[&coordinate, &found], &[]);
        out.node("Mul", "decode.coordinate", &[&coordinate, &stride], &[])
    });
    out.node("Concat", "decode.joints", &[&x, &y, &score], &[int("axis", 2)])
}

/// Adds what makes joints `[N, J, 3]` of `coordinates` `[N, J, 2]`: x and y in pixels of an input of this size, and 1.
pub(super) fn of_coordinates(out: &mut Builder, coordinates: &str, [height, width]: [usize; 2]) -> String {
    let half = out.float(0.5);
    let size = out.floats("decode.size", &[2], &[width as f64, height as f64]);
    let share = out.node("Add", "decode.share", &[coordinates, &half], &[]);
    let places = out.node("Mul", "decode.place", &[&share, &size], &[]);
    // A third number behind the two.
    let (one, pads) = (out.float(1.0), out.list(&[0, 0, 0, 0, 0, 1]));
    out.node("Pad", "decode.joints", &[&places, &pads, &one], &[])
}

/// Truth values and integers as floats.
fn float(out: &mut Builder, name: &str, value: &str) -> String {
    out.node("Cast", name, &[value], &[int("to", data_type::FLOAT as usize)])
}
