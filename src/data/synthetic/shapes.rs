//! Tapered tubes, ellipsoids and panels as they are seen without perspective: where a line of sight meets them.
//!
//! Everything is in picture pixels: x to the right, y down, z away from the viewer in the same unit.

use super::surface::{Cloth, Colour, Face};
use super::vector::{Vec3, along, dot, scaled};

/// What covers a tube from its beginning on, and what comes after.
#[derive(Clone, Copy, Debug)]
pub struct Sleeve {
    /// On the part of the tube before `length`.
    pub cloth: Cloth,
    /// On the rest.
    pub bare: Cloth,
    /// Where the cloth ends: 0 at the beginning, 1 at the end.
    pub length: f32,
}

/// Marks on the front of a torso.
#[derive(Clone, Copy, Debug)]
pub struct Front {
    /// Depth of the neckline as a share of the torso's length, and what is seen in it.
    pub neckline: (f32, Colour),
    /// A line down the middle (a zip, a tie, buttons), if any.
    pub line: Option<Colour>,
}

/// A tube of elliptic cross-section with rounded ends.
#[derive(Clone, Copy, Debug)]
pub struct Tube {
    start: Vec3,
    end: Vec3,
    /// Unit vector from start to end in the picture, and the length there.
    axis: [f32; 2],
    length: f32,
    sections: [Section; 2],
    caps: [f32; 2],
    sleeve: Sleeve,
    front: Option<Front>,
    /// Factor on the light that falls on it.
    pub light: f32,
}

/// The half ellipse that the viewer sees of a cross-section.
#[derive(Clone, Copy, Debug)]
struct Section {
    /// Half the width in the picture.
    width: f32,
    /// Depth at the edge: right edge minus middle.
    tilt: f32,
    /// How far the middle bulges towards the viewer.
    bulge: f32,
    /// Cosine and sine of the angle, around the tube, from the body's left axis to the edge at s = 1.
    turn: [f32; 2],
    /// 1 or -1: the sense in which that angle grows towards the viewer.
    sense: f32,
}

impl Section {
    /// `a` and `b` are the half axes of the ellipse, `normal` the direction across the tube in the picture.
    fn new(a: Vec3, b: Vec3, normal: [f32; 2]) -> Section {
        let across = |v: Vec3| v[0] * normal[0] + v[1] * normal[1];
        let (p, q) = (across(a), across(b));
        let width = (p * p + q * q).sqrt().max(0.3);
        // The ellipse a cos(angle) + b sin(angle) lies across at width cos(angle - turn).
        let towards = (q * a[2] - p * b[2]) / width;
        Section {
            width,
            tilt: (p * a[2] + q * b[2]) / width,
            bulge: towards.abs(),
            turn: [p / width, q / width],
            sense: towards.signum(),
        }
    }

    /// The section of a round tube, which looks the same from every side.
    fn round(radius: f32) -> Section {
        Section { width: radius.max(0.3), tilt: 0.0, bulge: radius, turn: [1.0, 0.0], sense: 1.0 }
    }

    /// The left and forward coordinates, on the unit circle, of the place that is seen at `s`; `rise` is
    /// sqrt(1 - s^2).
    fn around(&self, s: f32, rise: f32) -> [f32; 2] {
        let ([cos, sin], towards) = (self.turn, self.sense * rise);
        [s * cos - towards * sin, s * sin + towards * cos]
    }
}

impl Tube {
    /// A tube of round cross-section.
    pub fn round(start: Vec3, end: Vec3, radii: [f32; 2], sleeve: Sleeve) -> Tube {
        let (axis, length, _) = direction(start, end);
        let sections = radii.map(Section::round);
        Tube { start, end, axis, length, sections, caps: radii, sleeve, front: None, light: 1.0 }
    }

    /// A tube whose cross-sections are ellipses with the half axes `left` and `forward` at start and end; `caps` is
    /// how far the ends are rounded beyond start and end.
    pub fn oval(
        start: Vec3,
        end: Vec3,
        left: [Vec3; 2],
        forward: [Vec3; 2],
        caps: [f32; 2],
        cloth: Cloth,
        front: Option<Front>,
    ) -> Tube {
        let (axis, length, normal) = direction(start, end);
        let sections = [0, 1].map(|i| Section::new(left[i], forward[i], normal));
        let sleeve = Sleeve { cloth, bare: cloth, length: 2.0 };
        Tube { start, end, axis, length, sections, caps, sleeve, front, light: 1.0 }
    }
}

/// The direction of a segment in the picture, its length there, and the direction across it.
fn direction(start: Vec3, end: Vec3) -> ([f32; 2], f32, [f32; 2]) {
    let (dx, dy) = (end[0] - start[0], end[1] - start[1]);
    let length = (dx * dx + dy * dy).sqrt();
    let axis = if length > 1e-3 { [dx / length, dy / length] } else { [0.0, 1.0] };
    (axis, length, [-axis[1], axis[0]])
}

/// An ellipsoid with what is drawn on it.
#[derive(Clone, Copy, Debug)]
pub struct Ellipsoid {
    center: Vec3,
    /// Rows take an offset from the centre to the unit sphere: left, up, forward.
    to_sphere: [Vec3; 3],
    reach: [f32; 2],
    skin: Skin,
    /// Factor on the light that falls on it.
    pub light: f32,
}

/// What is drawn on an ellipsoid.
#[derive(Clone, Copy, Debug)]
pub enum Skin {
    /// One cloth.
    Cloth(Cloth),
    /// A face with hair.
    Face(Face),
}

impl Ellipsoid {
    /// `axes`: the half axes to the left, up and forward; perpendicular to each other.
    pub fn new(center: Vec3, axes: [Vec3; 3], skin: Skin) -> Ellipsoid {
        let reach = [0, 1].map(|i| axes.iter().map(|axis| axis[i] * axis[i]).sum::<f32>().sqrt());
        let to_sphere = axes.map(|axis| scaled(axis, 1.0 / dot(axis, axis).max(1e-6)));
        Ellipsoid { center, to_sphere, reach, skin, light: 1.0 }
    }
}

/// A flat rectangle that faces the viewer.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    pub center: Vec3,
    /// Unit vector along its first side.
    pub axis: [f32; 2],
    /// Half its sides.
    pub half: [f32; 2],
    pub cloth: Cloth,
    /// Factor on the light that falls on it.
    pub light: f32,
}

impl Panel {
    #[inline]
    pub fn hit(&self, x: f32, y: f32) -> Option<Hit> {
        let (dx, dy) = (x - self.center[0], y - self.center[1]);
        let u = dx * self.axis[0] + dy * self.axis[1];
        let v = dy * self.axis[0] - dx * self.axis[1];
        let inside = (self.half[0] - u.abs()).min(self.half[1] - v.abs());
        let coverage = (inside + 0.5).min(1.0);
        (coverage > 0.0).then_some(Hit {
            depth: self.center[2],
            coverage,
            normal: [0.0, 0.0, -1.0],
            place: [u, v, 0.0],
        })
    }

    pub fn bounds(&self) -> [f32; 4] {
        let [a, b] = self.axis.map(f32::abs);
        let (p, q) = (a * self.half[0] + b * self.half[1] + 1.0, b * self.half[0] + a * self.half[1] + 1.0);
        [self.center[0] - p, self.center[1] - q, self.center[0] + p, self.center[1] + q]
    }
}

/// A thing to paint.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Tube(Tube),
    Ellipsoid(Ellipsoid),
    Panel(Panel),
}

/// What a line of sight meets.
pub struct Hit {
    pub depth: f32,
    /// 0 to 1 across the edge.
    pub coverage: f32,
    pub normal: Vec3,
    pub place: Vec3,
}

impl Tube {
    #[inline]
    pub fn hit(&self, x: f32, y: f32) -> Option<Hit> {
        let (dx, dy) = (x - self.start[0], y - self.start[1]);
        let along_axis = dx * self.axis[0] + dy * self.axis[1];
        let across = dy * self.axis[0] - dx * self.axis[1];
        let t = if self.length > 1e-3 { (along_axis / self.length).clamp(0.0, 1.0) } else { 0.0 };
        let over = along_axis - t * self.length;
        let [a, b] = &self.sections;
        let lerp = |p: f32, q: f32| p + (q - p) * t;
        let width = lerp(a.width, b.width);
        let cap = if over < 0.0 { self.caps[0] } else { self.caps[1] };
        let (s, o) = (across / width, over / cap);
        let q = s * s + o * o;
        let radius = q.sqrt();
        let coverage = ((1.0 - radius) * width.min(cap) + 0.5).min(1.0);
        if coverage <= 0.0 {
            return None;
        }
        let rise = (1.0 - q).max(0.0).sqrt();
        let depth = lerp(self.start[2], self.end[2]) + lerp(a.tilt, b.tilt) * s - lerp(a.bulge, b.bulge) * rise;
        let normal = [o * self.axis[0] - s * self.axis[1], o * self.axis[1] + s * self.axis[0], -rise];
        Some(Hit { depth, coverage, normal, place: [t, s, rise] })
    }

    pub fn colour(&self, [t, s, rise]: Vec3) -> Colour {
        let cloth = if t < self.sleeve.length { &self.sleeve.cloth } else { &self.sleeve.bare };
        if let Some(front) = &self.front {
            let [left, forward] = self.sections[1].around(s, rise);
            if forward > 0.2 {
                let (depth, colour) = front.neckline;
                if t > 1.0 - depth + 1.6 * depth * left.abs() {
                    return colour;
                }
                if let Some(colour) = front.line.filter(|_| left.abs() < 0.07) {
                    return colour;
                }
            }
        }
        cloth.at(t * self.length, s * self.sections[0].width)
    }

    pub fn bounds(&self) -> [f32; 4] {
        let reach = |i: usize| self.sections[i].width.max(self.caps[i]) + 1.0;
        let (p, q) = (reach(0), reach(1));
        let (a, b) = (self.start, self.end);
        [(a[0] - p).min(b[0] - q), (a[1] - p).min(b[1] - q), (a[0] + p).max(b[0] + q), (a[1] + p).max(b[1] + q)]
    }
}

impl Ellipsoid {
    #[inline]
    pub fn hit(&self, x: f32, y: f32) -> Option<Hit> {
        let offset = [x - self.center[0], y - self.center[1], 0.0];
        let o = self.to_sphere.map(|row| dot(row, offset));
        let d = self.to_sphere.map(|row| row[2]);
        // |o + z d| = 1, the nearer z.
        let (dd, od, oo) = (dot(d, d), dot(o, d), dot(o, o));
        let nearest = -od / dd;
        let gap = oo - od * od / dd;
        let radius = gap.max(0.0).sqrt();
        let coverage = ((1.0 - radius) * self.reach[0].min(self.reach[1]) + 0.5).min(1.0);
        if coverage <= 0.0 {
            return None;
        }
        let z = nearest - ((1.0 - gap).max(0.0) / dd).sqrt();
        let place = along(o, d, z);
        let gradient = [0, 1, 2].map(|i| (0..3).map(|k| place[k] * self.to_sphere[k][i]).sum::<f32>());
        let normal = scaled(gradient, 1.0 / dot(gradient, gradient).sqrt().max(1e-6));
        Some(Hit { depth: self.center[2] + z, coverage, normal, place })
    }

    pub fn colour(&self, place: Vec3) -> Colour {
        match &self.skin {
            Skin::Cloth(cloth) => cloth.at(place[1] * self.reach[1], place[0] * self.reach[0]),
            Skin::Face(face) => face.at(place),
        }
    }

    pub fn bounds(&self) -> [f32; 4] {
        let ([x, y, _], [p, q]) = (self.center, self.reach);
        [x - p - 1.0, y - q - 1.0, x + p + 1.0, y + q + 1.0]
    }
}

impl Shape {
    /// Depth of the surface that the line of sight at (x, y) meets first, if any.
    pub fn depth_at(&self, x: f32, y: f32) -> Option<f32> {
        let hit = match self {
            Shape::Tube(tube) => tube.hit(x, y),
            Shape::Ellipsoid(ellipsoid) => ellipsoid.hit(x, y),
            Shape::Panel(panel) => panel.hit(x, y),
        };
        hit.filter(|hit| hit.coverage > 0.5).map(|hit| hit.depth)
    }

    /// Depth of its middle, for painting from far to near.
    pub fn depth(&self) -> f32 {
        match self {
            Shape::Tube(tube) => (tube.start[2] + tube.end[2]) / 2.0,
            Shape::Ellipsoid(ellipsoid) => ellipsoid.center[2],
            Shape::Panel(panel) => panel.center[2],
        }
    }

    /// Left, top, right, bottom in the picture.
    pub fn bounds(&self) -> [f32; 4] {
        match self {
            Shape::Tube(tube) => tube.bounds(),
            Shape::Ellipsoid(ellipsoid) => ellipsoid.bounds(),
            Shape::Panel(panel) => panel.bounds(),
        }
    }

    /// Changes the light that falls on it by a factor.
    pub fn dim(&mut self, factor: f32) {
        match self {
            Shape::Tube(tube) => tube.light *= factor,
            Shape::Ellipsoid(ellipsoid) => ellipsoid.light *= factor,
            Shape::Panel(panel) => panel.light *= factor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Colour = [1.0, 0.0, 0.0];

    fn sleeve(colour: Colour) -> Sleeve {
        let cloth = Cloth::plain(colour);
        Sleeve { cloth, bare: cloth, length: 2.0 }
    }

    fn ball(center: Vec3, radius: f32, colour: Colour) -> Shape {
        let axes = [[radius, 0.0, 0.0], [0.0, -radius, 0.0], [0.0, 0.0, -radius]];
        Shape::Ellipsoid(Ellipsoid::new(center, axes, Skin::Cloth(Cloth::plain(colour))))
    }

    #[test]
    fn a_ball_is_hit_where_its_sphere_is() {
        let ball = ball([10.0, 20.0, 5.0], 8.0, RED);
        for (x, y) in [(10.0, 20.0), (13.0, 24.0), (4.0, 18.0)] {
            let across = (x - 10.0f32).powi(2) + (y - 20.0f32).powi(2);
            let expected = 5.0 - (64.0 - across).sqrt();
            let depth = ball.depth_at(x, y).expect("the point is on the ball");
            assert!((depth - expected).abs() < 1e-3, "{x} {y}: {depth} {expected}");
        }
        assert_eq!(ball.depth_at(18.1, 20.0), None);
    }

    #[test]
    fn a_short_round_tube_is_a_ball_and_a_turned_ellipsoid_an_ellipsoid() {
        let tube = Shape::Tube(Tube::round([10.0, 20.0, 5.0], [10.0, 20.0, 5.0], [8.0, 8.0], sleeve(RED)));
        let ball = ball([10.0, 20.0, 5.0], 8.0, RED);
        for (x, y) in [(10.0, 20.0), (13.0, 24.0), (4.0, 18.0)] {
            let (a, b) = (tube.depth_at(x, y).expect("inside"), ball.depth_at(x, y).expect("inside"));
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
        // Half axes 9 along (1, 1), 4 across and 6 towards the viewer.
        let r = std::f32::consts::FRAC_1_SQRT_2;
        let axes = [[9.0 * r, 9.0 * r, 0.0], [-4.0 * r, 4.0 * r, 0.0], [0.0, 0.0, -6.0]];
        let turned = Shape::Ellipsoid(Ellipsoid::new([0.0; 3], axes, Skin::Cloth(Cloth::plain(RED))));
        let depth = turned.depth_at(4.5 * r, 4.5 * r).expect("half way along the long axis");
        assert!((depth + 6.0 * 0.75f32.sqrt()).abs() < 1e-3);
        assert_eq!(turned.depth_at(5.0 * r, -5.0 * r), None, "beyond the short axis");
    }

    #[test]
    fn an_oval_tube_is_as_wide_and_as_deep_as_its_turned_section() {
        // An upright tube, half axes 10 (left) and 4 (forward), turned by 30 degrees: the section is the ellipse
        // left cos + forward sin of an angle.
        let (sin, cos) = 30.0f32.to_radians().sin_cos();
        let left = [10.0 * cos, 0.0, 10.0 * sin];
        let forward = [4.0 * sin, 0.0, -4.0 * cos];
        let cloth = Cloth::plain(RED);
        let tube = Tube::oval([0.0, -20.0, 0.0], [0.0, 20.0, 0.0], [left; 2], [forward; 2], [1.0; 2], cloth, None);
        let mut nearest = [f32::INFINITY; 41];
        for step in 0..36_000 {
            let (s, c) = (step as f32 / 100.0).to_radians().sin_cos();
            let (x, z) = (left[0] * c + forward[0] * s, left[2] * c + forward[2] * s);
            let column = (x * 2.0).round();
            if (x * 2.0 - column).abs() < 0.01 {
                let slot = &mut nearest[(column + 20.0) as usize];
                *slot = slot.min(z);
            }
        }
        for (column, expected) in nearest.into_iter().enumerate() {
            let x = (column as f32 - 20.0) / 2.0;
            match Shape::Tube(tube).depth_at(x, 0.0) {
                Some(depth) if expected.is_finite() => {
                    assert!((depth - expected).abs() < 0.1, "{x}: {depth} {expected}")
                }
                Some(_) => assert!(x.abs() > 8.4, "{x} lies outside the section"),
                None => assert!(expected.is_infinite(), "{x} lies inside the section"),
            }
        }
    }
}
