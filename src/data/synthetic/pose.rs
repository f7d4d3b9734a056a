//! Poses as angles of joints, drawn within the limits of human ones.

use super::random::{between, chance, spread};
use super::vector::Vec3;
use rand::Rng;

/// Angles of one arm, degrees.
#[derive(Clone, Copy, Debug)]
pub struct Arm {
    /// From hanging (0) to straight up (180).
    pub raise: f32,
    /// The direction of the raise: 0 forward, 90 outward, more than that backward, less than 0 across the chest.
    pub azimuth: f32,
    /// 0 is straight.
    pub elbow: f32,
    /// Where the forearm bends to: weights of forward, up and inward.
    pub bend: Vec3,
}

/// Angles of one leg, degrees.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    /// Thigh forward.
    pub flexion: f32,
    /// Thigh outward.
    pub abduction: f32,
    /// 0 is straight; bends backward.
    pub knee: f32,
    /// Shin outward by the rotation of the hip.
    pub twist: f32,
    /// Toes down.
    pub point: f32,
}

/// Angles of a whole body, degrees. Arms and legs: left, then right.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    /// Forward lean, leftward lean of the pelvis.
    pub lean: [f32; 2],
    /// Pitch, roll and turn of the chest against the pelvis.
    pub spine: [f32; 3],
    /// Pitch, roll and turn of the head against the chest.
    pub head: [f32; 3],
    pub arms: [Arm; 2],
    pub legs: [Leg; 2],
    /// Whether the person sits and wants a seat.
    pub seated: bool,
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
