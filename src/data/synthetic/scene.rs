//! A person among other people, things and a background: what is where, and the picture of it.

use super::body::{Body, Build};
use super::figure::{Figure, Outfit, View, clothes_colour};
use super::options::SyntheticOptions;
use super::paint::Canvas;
use super::pose::Pose;
use super::random::{between, chance, pick, spread};
use super::shapes::{Ellipsoid, Panel, Shape, Skin, Sleeve, Tube};
use super::surface::{Cloth, Colour, Pattern, blots, mix};
use super::vector::{Frame, Vec3, dot, scaled};
use crate::data::crop::MARGIN;
use crate::data::{Annotation, Joint};
use image::RgbImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Everything that determines one picture.
pub struct Scene {
    side: u32,
    view: View,
    person: Figure,
    /// From far to near, in groups that do not interleave: clutter, people behind, the person, what stands in front.
    shapes: Vec<Shape>,
    background: Background,
    sun: Vec3,
    shade: f32,
    tint: Colour,
    blur: f32,
    noise: f32,
    /// Error of the annotated centre (as a share of the box) and factor on the annotated scale.
    jitter: [f32; 3],
    /// The random numbers that are left, for the noise.
    rng: ChaCha8Rng,
}

#[derive(Clone, Copy)]
struct Background {
    colours: [Colour; 2],
    direction: [f32; 2],
    blots: (Colour, f32, f32),
    /// Row of the horizon, colour and pattern of the ground.
    ground: Option<(f32, Cloth)>,
    offset: f32,
}

impl Background {
    fn random(rng: &mut ChaCha8Rng, side: f32) -> Background {
        let angle = between(rng, 0.0, std::f32::consts::TAU);
        let base = clothes_colour(rng);
        let ground = chance(rng, 0.6).then(|| {
            let colour = mix(clothes_colour(rng), [0.5, 0.48, 0.42], 0.5);
            let other = scaled(colour, between(rng, 0.7, 1.25));
            let pattern = pick(
                rng,
                &[
                    Pattern::Plain,
                    Pattern::Blots(other, 0.06 * side),
                    Pattern::Checks(other, 0.15 * side),
                    Pattern::Stripes(other, 0.1 * side),
                ],
            );
            (side * between(rng, 0.35, 0.95), Cloth { colour, pattern })
        });
        Background {
            colours: [base, mix(base, clothes_colour(rng), between(rng, 0.1, 0.9))],
            direction: [angle.cos() / side, angle.sin() / side],
            blots: (clothes_colour(rng), between(rng, 0.0, 0.6), side * between(rng, 0.04, 0.3)),
            ground,
            offset: between(rng, 0.0, 1000.0),
        }
    }

    /// Paints every pixel of a square picture. The blots are smooth: they are worked out every `STEP` pixels only.
    fn paint(&self, colours: &mut [Colour], side: usize) {
        const STEP: usize = 4;
        let (blot_colour, strength, period) = self.blots;
        let columns = side / STEP + 2;
        let grid: Vec<f32> = (0..columns * columns)
            .map(|i| ((i % columns * STEP) as f32, (i / columns * STEP) as f32))
            .map(|(x, y)| blots(x / period + self.offset, y / period) * strength)
            .collect();
        for (y, row) in colours.chunks_exact_mut(side).enumerate() {
            let ground = self.ground.filter(|(horizon, _)| y as f32 > *horizon);
            let low = (y % STEP) as f32 / STEP as f32;
            for (x, colour) in row.iter_mut().enumerate() {
                let corner = y / STEP * columns + x / STEP;
                let right = (x % STEP) as f32 / STEP as f32;
                let upper = grid[corner] + (grid[corner + 1] - grid[corner]) * right;
                let below = &grid[corner + columns..];
                let lower = below[0] + (below[1] - below[0]) * right;
                let blot = upper + (lower - upper) * low;
                let (x, y) = (x as f32, y as f32);
                *colour = match ground {
                    Some((_, cloth)) => mix(cloth.at(x, 2.0 * y), blot_colour, 0.4 * blot),
                    None => {
                        let share = (0.5 + x * self.direction[0] + y * self.direction[1]).rem_euclid(2.0);
                        mix(mix(self.colours[0], self.colours[1], (1.0 - share).abs()), blot_colour, blot)
                    }
                };
            }
        }
    }
}

impl Scene {
    /// Draws a scene.
    pub fn random(options: &SyntheticOptions, mut rng: ChaCha8Rng) -> Scene {
        let generator = &mut rng;
        let side = options.picture as f32;
        let camera = Camera {
            pitch: spread(generator, 6.0, 7.0, 18.0),
            roll: spread(generator, 0.0, 4.0, 12.0),
            distance: between(generator, 3.5, 8.0),
        };
        let size = side * between(generator, 0.50, 0.72);
        let guess = size / 1.6;
        let lying = chance(generator, 0.2 * options.unusual_poses);
        let body = camera.body(options, lying, generator);
        let person = Figure { body, outfit: Outfit::random(generator, guess), place: [0.0; 3] };
        let view = framed(
            &person,
            View { origin: [0.0; 2], zoom: guess, distance: camera.distance },
            size,
            options,
            generator,
        );

        let mut shapes = clutter(options, &view, side, generator);
        for figure in with_others(person, &camera, &view, options, generator) {
            let first = shapes.len();
            shapes.extend(figure.shapes(&view));
            shapes[first..].sort_by(|a, b| b.depth().total_cmp(&a.depth()));
            // What is farther away is dimmer, a little.
            for shape in &mut shapes[first..] {
                let depth = shape.depth() / view.zoom;
                shape.dim((1.0 - 0.22 * depth.clamp(-0.7, 1.5)).clamp(0.6, 1.15));
            }
        }
        if chance(generator, options.occluders) {
            shapes.push(occluder(&person, &view, generator));
        }

        let sun = [between(generator, -1.0, 1.0), between(generator, -1.2, -0.1), between(generator, -1.2, -0.2)];
        let exposure = between(generator, 0.8, 1.15);
        Scene {
            side: options.picture,
            view,
            person,
            shapes,
            background: Background::random(generator, side),
            sun: scaled(sun, 1.0 / dot(sun, sun).sqrt()),
            shade: between(generator, 0.25, 0.75),
            tint: [0, 1, 2].map(|_| exposure * spread(generator, 1.0, 0.05, 0.12)),
            blur: if chance(generator, 0.5) { between(generator, 0.0, options.blur as f32) } else { 0.0 },
            noise: between(generator, 0.0, options.noise as f32),
            jitter: [
                spread(generator, 0.0, 0.02, 0.05),
                spread(generator, 0.0, 0.02, 0.05),
                spread(generator, 1.0, 0.05, 0.12),
            ],
            rng,
        }
    }

    /// Joints, box and head size of the person.
    pub fn annotation(&self, name: String) -> Annotation {
        let side = self.side as f32;
        let last = side - 1.0;
        let joints = self.person.joints(&self.view).map(|[x, y, depth]| {
            let labelled = (0.0..=last).contains(&x) && (0.0..=last).contains(&y);
            let surface = self.shapes.iter().filter_map(|shape| shape.depth_at(x, y)).fold(f32::INFINITY, f32::min);
            // The joint's own limb, and the clothes on it, lie within 13 cm before it.
            let visible = labelled && surface > depth - 0.13 * self.view.zoom;
            Joint { x, y, labelled, visible }
        });
        let [left, top, right, bottom] = self.person.bounds(&self.view).map(|v| v.clamp(0.0, last));
        let longer = (right - left).max(bottom - top);
        let center = [(left + right) / 2.0 + self.jitter[0] * longer, (top + bottom) / 2.0 + self.jitter[1] * longer];
        let [l, t, r, b] = self.person.head_box(&self.view);
        Annotation {
            name,
            joints: joints.to_vec(),
            center,
            scale: [f64::from(longer * self.jitter[2]) / 200.0 * MARGIN; 2],
            head_size: Some(0.6 * (r - l).hypot(b - t)),
        }
    }

    /// Paints the picture.
    pub fn paint(mut self) -> RgbImage {
        let side = self.side as usize;
        let mut canvas = Canvas::new(side, side);
        self.background.paint(&mut canvas.colours, side);
        for shape in &self.shapes {
            canvas.paint(shape, self.sun, self.shade);
        }
        if self.blur > 0.05 {
            blur(&mut canvas.colours, side, self.blur);
        }
        let mut grain = vec![0; 3 * side * side];
        self.rng.fill_bytes(&mut grain);
        let strength = self.noise / 127.5;
        RgbImage::from_fn(self.side, self.side, |x, y| {
            let pixel = y as usize * side + x as usize;
            let (colour, grain) = (&canvas.colours[pixel], &grain[3 * pixel..3 * pixel + 3]);
            image::Rgb([0, 1, 2].map(|i| {
                let value = colour[i] * self.tint[i] + (f32::from(grain[i]) - 127.5) * strength;
                // The cast saturates.
                (value * 255.0 + 0.5) as u8
            }))
        })
    }
}

/// How the viewer looks at the scene, degrees and metres.
struct Camera {
    pitch: f32,
    roll: f32,
    distance: f32,
}

impl Camera {
    /// Camera axes of a vector given in axes whose y is plumb.
    fn turned(&self, [x, y, z]: Vec3) -> Vec3 {
        let (sin, cos) = self.pitch.to_radians().sin_cos();
        let [y, z] = [y * cos - z * sin, y * sin + z * cos];
        let (sin, cos) = self.roll.to_radians().sin_cos();
        [x * cos - y * sin, x * sin + y * cos, z]
    }

    fn body(&self, options: &SyntheticOptions, lying: bool, rng: &mut ChaCha8Rng) -> Body {
        let away = chance(rng, options.back_views);
        let yaw = if away { spread(rng, 180.0, 30.0, 70.0) } else { spread(rng, 0.0, 38.0, 95.0) };
        let mut placed = Frame::FACING.turned(yaw);
        if lying {
            placed = placed.rolled(pick(rng, &[-1.0, 1.0]) * between(rng, 65.0, 100.0));
        }
        let placed =
            Frame { left: self.turned(placed.left), up: self.turned(placed.up), forward: self.turned(placed.forward) };
        let build = Build::random(rng);
        Body::new(build, &Pose::random(rng, options.unusual_poses), placed)
    }
}

/// The view in which the longer side of the person's box has that size in pixels, with the box's centre about that of
/// the picture or, with the probability of truncation, near an edge.
fn framed(person: &Figure, mut view: View, size: f32, options: &SyntheticOptions, rng: &mut ChaCha8Rng) -> View {
    let side = options.picture as f32;
    let [left, top, right, bottom] = person.bounds(&view);
    view.zoom *= size / (right - left).max(bottom - top);
    let [left, top, right, bottom] = person.bounds(&view);
    let mut target = [0, 1].map(|_| side * spread(rng, 0.5, 0.03, 0.08));
    if chance(rng, options.truncation) {
        // A fifth to a half of the body lies beyond the edge.
        let [x, y] = pick(rng, &[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, -1.0]]);
        let beyond = between(rng, -0.30, 0.05);
        for (axis, (way, extent)) in [(x, right - left), (y, bottom - top)].into_iter().enumerate() {
            if way != 0.0 {
                target[axis] = side / 2.0 + way * (side / 2.0 + beyond * extent);
            }
        }
    }
    view.origin = [target[0] - (left + right) / 2.0, target[1] - (top + bottom) / 2.0];
    view
}

/// The person and up to three others from far to near: mostly behind and to a side, seldom before, and then well to
/// the side.
fn with_others(
    person: Figure,
    camera: &Camera,
    view: &View,
    options: &SyntheticOptions,
    rng: &mut ChaCha8Rng,
) -> Vec<Figure> {
    let mut figures = vec![person];
    while figures.len() < 4 && chance(rng, options.other_people) {
        let before = chance(rng, 0.15);
        let away = pick(rng, &[-1.0, 1.0]) * if before { between(rng, 0.7, 1.1) } else { between(rng, 0.3, 1.5) };
        let depth = if before { between(rng, -0.8, -0.4) } else { between(rng, 0.6, 4.0) };
        let body = camera.body(options, false, rng);
        let place = camera.turned([away, spread(rng, 0.0, 0.05, 0.1), depth]);
        figures.push(Figure { body, outfit: Outfit::random(rng, view.zoom), place });
    }
    figures.sort_by(|a, b| b.place[2].total_cmp(&a.place[2]));
    figures
}

/// Things behind everybody: boards, poles, balls.
fn clutter(options: &SyntheticOptions, view: &View, side: f32, rng: &mut ChaCha8Rng) -> Vec<Shape> {
    let count = between(rng, 0.0, 2.0 * options.clutter as f32).round() as usize;
    let mut shapes = Vec::with_capacity(count + 64);
    for i in 0..count {
        let depth = view.zoom * (9.0 - 3.0 * i as f32 / count as f32);
        let center = [between(rng, -0.1, 1.1) * side, between(rng, -0.1, 1.1) * side, depth];
        shapes.push(thing(center, side * between(rng, 0.04, 0.28), rng));
    }
    shapes
}

/// A board, pole or ball of about that size in pixels.
fn thing(center: Vec3, size: f32, rng: &mut ChaCha8Rng) -> Shape {
    let (colour, other) = (clothes_colour(rng), clothes_colour(rng));
    let period = size * between(rng, 0.2, 0.8);
    let pattern = pick(
        rng,
        &[
            Pattern::Plain,
            Pattern::Plain,
            Pattern::Stripes(other, period),
            Pattern::Checks(other, period),
            Pattern::Blots(other, period),
        ],
    );
    let cloth = Cloth { colour, pattern };
    let angle = if chance(rng, 0.6) { pick(rng, &[0.0, std::f32::consts::FRAC_PI_2]) } else { between(rng, 0.0, 3.1) };
    let axis = [angle.cos(), angle.sin()];
    match between(rng, 0.0, 3.0) as u32 {
        0 => {
            let half = [size, size * between(rng, 0.2, 1.0)];
            Shape::Panel(Panel { center, axis, half, cloth, light: 1.0 })
        }
        1 => {
            let reach = size * between(rng, 0.7, 2.5);
            let end = |way: f32| [center[0] + way * reach * axis[0], center[1] + way * reach * axis[1], center[2]];
            let radius = size * between(rng, 0.08, 0.3);
            Shape::Tube(Tube::round(
                end(-1.0),
                end(1.0),
                [radius, radius * between(rng, 0.5, 1.2)],
                Sleeve { cloth, bare: cloth, length: 2.0 },
            ))
        }
        _ => {
            let (wide, high) = (size * between(rng, 0.3, 0.8), size * between(rng, 0.3, 0.8));
            let axes =
                [[wide * axis[0], wide * axis[1], 0.0], [-high * axis[1], high * axis[0], 0.0], [0.0, 0.0, 0.1 * size]];
            Shape::Ellipsoid(Ellipsoid::new(center, axes, Skin::Cloth(cloth)))
        }
    }
}

/// A thing in front of some joint of the person.
fn occluder(person: &Figure, view: &View, rng: &mut ChaCha8Rng) -> Shape {
    let joints = person.joints(view);
    let target = joints[rng.next_u32() as usize % joints.len()];
    let reach = view.zoom * 0.15;
    let center = [target[0] + between(rng, -reach, reach), target[1] + between(rng, -reach, reach), -view.zoom * 1.5];
    thing(center, view.zoom * between(rng, 0.1, 0.3), rng)
}

/// Binomial smoothing: each pixel gives `strength` / 2 of itself to its neighbours, along rows, then columns.
fn blur(colours: &mut [Colour], side: usize, strength: f32) {
    let (own, given) = (1.0 - strength * 0.5, strength * 0.25);
    let mut line = vec![[0.0; 3]; side];
    for (start, step) in (0..side).map(|y| (y * side, 1)).chain((0..side).map(|x| (x, side))) {
        for (i, value) in line.iter_mut().enumerate() {
            *value = colours[start + i * step];
        }
        for i in 0..side {
            let (before, after) = (line[i.saturating_sub(1)], line[(i + 1).min(side - 1)]);
            colours[start + i * step] = [0, 1, 2].map(|c| own * line[i][c] + given * (before[c] + after[c]));
        }
    }
}
