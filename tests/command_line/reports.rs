//! `ditn report`: the files it leaves, what it refuses, and the table of several.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Folder, ditn, errors, json, printed_json, refused, run, status, succeed};

/// The only report in the folder.
fn report(folder: &Folder) -> PathBuf {
    let files = fs::read_dir(folder.join("")).expect("a readable folder").map(|entry| entry.expect("a file").path());
    let mut reports = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let found = reports.next().expect("a report");
    assert_eq!(reports.next(), None);
    found
}

#[test]
fn without_time_every_part_says_so_and_the_files_are_whole() {
    let folder = Folder::new("report-empty");
    let output = succeed(&mut ditn(&folder, &["report", "--minutes", "0"]));
    let (path, said) = (report(&folder), errors(&output));
    assert!(said.contains("[7/7] Tuning"), "{said}");
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("ditn-report-") && String::from_utf8_lossy(&output.stdout).contains(&name));
    let document = json(&path);
    assert_eq!(document["format"], "ditn report");
    let parts = document["parts"].as_array().expect("a list");
    let names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().expect("a text")).collect();
    assert_eq!(names, ["gradcheck", "kernels", "verify", "ceilings", "step", "networks", "tune"]);
    for part in parts {
        assert_eq!(part["complete"], true, "{part}");
        let reasons = part["skipped"].as_array().expect("a list").iter();
        assert!(reasons.clone().any(|note| note["reason"].as_str().expect("a text").contains("--minutes")), "{part}");
    }
    let text = fs::read_to_string(&path).expect("a file");
    let page = fs::read_to_string(path.with_extension("html")).expect("a page");
    assert!(page.contains("What was left out") && !page.contains("http"), "{page}");
    // Nothing that would tell whose machine it is.
    for own in [folder.join("").to_string_lossy().into_owned(), "/home/".into(), "/root".into(), "/tmp".into()] {
        assert!(!text.contains(&own) && !page.contains(&own), "{own}");
    }
    // The next one of the adapter stands beside it.
    succeed(&mut ditn(&folder, &["report", "--minutes", "0", "--parts", "ceilings"]));
    let second = path.with_file_name(name.replace(".json", "-2.json"));
    assert_eq!(json(&second)["parts"].as_array().map(Vec::len), Some(1));
    assert_eq!(json(&path), document);
}

#[test]
fn parts_measure_and_reports_stand_side_by_side() {
    let folder = Folder::new("report-parts");
    let arguments = ["report", "--parts", "ceilings", "--out", "a.json", "--json"];
    let output = succeed(&mut ditn(&folder, &arguments));
    let document = printed_json(&output.stdout);
    assert_eq!(document, json(&folder.join("a.json")));
    assert!(document["ceiling"]["gflops"].as_f64().is_some_and(|rate| rate > 0.0), "{document}");
    assert!(folder.join("a.html").exists());
    // Another adapter's, by hand.
    let text = fs::read_to_string(folder.join("a.json")).expect("a report");
    let name = document["adapter"]["name"].as_str().expect("a name");
    fs::write(folder.join("b.json"), text.replace(name, "Some GPU")).expect("room for a file");
    let output = succeed(&mut ditn(&folder, &["report", "a.json", "b.json"]));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("2  Some GPU") && table.contains("GFLOP/s"), "{table}");
    let page = fs::read_to_string(folder.join("ditn-reports.html")).expect("a page");
    assert!(page.contains("Some GPU") && page.contains(name) && !page.contains("http"));
    let rows = printed_json(&succeed(&mut ditn(&folder, &["report", "a.json", "b.json", "--json"])).stdout);
    assert_eq!(rows["columns"][1]["adapter"], "Some GPU");
    // The page of one again.
    fs::remove_file(folder.join("a.html")).expect("the page");
    succeed(&mut ditn(&folder, &["report", "a.json"]));
    assert!(folder.join("a.html").exists());

    refused(&mut ditn(&folder, &["report", "--out", "b"]), &["'b.json'", "Some GPU", "--out"]);
    refused(&mut ditn(&folder, &["report", "a.json", "b.json", "--out", "a.json"]), &["'a.json'", "--out"]);
    assert_eq!(fs::read_to_string(folder.join("a.json")).expect("a report"), text);
}

#[test]
fn kernels_are_checked_as_far_as_the_time_goes() {
    let folder = Folder::new("report-kernels");
    succeed(&mut ditn(&folder, &["report", "--parts", "kernels", "--minutes", "0.1", "--out", "a"]));
    let document = json(&folder.join("a.json"));
    let rows = document["kernels"].as_array().expect("a list");
    assert!(rows.iter().all(|row| row["pass"] == true), "{document}");
    // On a machine that is busy with other tests the time may be over before the first.
    let skipped = document["parts"][0]["skipped"].as_array().expect("a list");
    assert!(!rows.is_empty() || !skipped.is_empty(), "{document}");
}

#[test]
fn what_is_no_report_and_what_cannot_be_done_is_refused() {
    let folder = Folder::new("report-refused");
    fs::write(folder.join("bench.json"), "{\"adapter\": {\"name\": \"GPU\"}}").expect("room for a file");
    fs::write(folder.join("half.json"), "{\"format\": \"ditn rep").expect("room for a file");
    refused(&mut ditn(&folder, &["report", "bench.json"]), &["'bench.json'", "no report of `ditn report`"]);
    refused(&mut ditn(&folder, &["report", "half.json", "bench.json"]), &["'half.json'", "line 1"]);
    refused(&mut ditn(&folder, &["report", "missing.json"]), &["'missing.json'"]);
    refused(&mut ditn(&folder, &["report", "--adapter", "no such adapter"]), &["no such adapter"]);
    refused(&mut ditn(&folder, &["report", "--out", "no/folder/x"]), &["no/folder/x.json"]);
    refused(&mut ditn(&folder, &["report", "--minutes", "-1"]), &["--minutes"]);
    refused(&mut ditn(&folder, &["report", "--parts", "all"]), &["gradcheck"]);
}

/// Ctrl-C in the middle of a part.
#[cfg(unix)]
#[test]
fn stopped_it_keeps_what_there_is() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let folder = Folder::new("report-stopped");
    let mut command = ditn(&folder, &["report", "--parts", "kernels,ceilings", "--out", "a"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program");
    let start = Instant::now();
    while !folder.join("a.html").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "no file after two minutes");
        assert!(child.try_wait().expect("our child").is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Into the first part, which takes longer.
    std::thread::sleep(Duration::from_millis(500));
    let interrupt = run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    assert_eq!(status(&interrupt), 0);
    assert_eq!(child.wait().expect("our child").code(), Some(130));
    let document = json(&folder.join("a.json"));
    assert_eq!(document["interrupted"], true);
    assert!(fs::read_to_string(folder.join("a.html")).expect("a page").contains("Stopped before the end"));
}
