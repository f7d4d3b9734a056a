//! `ditn predict` on videos: through scripts that stand in for `ffmpeg`, and through `ffmpeg` itself where it is installed.

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Folder, ditn, errors, json, printed_json, refused, run, status, succeed, train};

/// What a stand-in does as a decoder: five frames of 4 x 2 pixels.
const FIVE_FRAMES: &str = "for i in 1 2 3 4 5; do frame; done";

/// A folder with a trained network, a file that begins like a video, and stand-ins whose decoder runs `decoder`.
fn folder(test: &str, decoder: &str) -> Folder {
    let folder = Folder::new(test);
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    std::fs::create_dir(folder.join("bin")).unwrap();
    std::fs::write(folder.join("clip.mp4"), b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41").unwrap();
    let probe = r#"echo '{"streams": [{"avg_frame_rate": "10/1", "nb_frames": "5"}], "format": {}}'"#;
    let program = format!(
        r#"frame() {{ printf 'P6\n4 2\n255\n'; head -c 24 /dev/zero; }}
case "$*" in
*-encoders*) echo ' V....D libx264  H.264';;
*image2pipe*) {decoder};;
*) for last; do :; done; cat > "${{last#file:}}";;
esac"#
    );
    for (name, text) in [("ffprobe", probe), ("ffmpeg", &program)] {
        let path = folder.join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn predict(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = ditn(folder, &["predict", "--checkpoint", "run/last.safetensors"]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(arguments).env("PATH", format!("{}:{path}", folder.join("bin").display()));
    command
}

fn lines(folder: &Folder) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("predictions/poses.jsonl")).expect("poses are written");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[test]
fn a_video_gives_a_drawn_one_and_a_line_a_frame() {
    let folder = folder("video", FIVE_FRAMES);
    let output = succeed(&mut predict(&folder, &["clip.mp4", "--box", "0,0,2,2", "--box", "1,0,3,2", "--json"]));
    let summary = printed_json(&output.stdout);
    assert_eq!((&summary["frames"], &summary["people"]), (&5.into(), &10.into()));
    let lines = lines(&folder);
    assert_eq!(lines.len(), 6);
    assert_eq!((&lines[0]["frames_per_second"], &lines[0]["width"]), (&10.0.into(), &4.into()));
    assert_eq!(lines[3]["frame"], 2);
    assert!((lines[3]["time"].as_f64().unwrap() - 0.2).abs() < 1e-9);
    let schema = json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/poses.schema.json"));
    for (part, line) in std::iter::once("video").chain(std::iter::repeat("frame")).zip(&lines) {
        let violations = crate::schema::violations(&schema, &schema["$defs"][part], line, part);
        assert_eq!(violations, Vec::<String>::new());
    }
    let drawn = std::fs::read(folder.join("predictions/clip.mp4")).unwrap();
    assert_eq!(drawn.len(), 5 * 24);
    assert!(!folder.join("predictions/clip.mp4.part").exists());

    succeed(&mut predict(&folder, &["clip.mp4", "--format", "csv", "--smooth", "--batch", "2"]));
    let table = std::fs::read_to_string(folder.join("predictions/poses.csv")).unwrap();
    assert_eq!(table.lines().count(), 6);
    assert!(table.starts_with("frame,time,person,left,top,width,height,score,right_ankle_x"), "{table}");
    refused(&mut predict(&folder, &["clip.mp4", "--out", "."]), &["clip.mp4 would be replaced"]);
    refused(&mut predict(&folder, &["clip.mp4", "--format", "coco"]), &["has no frames"]);
    refused(&mut predict(&folder, &["0"]), &["a camera is named as ffmpeg names it"]);
}

#[test]
fn boxes_of_frames_are_taken_by_their_numbers() {
    let folder = folder("video-boxes", FIVE_FRAMES);
    std::fs::write(folder.join("boxes.csv"), "frame,left,top,width,height\n1,0,0,2,2\n1,1,0,2,2\n4,0,0,4,2\n").unwrap();
    succeed(&mut predict(&folder, &["clip.mp4", "--boxes", "boxes.csv"]));
    let people: Vec<usize> = lines(&folder)[1..].iter().map(|line| line["people"].as_array().unwrap().len()).collect();
    assert_eq!(people, [0, 2, 0, 0, 1]);
}

#[test]
fn a_decoder_that_gives_up_is_quoted_and_its_frames_are_done() {
    let folder = folder("video-broken", "frame; frame; echo 'moov atom not found' >&2; exit 1");
    let output = run(&mut predict(&folder, &["clip.mp4"]));
    let message = errors(&output);
    assert_eq!(status(&output), 2, "{message}");
    assert!(message.contains("2 frames of clip.mp4 are done") && message.contains("moov atom not found"), "{message}");
    assert_eq!(lines(&folder).len(), 3);
    assert_eq!(std::fs::read(folder.join("predictions/clip.mp4")).unwrap().len(), 2 * 24);
}

#[test]
fn an_encoder_that_gives_up_is_quoted_and_leaves_no_half_file() {
    let folder = folder("video-full", FIVE_FRAMES);
    let text = std::fs::read_to_string(folder.join("bin/ffmpeg")).unwrap();
    let text = text.replace("cat > ", "head -c 30 > \"${last#file:}\"; echo 'No space left' >&2; exit 1; cat > ");
    std::fs::write(folder.join("bin/ffmpeg"), text).unwrap();
    let output = run(&mut predict(&folder, &["clip.mp4"]));
    assert_eq!(status(&output), 2, "{}", errors(&output));
    assert!(errors(&output).contains("No space left"), "{}", errors(&output));
    assert!(!folder.join("predictions/clip.mp4").exists() && !folder.join("predictions/clip.mp4.part").exists());
}

#[test]
fn where_there_is_no_ffmpeg_it_is_named() {
    let folder = folder("video-missing", FIVE_FRAMES);
    std::fs::create_dir(folder.join("empty")).unwrap();
    let mut command = predict(&folder, &["clip.mp4"]);
    command.env("PATH", folder.join("empty"));
    refused(&mut command, &["ffprobe is not installed", "apt install ffmpeg"]);
}

#[test]
fn ctrl_c_ends_the_files_properly() {
    let folder = folder("video-interrupt", "while :; do frame || exit; sleep 0.05; done");
    let mut command = predict(&folder, &["clip.mp4", "--batch", "1"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    let begun = || std::fs::read_to_string(folder.join("predictions/poses.jsonl")).is_ok_and(|t| t.lines().count() > 3);
    while !begun() {
        assert!(start.elapsed() < Duration::from_secs(120), "no frame after two minutes");
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let drawn = std::fs::read(folder.join("predictions/clip.mp4")).unwrap();
    assert_eq!(drawn.len(), 24 * (lines(&folder).len() - 1));
}

#[test]
fn ffmpeg_itself_keeps_rate_length_and_sound() {
    if !ditn::predict::video::is_installed() {
        println!("skipped: ffmpeg is not installed");
        return;
    }
    let folder = Folder::new("video-ffmpeg");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let clip = folder.join("a: clip.mp4");
    let make = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=63x48:rate=12:duration=1", "-f", "lavfi", "-i"];
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(make).args(["sine=duration=1", "-c:v", "mpeg4", "-shortest"]);
    assert!(ffmpeg.arg(format!("file:{}", clip.display())).status().unwrap().success());
    let arguments = ["predict", "--checkpoint", "run/last.safetensors", "a: clip.mp4", "--smooth=0.5,4"];
    succeed(&mut ditn(&folder, &arguments));
    assert_eq!(lines(&folder).len(), 13);
    let probe = ["-v", "error", "-show_entries", "stream=codec_type,width,avg_frame_rate,nb_frames", "-of", "json"];
    let drawn = format!("file:{}", folder.join("predictions/a: clip.mp4").display());
    let report = Command::new("ffprobe").args(probe).arg(drawn).output().unwrap();
    let report = printed_json(&report.stdout);
    let kinds: Vec<&str> =
        report["streams"].as_array().unwrap().iter().filter_map(|s| s["codec_type"].as_str()).collect();
    assert_eq!(kinds, ["video", "audio"]);
    let video = &report["streams"][0];
    assert_eq!(
        (&video["avg_frame_rate"], &video["nb_frames"], &video["width"]),
        (&"12/1".into(), &"12".into(), &64.into())
    );
}
