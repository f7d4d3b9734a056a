//! Articulated bodies in three dimensions: proportions, and where a pose puts the joints.
//!
//! Lengths are metres of a person about 1.75 tall.

use super::pose::Pose;
use super::random::spread;
use super::vector::{Frame, Vec3, add, along, cross, dot, perpendicular, scaled, turn};
use rand::Rng;

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
    use super::super::random::between;
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
    fn a_person_who_faces_the_viewer_has_the_left_hand_on_the_right_of_the_picture() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let body = Body::new(Build::random(&mut rng), &Pose::random(&mut rng, 0.0), Frame::FACING);
        assert!(body.joints[joint::LEFT_SHOULDER][0] > body.joints[joint::RIGHT_SHOULDER][0]);
        let away = Body::new(Build::random(&mut rng), &Pose::random(&mut rng, 0.0), Frame::FACING.turned(180.0));
        assert!(away.joints[joint::LEFT_SHOULDER][0] < away.joints[joint::RIGHT_SHOULDER][0]);
        assert!(body.joints[joint::LEFT_HIP][1] < body.joints[joint::LEFT_ANKLE][1], "y points down");
    }
}
