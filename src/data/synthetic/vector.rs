//! Points, directions and rotated frames in three dimensions.
//!
//! Camera axes: x to the right, y down, z away from the viewer.

/// A point or direction in camera axes.
pub type Vec3 = [f32; 3];

pub fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub fn scaled(a: Vec3, factor: f32) -> Vec3 {
    a.map(|v| v * factor)
}

/// a + factor b.
pub fn along(a: Vec3, b: Vec3, factor: f32) -> Vec3 {
    add(a, scaled(b, factor))
}

pub fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// The part of `a` that is perpendicular to the unit vector `axis`, of length 1; `otherwise` where there is none.
pub fn perpendicular(a: Vec3, axis: Vec3, otherwise: Vec3) -> Vec3 {
    let rest = along(a, axis, -dot(a, axis));
    let length = dot(rest, rest).sqrt();
    if length > 1e-3 { scaled(rest, 1.0 / length) } else { otherwise }
}

/// The axes of a part of a body, of length 1 and perpendicular: left x up = forward.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub left: Vec3,
    pub up: Vec3,
    pub forward: Vec3,
}

/// a cos + b sin of an angle in degrees.
pub fn turn(a: Vec3, b: Vec3, degrees: f32) -> Vec3 {
    let (sin, cos) = degrees.to_radians().sin_cos();
    along(scaled(a, cos), b, sin)
}

impl Frame {
    /// Upright and facing the viewer.
    pub const FACING: Frame = Frame { left: [1.0, 0.0, 0.0], up: [0.0, -1.0, 0.0], forward: [0.0, 0.0, -1.0] };

    /// Bows forward.
    pub fn pitched(self, degrees: f32) -> Frame {
        Frame {
            left: self.left,
            up: turn(self.up, self.forward, degrees),
            forward: turn(self.forward, self.up, -degrees),
        }
    }

    /// Leans to the person's left.
    pub fn rolled(self, degrees: f32) -> Frame {
        Frame { left: turn(self.left, self.up, -degrees), up: turn(self.up, self.left, degrees), forward: self.forward }
    }

    /// Turns to the person's left.
    pub fn turned(self, degrees: f32) -> Frame {
        Frame {
            left: turn(self.left, self.forward, -degrees),
            up: self.up,
            forward: turn(self.forward, self.left, degrees),
        }
    }

    /// Outward on the left (+1) or on the right (-1).
    pub fn outward(&self, side: f32) -> Vec3 {
        scaled(self.left, side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: Vec3, b: Vec3) -> f32 {
        let d = along(a, b, -1.0);
        dot(d, d).sqrt()
    }

    #[test]
    fn frames_stay_right_handed_and_orthonormal() {
        let frame = Frame::FACING.turned(33.0).rolled(-70.0).pitched(120.0).turned(-5.0);
        assert!(distance(cross(frame.left, frame.up), frame.forward) < 1e-5);
        assert!(dot(frame.left, frame.up).abs() < 1e-6);
        assert!((dot(frame.forward, frame.forward) - 1.0).abs() < 1e-5);
    }
}
