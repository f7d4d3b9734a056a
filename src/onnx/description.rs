//! What a model says about itself, for people and for programs.

use serde::Serialize;

use super::proto::Entry;
use super::{BONE_MAPS, COORDINATES, HEAT_MAPS, IMAGE, JOINTS, Options};
use crate::data::crop::MARGIN;
use crate::data::{STRIDE, Size};
use crate::models::{Head, ModelConfig};
use crate::ops::crop::Normalization;
use crate::ops::decode::Decode;
use crate::ops::targets::PEAK;

/// How joints are read from heat maps.
const RULE: &str = "x and y in pixels of the input and a score, the largest value of the joint's heat map: the place of \
                    that value (the first of equal ones, row by row), a quarter of a pixel of the map further on each axis \
                    towards the larger of the two neighbours where 1 < x < width - 1 and 1 < y < height - 1 in the map, \
                    times the stride; x = y = 0 where the map is nowhere above 0";

/// What is read from heat maps by each rule, and how.
fn rule(rule: Decode) -> String {
    match rule {
        // Joints are written by the quarter of a pixel where the program takes Newton's step.
        Decode::Quarter | Decode::Dark => RULE.to_owned(),
        Decode::QuarterFloor => {
            format!("{RULE}; with half a pixel of the map added to both before they are multiplied")
        }
        Decode::Expectation => {
            "x and y in pixels of the input, (coordinate + 1/2) times width and height, and the score 1".to_owned()
        }
        Decode::SecondMaximum(side) => format!(
            "x and y in pixels of the input and a score: the map, in a border of 10 zeros and blurred by a Gaussian of {side}x{side} as \
             OpenCV's, has its largest and its second largest value at two places; a quarter of a pixel from the first towards the \
             second, within the map, and half a pixel further on both axes, times the stride; the score is the map at the pixel nearest \
             to that place without the half, over {PEAK}, plus 1/2"
        ),
    }
}

/// How the maps of the mirrored picture come in.
fn flip_rule(rule: Decode) -> &'static str {
    match rule {
        Decode::Expectation => {
            "average the joints with those of the mirrored picture, mirrored back (joints exchanged by flip_pairs)."
        }
        _ if rule.shifts_mirrored_maps() => {
            "average the heat maps with those of the mirrored picture, mirrored back (joints exchanged by flip_pairs) and shifted by \
             one pixel to the right."
        }
        _ => {
            "average the heat maps with those of the mirrored picture, mirrored back (joints exchanged by flip_pairs)."
        }
    }
}

/// What a map has where its joint is.
fn peak(rule: Decode) -> String {
    match rule {
        Decode::Expectation => "whose softmax is where it is".to_owned(),
        Decode::SecondMaximum(_) => format!("near {PEAK} where it is"),
        Decode::Quarter | Decode::QuarterFloor | Decode::Dark => "near 1 where it is".to_owned(),
    }
}

/// A text for people.
pub(super) fn text(model: &ModelConfig, size: Size, options: Options) -> String {
    let Size { height, width } = size;
    let (maps, joints) = (size.heat_map(), model.skeleton.joints.len());
    let peak = peak(options.rule);
    let bgr = model.normalization.constants().bgr;
    let colours = if bgr { "blue, green and red" } else { "red, green and blue" };
    let mut text = format!(
        "The joints of one person in each picture.\n\
         Input `{IMAGE}` [batch, 3, {height}, {width}]: {colours}, each (value / 255 - mean) / std. The picture shows \
         the person's box, which was enlarged around its centre to the aspect ratio {width}:{height} and then {MARGIN} \
         times, scaled to {width}x{height} with bilinear interpolation, black outside of the photograph: \
         x in the photograph = centre + (x - {width} / 2) * width of the enlarged box / {width}, and y likewise.\n\
         Output `{HEAT_MAPS}` [batch, {joints}, {}, {}]: a map a joint, {peak}; a pixel of a map is {STRIDE} of the input.\n",
        maps.height, maps.width
    );
    if matches!(model.head, Head::Ditn(_)) {
        let bones = model.skeleton.bones.len();
        text += &format!(
            "Output `{BONE_MAPS}` [batch, {bones}, {}, {}]: a map a bone, near 1 along it.\n",
            maps.height, maps.width
        );
    }
    if model.integral {
        text += &format!(
            "Output `{COORDINATES}` [batch, {joints}, 2]: the place of each joint in the input, x / {width} - 1/2 and \
             y / {height} - 1/2: the expectation of the softmax of its map.\n"
        );
    }
    if options.decode {
        text += &format!("Output `{JOINTS}` [batch, {joints}, 3]: {}.\n", rule(options.rule));
    }
    text + "Published scores "
        + flip_rule(options.rule)
        + " Names, numbers and the rule of decoding are in the metadata."
}

/// Entries for programs, each JSON.
pub(super) fn metadata(model: &ModelConfig, size: Size, decode: Decode) -> Vec<Entry> {
    fn entry(key: &str, value: impl Serialize) -> Entry {
        // Numbers, texts and lists of them are always JSON.
        Entry { key: key.to_owned(), value: serde_json::to_string(&value).unwrap_or_default() }
    }
    let skeleton = &model.skeleton;
    let Normalization { mut mean, mut deviation, bgr } = model.normalization.constants();
    if bgr {
        mean.reverse();
        deviation.reverse();
    }
    vec![
        entry("size", size.extents()),
        entry("channels", if bgr { "BGR" } else { "RGB" }),
        entry("mean", mean),
        entry("std", deviation),
        entry("margin", MARGIN),
        entry("stride", STRIDE),
        entry("skeleton", &skeleton.name),
        entry("joints", &skeleton.joints),
        entry("bones", &skeleton.bones),
        entry("flip_pairs", &skeleton.flip_pairs),
        entry("decode", rule(decode)),
    ]
}
