//! Articulated bodies in three dimensions: proportions, poses within the limits of human joints, and where they put
//! the joints.
//!
//! Lengths are metres of a person about 1.75 tall. Camera axes: x to the right, y down, z away from the viewer.

use super::random::{between, chance, spread};
use rand::Rng;

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

fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// The part of `a` that is perpendicular to the unit vector `axis`, of length 1; `otherwise` where there is none.
fn perpendicular(a: Vec3, axis: Vec3, otherwise: Vec3) -> Vec3 {
    let rest = along(a, axis, -dot(a, axis));
    let length = dot(rest, rest).sqrt();
    if length > 1e-3 { scaled(rest, 1.0 / length) } else { otherwise }
}

/// The axes of a part of the body, of length 1 and perpendicular: left x up = forward.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub left: Vec3,
    pub up: Vec3,
    pub forward: Vec3,
}

/// a cos + b sin of an angle in degrees.
fn turn(a: Vec3, b: Vec3, degrees: f32) -> Vec3 {
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
    fn outward(&self, side: f32) -> Vec3 {
        scaled(self.left, side)
    }
}

/// Lengths of the bones and thickness of the limbs.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    pub thigh: f32,
    pub shin: f32,
    pub foot: f32,
    pub hip: f32,
    pub torso: f32,
    pub shoulder: f32,
    pub upper_arm: f32,
    pub forearm: f32,
    pub hand: f32,
    pub neck: f32,
    pub head: f32,
    /// Factor on every radius.
    pub girth: f32,
}

impl Build {
    pub fn random(rng: &mut impl Rng) -> Build {
        let mut about = |length: f32| length * spread(rng, 1.0, 0.05, 0.12);
        Build {
            thigh: about(0.43),
            shin: about(0.42),
            foot: about(0.17),
            hip: about(0.10),
            torso: about(0.50),
            shoulder: about(0.175),
            upper_arm: about(0.29),
            forearm: about(0.26),
            hand: about(0.09),
            neck: about(0.10),
            head: about(0.25),
            girth: spread(rng, 1.05, 0.12, 0.25),
        }
    }
}

/// Angles of one arm, degrees.
#[derive(Clone, Copy, Debug)]
struct Arm {
    /// From hanging (0) to straight up (180).
    raise: f32,
    /// The direction of the raise: 0 forward, 90 outward, more than that backward, less than 0 across the chest.
    azimuth: f32,
    /// 0 is straight.
    elbow: f32,
    /// Where the forearm bends to: weights of forward, up and inward.
    bend: Vec3,
}

/// Angles of one leg, degrees.
#[derive(Clone, Copy, Debug)]
struct Leg {
    /// Thigh forward.
    flexion: f32,
    /// Thigh outward.
    abduction: f32,
    /// 0 is straight; bends backward.
    knee: f32,
    /// Shin outward by the rotation of the hip.
    twist: f32,
    /// Toes down.
    point: f32,
}

/// Angles of a whole body, degrees. Arms and legs: left, then right.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    /// Forward lean, leftward lean of the pelvis.
    lean: [f32; 2],
    /// Pitch, roll and turn of the chest against the pelvis.
    spine: [f32; 3],
    /// Pitch, roll and turn of the head against the chest.
    head: [f32; 3],
    arms: [Arm; 2],
    legs: [Leg; 2],
    /// Whether the person sits and wants a seat.
    seated: bool,
}

impl Arm {
    /// Every angle within what a shoulder and an elbow can do.
    fn limited(mut self) -> Arm {
        self.azimuth = self.azimuth.clamp(-35.0, 150.0);
        // Backward the arm rises little; across the chest it must pass in front of it.
        let most = if self.azimuth > 110.0 { 170.0 - 2.8 * (self.azimuth - 110.0) } else { 175.0 };
        self.raise = self.raise.clamp(if self.azimuth < 0.0 { 25.0 } else { 3.0 }, most);
        self.elbow = self.elbow.clamp(0.0, 145.0);
        self
    }

    fn random(rng: &mut impl Rng, side_lean: f32) -> Arm {
        let bend = [between(rng, 0.3, 1.0), between(rng, -0.1, 0.6), between(rng, 0.0, 0.7)];
        let kind = between(rng, 0.0, 1.0);
        let arm = if kind < 0.34 {
            // Hanging.
            Arm {
                raise: spread(rng, 9.0, 6.0, 14.0),
                azimuth: between(rng, 30.0, 120.0),
                elbow: spread(rng, 18.0, 14.0, 30.0).abs(),
                bend,
            }
        } else if kind < 0.44 {
            // Hand on the hip.
            Arm {
                raise: spread(rng, 42.0, 8.0, 16.0),
                azimuth: between(rng, 85.0, 115.0),
                elbow: spread(rng, 95.0, 10.0, 20.0),
                bend: [0.15, -0.6, 1.0],
            }
        } else if kind < 0.58 {
            // Forearm in front: holding, folding, pointing.
            Arm {
                raise: spread(rng, 25.0, 12.0, 25.0),
                azimuth: between(rng, -5.0, 70.0),
                elbow: spread(rng, 80.0, 28.0, 55.0),
                bend: [1.0, 0.4, between(rng, 0.0, 0.9)],
            }
        } else if kind < 0.72 {
            // Reaching forward or sideways.
            Arm {
                raise: spread(rng, 80.0, 18.0, 40.0),
                azimuth: between(rng, 0.0, 100.0),
                elbow: spread(rng, 20.0, 25.0, 60.0).abs(),
                bend,
            }
        } else if kind < 0.86 {
            // Raised.
            Arm {
                raise: spread(rng, 140.0, 20.0, 45.0),
                azimuth: between(rng, 20.0, 100.0),
                elbow: spread(rng, 35.0, 35.0, 80.0).abs(),
                bend: [0.5, 0.4, between(rng, 0.0, 1.0)],
            }
        } else {
            Arm {
                raise: between(rng, 5.0, 160.0),
                azimuth: between(rng, -20.0, 120.0),
                elbow: between(rng, 0.0, 130.0),
                bend,
            }
        };
        Arm { azimuth: arm.azimuth + side_lean, ..arm }
    }
}

impl Leg {
    /// Every angle within what a hip and a knee can do.
    fn limited(mut self) -> Leg {
        self.flexion = self.flexion.clamp(-30.0, 120.0);
        self.abduction = self.abduction.clamp(-12.0, 55.0);
        self.knee = self.knee.clamp(0.0, 140.0);
        self.twist = self.twist.clamp(-25.0, 30.0);
        self.point = self.point.clamp(-15.0, 50.0);
        self
    }

    fn standing(rng: &mut impl Rng, stance: f32) -> Leg {
        Leg {
            flexion: spread(rng, 2.0, 6.0, 14.0),
            abduction: stance + spread(rng, 0.0, 3.0, 6.0),
            knee: spread(rng, 4.0, 7.0, 20.0).abs(),
            twist: spread(rng, 5.0, 8.0, 18.0),
            point: spread(rng, 5.0, 8.0, 15.0),
        }
    }
}

impl Pose {
    /// A pose of everyday or, with probability `unusual`, one of a lunge, a kick, a split jump, a deep bow or a squat.
    pub fn random(rng: &mut impl Rng, unusual: f64) -> Pose {
        let stance = spread(rng, 5.0, 4.0, 10.0).abs();
        let mut pose = Pose {
            lean: [spread(rng, 2.0, 4.0, 10.0), spread(rng, 0.0, 3.0, 8.0)],
            spine: [spread(rng, 4.0, 6.0, 15.0), spread(rng, 0.0, 5.0, 14.0), spread(rng, 0.0, 10.0, 28.0)],
            head: [spread(rng, 5.0, 10.0, 25.0), spread(rng, 0.0, 6.0, 18.0), spread(rng, 0.0, 20.0, 60.0)],
            arms: [Arm::random(rng, 0.0), Arm::random(rng, 0.0)],
            legs: [Leg::standing(rng, stance), Leg::standing(rng, stance)],
            seated: false,
        };
        if chance(rng, unusual) {
            pose.make_unusual(rng);
        } else {
            let kind = between(rng, 0.0, 1.0);
            if kind < 0.3 {
                pose.walk(rng);
            } else if kind < 0.5 {
                pose.sit(rng);
            }
        }
        pose.arms = pose.arms.map(Arm::limited);
        pose.legs = pose.legs.map(Leg::limited);
        pose
    }

    /// A moment of a walk or a run: opposite arms and legs swing together.
    fn walk(&mut self, rng: &mut impl Rng) {
        let effort = between(rng, 0.4, 1.4);
        let phase = between(rng, 0.0, std::f32::consts::TAU);
        self.lean[0] += 6.0 * effort;
        for (i, side) in [1.0, -1.0].into_iter().enumerate() {
            let swing = side * phase.sin();
            // A leg that comes forward bends its knee; one that stands does not.
            let lift = (side * phase.cos()).max(0.0);
            self.legs[i].flexion = (26.0 * swing + 8.0) * effort + spread(rng, 0.0, 3.0, 6.0);
            self.legs[i].knee = (8.0 + 55.0 * lift + 20.0 * (-swing).max(0.0)) * effort;
            self.legs[i].point = 25.0 * (-swing).max(0.0);
            let forward = -swing;
            self.arms[i] = Arm {
                raise: 4.0 + 34.0 * forward.abs() * effort,
                azimuth: if forward > 0.0 { between(rng, 5.0, 30.0) } else { between(rng, 125.0, 145.0) },
                elbow: (15.0 + 45.0 * effort * between(rng, 0.3, 1.2)).min(110.0),
                bend: [1.0, 0.1, between(rng, 0.0, 0.4)],
            };
        }
    }

    /// On a seat: thighs forward, shins about down, often leaning.
    fn sit(&mut self, rng: &mut impl Rng) {
        self.seated = true;
        self.lean[0] = spread(rng, -3.0, 8.0, 16.0);
        self.spine[0] += spread(rng, 8.0, 8.0, 18.0);
        let spread_knees = spread(rng, 10.0, 7.0, 14.0);
        let (flexion, knee) = (spread(rng, 82.0, 9.0, 18.0), spread(rng, 85.0, 15.0, 35.0));
        for leg in &mut self.legs {
            leg.flexion = flexion + spread(rng, 0.0, 5.0, 12.0);
            leg.knee = knee + spread(rng, 0.0, 10.0, 30.0);
            leg.abduction = spread_knees + spread(rng, 0.0, 4.0, 10.0);
        }
        for arm in &mut self.arms {
            if chance(rng, 0.5) {
                // Hands in the lap.
                *arm = Arm {
                    raise: spread(rng, 28.0, 8.0, 16.0),
                    azimuth: between(rng, 5.0, 50.0),
                    elbow: spread(rng, 60.0, 15.0, 30.0),
                    bend: [1.0, 0.1, between(rng, 0.1, 0.8)],
                };
            }
        }
    }

    fn make_unusual(&mut self, rng: &mut impl Rng) {
        let first = usize::from(chance(rng, 0.5));
        let (one, other) = (first, 1 - first);
        match (between(rng, 0.0, 5.0)) as u32 {
            0 => {
                // Lunge.
                self.legs[one].flexion = spread(rng, 65.0, 12.0, 25.0);
                self.legs[one].knee = spread(rng, 75.0, 12.0, 25.0);
                self.legs[other].flexion = spread(rng, -20.0, 5.0, 10.0);
                self.legs[other].knee = spread(rng, 25.0, 12.0, 25.0);
                self.legs[other].point = 35.0;
                self.lean[0] += between(rng, 0.0, 20.0);
            }
            1 => {
                // Kick.
                self.legs[one].flexion = spread(rng, 75.0, 18.0, 40.0);
                self.legs[one].abduction = between(rng, 0.0, 35.0);
                self.legs[one].knee = spread(rng, 25.0, 20.0, 45.0).abs();
                self.legs[one].point = 30.0;
                self.lean[0] -= between(rng, 0.0, 18.0);
            }
            2 => {
                // Jump with legs apart and arms up.
                for leg in &mut self.legs {
                    leg.abduction = spread(rng, 30.0, 8.0, 16.0);
                    leg.knee = spread(rng, 20.0, 20.0, 60.0).abs();
                    leg.point = 40.0;
                }
                for arm in &mut self.arms {
                    arm.raise = spread(rng, 125.0, 20.0, 40.0);
                    arm.azimuth = between(rng, 60.0, 100.0);
                }
            }
            3 => {
                // Bow.
                self.lean[0] = between(rng, 20.0, 55.0);
                self.spine[0] = between(rng, 10.0, 35.0);
                for leg in &mut self.legs {
                    // The pelvis carries the legs along: flexion keeps them under the body.
                    leg.flexion = self.lean[0] + spread(rng, 0.0, 6.0, 12.0);
                    leg.knee = spread(rng, 12.0, 10.0, 25.0).abs();
                }
                for arm in &mut self.arms {
                    arm.raise = spread(rng, 60.0, 25.0, 50.0);
                    arm.azimuth = between(rng, 0.0, 60.0);
                }
            }
            _ => {
                // Squat.
                self.lean[0] = between(rng, 15.0, 40.0);
                let depth = between(rng, 70.0, 118.0);
                for leg in &mut self.legs {
                    leg.flexion = depth + spread(rng, 0.0, 5.0, 10.0);
                    leg.knee = depth + spread(rng, 5.0, 6.0, 12.0);
                    leg.abduction = spread(rng, 18.0, 8.0, 16.0);
                }
            }
        }
    }
}

/// The joints of MPII's order, by name.
pub mod joint {
    pub const RIGHT_ANKLE: usize = 0;
    pub const RIGHT_KNEE: usize = 1;
    pub const RIGHT_HIP: usize = 2;
    pub const LEFT_HIP: usize = 3;
    pub const LEFT_KNEE: usize = 4;
    pub const LEFT_ANKLE: usize = 5;
    pub const THORAX: usize = 7;
    pub const UPPER_NECK: usize = 8;
    pub const HEAD_TOP: usize = 9;
    pub const RIGHT_WRIST: usize = 10;
    pub const RIGHT_ELBOW: usize = 11;
    pub const RIGHT_SHOULDER: usize = 12;
    pub const LEFT_SHOULDER: usize = 13;
    pub const LEFT_ELBOW: usize = 14;
    pub const LEFT_WRIST: usize = 15;
}

/// A posed body: where its joints are and how its parts are turned. The pelvis is the origin.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    pub build: Build,
    /// MPII's order.
    pub joints: [Vec3; 16],
    /// Finger tips, left and right.
    pub hands: [Vec3; 2],
    /// Tips of the toes, left and right.
    pub toes: [Vec3; 2],
    /// Whether the person sits.
    pub seated: bool,
    pub pelvis: Frame,
    pub chest: Frame,
    pub head: Frame,
}

impl Body {
    /// The body of that build in that pose. `placed` is how the upright person stands before the viewer.
    pub fn new(build: Build, pose: &Pose, placed: Frame) -> Body {
        use joint::*;
        let pelvis = placed.rolled(pose.lean[1]).pitched(pose.lean[0]);
        let chest = pelvis.turned(pose.spine[2]).rolled(pose.spine[1]).pitched(pose.spine[0]);
        let head = chest.turned(pose.head[2]).rolled(pose.head[1]).pitched(pose.head[0]);
        let mut joints = [[0.0; 3]; 16];
        // The spine bends in the middle: half of it goes the pelvis's way.
        let waist = scaled(pelvis.up, 0.45 * build.torso);
        joints[THORAX] = along(waist, chest.up, 0.55 * build.torso);
        let neck = perpendicular(along(chest.up, head.up, 0.5), [0.0; 3], chest.up);
        joints[UPPER_NECK] = along(joints[THORAX], neck, build.neck);
        joints[HEAD_TOP] = along(joints[UPPER_NECK], head.up, build.head);

        let (mut hands, mut toes) = ([[0.0; 3]; 2], [[0.0; 3]; 2]);
        let places = [
            (1.0, [LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST], [LEFT_HIP, LEFT_KNEE, LEFT_ANKLE]),
            (-1.0, [RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST], [RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE]),
        ];
        for (i, (side, [shoulder, elbow, wrist], [hip, knee, ankle])) in places.into_iter().enumerate() {
            let arm = pose.arms[i];
            let outward = chest.outward(side);
            let sideways = turn(chest.forward, outward, arm.azimuth);
            let upper = turn(scaled(chest.up, -1.0), sideways, arm.raise);
            let inward = scaled(outward, -arm.bend[2]);
            let wanted = add(along(inward, chest.forward, arm.bend[0]), scaled(chest.up, arm.bend[1]));
            let lower = turn(upper, perpendicular(wanted, upper, chest.forward), arm.elbow);
            // A raised arm lifts its shoulder.
            let lift = 0.05 * (arm.raise / 180.0).powi(2);
            joints[shoulder] =
                along(along(joints[THORAX], outward, build.shoulder * (1.0 - lift)), chest.up, lift - 0.02);
            joints[elbow] = along(joints[shoulder], upper, build.upper_arm);
            joints[wrist] = along(joints[elbow], lower, build.forearm);
            hands[i] = along(joints[wrist], lower, build.hand);

            let leg = pose.legs[i];
            let outward = pelvis.outward(side);
            let swung = turn(scaled(pelvis.up, -1.0), pelvis.forward, leg.flexion);
            let thigh = turn(swung, outward, leg.abduction);
            let back = perpendicular(
                turn(scaled(pelvis.forward, -1.0), pelvis.up, -leg.flexion),
                thigh,
                scaled(pelvis.up, -1.0),
            );
            let across = cross(thigh, back);
            let across = scaled(across, if dot(across, outward) < 0.0 { -1.0 } else { 1.0 });
            let back = turn(back, across, leg.twist);
            let shin = turn(thigh, back, leg.knee);
            let front = turn(scaled(back, -1.0), thigh, leg.knee);
            joints[hip] = along(scaled(outward, build.hip), pelvis.up, -0.02);
            joints[knee] = along(joints[hip], thigh, build.thigh);
            joints[ankle] = along(joints[knee], shin, build.shin);
            toes[i] = along(along(joints[ankle], shin, 0.05), turn(front, shin, leg.point), build.foot);
        }
        Body { build, joints, hands, toes, seated: pose.seated, pelvis, chest, head }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn distance(a: Vec3, b: Vec3) -> f32 {
        let d = along(a, b, -1.0);
        dot(d, d).sqrt()
    }

    fn angle(a: Vec3, b: Vec3) -> f32 {
        (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0).acos().to_degrees()
    }

    #[test]
    fn bones_keep_their_lengths_in_every_pose() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..500 {
            let build = Build::random(&mut rng);
            let placed = Frame::FACING.turned(between(&mut rng, -180.0, 180.0)).rolled(between(&mut rng, -90.0, 90.0));
            let body = Body::new(build, &Pose::random(&mut rng, 0.5), placed);
            use joint::*;
            for (a, b, length) in [
                (LEFT_HIP, LEFT_KNEE, build.thigh),
                (RIGHT_HIP, RIGHT_KNEE, build.thigh),
                (LEFT_KNEE, LEFT_ANKLE, build.shin),
                (RIGHT_KNEE, RIGHT_ANKLE, build.shin),
                (LEFT_SHOULDER, LEFT_ELBOW, build.upper_arm),
                (RIGHT_ELBOW, RIGHT_WRIST, build.forearm),
                (UPPER_NECK, HEAD_TOP, build.head),
            ] {
                assert!((distance(body.joints[a], body.joints[b]) - length).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn elbows_and_knees_bend_no_further_and_no_other_way_than_human_ones() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for _ in 0..2000 {
            let body = Body::new(Build::random(&mut rng), &Pose::random(&mut rng, 0.5), Frame::FACING);
            use joint::*;
            for (i, [hip, knee, ankle]) in
                [[LEFT_HIP, LEFT_KNEE, LEFT_ANKLE], [RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE]].into_iter().enumerate()
            {
                let thigh = along(body.joints[knee], body.joints[hip], -1.0);
                let shin = along(body.joints[ankle], body.joints[knee], -1.0);
                let bent = angle(thigh, shin);
                assert!(bent < 140.1, "{bent}");
                if bent > 5.0 {
                    // The foot stands off the shin to the side that the knee points to.
                    let foot = along(body.toes[i], body.joints[ankle], -1.0);
                    let shin = scaled(shin, 1.0 / body.build.shin);
                    let forward = perpendicular(foot, shin, [0.0; 3]);
                    assert!(dot(thigh, forward) > 0.0, "a knee bends forward");
                }
            }
            for [shoulder, elbow, wrist] in
                [[LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST], [RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST]]
            {
                let upper = along(body.joints[elbow], body.joints[shoulder], -1.0);
                let lower = along(body.joints[wrist], body.joints[elbow], -1.0);
                assert!(angle(upper, lower) < 145.1);
            }
        }
    }

    #[test]
    fn frames_stay_right_handed_and_orthonormal() {
        let frame = Frame::FACING.turned(33.0).rolled(-70.0).pitched(120.0).turned(-5.0);
        assert!(distance(cross(frame.left, frame.up), frame.forward) < 1e-5);
        assert!(dot(frame.left, frame.up).abs() < 1e-6);
        assert!((dot(frame.forward, frame.forward) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_person_who_faces_the_viewer_has_the_left_hand_on_the_right_of_the_picture() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let body = Body::new(Build::random(&mut rng), &Pose::random(&mut rng, 0.0), Frame::FACING);
        assert!(body.joints[joint::LEFT_SHOULDER][0] > body.joints[joint::RIGHT_SHOULDER][0]);
        let away = Body::new(Build::random(&mut rng), &Pose::random(&mut rng, 0.0), Frame::FACING.turned(180.0));
        assert!(away.joints[joint::LEFT_SHOULDER][0] < away.joints[joint::RIGHT_SHOULDER][0]);
        assert!(body.joints[joint::LEFT_HIP][1] < body.joints[joint::LEFT_ANKLE][1], "y points down");
    }
}
