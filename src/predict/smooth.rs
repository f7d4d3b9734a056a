//! Joints over time: the one-euro filter (Casiez, Roussel, Vogel: *1€ Filter: A Simple Speed-based Low-pass Filter for
//! Noisy Input in Interactive Systems*, CHI 2012).

use std::f64::consts::TAU;
use std::str::FromStr;

use super::boxes::PersonBox;
use super::pose::Pose;

/// What the filter is set to. Lengths are in units of the longer side of the person's box, so that the same values suit
/// people of any size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    /// The cutoff frequency of a joint at rest, Hz. Lower: less jitter, more lag.
    pub min_cutoff: f64,
    /// How much the cutoff grows with speed: Hz for each box length a second. Higher: less lag of fast joints.
    pub beta: f64,
    /// The cutoff frequency of the speed itself, Hz.
    pub speed_cutoff: f64,
}

impl Default for Smoothing {
    /// A joint at rest is smoothed over about a sixth of a second; one that moves by a box length a second hardly lags.
    fn default() -> Self {
        Self { min_cutoff: 1.0, beta: 10.0, speed_cutoff: 1.0 }
    }
}

impl FromStr for Smoothing {
    type Err = String;

    /// `CUTOFF` or `CUTOFF,BETA`.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse::<f64>()).collect();
        let default = Self::default();
        let smoothing = match numbers.as_deref() {
            Ok(&[min_cutoff]) => Self { min_cutoff, ..default },
            Ok(&[min_cutoff, beta]) => Self { min_cutoff, beta, ..default },
            _ => return Err(format!("`{text}` is not CUTOFF or CUTOFF,BETA")),
        };
        let fits = smoothing.min_cutoff > 0.0 && smoothing.min_cutoff.is_finite();
        if fits && smoothing.beta >= 0.0 && smoothing.beta.is_finite() {
            Ok(smoothing)
        } else {
            Err("the cutoff must be more than 0 Hz, and beta at least 0".into())
        }
    }
}

/// A value over time.
#[derive(Clone, Copy, Debug)]
struct Filter {
    value: f64,
    /// Units a second.
    speed: f64,
}

impl Filter {
    /// The filtered value of the next sample, `step` seconds after the last.
    fn next(&mut self, sample: f64, step: f64, settings: &Smoothing) -> f64 {
        let share = |cutoff: f64| 1.0 / (1.0 + 1.0 / (TAU * cutoff * step));
        let speed = (sample - self.value) / step;
        self.speed += share(settings.speed_cutoff) * (speed - self.speed);
        self.value += share(settings.min_cutoff + settings.beta * self.speed.abs()) * (sample - self.value);
        self.value
    }
}

/// Smooths the joints of the people of a video, frame by frame. The n-th person of a frame is taken for the n-th of the
/// frame before; where their number changes, all begin anew.
#[derive(Clone, Debug)]
pub struct Smoother {
    settings: Smoothing,
    /// Seconds between frames.
    step: f64,
    /// x and y of each joint of each person.
    people: Vec<Vec<[Filter; 2]>>,
}

impl Smoother {
    /// A filter for frames that follow each other after `step` seconds.
    pub fn new(settings: Smoothing, step: f64) -> Self {
        Self { settings, step, people: Vec::new() }
    }

    /// Replaces the joints' places in the people of the next frame by smoothed ones. Scores stay.
    pub fn next_frame<'a>(&mut self, people: impl ExactSizeIterator<Item = (&'a PersonBox, &'a mut Pose)>) {
        if people.len() != self.people.len() {
            self.people = vec![Vec::new(); people.len()];
        }
        for ((person, pose), filters) in people.zip(&mut self.people) {
            let unit = f64::from(person.width.max(person.height));
            if filters.len() != pose.len() {
                let at = |value: f32| Filter { value: f64::from(value) / unit, speed: 0.0 };
                *filters = pose.iter().map(|joint| [at(joint.x), at(joint.y)]).collect();
                continue;
            }
            for (joint, filters) in pose.iter_mut().zip(filters) {
                for (place, filter) in [&mut joint.x, &mut joint.y].into_iter().zip(filters) {
                    *place = (filter.next(f64::from(*place) / unit, self.step, &self.settings) * unit) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pose::Keypoint;
    use super::*;

    const PERSON: PersonBox = PersonBox { x: 0.0, y: 0.0, width: 100.0, height: 200.0 };

    /// What becomes of a joint's columns at 30 frames a second.
    fn smoothed(settings: Smoothing, columns: impl IntoIterator<Item = f32>) -> Vec<f32> {
        let mut smoother = Smoother::new(settings, 1.0 / 30.0);
        let mut next = |x: f32| {
            let mut pose = vec![Keypoint { x, y: 7.0, score: 0.5 }];
            smoother.next_frame([(&PERSON, &mut pose)].into_iter());
            assert_eq!((pose[0].y, pose[0].score), (7.0, 0.5));
            pose[0].x
        };
        columns.into_iter().map(&mut next).collect()
    }

    #[test]
    fn it_computes_what_the_paper_says() {
        // By hand, in units of 200 pixels: 0, then 1 after a tenth of a second.
        let settings = Smoothing { min_cutoff: 1.0, beta: 0.5, speed_cutoff: 1.0 };
        let mut filter = Filter { value: 0.0, speed: 0.0 };
        let alpha = |cutoff: f64| 1.0 / (1.0 + (1.0 / (TAU * cutoff)) / 0.1);
        let speed = alpha(1.0) * 10.0;
        let expected = alpha(1.0 + 0.5 * speed);
        assert!((filter.next(1.0, 0.1, &settings) - expected).abs() < 1e-12);
        assert!((filter.speed - speed).abs() < 1e-12);
    }

    #[test]
    fn a_joint_at_rest_jitters_less_and_a_fast_one_hardly_lags() {
        let jitter = (0..300).map(|frame| if frame % 2 == 0 { 101.0 } else { 99.0 });
        let rest = smoothed(Smoothing::default(), jitter);
        let spread = |values: &[f32]| values.iter().map(|v| (v - 100.0).abs()).fold(0.0, f32::max);
        assert!(spread(&rest[100..]) < 0.5, "{}", spread(&rest[100..]));
        // 200 pixels a second: a box length.
        let moving: Vec<f32> = (0..90).map(|frame| frame as f32 * 200.0 / 30.0).collect();
        let lag = |settings: Smoothing| moving[89] - smoothed(settings, moving.clone())[89];
        let (lag, stiff) = (lag(Smoothing::default()), lag(Smoothing { beta: 0.0, ..Smoothing::default() }));
        assert!(lag > 0.0 && lag < 6.0 && stiff > 4.0 * lag, "{lag} {stiff}");
    }

    #[test]
    fn a_change_of_the_number_of_people_begins_anew() {
        let mut smoother = Smoother::new(Smoothing::default(), 1.0);
        let mut poses = [0.0, 100.0].map(|x| vec![Keypoint { x, y: 0.0, score: 1.0 }]);
        smoother.next_frame(poses[..1].iter_mut().map(|pose| (&PERSON, pose)));
        poses[0][0].x = 50.0;
        smoother.next_frame(poses.iter_mut().map(|pose| (&PERSON, pose)));
        assert_eq!((poses[0][0].x, poses[1][0].x), (50.0, 100.0));
    }

    #[test]
    fn settings_are_one_or_two_numbers() {
        assert_eq!("0.5".parse(), Ok(Smoothing { min_cutoff: 0.5, ..Smoothing::default() }));
        assert_eq!("2,0".parse(), Ok(Smoothing { min_cutoff: 2.0, beta: 0.0, speed_cutoff: 1.0 }));
        for wrong in ["", "0", "-1", "1,-1", "1,2,3", "nan", "a"] {
            assert!(wrong.parse::<Smoothing>().is_err(), "{wrong}");
        }
    }
}
