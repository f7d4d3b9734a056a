//! What must hold on the released data sets. The folder that holds them (`lsp/`, `lspet/`, `mpii/`, `coco/`) is named by
//! the environment variable DITN_DATA; without it these tests say that they are skipped.

mod common;

use std::path::Path;
use std::sync::Arc;

use ditn::data::{Broken, Coco, Dataset, Joined, Leeds, LeedsSplit, Loader, LoaderOptions, Share, Size};
use ditn::metrics::MeanPose;
use ditn::metrics::files::{score_coco, score_lsp, score_mpii};
use ditn::predict::{Keypoint, Pose};
use ditn::train::config::{Config, with_overrides};
use ditn::train::people::People;

use common::data;

fn leeds(name: &str, split: LeedsSplit) -> Option<Arc<dyn Dataset>> {
    let leeds = Leeds::open(&data(name)?, split).expect("the release is whole");
    Some(Arc::new(leeds))
}

#[test]
fn leeds_sports_pose_and_its_extension_have_5917_people_to_learn_from_and_1000_to_test() {
    let (Some(training), Some(extended)) = (leeds("lsp", LeedsSplit::Training), leeds("lspet", LeedsSplit::Extended))
    else {
        return;
    };
    assert_eq!((training.len(), extended.len()), (1000, 4917));
    let joined = Joined::new(vec![training, extended]).expect("the skeletons agree");
    assert_eq!(joined.len(), 5917);
    assert_eq!(leeds("lsp", LeedsSplit::Test).map(|test| test.len()), Some(1000));
}

#[test]
fn the_mean_pose_of_leeds_sports_pose_scores_19_9_and_gymnasts_spoil_it() {
    let (Some(training), Some(extended), Some(test)) =
        (leeds("lsp", LeedsSplit::Training), leeds("lspet", LeedsSplit::Extended), leeds("lsp", LeedsSplit::Test))
    else {
        return;
    };
    let score = |set: &dyn Dataset| {
        let mean = MeanPose::of(set, usize::MAX, Size { width: 96, height: 96 }).expect("the annotations are there");
        mean.score(&*test).expect("everyone can be scored").value()
    };
    assert!((score(&*training) - 19.94).abs() < 0.01, "{}", score(&*training));
    let joined = Joined::new(vec![training, extended]).expect("the skeletons agree");
    assert!(score(&joined) < 10.0, "{}", score(&joined));
}

#[test]
fn every_person_of_a_real_set_comes_out_of_the_loader() {
    let Some(test) = leeds("lsp", LeedsSplit::Test) else { return };
    let input = Size { width: 96, height: 96 };
    let options = LoaderOptions {
        batch: 32,
        input,
        seed: 0,
        workers: 2,
        ahead: 2,
        broken: Broken::Stop,
        share: Share::default(),
    };
    let mut people = 0;
    for batch in Loader::evaluation(test, &options).expect("the set has people") {
        let batch = batch.expect("every picture is whole");
        people += batch.people.len();
        for person in 0..batch.people.len() {
            let joints = &batch.joints[person * 14..(person + 1) * 14];
            // The box is 1.25 times the joints' box: every joint lies in the middle 80 % of the 24 x 24 maps.
            assert!(
                joints.iter().all(|[x, y, flag]| *flag > 0.0 && (2.3..21.7).contains(x) && (2.3..21.7).contains(y))
            );
        }
    }
    assert_eq!(people, 1000);
}

#[test]
fn published_predictions_on_mpii_score_what_their_authors_code_says() {
    let Some(mpii) = data("mpii") else { return };
    for name in ["hg_s1_b1", "tompson"] {
        let results = mpii.join(format!("results/{name}.json"));
        let scores = score_mpii(&mpii.join("annot/gt_valid.mat"), &results, None).expect("the files are whole");
        let text = std::fs::read_to_string(mpii.join(format!("results/{name}.pckh.json"))).expect("the file is there");
        let published: serde_json::Value = serde_json::from_str(&text).expect("the scores are JSON");
        for (key, ours) in [
            ("Head", scores.half.head),
            ("Shoulder", scores.half.shoulder),
            ("Elbow", scores.half.elbow),
            ("Wrist", scores.half.wrist),
            ("Hip", scores.half.hip),
            ("Knee", scores.half.knee),
            ("Ankle", scores.half.ankle),
            ("mean14_weighted_by_count", Some(scores.half.mean_weighted)),
            ("mean14_unweighted", Some(scores.half.mean_plain)),
            ("mean14_weighted@0.10", Some(scores.tenth.mean_weighted)),
            ("mean14_weighted@0.11", Some(scores.eleventh.mean_weighted)),
        ] {
            let (ours, published) = (ours.expect("the joint is labelled"), published[key].as_f64().expect("a number"));
            assert!((ours - published).abs() <= 0.00051, "{name} {key}: {ours} against {published}");
        }
    }
}

#[test]
fn published_results_on_coco_score_what_pycocotools_says() {
    let Some(coco) = data("coco") else { return };
    let results = coco.join("results/simplepose_train2017.json");
    let scores = score_coco(&coco.join("annotations/person_keypoints_train2017.json"), &results);
    let ours = serde_json::to_value(scores.expect("the files are whole")).expect("scores are numbers");
    let text = std::fs::read_to_string(coco.join("results/simplepose_train2017.pycocotools.json"));
    let published: serde_json::Value = serde_json::from_str(&text.expect("the file is there")).expect("it is JSON");
    for (name, published) in published.as_object().expect("it holds ten scores") {
        let (ours, published) = (ours[name].as_f64().expect("a number"), published.as_f64().expect("a number"));
        assert!((ours - published).abs() <= 1e-6, "{name}: {ours} against {published}");
    }
}

/// The true joints, some of them a little and some far off, and unlabelled ones in the middle.
fn nearly_right(people: &People) -> Vec<Pose> {
    let set = people.evaluation();
    let pose = |index: usize| {
        let person = set.annotation(0, index).expect("it is in range");
        let keypoint = |(number, joint): (usize, &ditn::data::Joint)| {
            let off = person.scale[0] as f32 * [0.5, 1.0, 2.0, 5.0, 9.0, 30.0][(5 * index + 7 * number) % 6];
            let [x, y] = if joint.labelled { [joint.x + off, joint.y - off] } else { person.center };
            Keypoint { x, y, score: 1.0 - 0.01 * ((3 * index + number) % 50) as f32 }
        };
        person.joints.iter().enumerate().map(keypoint).collect()
    };
    (0..set.len()).map(pose).collect()
}

/// Writes the results of nearly right poses; gives their score, in percent, and the number of people.
fn written_results(overrides: &[&str], path: &Path) -> (f64, usize) {
    let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
    let config = with_overrides(Config::default(), &overrides).expect("the keys are known");
    config.validate().expect("the values fit");
    let people = People::open_for_scoring(&config).expect("the data is there");
    let poses = nearly_right(&people);
    people.results(&poses, config.train.size).expect("the people are there").write(path).expect("it is writable");
    (people.score(&poses, config.train.size).expect("everyone can be scored").score.value(), poses.len())
}

#[test]
fn results_written_after_an_evaluation_score_the_same_from_their_file() {
    let (Some(mpii), Some(coco), Some(lsp)) = (data("mpii"), data("coco"), data("lsp")) else { return };
    let path = std::env::temp_dir().join(format!("ditn-results-of-{}.json", std::process::id()));
    let same = |ours: f64, from_file: f64| {
        assert!(ours > 10.0 && ours < 95.0, "{ours} shows nothing");
        assert!((ours - from_file).abs() < 1e-9, "{ours} when evaluated, {from_file} from the file");
    };

    let (ours, people) = written_results(&["data.kind=mpii"], &path);
    let from_file = score_mpii(&mpii.join("annot/gt_valid.mat"), &path, None).expect("the files are whole");
    assert_eq!(people, 2958);
    same(ours, from_file.half.mean_weighted);

    let (ours, people) = written_results(&["data.kind=mpii", "data.evaluation=annot/sample.json"], &path);
    let from_file = score_mpii(&mpii.join("annot/gt_valid.mat"), &path, Some(5)).expect("the files are whole");
    assert_eq!(people, 5);
    same(ours, from_file.half.mean_weighted);

    let (ours, people) = written_results(&["data.kind=lsp"], &path);
    let from_file = score_lsp(&lsp.join("joints.mat"), &path, None).expect("the files are whole");
    assert_eq!(people, 1000);
    same(ours, from_file.fifth.mean);

    let (ours, people) = written_results(&["data.kind=coco", "evaluate.split=train"], &path);
    let annotations = coco.join("annotations/person_keypoints_train2017.json");
    let from_file = score_coco(&annotations, &path).expect("the files are whole");
    assert_eq!(people, 143);
    same(ours, 100.0 * from_file.ap);
    std::fs::remove_file(&path).ok();
}

#[test]
fn detected_people_of_coco_are_those_of_the_file_of_boxes() {
    let Some(coco) = data("coco") else { return };
    let annotations = Path::new("annotations/person_keypoints_val2017.json");
    let open = |boxes: Option<&Path>| Coco::open(&coco, annotations, boxes).expect("the files are whole");
    let boxes = std::fs::read_to_string(coco.join("results/person_boxes_val2017.json")).expect("the file is there");
    let boxes: Vec<serde_json::Value> = serde_json::from_str(&boxes).expect("it is JSON");
    let detected = open(Some(Path::new("results/person_boxes_val2017.json")));
    assert_eq!((detected.len(), open(None).len()), (boxes.len(), 12));
    for (index, expected) in boxes.iter().enumerate() {
        let found = detected.detection(index).map(|found| (found.image_id.to_string(), Some(found.score)));
        assert_eq!(found, Some((expected["image_id"].to_string(), expected["score"].as_f64())));
    }
    let person = detected.load(0, 0).expect("the picture is there");
    assert!(person.joints.iter().all(|joint| !joint.labelled));
}
