//! Average precision and recall over object keypoint similarity (OKS), as COCO's evaluation computes them.
//!
//! Follows pycocotools' `COCOeval` for keypoints to the last tie: at most 20 people a picture; crowds, people without
//! labelled joints and people outside the area range are neither hits nor misses.

use super::Rows;
use crate::data::coco::{Annotations, Id, KeypointResult, LabelledPerson};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

/// Found people that count in a picture, the surest ones.
const MOST_FOUND: usize = 20;

/// Similarities at which a person counts as found: 0.5, 0.55, ... 0.95.
const THRESHOLDS: usize = 10;

/// Recalls at which precision is read: 0, 0.01, ... 1.
const RECALLS: usize = 101;

/// Square pixels of all, of medium and of large people. (COCO has no joints on small ones.)
const AREAS: [(f64, f64); 3] = [(0.0, 1e10), (32.0 * 32.0, 96.0 * 96.0), (96.0 * 96.0, 1e10)];

/// Mean precisions and recalls, fractions; -1 where there is nobody of that kind, as pycocotools prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are COCO's: precision and recall over all thresholds, at one, and by size of person.
pub struct OksScores {
    #[serde(rename = "AP")]
    pub ap: f64,
    #[serde(rename = "AP50")]
    pub ap_50: f64,
    #[serde(rename = "AP75")]
    pub ap_75: f64,
    #[serde(rename = "APm")]
    pub ap_medium: f64,
    #[serde(rename = "APl")]
    pub ap_large: f64,
    #[serde(rename = "AR")]
    pub ar: f64,
    #[serde(rename = "AR50")]
    pub ar_50: f64,
    #[serde(rename = "AR75")]
    pub ar_75: f64,
    #[serde(rename = "ARm")]
    pub ar_medium: f64,
    #[serde(rename = "ARl")]
    pub ar_large: f64,
}

impl OksScores {
    /// Name and percent of each row of a table for people; `None` where there is nobody of that kind.
    pub fn rows(&self) -> Rows {
        [
            ("AP", self.ap),
            ("AP50", self.ap_50),
            ("AP75", self.ap_75),
            ("AP medium", self.ap_medium),
            ("AP large", self.ap_large),
            ("AR", self.ar),
            ("AR50", self.ar_50),
            ("AR75", self.ar_75),
            ("AR medium", self.ar_medium),
            ("AR large", self.ar_large),
        ]
        .map(|(name, value)| (name.to_string(), (value >= 0.0).then_some(100.0 * value)))
        .to_vec()
    }
}

/// Scores results against the annotations of all their pictures.
///
/// Keypoints are \[x, y, score\] of each joint of the annotations' skeleton, whose sigmas measure them; the results'
/// pictures are among those of the annotations, as [`Annotations::read_results`] checks.
pub fn evaluate(truth: &Annotations, results: &[KeypointResult]) -> OksScores {
    let pictures = pictures(truth, results);
    let [all, medium, large] = AREAS.map(|area| Curves::of(&pictures, area));
    OksScores {
        ap: all.precision(0..THRESHOLDS),
        ap_50: all.precision(0..1),
        ap_75: all.precision(5..6),
        ap_medium: medium.precision(0..THRESHOLDS),
        ap_large: large.precision(0..THRESHOLDS),
        ar: all.recall(0..THRESHOLDS),
        ar_50: all.recall(0..1),
        ar_75: all.recall(5..6),
        ar_medium: medium.recall(0..THRESHOLDS),
        ar_large: large.recall(0..THRESHOLDS),
    }
}

/// The OKS of found joints \[x, y, ...\] to a person's: the mean over labelled joints of exp(-d^2 / (2 area (2 sigma)^2)). Without
/// labelled joints d is the distance to the person's box, three times as large.
fn similarity(truth: &LabelledPerson, found: &[f64], sigmas: &[f64]) -> f64 {
    let (labels, _) = truth.keypoints.as_chunks::<3>();
    let (places, _) = found.as_chunks::<3>();
    let labelled = labels.iter().filter(|[_, _, flag]| *flag > 0.0).count();
    let [left, top, width, height] = truth.bbox;
    let outside = |v: f64, start: f64, extent: f64| (start - extent - v).max(0.0) + (v - start - extent * 2.0).max(0.0);
    let mut sum = 0.0;
    for ((&[x, y, _], &[true_x, true_y, flag]), sigma) in places.iter().zip(labels).zip(sigmas) {
        let (dx, dy) = match labelled {
            0 => (outside(x, left, width), outside(y, top, height)),
            _ => (x - true_x, y - true_y),
        };
        if labelled == 0 || flag > 0.0 {
            sum += (-(dx * dx + dy * dy) / (4.0 * sigma * sigma) / (truth.area + f64::EPSILON) / 2.0).exp();
        }
    }
    sum / if labelled == 0 { sigmas.len() } else { labelled } as f64
}

/// The people of one picture.
#[derive(Default)]
struct Picture<'a> {
    truths: Vec<&'a LabelledPerson>,
    /// The surest first.
    found: Vec<Found<'a>>,
    /// Of each found person to each true one.
    similarities: Vec<Vec<f64>>,
}

struct Found<'a> {
    result: &'a KeypointResult,
    area: f64,
}

/// The pictures that have people, in the order of their numbers.
fn pictures<'a>(truth: &'a Annotations, results: &'a [KeypointResult]) -> Vec<Picture<'a>> {
    let known: HashSet<&Id> = truth.images.iter().map(|image| &image.id).collect();
    let mut pictures: BTreeMap<&Id, Picture> = BTreeMap::new();
    for person in truth.people.iter().filter(|p| known.contains(&p.image_id)) {
        pictures.entry(&person.image_id).or_default().truths.push(person);
    }
    // pycocotools decides by the first result whether all have boxes.
    let boxed = results.first().is_some_and(|result| result.bbox.len() == 4);
    for result in results.iter().filter(|r| known.contains(&r.image_id)) {
        let area = match result.bbox.as_slice() {
            &[_, _, width, height] if boxed => width * height,
            _ => extent(&result.keypoints),
        };
        pictures.entry(&result.image_id).or_default().found.push(Found { result, area });
    }
    for picture in pictures.values_mut() {
        // Stable: of equally sure people the first in the file stays first.
        picture.found.sort_by(|a, b| descending(a.result.score, b.result.score));
        picture.found.truncate(MOST_FOUND);
        let sigmas = &truth.skeleton.sigmas;
        let row =
            |found: &Found| picture.truths.iter().map(|t| similarity(t, &found.result.keypoints, sigmas)).collect();
        picture.similarities = picture.found.iter().map(row).collect();
    }
    pictures.into_values().collect()
}

/// The surer first; JSON has no numbers that cannot be compared.
fn descending(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

/// Area of the box around all joints.
fn extent(keypoints: &[f64]) -> f64 {
    let side = |axis: usize| {
        let places = || keypoints.iter().skip(axis).step_by(3);
        places().fold(f64::NEG_INFINITY, |a, b| a.max(*b)) - places().fold(f64::INFINITY, |a, b| a.min(*b))
    };
    side(0) * side(1)
}

/// What became of a found person at one threshold.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Hit,
    Miss,
    Ignored,
}

/// Precision at each recall and the largest recall, at each threshold; empty where nobody counts.
struct Curves {
    precisions: Vec<[f64; RECALLS]>,
    recalls: Vec<f64>,
}

impl Curves {
    fn of(pictures: &[Picture], area: (f64, f64)) -> Curves {
        let out_of_range = |a: f64| a < area.0 || a > area.1;
        let ignored = |t: &&LabelledPerson| t.iscrowd != 0 || t.num_keypoints == 0 || out_of_range(t.area);
        let counted: usize = pictures.iter().map(|p| p.truths.iter().filter(|t| !ignored(t)).count()).sum();
        let mut curves = Curves { precisions: Vec::new(), recalls: Vec::new() };
        if counted == 0 {
            return curves;
        }
        // numpy.linspace(0.5, 0.95, 10)
        for threshold in (0..THRESHOLDS).map(|i| i as f64 * ((0.95 - 0.5) / 9.0) + 0.5) {
            let mut verdicts: Vec<(f64, Verdict)> = Vec::new();
            for picture in pictures {
                let ignored: Vec<bool> = picture.truths.iter().map(ignored).collect();
                verdicts.extend(picture.verdicts(&ignored, threshold, out_of_range));
            }
            verdicts.sort_by(|a, b| descending(a.0, b.0));
            let (precision, recall) = precision_and_recall(verdicts.into_iter().map(|(_, v)| v), counted);
            curves.precisions.push(precision);
            curves.recalls.push(recall);
        }
        curves
    }

    fn precision(&self, thresholds: std::ops::Range<usize>) -> f64 {
        mean(self.precisions.get(thresholds).unwrap_or_default().as_flattened())
    }

    fn recall(&self, thresholds: std::ops::Range<usize>) -> f64 {
        mean(self.recalls.get(thresholds).unwrap_or_default())
    }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { -1.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

impl Picture<'_> {
    /// Score and verdict of each found person: each in turn takes the most similar true person still free, those who count
    /// before those who do not.
    fn verdicts(&self, ignored: &[bool], threshold: f64, out_of_range: impl Fn(f64) -> bool) -> Vec<(f64, Verdict)> {
        let mut order: Vec<usize> = (0..self.truths.len()).collect();
        order.sort_by_key(|&truth| ignored[truth]);
        let mut taken = vec![false; self.truths.len()];
        let verdict = |(found, similarities): (&Found, &Vec<f64>)| {
            let mut best = threshold.min(1.0 - 1e-10);
            let mut chosen: Option<usize> = None;
            for &truth in &order {
                // A crowd may be taken any number of times.
                if taken[truth] && self.truths[truth].iscrowd == 0 {
                    continue;
                }
                if ignored[truth] && chosen.is_some_and(|chosen| !ignored[chosen]) {
                    break;
                }
                if similarities[truth] >= best {
                    best = similarities[truth];
                    chosen = Some(truth);
                }
            }
            let verdict = match chosen {
                Some(truth) => {
                    taken[truth] = true;
                    if ignored[truth] { Verdict::Ignored } else { Verdict::Hit }
                }
                None if out_of_range(found.area) => Verdict::Ignored,
                None => Verdict::Miss,
            };
            (found.result.score, verdict)
        };
        self.found.iter().zip(&self.similarities).map(verdict).collect()
    }
}

/// The best precision at or beyond each recall, 0 where that is not reached, and the recall of all.
fn precision_and_recall(verdicts: impl Iterator<Item = Verdict>, counted: usize) -> ([f64; RECALLS], f64) {
    let (mut hits, mut misses) = (0.0, 0.0);
    let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
    for verdict in verdicts {
        match verdict {
            Verdict::Hit => hits += 1.0,
            Verdict::Miss => misses += 1.0,
            Verdict::Ignored => {}
        }
        recalls.push(hits / counted as f64);
        precisions.push(hits / (misses + hits + f64::EPSILON));
    }
    for i in (1..precisions.len()).rev() {
        precisions[i - 1] = precisions[i - 1].max(precisions[i]);
    }
    let at = |i: usize| {
        let reached = recalls.partition_point(|&recall| recall < i as f64 * 0.01);
        precisions.get(reached).copied().unwrap_or(0.0)
    };
    (std::array::from_fn(at), recalls.last().copied().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::coco::{Category, Image};
    use crate::data::skeleton::COCO;
    use std::sync::Arc;

    fn labelled(id: i64, image_id: i64, x: f64) -> LabelledPerson {
        let keypoints = (0..17).flat_map(|i| [x + 5.0 * f64::from(i), 100.0 + 5.0 * f64::from(i), 2.0]).collect();
        let bbox = [x, 100.0, 80.0, 80.0];
        let [id, image_id, category_id] = [id, image_id, 1].map(Id::Number);
        LabelledPerson { id, image_id, category_id, bbox, area: 6400.0, iscrowd: 0, keypoints, num_keypoints: 17 }
    }

    fn found(image_id: i64, x: f64, score: f64) -> KeypointResult {
        let keypoints = labelled(0, 0, x).keypoints;
        KeypointResult { image_id: image_id.into(), category_id: 1.into(), keypoints, score, bbox: Vec::new() }
    }

    fn truth(people: Vec<LabelledPerson>) -> Annotations {
        let image = |id: i64| Image { id: id.into(), file_name: format!("{id}.jpg"), width: 640, height: 480 };
        Annotations {
            images: vec![image(7), image(3)],
            people,
            category: Category::person(),
            skeleton: Arc::clone(&COCO),
        }
    }

    #[test]
    fn finding_everyone_exactly_scores_1_and_nobody_0() {
        let truth = truth(vec![labelled(1, 7, 50.0), labelled(2, 3, 150.0)]);
        let scores = evaluate(&truth, &[found(3, 150.0, 0.4), found(7, 50.0, 0.9)]);
        assert!((scores.ap - 1.0).abs() < 1e-12 && (scores.ap_medium - 1.0).abs() < 1e-12, "{scores:?}");
        assert_eq!((scores.ar, scores.ap_large), (1.0, -1.0));
        let scores = evaluate(&truth, &[]);
        assert_eq!((scores.ap, scores.ar, scores.ap_large), (0.0, 0.0, -1.0));
    }

    #[test]
    fn a_second_finding_of_a_person_costs_precision_only_where_it_is_the_surer() {
        let truth = truth(vec![labelled(1, 7, 50.0)]);
        let after = evaluate(&truth, &[found(7, 50.0, 0.9), found(7, 51.0, 0.8)]);
        assert!((after.ap - 1.0).abs() < 1e-12);
        let before = evaluate(&truth, &[found(7, 50.0, 0.5), found(7, 400.0, 0.8)]);
        assert!((before.ap - 0.5).abs() < 1e-12, "{before:?}");
    }

    #[test]
    fn whoever_finds_a_crowd_or_an_unlabelled_person_is_neither_right_nor_wrong() {
        let mut crowd = labelled(2, 7, 300.0);
        crowd.iscrowd = 1;
        let mut unlabelled = labelled(3, 3, 300.0);
        unlabelled.keypoints.fill(0.0);
        unlabelled.num_keypoints = 0;
        let truth = truth(vec![labelled(1, 7, 50.0), crowd, unlabelled]);
        let results = [found(7, 300.0, 0.9), found(7, 301.0, 0.8), found(3, 310.0, 0.7), found(7, 50.0, 0.1)];
        assert!((evaluate(&truth, &results).ap - 1.0).abs() < 1e-12);
    }

    #[test]
    fn similarity_falls_with_the_distance_by_the_joints_own_measure() {
        let person = labelled(1, 7, 50.0);
        let mut moved = person.keypoints.clone();
        moved[0] += 4.0;
        let nose = (-16.0 / (8.0 * 6400.0 * 0.026 * 0.026_f64)).exp();
        assert!((similarity(&person, &moved, &COCO.sigmas) - (16.0 + nose) / 17.0).abs() < 1e-12);
    }

    #[test]
    fn only_the_20_surest_of_a_picture_count() {
        let truth = truth(vec![labelled(1, 7, 50.0)]);
        let crowd = |right: f64| {
            let mut results: Vec<_> = (0..20).map(|i| found(7, 400.0, 0.5 + f64::from(i) / 100.0)).collect();
            results.push(found(7, 50.0, right));
            evaluate(&truth, &results).ar
        };
        assert_eq!((crowd(0.1), crowd(0.505)), (0.0, 1.0));
    }
}
