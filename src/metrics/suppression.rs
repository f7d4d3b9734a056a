//! What the public HRNet code does with the people found in detected boxes before they are scored: joints speak for or
//! against their box, and of people who are nearly the same the surest stays.

/// Joints with a score up to this say nothing about their person.
const SEEN: f32 = 0.2;

/// Of people more similar than this only the surest stays.
pub const MOST_SIMILAR: f64 = 0.9;

/// A person found in a box.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundPerson {
    /// x, y and score of each joint, picture pixels.
    pub keypoints: Vec<[f32; 3]>,
    /// Of the box, or of the person after [`rescored`].
    pub score: f64,
    /// Of the crop in square pixels.
    pub area: f64,
}

/// The box's score times the mean of those joints' scores that are over 0.2; 0 where no joint's is.
pub fn rescored(box_score: f64, keypoints: &[[f32; 3]]) -> f64 {
    let seen: Vec<f64> = keypoints.iter().filter(|[.., score]| *score > SEEN).map(|[.., s]| f64::from(*s)).collect();
    if seen.is_empty() { 0.0 } else { box_score * seen.iter().sum::<f64>() / seen.len() as f64 }
}

/// Which people of one picture stay, the surest first: whoever is more similar than [`MOST_SIMILAR`] to a surer one that
/// stays goes (OKS-NMS by these sigmas of the joints).
pub fn survivors(people: &[FoundPerson], sigmas: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..people.len()).collect();
    order.sort_by(|&a, &b| people[b].score.total_cmp(&people[a].score));
    let mut kept: Vec<usize> = Vec::new();
    for person in order {
        if kept.iter().all(|&surer| similarity(&people[surer], &people[person], sigmas) <= MOST_SIMILAR) {
            kept.push(person);
        }
    }
    kept
}

/// The mean over all joints of exp(-d^2 / (2 area (2 sigma)^2)) with the mean of both areas.
fn similarity(a: &FoundPerson, b: &FoundPerson, sigmas: &[f64]) -> f64 {
    let area = (a.area + b.area) / 2.0 + f64::EPSILON;
    let joint = |((a, b), sigma): ((&[f32; 3], &[f32; 3]), &f64)| {
        let [dx, dy] = [0, 1].map(|axis| f64::from(a[axis]) - f64::from(b[axis]));
        (-(dx * dx + dy * dy) / (8.0 * sigma * sigma * area)).exp()
    };
    a.keypoints.iter().zip(&b.keypoints).zip(sigmas).map(joint).sum::<f64>() / sigmas.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::skeleton::COCO;

    fn found(x: f32, score: f64) -> FoundPerson {
        FoundPerson { keypoints: vec![[x, 50.0, 0.5]; 17], score, area: 10_000.0 }
    }

    #[test]
    fn the_surest_of_similar_people_stays_and_others_are_left_alone() {
        let people = [found(100.0, 0.3), found(101.0, 0.9), found(300.0, 0.5), found(100.5, 0.8)];
        assert_eq!(survivors(&people, &COCO.sigmas), [1, 2]);
        assert_eq!(survivors(&people[..1], &COCO.sigmas), [0]);
        assert!(survivors(&[], &COCO.sigmas).is_empty());
    }

    #[test]
    fn who_is_similar_only_to_someone_suppressed_stays() {
        // Neighbours are more similar than 0.9, those two apart are less.
        let moved = |x: f32| similarity(&found(0.0, 1.0), &found(x, 1.0), &COCO.sigmas);
        let step = (1..100).map(|i| i as f32 / 10.0).find(|&x| moved(x) < 0.93);
        let step = step.expect("similarity falls with the distance");
        let people = [found(0.0, 0.9), found(step, 0.8), found(2.0 * step, 0.7)];
        assert!(similarity(&people[0], &people[1], &COCO.sigmas) > MOST_SIMILAR);
        assert!(similarity(&people[0], &people[2], &COCO.sigmas) < MOST_SIMILAR);
        assert_eq!(survivors(&people, &COCO.sigmas), [0, 2]);
    }

    #[test]
    fn joints_that_are_not_seen_say_nothing_about_their_person() {
        let keypoints = [[0.0, 0.0, 0.2], [0.0, 0.0, 0.4], [0.0, 0.0, 0.8], [0.0, 0.0, -1.0]];
        assert!((rescored(0.5, &keypoints) - 0.3).abs() < 1e-7);
        assert_eq!(rescored(0.5, &keypoints[..1]), 0.0);
    }
}
