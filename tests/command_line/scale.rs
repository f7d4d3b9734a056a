//! `ditn summary --ranks`: training on several ranks by the model.

use serde_json::Value;

use crate::harness::{Folder, ditn, printed_json, refused, succeed};

/// A step that is planned, and measured, in no time.
const STEP: [&str; 6] = ["summary", "hrnet-w32", "--size", "64x64", "--batch", "1"];

/// The estimate of the only network in a JSON document.
fn scaling(arguments: &[&str]) -> Value {
    let folder = Folder::new("scale");
    let output = succeed(ditn(&folder, &STEP).args(arguments).arg("--json"));
    let document = printed_json(&output.stdout);
    document["models"][0]["scaling"].clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn a_given_step_is_estimated_by_the_model() {
    let scaling = scaling(&["--ranks", "1,2,8", "--bandwidth", "1Gbit/s", "--step-seconds", "0.5"]);
    assert_eq!((&scaling["step_from"], &scaling["kernels_from"]), (&"given".into(), &"costs".into()));
    let step = &scaling["step"];
    let parts = ["forward", "backward", "update"].map(|part| number(&step[part]));
    assert!(parts.iter().all(|&seconds| seconds > 0.0), "{parts:?}");
    assert!((parts.iter().sum::<f64>() - 0.5).abs() < 1e-9, "{parts:?}");
    let buckets = step["buckets"].as_array().expect("a list");
    let bytes: f64 = buckets.iter().map(|bucket| number(&bucket["bytes"])).sum();
    // 28.5 million parameters.
    assert!((114e6..116e6).contains(&bytes), "{bytes}");

    let rows = scaling["ranks"].as_array().expect("a list");
    assert_eq!(rows.iter().map(|row| number(&row["ranks"])).collect::<Vec<_>>(), [1.0, 2.0, 8.0]);
    assert_eq!(number(&rows[0]["overlapped"]["efficiency"]), 1.0);
    for row in &rows[1..] {
        let ranks = number(&row["ranks"]);
        let sent = 2.0 * (ranks - 1.0) / ranks * bytes;
        assert!((number(&row["bytes_sent"]) - sent).abs() < 1.0, "{row}");
        let [overlapped, behind] = ["overlapped", "after_backward"].map(|exchange| number(&row[exchange]["seconds"]));
        // Not less than the link alone takes, nor than the passes; not more than all parts one after another.
        let (link, sums, copies) = (sent / 0.125e9, sent / 2.0 / 8e9, 2.0 * bytes / 12e9);
        let messages = 2.0 * (ranks - 1.0) * 20e-6 * buckets.len() as f64;
        assert!(link < overlapped && overlapped < behind, "{row}");
        assert!(behind > 0.5 + link + sums + messages && behind < 0.5 + link + sums + messages + copies, "{row}");
        let speed = &row["overlapped"];
        assert!((number(&speed["efficiency"]) - 0.5 / overlapped).abs() < 1e-9, "{row}");
        assert!((number(&speed["pictures_per_second"]) - ranks / overlapped).abs() < 1e-6, "{row}");
    }
}

#[test]
fn without_a_given_time_the_step_is_measured() {
    let scaling = scaling(&["--ranks", "4", "--bandwidth", "10GB/s"]);
    assert_eq!(scaling["step_from"], "measured");
    assert!(number(&scaling["step_seconds"]) > 0.0, "{scaling}");
    let ready: Vec<f64> =
        scaling["step"]["buckets"].as_array().expect("a list").iter().map(|b| number(&b["ready"])).collect();
    assert!(ready.is_sorted() && ready[ready.len() - 1] <= number(&scaling["step_seconds"]), "{ready:?}");
}

#[test]
fn tables_are_for_one_network_and_for_several() {
    let folder = Folder::new("scale-tables");
    let ranks = ["--ranks", "1,16", "--bandwidth", "25Gbit/s"];
    let printed = |command: &mut std::process::Command| {
        String::from_utf8(succeed(command).stdout).expect("the program prints UTF-8")
    };
    let one = printed(ditn(&folder, &STEP).args(ranks).args(["--step-seconds", "0.1"]));
    for part in ["3.125 GB/s (25 Gbit/s)", "0.1000 s a step (given", "20 us a message", "ranks  pictures", "100.0 %"] {
        assert!(one.contains(part), "no `{part}` in {one}");
    }
    let two = printed(ditn(&folder, &STEP).arg("simplebaseline-50").args(ranks).args(["--step-seconds", "0.1,0.2"]));
    for part in ["overlapped     100.0", "after backward 100.0", "simplebaseline-50      0.2000"] {
        assert!(two.contains(part), "no `{part}` in {two}");
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let folder = Folder::new("scale-refused");
    let estimate = ["--ranks", "1,2", "--bandwidth", "25Gbit/s"];
    refused(ditn(&folder, &["summary", "hrnet-w32", "--batch", "1"]).args(["--ranks", "2"]), &["--bandwidth"]);
    refused(ditn(&folder, &["summary", "hrnet-w32"]).args(estimate), &["--batch"]);
    refused(ditn(&folder, &STEP).args(["--bandwidth", "1GB/s"]), &["--ranks"]);
    refused(ditn(&folder, &STEP).args(["--ranks", "0", "--bandwidth", "1GB/s"]), &["1..=65536"]);
    refused(ditn(&folder, &STEP).args(["--ranks", "2", "--bandwidth", "25G"]), &["25Gbit/s", "3GB/s"]);
    refused(ditn(&folder, &STEP).args(estimate).args(["--latency", "20"]), &["20us"]);
    refused(ditn(&folder, &STEP).args(estimate).args(["--step-seconds", "0"]), &["seconds"]);
    refused(
        ditn(&folder, &STEP).arg("hrnet-w48").args(estimate).args(["--step-seconds", "1"]),
        &["1 time for 2 networks", "hrnet-w32, hrnet-w48"],
    );
}
