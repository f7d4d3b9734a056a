//! Training by several processes as a user starts it: `mpirun ditn train`. Needs the feature `mpi` and Open MPI's mpirun.
#![cfg(unix)]

#[path = "common/mod.rs"]
mod common;
#[path = "command_line/harness.rs"]
#[allow(dead_code)]
mod harness;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ditn::train::checkpoint;
use rand::{RngExt, SeedableRng};

use harness::{Folder, bits, ditn, errors, json, log, run, status, step_of, succeed, train, wait_for_a_checkpoint};

/// The most time from the moment at which one rank has failed to the end of all.
const SECONDS_TO_END: Duration = Duration::from_secs(20);

/// `mpirun` with room for more ranks than there are cores, in a folder.
fn mpirun(folder: &Folder) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]).current_dir(folder.join(""));
    command.env_remove("DITN_DATA").env_remove("XDG_RUNTIME_DIR");
    command
}

/// `mpirun -n ranks ditn` with these arguments; the small configuration lies in the folder.
fn on_ranks(folder: &Folder, ranks: usize, arguments: &[&str]) -> Command {
    drop(train(folder, &[]));
    let mut command = mpirun(folder);
    command.args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_ditn")]).args(arguments);
    command
}

/// That two runs have one state, score and log, to the bit.
fn assert_same(one: &Path, other: &Path) {
    assert!(bits(&one.join("last.safetensors")) == bits(&other.join("last.safetensors")), "the states differ");
    let logs = [one, other].map(|run| {
        let mut lines = log(run);
        lines.iter_mut().for_each(|line| drop(line.as_object_mut().expect("an object").remove("communication")));
        lines
    });
    assert_eq!(logs[0], logs[1]);
    let results = [one, other].map(|run| std::fs::read(run.join("results.json")).expect("a run ends with results"));
    assert!(results[0] == results[1], "the poses differ");
}

/// The processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The ranks that an mpirun has started, in their order, once all are there.
fn ranks_of(mpirun: &Child, ranks: usize) -> Vec<u32> {
    let begun = Instant::now();
    loop {
        let found = children(mpirun.id());
        if found.len() >= ranks {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "mpirun started {} of {ranks} ranks", found.len());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(signal: &str, process: u32) {
    // It may have ended by itself meanwhile.
    let _ = Command::new("kill").args([signal, &process.to_string()]).stderr(Stdio::null()).status();
}

/// Waits for the end of all, which must not take longer than it may.
fn end_of(mut child: Child, what: &str) -> Output {
    let begun = Instant::now();
    while child.try_wait().expect("it is our child").is_none() {
        if begun.elapsed() > SECONDS_TO_END {
            let pids = children(child.id());
            pids.into_iter().for_each(|pid| send("-KILL", pid));
            send("-KILL", child.id());
            panic!("{what}: still running after {SECONDS_TO_END:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("it is our child")
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("mpirun is there: tools/setup.sh --mpi")
}

#[test]
fn two_and_four_processes_train_as_one_that_accumulates_to_the_bit() {
    let folder = Folder::new("mpi-same");
    for ranks in [2, 4] {
        let (one, many) = (format!("one-{ranks}"), format!("many-{ranks}"));
        let accumulate = format!("train.accumulate={ranks}");
        succeed(&mut train(&folder, &["--out", &one, "--set", &accumulate, "--set", "evaluate.people=13"]));
        let arguments = ["train", "small.toml", "--out", &many, "--set", "evaluate.people=13"];
        let output = succeed(&mut on_ranks(&folder, ranks, &arguments));
        assert_same(&folder.join(&one), &folder.join(&many));
        let message = errors(&output);
        assert_eq!(message.matches("Training on").count(), 1, "rank 0 alone says what happens: {message}");
        assert!(message.contains("rank 1"), "{message}");
        let line = &log(&folder.join(&many))[0];
        assert!(line["communication"]["bytes_per_step"].as_f64().is_some_and(|bytes| bytes > 1000.0), "{line}");
    }
}

#[test]
fn two_processes_that_accumulate_train_as_four_with_the_same_pictures() {
    let folder = Folder::new("mpi-both");
    let train = |ranks, out: &str, accumulate: &str| {
        let arguments = ["train", "small.toml", "--out", out, "--set", accumulate, "--set", "train.epochs=1"];
        succeed(&mut on_ranks(&folder, ranks, &arguments));
        let lines = log(&folder.join(out));
        lines[0]["loss"].as_f64().expect("a loss")
    };
    let (two, four) = (train(2, "two", "train.accumulate=2"), train(4, "four", "train.accumulate=1"));
    assert!((two / four - 1.0).abs() < 1e-6, "{two} {four}");
}

#[test]
fn half_precision_on_two_processes_is_that_of_one_to_the_bit() {
    let folder = Folder::new("mpi-f16");
    let f16 = ["--set", "train.precision=f16", "--set", "train.epochs=2"];
    let one = run(train(&folder, &["--out", "one", "--set", "train.accumulate=2"]).args(f16));
    if errors(&one).contains("no 16-bit floats") {
        return common::skipped("the adapter has no f16");
    }
    assert_eq!(status(&one), 0, "{}", errors(&one));
    succeed(on_ranks(&folder, 2, &["train", "small.toml", "--out", "two"]).args(f16));
    assert_same(&folder.join("one"), &folder.join("two"));
}

#[test]
fn synchronised_statistics_give_the_steps_of_one_process_with_all_pictures() {
    let folder = Folder::new("mpi-sync");
    let options =
        ["--set", "train.epochs=1", "--set", "train.pictures_per_epoch=8", "--set", "optimizer.learning_rate=1e-5"];
    succeed(train(&folder, &["--out", "whole", "--set", "train.batch=4"]).args(options));
    let train = |out: &str, sync: &str| {
        succeed(on_ranks(&folder, 2, &["train", "small.toml", "--out", out, "--set", sync]).args(options));
        // Running statistics say most directly what normalisation has used.
        let state =
            |run: &str| checkpoint::load(&folder.join(run).join("last.safetensors")).expect("a checkpoint").state;
        let (found, wanted) = (state(out), state("whole"));
        let statistics = wanted.iter().filter(|(name, _)| name.ends_with("running_var"));
        let worst = statistics.map(|(name, wanted)| {
            let pairs = found[name].data.iter().zip(&wanted.data);
            let largest = wanted.data.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
        });
        worst.fold(0.0, f32::max)
    };
    let (with, without) = (train("sync", "train.sync_batch_norm=true"), train("own", "train.sync_batch_norm=false"));
    assert!(with < 6e-7, "{with}");
    assert!(without > 100.0 * with, "{with} with, {without} without");
}

#[test]
fn two_processes_with_synchronised_statistics_match_pytorchs_distributed_data_parallel() {
    let folder = Folder::new("mpi-verify");
    let dumps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
    let verify = |dump: &str, ranks| {
        let dump = dumps.join(dump).with_extension("safetensors");
        run(&mut on_ranks(&folder, ranks, &["verify", dump.to_str().expect("a path of letters"), "--json"]))
    };
    let output = verify("ditn_mpii_two_processes", 2);
    assert_eq!(status(&output), 0, "{}{}", String::from_utf8_lossy(&output.stdout), errors(&output));
    let report = harness::printed_json(&output.stdout);
    let groups: Vec<_> = report["groups"].as_array().expect("groups").iter().map(|group| &group["name"]).collect();
    assert_eq!(groups, ["loss", "grad", "stats", "trajectory"]);
    let refused = verify("ditn_mpii_two_processes", 3);
    assert_eq!(status(&refused), 2, "{}", errors(&refused));
    assert!(errors(&refused).contains("cannot be divided by 3 processes"), "{}", errors(&refused));
}

#[test]
fn a_run_goes_on_with_other_processes_where_a_step_stays_what_it_is() {
    let folder = Folder::new("mpi-resume");
    let rate = ["--set", "schedule.milestones=[]"];
    succeed(train(&folder, &["--out", "whole", "--set", "train.accumulate=2", "--set", "train.epochs=4"]).args(rate));
    let two = ["train", "small.toml", "--out", "run", "--set", "train.epochs=2"];
    succeed(on_ranks(&folder, 2, &two).args(rate));
    let before = bits(&folder.join("run/last.safetensors"));

    let alone = ["train", "--resume", "run", "--set", "train.epochs=3"];
    let refused = run(&mut ditn(&folder, &alone));
    let message = errors(&refused);
    assert_eq!(status(&refused), 2, "{message}");
    for part in ["by 2 processes with 4 pictures a step", "1 of them would have 2", "(train.accumulate=2)"] {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    let refused = run(&mut on_ranks(&folder, 3, &alone));
    assert!(status(&refused) == 2 && errors(&refused).matches("error:").count() == 1, "{}", errors(&refused));
    assert!(before == bits(&folder.join("run/last.safetensors")), "a refused run changes nothing");

    succeed(ditn(&folder, &alone).args(["--set", "train.accumulate=2"]));
    let again = ["train", "--resume", "run", "--set", "train.accumulate=1", "--set", "train.epochs=4"];
    succeed(&mut on_ranks(&folder, 2, &again));
    assert!(bits(&folder.join("whole/last.safetensors")) == bits(&folder.join("run/last.safetensors")));
}

/// A data set of a ring of joints in each of twelve pictures, as labelling tools export it.
fn export(folder: &Path) {
    std::fs::create_dir_all(folder).expect("the temporary folder is writable");
    let (mut images, mut people) = (Vec::new(), Vec::new());
    for number in 0..12_u32 {
        let name = format!("{number}.png");
        let picture =
            image::RgbImage::from_fn(80, 80, |x, y| image::Rgb([x as u8 * 3, y as u8 * 3, number as u8 * 20]));
        picture.save(folder.join(&name)).expect("the temporary folder is writable");
        images.push(serde_json::json!({"id": number, "file_name": name, "width": 80, "height": 80}));
        let keypoints = [20, 20, 2, 60 - number, 25, 2, 40, 60 - number, 2];
        people.push(serde_json::json!({
            "id": number, "image_id": number, "category_id": 1, "num_keypoints": 3, "keypoints": keypoints,
            "bbox": [5, 5, 70, 70], "area": 4900, "iscrowd": 0,
        }));
    }
    let categories = [serde_json::json!({"id": 1, "name": "it", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2]]})];
    let file = serde_json::json!({"images": images, "annotations": people, "categories": categories});
    std::fs::write(folder.join("annotations.json"), file.to_string()).expect("the temporary folder is writable");
}

/// Two ranks, each with a folder of its own for its data.
fn on_two_machines(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = mpirun(folder);
    for (number, place) in ["first", "second"].into_iter().enumerate() {
        let place = folder.join(place);
        std::fs::create_dir_all(&place).expect("the temporary folder is writable");
        std::fs::write(place.join("small.toml"), harness::SMALL).expect("the temporary folder is writable");
        command.args((number > 0).then_some(":"));
        command.args(["-n", "1", "--wdir"]).arg(place).arg(env!("CARGO_BIN_EXE_ditn")).args(arguments);
    }
    command
}

/// That exactly one message says what is wrong, and on which rank.
fn assert_one_message(output: &Output, parts: &[&str]) {
    let message = errors(output);
    assert_ne!(output.status.code(), Some(0), "{message}");
    assert_eq!(message.matches("error: ").count(), 1, "{message}");
    for part in parts {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
}

#[test]
fn a_rank_without_its_data_ends_all_and_is_named() {
    let folder = Folder::new("mpi-no-data");
    export(&folder.join("first/export"));
    let own = ["train", "small.toml", "--set", "data.kind=coco", "--set", "data.annotations=export"];
    let child = start(&mut on_two_machines(&folder, &own));
    let output = end_of(child, "no data");
    assert_one_message(&output, &["rank 1 of 2, on ", "export"]);
    assert!(!folder.join("first/runs").exists(), "no folder is made for a run that cannot begin");
}

#[test]
fn a_picture_that_one_rank_cannot_read_ends_all_with_what_was_learnt_and_the_run_goes_on() {
    let folder = Folder::new("mpi-picture");
    let out = folder.join("run");
    let out = out.to_str().expect("a path of letters");
    let own = ["train", "small.toml", "--set", "data.kind=coco", "--set", "data.annotations=export"];
    let options = ["--set", "train.pictures_per_epoch=0", "--set", "train.epochs=40", "--set", "evaluate.people=4"];
    for place in ["first", "second"] {
        export(&folder.join(place).join("export"));
    }
    let whole = folder.join("whole");
    succeed(&mut on_two_machines(
        &folder,
        &[&own[..], &options, &["--out", whole.to_str().expect("letters")]].concat(),
    ));

    // The second machine's copy of a picture breaks during the run: sooner or later rank 1 has to read it.
    let mut child = start(&mut on_two_machines(&folder, &[&own[..], &options, &["--out", out]].concat()));
    wait_for_a_checkpoint(&folder.join("run"), &mut child);
    let broken = folder.join("second/export/7.png");
    let good = std::fs::read(&broken).expect("it was written");
    std::fs::write(&broken, b"no picture").expect("the temporary folder is writable");
    assert_one_message(&end_of(child, "a picture"), &["rank 1 of 2, on ", "7.png"]);
    std::fs::write(&broken, good).expect("the temporary folder is writable");
    let again = end_of(start(&mut on_two_machines(&folder, &["train", "--resume", out])), "the rest of the run");
    assert_eq!(status(&again), 0, "{}", errors(&again));
    assert!(bits(&whole.join("last.safetensors")) == bits(&folder.join("run/last.safetensors")));
}

#[test]
fn ranks_with_other_people_are_refused() {
    let folder = Folder::new("mpi-people");
    export(&folder.join("first/export"));
    export(&folder.join("second/export"));
    let file = folder.join("second/export/annotations.json");
    let mut annotations = json(&file);
    annotations["annotations"].as_array_mut().expect("a list").truncate(9);
    std::fs::write(&file, annotations.to_string()).expect("the temporary folder is writable");
    #[rustfmt::skip]
    let own = [
        "train", "small.toml", "--set", "data.kind=coco", "--set", "data.annotations=export",
        "--set", "train.pictures_per_epoch=0",
    ];
    let output = end_of(start(&mut on_two_machines(&folder, &own)), "other people");
    assert_one_message(&output, &["rank 1 of 2, on ", "people to learn from", "on rank 0", "give all the same files"]);
}

#[test]
fn what_is_for_one_process_is_refused_by_several_once() {
    let folder = Folder::new("mpi-alone");
    let output = end_of(start(&mut on_ranks(&folder, 3, &["devices"])), "devices");
    assert_one_message(&output, &["this command runs as one process"]);
}

#[test]
fn a_full_disk_ends_all_ranks_and_keeps_the_last_checkpoint() {
    let folder = Folder::new("mpi-full-disk");
    let rate = ["--set", "schedule.milestones=[]"];
    succeed(on_ranks(&folder, 2, &["train", "small.toml", "--out", "run", "--set", "train.epochs=1"]).args(rate));
    let before = bits(&folder.join("run/last.safetensors"));
    let mut command = mpirun(&folder);
    let longer = ["train", "--resume", "run", "--set", "train.epochs=2"];
    command.args(["-n", "2", "sh", "-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ditn")]);
    let output = end_of(start(command.args(longer)), "a full disk");
    assert_one_message(&output, &["rank 0 of 2, on ", "cannot write the checkpoint run/last.safetensors"]);
    assert!(before == bits(&folder.join("run/last.safetensors")), "the checkpoint was lost");
    succeed(&mut on_ranks(&folder, 2, &longer));
    assert_eq!(step_of(&folder.join("run/last.safetensors")), Some(6));
}

#[test]
fn what_diverges_is_said_once_with_status_1() {
    let folder = Folder::new("mpi-nan");
    #[rustfmt::skip]
    let diverges = [
        "train", "small.toml", "--out", "run", "--set", "optimizer.learning_rate=1e30",
        "--set", "output.checkpoint_steps=0",
    ];
    let output = end_of(start(&mut on_ranks(&folder, 2, &diverges)), "what diverges");
    assert_one_message(&output, &["rank 0 of 2, on ", "is not finite at step", "pictures of that step: synthetic"]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
}

/// A run that lasts until a test ends it.
const LONG: [&str; 8] =
    ["train", "small.toml", "--out", "run", "--set", "train.epochs=400", "--set", "output.checkpoint_steps=1"];

#[test]
fn a_signal_to_any_rank_saves_and_stops_all() {
    for (name, rank, signal) in [("mpi-term", 1, "-TERM"), ("mpi-int", 0, "-INT")] {
        let folder = Folder::new(name);
        let mut child = start(&mut on_ranks(&folder, 2, &LONG));
        wait_for_a_checkpoint(&folder.join("run"), &mut child);
        send(signal, ranks_of(&child, 2)[rank]);
        let output = end_of(child, signal);
        let message = errors(&output);
        assert_eq!(output.status.code(), Some(130), "{message}");
        assert_eq!(message.matches("Stopped and saved at step").count(), 1, "{message}");
        assert!(step_of(&folder.join("run/last.safetensors")).is_some_and(|step| step >= 4));
    }
}

#[test]
fn a_signal_to_mpirun_ends_all_and_the_checkpoint_is_whole() {
    for (name, signal) in [("mpi-all-term", "-TERM"), ("mpi-all-int", "-INT")] {
        let folder = Folder::new(name);
        let mut child = start(&mut on_ranks(&folder, 2, &LONG));
        wait_for_a_checkpoint(&folder.join("run"), &mut child);
        let ranks = ranks_of(&child, 2);
        send(signal, child.id());
        end_of(child, signal);
        assert!(ranks.iter().all(|pid| !PathBuf::from(format!("/proc/{pid}/exe")).exists()), "a rank lives on");
        assert!(step_of(&folder.join("run/last.safetensors")).is_some_and(|step| step >= 4));
    }
}

#[test]
fn ranks_killed_at_random_moments_end_all_and_the_run_goes_on_to_the_same_bits() {
    // DITN_FULL=1 kills 20 times.
    let kills = if std::env::var_os("DITN_FULL").is_some_and(|value| value == "1") { 20 } else { 4 };
    let folder = Folder::new("mpi-killed");
    // Longer, the more kills there are to come.
    let epochs = format!("train.epochs={}", 20 + 5 * kills);
    let options = ["--set", &epochs, "--set", "output.checkpoint_steps=3", "--set", "evaluate.every=3"];
    let begin = |out: &'static str| on_ranks(&folder, 2, &["train", "small.toml", "--out", out]);
    let begun = Instant::now();
    succeed(begin("whole").args(options));
    let whole = begun.elapsed();
    let now = std::time::UNIX_EPOCH.elapsed().expect("the clock is set").subsec_nanos();
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(u64::from(now));
    println!("the seed of the moments is {seed}");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut real = 0;
    for kill in 0..kills {
        let resumes = folder.join("run/last.safetensors").exists();
        let child = if resumes {
            start(&mut on_ranks(&folder, 2, &["train", "--resume", "run"]))
        } else {
            std::fs::remove_dir_all(folder.join("run")).ok();
            start(begin("run").args(options))
        };
        let ranks = ranks_of(&child, 2);
        std::thread::sleep(whole.div_f64(f64::from(kills) / 3.0).mul_f64(random.random_range(0.0..1.0)));
        send("-KILL", ranks[random.random_range(0..2)]);
        let output = end_of(child, "a killed rank");
        let path = folder.join("run/last.safetensors");
        let state = checkpoint::load(&path).map(|checkpoint| checkpoint.header.progress.step);
        assert!(!path.exists() || state.is_ok(), "kill {kill}: {state:?}");
        real += usize::from(!output.status.success());
        if output.status.success() {
            // It came after the end: there is nothing left to kill.
            break;
        }
    }
    println!("{real} of {kills} kills came before the end");
    assert!(real >= 2, "{real} of {kills} kills came before the end");
    let resumes = folder.join("run/last.safetensors").exists();
    if resumes {
        succeed(&mut on_ranks(&folder, 2, &["train", "--resume", "run"]));
    } else {
        std::fs::remove_dir_all(folder.join("run")).ok();
        succeed(begin("run").args(options));
    }
    assert_same(&folder.join("whole"), &folder.join("run"));
}

#[test]
fn one_process_under_mpirun_is_one_process() {
    let folder = Folder::new("mpi-one");
    succeed(&mut train(&folder, &["--out", "alone", "--set", "train.epochs=1"]));
    succeed(&mut on_ranks(&folder, 1, &["train", "small.toml", "--out", "one", "--set", "train.epochs=1"]));
    assert_same(&folder.join("alone"), &folder.join("one"));
    assert!(json(&folder.join("one/summary.json"))["epochs"] == 1);
}
