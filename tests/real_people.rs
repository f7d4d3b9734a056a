//! What must hold on the released data sets. The folder that holds them (`lsp/`, `lspet/`, `mpii/`) is named by the
//! environment variable DITN_DATA; without it these tests say that they are skipped.

use ditn::data::{Dataset, Joined, Leeds, LeedsSplit, Loader, LoaderOptions, Size, mat};
use ditn::metrics::{MeanPose, Pckh};
use std::path::PathBuf;
use std::sync::Arc;

fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DITN_DATA");
    if root.is_none() {
        println!("skipped: DITN_DATA does not name a folder with the data sets");
    }
    root.map(|root| PathBuf::from(root).join(name))
}

fn leeds(name: &str, split: LeedsSplit) -> Option<Arc<dyn Dataset>> {
    let leeds = Leeds::open(&folder(name)?, split).expect("the release is whole");
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
    let options = LoaderOptions { batch: 32, input: Size { width: 96, height: 96 }, seed: 0, workers: 2, ahead: 2 };
    let mut people = 0;
    for batch in Loader::evaluation(test, &options).expect("the set has people") {
        let batch = batch.expect("every picture is whole");
        people += batch.people.len();
        for person in 0..batch.people.len() {
            let joints = &batch.joints[person * 14..(person + 1) * 14];
            // The box is 1.25 times the joints' box: every joint lies in the middle 80 % of the 24 x 24 maps.
            assert!(
                joints
                    .iter()
                    .all(|[x, y, weight]| *weight == 1.0 && (2.3..21.7).contains(x) && (2.3..21.7).contains(y))
            );
        }
    }
    assert_eq!(people, 1000);
}

/// The arrays of `gt_valid.mat`, the first index running fastest: missing \[joint\]\[person\], places
/// \[joint\]\[x y\]\[person\], head boxes \[corner\]\[x y\]\[person\].
#[test]
fn published_predictions_on_mpii_score_what_their_authors_code_says() {
    let Some(mpii) = folder("mpii") else { return };
    let array = |name: &str| mat::read(&mpii.join("annot/gt_valid.mat"), name, "").expect("the array is there");
    let (missing, places, heads) = (array("jnt_missing"), array("pos_gt_src"), array("headboxes_src"));
    assert_eq!(missing.shape, [16, 2958]);
    assert_eq!((places.shape, heads.shape), (vec![16, 2, 2958], vec![2, 2, 2958]));
    for name in ["hg_s1_b1", "tompson"] {
        let text = std::fs::read_to_string(mpii.join(format!("results/{name}.json"))).expect("the file is there");
        let predicted: Vec<Vec<[f32; 2]>> = serde_json::from_str(&text).expect("the predictions are pixels");
        let mut pckh = Pckh::default();
        for (person, predicted) in predicted.iter().enumerate() {
            let truth: Vec<_> = (0..16)
                .map(|joint| ditn::data::Joint {
                    x: places.values[joint + 32 * person] as f32,
                    y: places.values[joint + 16 + 32 * person] as f32,
                    labelled: missing.values[joint + 16 * person] == 0.0,
                    visible: true,
                })
                .collect();
            let corner = |i: usize| heads.values[4 * person + i];
            let head = 0.6 * (corner(1) - corner(0)).hypot(corner(3) - corner(2));
            pckh.add(&truth, head as f32, predicted).expect("the person is whole");
        }
        let text = std::fs::read_to_string(mpii.join(format!("results/{name}.pckh.json"))).expect("the file is there");
        let published: serde_json::Value = serde_json::from_str(&text).expect("the scores are JSON");
        let (half, tenth, eleventh) = (pckh.at(0.5), pckh.at(0.1), pckh.at(0.11));
        for (key, ours) in [
            ("Head", half.head),
            ("Shoulder", half.shoulder),
            ("Elbow", half.elbow),
            ("Wrist", half.wrist),
            ("Hip", half.hip),
            ("Knee", half.knee),
            ("Ankle", half.ankle),
            ("mean14_weighted_by_count", Some(half.mean_weighted)),
            ("mean14_unweighted", Some(half.mean_plain)),
            ("mean14_weighted@0.10", Some(tenth.mean_weighted)),
            ("mean14_weighted@0.11", Some(eleventh.mean_weighted)),
        ] {
            let (ours, published) = (ours.expect("the joint is labelled"), published[key].as_f64().expect("a number"));
            assert!((ours - published).abs() <= 0.00051, "{name} {key}: {ours} against {published}");
        }
    }
}
