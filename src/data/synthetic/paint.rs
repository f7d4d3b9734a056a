//! The painter: shapes on a picture with a depth buffer, smooth edges and shading.
//!
//! Everything is in picture pixels: x to the right, y down, z away from the viewer in the same unit.

use super::shapes::{Hit, Shape};
use super::surface::{Colour, mix};
use super::vector::{Vec3, dot, scaled};

/// A picture being painted, with the depth of what is there.
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pub colours: Vec<Colour>,
    depths: Vec<f32>,
}

impl Canvas {
    pub fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, colours: vec![[0.0; 3]; width * height], depths: vec![f32::INFINITY; width * height] }
    }

    /// Paints a shape where nothing nearer has been painted. `sun` is the unit vector towards the light, `shade` how
    /// dark the side away from it is (0: as bright).
    pub fn paint(&mut self, shape: &Shape, sun: Vec3, shade: f32) {
        match shape {
            Shape::Tube(tube) => {
                self.fill(tube.bounds(), sun, shade, tube.light, |x, y| tube.hit(x, y), |place| tube.colour(place));
            }
            Shape::Ellipsoid(ball) => {
                self.fill(ball.bounds(), sun, shade, ball.light, |x, y| ball.hit(x, y), |place| ball.colour(place));
            }
            Shape::Panel(panel) => {
                let colour = |[u, v, _]: Vec3| panel.cloth.at(u, v);
                self.fill(panel.bounds(), sun, shade, panel.light, |x, y| panel.hit(x, y), colour);
            }
        }
    }

    fn fill(
        &mut self,
        [left, top, right, bottom]: [f32; 4],
        sun: Vec3,
        shade: f32,
        light: f32,
        hit: impl Fn(f32, f32) -> Option<Hit>,
        colour: impl Fn(Vec3) -> Colour,
    ) {
        let range = |low: f32, high: f32, length: usize| {
            let first = low.floor().clamp(0.0, length as f32) as usize;
            first..(high.ceil() + 1.0).clamp(first as f32, length as f32) as usize
        };
        let columns = range(left, right, self.width);
        for y in range(top, bottom, self.height) {
            for x in columns.clone() {
                let Some(hit) = hit(x as f32, y as f32) else {
                    continue;
                };
                let pixel = y * self.width + x;
                if hit.depth >= self.depths[pixel] {
                    continue;
                }
                let facing = dot(hit.normal, sun);
                let brightness = light * (1.0 - shade * (0.5 - 0.5 * facing));
                let painted = scaled(colour(hit.place), brightness);
                self.colours[pixel] = mix(self.colours[pixel], painted, hit.coverage);
                if hit.coverage > 0.5 {
                    self.depths[pixel] = hit.depth;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shapes::{Ellipsoid, Front, Skin, Tube};
    use super::super::surface::Cloth;
    use super::*;

    const RED: Colour = [1.0, 0.0, 0.0];
    const GREEN: Colour = [0.0, 1.0, 0.0];
    const SUN: Vec3 = [0.0, 0.0, -1.0];

    fn ball(center: Vec3, radius: f32, colour: Colour) -> Shape {
        let axes = [[radius, 0.0, 0.0], [0.0, -radius, 0.0], [0.0, 0.0, -radius]];
        Shape::Ellipsoid(Ellipsoid::new(center, axes, Skin::Cloth(Cloth::plain(colour))))
    }

    #[test]
    fn the_front_of_a_torso_is_seen_from_before_and_not_from_behind() {
        let torso = |facing: f32| {
            let (left, forward) = ([facing * 10.0, 0.0, 0.0], [0.0, 0.0, -facing * 5.0]);
            let front = Front { neckline: (0.0, RED), line: Some(GREEN) };
            let cloth = Cloth::plain(RED);
            // From the hips up to the neck.
            Shape::Tube(Tube::oval(
                [20.0, 30.0, 0.0],
                [20.0, 10.0, 0.0],
                [left; 2],
                [forward; 2],
                [3.0; 2],
                cloth,
                Some(front),
            ))
        };
        for (facing, expected) in [(1.0, GREEN), (-1.0, RED)] {
            let mut canvas = Canvas::new(40, 40);
            canvas.paint(&torso(facing), SUN, 0.0);
            assert_eq!(canvas.colours[20 * 40 + 20], expected);
            assert_eq!(canvas.colours[20 * 40 + 26], RED);
        }
    }

    #[test]
    fn what_is_nearer_hides_what_is_farther_in_any_order_of_painting() {
        let (near, far) = (ball([20.0, 20.0, 0.0], 6.0, RED), ball([20.0, 20.0, 30.0], 12.0, GREEN));
        for order in [[&near, &far], [&far, &near]] {
            let mut canvas = Canvas::new(40, 40);
            order.into_iter().for_each(|shape| canvas.paint(shape, SUN, 0.0));
            assert_eq!(canvas.colours[20 * 40 + 20], RED);
            assert_eq!(canvas.colours[20 * 40 + 29], GREEN);
        }
    }

    #[test]
    fn what_lies_outside_the_picture_changes_nothing() {
        let mut canvas = Canvas::new(16, 16);
        for center in [[-50.0, 8.0, 0.0], [8.0, 99.0, 0.0], [1e9, -1e9, 0.0]] {
            canvas.paint(&ball(center, 5.0, RED), SUN, 0.5);
        }
        assert!(canvas.colours.iter().all(|colour| *colour == [0.0; 3]));
    }

    #[test]
    fn the_lit_side_is_brighter() {
        let mut canvas = Canvas::new(40, 40);
        let cloth = ball([20.0, 20.0, 0.0], 15.0, [0.8; 3]);
        canvas.paint(&cloth, [-0.8, 0.0, -0.6], 0.6);
        assert!(canvas.colours[20 * 40 + 10][0] > canvas.colours[20 * 40 + 30][0] + 0.1);
    }
}
