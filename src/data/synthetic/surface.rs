//! What surfaces look like: colours, patterns on cloth, faces.

use super::vector::{Vec3, scaled};

/// Red, green, blue from 0 to 1.
pub type Colour = [f32; 3];

/// Mixes two colours.
pub fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * share)
}

/// What a surface is coloured with, as a function of a place on it in pixels.
#[derive(Clone, Copy, Debug)]
pub enum Pattern {
    /// One colour.
    Plain,
    /// Stripes of another colour across the first coordinate, of that period.
    Stripes(Colour, f32),
    /// Squares of another colour with that period.
    Checks(Colour, f32),
    /// Blots of another colour with that period.
    Blots(Colour, f32),
}

/// A colour and a pattern on it.
#[derive(Clone, Copy, Debug)]
pub struct Cloth {
    pub colour: Colour,
    pub pattern: Pattern,
}

impl Cloth {
    pub fn plain(colour: Colour) -> Cloth {
        Cloth { colour, pattern: Pattern::Plain }
    }

    /// The colour at the place (u, v), pixels.
    pub fn at(&self, u: f32, v: f32) -> Colour {
        let other = |on: bool, colour| if on { colour } else { self.colour };
        match self.pattern {
            Pattern::Plain => self.colour,
            Pattern::Stripes(colour, period) => other((u / period).rem_euclid(1.0) < 0.4, colour),
            Pattern::Checks(colour, period) => {
                let half = |w: f32| (w / period).rem_euclid(1.0) < 0.5;
                other(half(u) != half(v), colour)
            }
            Pattern::Blots(colour, period) => mix(self.colour, colour, blots(u / period, v / period)),
        }
    }
}

/// Smooth noise from 0 to 1 with features of about unit size.
pub fn blots(u: f32, v: f32) -> f32 {
    let (left, top) = (u.floor(), v.floor());
    let ease = |w: f32| w * w * (3.0 - 2.0 * w);
    let (right, low) = (ease(u - left), ease(v - top));
    let corner = |dx: i32, dy: i32| lattice(left as i32 + dx, top as i32 + dy);
    let upper = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * right;
    let lower = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * right;
    upper + (lower - upper) * low
}

/// A fixed pseudo-random number from 0 to 1 for each lattice point (an integer hash).
fn lattice(x: i32, y: i32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    ((h ^ (h >> 15)) >> 8) as f32 / 16_777_216.0
}

/// A face on the unit sphere of a head.
#[derive(Clone, Copy, Debug)]
pub struct Face {
    pub skin: Colour,
    pub hair: Colour,
    pub iris: Colour,
    pub lips: Colour,
    /// Height of the hair line at the forehead, from -1 at the chin to 1 at the top; above 1 for a bald head.
    pub hair_line: f32,
    /// How far down the hair reaches at the back.
    pub hair_back: f32,
    pub beard: bool,
    pub glasses: bool,
}

impl Face {
    /// The colour at a place given by its left, up and forward coordinates.
    pub fn at(&self, [left, up, forward]: Vec3) -> Colour {
        let line = if forward > 0.25 { self.hair_line - 0.25 * left * left } else { self.hair_back };
        let line = if forward > 0.25 { line } else { line + (forward + 1.0).max(0.0) * 0.1 };
        if self.hair_line <= 1.0 && up > line {
            return self.hair;
        }
        if forward > 0.0 {
            let near = |l: f32, u: f32, width: f32, height: f32| {
                let (a, b) = ((left.abs() - l) / width, (up - u) / height);
                a * a + b * b
            };
            let eye = near(0.36, 0.12, 0.17, 0.10);
            if near(0.36, 0.12, 0.08, 0.09) < 1.0 {
                return self.iris;
            }
            if eye < 1.0 {
                return [0.93, 0.93, 0.92];
            }
            if self.glasses && eye < 3.2 {
                return [0.08, 0.08, 0.09];
            }
            if near(0.37, 0.32, 0.22, 0.05) < 1.0 {
                return scaled(self.hair, 0.8);
            }
            if near(0.0, -0.50, 0.26, 0.07) < 1.0 {
                return self.lips;
            }
            if self.beard && up < -0.28 && near(0.0, -0.3, 0.25, 0.1) > 1.0 {
                return self.hair;
            }
        }
        self.skin
    }
}
