//! Drawing on pictures: skeletons, boxes and small captions.

use super::boxes::PersonBox;
use crate::data::{Joint, Side, Skeleton};
use image::{Rgb, RgbImage};

const LEFT: Rgb<u8> = Rgb([60, 150, 255]);
const RIGHT: Rgb<u8> = Rgb([255, 120, 40]);
const MIDDLE: Rgb<u8> = Rgb([90, 220, 110]);
const OUTLINE: Rgb<u8> = Rgb([20, 20, 20]);

/// The colour of a side of the body: blue is the person's left, orange the right, green the middle.
pub fn colour(side: Side) -> Rgb<u8> {
    match side {
        Side::Left => LEFT,
        Side::Right => RIGHT,
        Side::Middle => MIDDLE,
    }
}

/// Draws bones and joints over a picture. Bones join labelled joints; a joint that cannot be seen is a ring, one that
/// can a disc. `width` is that of a bone in pixels.
pub fn skeleton(picture: &mut RgbImage, skeleton: &Skeleton, joints: &[Joint], width: f32) {
    let drawn =
        |joint: usize| joints.get(joint).filter(|joint| joint.labelled && joint.x.is_finite() && joint.y.is_finite());
    let ends = |bone: usize| {
        let (a, b) = skeleton.bones[bone];
        Some(([drawn(a)?.x, drawn(a)?.y], [drawn(b)?.x, drawn(b)?.y]))
    };
    for bone in 0..skeleton.bones.len() {
        if let Some((a, b)) = ends(bone) {
            line(picture, a, b, width + 1.5, OUTLINE);
        }
    }
    for bone in 0..skeleton.bones.len() {
        if let Some((a, b)) = ends(bone) {
            line(picture, a, b, width, colour(skeleton.bone_side(bone)));
        }
    }
    for joint in 0..skeleton.joints.len() {
        if let Some(&Joint { x, y, visible, .. }) = drawn(joint) {
            let (radius, fill) = (0.9 * width + 0.8, colour(skeleton.side(joint)));
            ring(picture, [x, y], radius + 0.8, 0.0, OUTLINE);
            ring(picture, [x, y], radius, 0.0, fill);
            if !visible {
                ring(picture, [x, y], 0.55 * radius, 0.0, Rgb([255; 3]));
            }
        }
    }
}

/// The width of bones that suits a person of that size.
pub fn bone_width(person: &PersonBox) -> f32 {
    (person.width.max(person.height) / 80.0).max(1.5)
}

/// A line with round ends, smooth at its edges.
pub fn line(picture: &mut RgbImage, a: [f32; 2], b: [f32; 2], width: f32, colour: Rgb<u8>) {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let squared = dx * dx + dy * dy;
    let distance = |x: f32, y: f32| {
        let along = if squared > 0.0 { ((x - a[0]) * dx + (y - a[1]) * dy) / squared } else { 0.0 };
        let along = along.clamp(0.0, 1.0);
        (x - a[0] - along * dx).hypot(y - a[1] - along * dy)
    };
    let reach = width / 2.0 + 1.0;
    let low = [a[0].min(b[0]) - reach, a[1].min(b[1]) - reach];
    let high = [a[0].max(b[0]) + reach, a[1].max(b[1]) + reach];
    cover(picture, low, high, colour, |x, y| width / 2.0 - distance(x, y) + 0.5);
}

/// A ring between two radii; a disc where the inner one is 0.
pub fn ring(picture: &mut RgbImage, center: [f32; 2], outer: f32, inner: f32, colour: Rgb<u8>) {
    let reach = outer + 1.0;
    cover(picture, center.map(|v| v - reach), center.map(|v| v + reach), colour, |x, y| {
        let distance = (x - center[0]).hypot(y - center[1]);
        (outer - distance + 0.5).min(if inner > 0.0 { distance - inner + 0.5 } else { 1.0 })
    });
}

/// Blends a colour over the pixels of a box; what lies outside the picture is left out. Coverage is clamped to 0..1.
fn cover(picture: &mut RgbImage, low: [f32; 2], high: [f32; 2], colour: Rgb<u8>, coverage: impl Fn(f32, f32) -> f32) {
    let range = |low: f32, high: f32, length: u32| {
        // Casts saturate: far outside becomes the border.
        (low.floor().max(0.0) as u32).min(length)
            ..(high.ceil().max(-1.0) as i64).saturating_add(1).clamp(0, i64::from(length)) as u32
    };
    for y in range(low[1], high[1], picture.height()) {
        for x in range(low[0], high[0], picture.width()) {
            let share = coverage(x as f32, y as f32).clamp(0.0, 1.0);
            let pixel = picture.get_pixel_mut(x, y);
            for (value, new) in pixel.0.iter_mut().zip(colour.0) {
                *value = (f32::from(*value) + (f32::from(new) - f32::from(*value)) * share + 0.5) as u8;
            }
        }
    }
}

/// Width of a character with its gap, and height of a line, in dots.
pub const GLYPH: [u32; 2] = [4, 6];

/// Writes a line of text in capitals of 3 x 5 dots, each `dot` pixels wide, from the upper left corner (x, y) on.
pub fn text(picture: &mut RgbImage, x: u32, y: u32, dot: u32, text: &str, colour: Rgb<u8>) {
    for (i, character) in text.chars().enumerate() {
        let glyph = glyph(character);
        for bit in 0..15 {
            if glyph >> (14 - bit) & 1 == 0 {
                continue;
            }
            let (left, top) = (x + dot * (GLYPH[0] * i as u32 + bit % 3), y + dot * (bit / 3));
            for (px, py) in (0..dot * dot).map(|k| (left + k % dot, top + k / dot)) {
                if px < picture.width() && py < picture.height() {
                    picture.put_pixel(px, py, colour);
                }
            }
        }
    }
}

/// Five rows of three dots, an octal digit a row.
fn glyph(character: char) -> u16 {
    match character.to_ascii_uppercase() {
        '0' => 0o75557,
        '1' => 0o26227,
        '2' => 0o71747,
        '3' => 0o71717,
        '4' => 0o55711,
        '5' => 0o74717,
        '6' => 0o74757,
        '7' => 0o71122,
        '8' => 0o75757,
        '9' => 0o75717,
        'A' => 0o25755,
        'B' => 0o65656,
        'C' => 0o34443,
        'D' => 0o65556,
        'E' => 0o74647,
        'F' => 0o74644,
        'G' => 0o34553,
        'H' => 0o55755,
        'I' => 0o72227,
        'J' => 0o11152,
        'K' => 0o55655,
        'L' => 0o44447,
        'M' => 0o57755,
        'N' => 0o65555,
        'O' => 0o25552,
        'P' => 0o65644,
        'Q' => 0o25563,
        'R' => 0o65655,
        'S' => 0o34216,
        'T' => 0o72222,
        'U' => 0o55557,
        'V' => 0o55552,
        'W' => 0o55775,
        'X' => 0o55255,
        'Y' => 0o55222,
        'Z' => 0o71247,
        '.' => 0o00002,
        ',' => 0o00024,
        ':' => 0o02020,
        '-' => 0o00700,
        '+' => 0o02720,
        '_' => 0o00007,
        '=' => 0o07070,
        '/' => 0o11244,
        '%' => 0o51245,
        '@' => 0o75743,
        '(' => 0o12221,
        ')' => 0o42224,
        ' ' => 0,
        _ => 0o70007,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::skeleton::MPII;

    #[test]
    fn left_limbs_are_blue_and_right_ones_orange() {
        let mut picture = RgbImage::new(60, 60);
        let mut joints = vec![Joint::default(); 16];
        let at = |x, y| Joint { x, y, labelled: true, visible: true };
        (joints[0], joints[1]) = (at(10.0, 10.0), at(10.0, 50.0));
        (joints[5], joints[4]) = (at(50.0, 10.0), at(50.0, 50.0));
        skeleton(&mut picture, &MPII, &joints, 4.0);
        assert_eq!(*picture.get_pixel(10, 30), RIGHT);
        assert_eq!(*picture.get_pixel(50, 30), LEFT);
        assert_eq!(*picture.get_pixel(30, 30), Rgb([0; 3]), "joints that are not labelled are not drawn");
    }

    #[test]
    fn joints_that_cannot_be_seen_are_hollow() {
        let mut picture = RgbImage::new(40, 40);
        let mut joints = vec![Joint::default(); 16];
        joints[9] = Joint { x: 20.0, y: 20.0, labelled: true, visible: false };
        skeleton(&mut picture, &MPII, &joints, 4.0);
        assert_eq!(*picture.get_pixel(20, 20), Rgb([255; 3]));
        joints[9].visible = true;
        skeleton(&mut picture, &MPII, &joints, 4.0);
        assert_eq!(*picture.get_pixel(20, 20), MIDDLE);
    }

    #[test]
    fn drawing_outside_the_picture_is_cut_off() {
        let mut picture = RgbImage::new(20, 20);
        let white = Rgb([255; 3]);
        line(&mut picture, [-1e9, 10.0], [1e9, 10.0], 2.0, white);
        line(&mut picture, [-50.0, -50.0], [-40.0, -60.0], 9.0, white);
        ring(&mut picture, [1e12, f32::MAX], 3.0, 0.0, white);
        text(&mut picture, 15, 17, 2, "OUT", white);
        assert_eq!(*picture.get_pixel(3, 10), white);
        assert_eq!(*picture.get_pixel(3, 3), Rgb([0; 3]));
    }

    #[test]
    fn a_glyph_is_drawn_upright_and_not_mirrored() {
        let mut picture = RgbImage::new(3, 5);
        text(&mut picture, 0, 0, 1, "L", Rgb([255; 3]));
        let lit: Vec<bool> = picture.pixels().map(|pixel| pixel.0[0] > 0).collect();
        let expected = [1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 1].map(|bit| bit == 1);
        assert_eq!(lit, expected);
    }
}
