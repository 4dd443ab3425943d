//! Whose the results and checkpoints are: two states never share a directory, and nothing that a
//! journal does not know is ever removed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};
use rustix::process::Signal;

use crate::sweeps::{SMALL, SMALL_EPOCHS};

/// Everything below a directory, with its contents.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.append(&mut contents(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn parts(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = contents(directory);
    found.retain(|path, _| path.extension().is_some_and(|extension| extension == "parquet"));
    found
}

fn run(command: Command) -> ProgramOutput {
    RunningProgram::start(command).end()
}

/// A small sweep of this name, whose checkpoints are kept.
fn named(name: &str) -> String {
    SMALL
        .replace("name: small", &format!("name: {name}"))
        .replace("{interval: 0}", "{interval: 0, keep: final}")
}

#[test]
fn two_states_never_share_a_results_directory() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let shared = |command: &mut Command| {
        command.env("RHEO_RESULTS", "shared/results").env("RHEO_CHECKPOINTS", "shared/checkpoints");
    };
    let mut first = bench.rheo(&["run", file]);
    shared(&mut first);
    run(first).expect(0);
    let before = parts(&bench.path().join("shared"));
    assert!(!before.is_empty());

    for places in [("shared/results", "own"), ("own", "shared/checkpoints")] {
        let mut second = bench.rheo(&["--state", "second", "run", file]);
        second.env("RHEO_RESULTS", places.0).env("RHEO_CHECKPOINTS", places.1);
        let said = run(second).expect(2);
        assert!(said.err.contains("belongs to state"), "{}", said.err);
        assert!(said.err.contains(&*bench.state().to_string_lossy()), "whose: {}", said.err);
        assert_eq!(parts(&bench.path().join("shared")), before);
    }
    // Elsewhere it runs, and the first goes on as if nothing had happened.
    bench.run(&["--state", "second", "run", file]).expect(0);
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    bench.run(&["run", file]).expect(0);
    assert_eq!(parts(&bench.path().join("shared")), before);

    // A copy of the first has the same id, and is not the first.
    let copied =
        Command::new("cp").args(["-r", ".rheo", "copy"]).current_dir(bench.path()).status();
    assert!(copied.unwrap().success());
    let said = bench.run(&["--state", "copy", "run", file]).expect(2);
    assert!(said.err.contains("is a copy"), "{}", said.err);
    assert_eq!(parts(&bench.path().join("shared")), before);
}

#[test]
fn a_directory_with_files_of_others_is_refused_and_left_alone() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let theirs = bench.path().join("theirs");
    fs::create_dir_all(theirs.join("epochs/sweep=small")).unwrap();
    let part = theirs.join("epochs/sweep=small/part-000000000001-000000000002.parquet");
    fs::write(&part, "of somebody else").unwrap();
    let before = contents(&theirs);
    for option in ["--results", "--checkpoints"] {
        let said = bench.run(&["run", file, option, "theirs"]).expect(2);
        assert!(said.err.contains("do not belong to this state"), "{}", said.err);
        assert!(said.err.contains("choose an empty directory"), "{}", said.err);
        assert_eq!(contents(&theirs), before);
    }
    // An empty one is taken, also with what a file system makes by itself.
    fs::create_dir_all(bench.path().join("empty/lost+found")).unwrap();
    bench.run(&["run", file, "--results", "empty"]).expect(0);
    assert!(bench.path().join("empty/.rheo-owner.json").exists());
}

#[test]
fn foreign_files_in_the_directories_survive_every_start() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    bench.run(&["run", file]).expect(0);
    let name = "0123456789abcdef".repeat(4);
    let put = [
        "results/notes.txt".to_owned(),
        "results/epochs/sweep=small/plot.svg".to_owned(),
        "results/epochs/sweep=small/part-000000009001-000000009002.parquet".to_owned(),
        "results/epochs/sweep=mine/part-000000000001-000000000002.parquet".to_owned(),
        "checkpoints/notes.txt".to_owned(),
        format!("checkpoints/01/{name}"),
        format!("checkpoints/mine/{name}"),
    ];
    for path in &put {
        let path = bench.state().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.to_string_lossy().as_bytes()).unwrap();
    }
    let said = bench.run(&["run", file]).expect(0);
    assert!(said.err.contains("set aside"), "{}", said.err);
    let found = contents(&bench.state());
    for path in &put {
        let text = bench.state().join(path).to_string_lossy().into_owned();
        assert!(found.values().any(|bytes| bytes == text.as_bytes()), "{text} is gone");
    }
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    assert!(!bench.run(&["run", file]).expect(0).err.contains("set aside"), "once is enough");
}

#[test]
fn a_journal_that_is_gone_empty_or_replaced_never_costs_results() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    bench.run(&["run", file]).expect(0);
    let journal = bench.state().join("journal.redb");
    let whole = fs::read(&journal).unwrap();
    // The journal of another state, in which a sweep was submitted.
    let other = bench.file("other.yaml", &named("other"));
    bench.run(&["--state", "elsewhere", "submit", other]).expect(0);
    let submitted = fs::read(bench.path().join("elsewhere/journal.redb")).unwrap();
    let results = parts(&bench.state());
    let check = |what: &str, has_owner: bool| {
        for command in [
            &["query", "select count(*) from epochs"][..],
            &["status"],
            &["submit", other],
            &["run", file],
            &["serve"],
        ] {
            let said = bench.run(command).expect(2);
            let expected = "journal.redb` does not match the files in";
            assert!(said.err.contains(expected), "{what} {has_owner} {command:?}: {}", said.err);
            assert!(said.err.contains("put the journal back"), "{}", said.err);
            assert_eq!(parts(&bench.state()), results, "{what} {command:?}");
        }
    };
    // Also where results are of a version that did not note whose they are.
    for has_owner in [true, false] {
        if !has_owner {
            for place in ["results", "checkpoints"] {
                fs::remove_file(bench.state().join(place).join(".rheo-owner.json")).unwrap();
            }
        }
        fs::remove_file(&journal).unwrap();
        check("gone", has_owner);
        fs::write(&journal, "").unwrap();
        check("empty", has_owner);
        fs::write(&journal, &submitted).unwrap();
        check("replaced", has_owner);
        fs::write(&journal, &whole).unwrap();
        assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    }
    // The right journal takes its results over.
    bench.run(&["run", file]).expect(0);
    assert!(bench.state().join("results/.rheo-owner.json").exists());
    assert_eq!(parts(&bench.state()), results);
}

#[test]
fn results_newer_than_a_restored_journal_are_set_aside() {
    let bench = TestBench::default();
    let small = bench.file("small.yaml", SMALL);
    bench.run(&["run", small]).expect(0);
    let journal = bench.state().join("journal.redb");
    let older = fs::read(&journal).unwrap();
    let later = bench.file("later.yaml", &named("later"));
    bench.run(&["run", later]).expect(0);
    let newer = fs::read(&journal).unwrap();
    let of_later = |directory: &Path| {
        let mut found: Vec<Vec<u8>> = parts(directory)
            .into_iter()
            .filter(|(path, _)| path.to_string_lossy().contains("sweep=later"))
            .map(|(_, bytes)| bytes)
            .collect();
        found.sort();
        found
    };
    let results = of_later(&bench.state().join("results"));
    assert!(!results.is_empty());
    let checkpoints = contents(&bench.state().join("checkpoints"));
    let kept = checkpoints.keys().filter(|path| !path.ends_with(".rheo-owner.json")).count();
    assert!(kept >= 6, "{kept}");

    fs::write(&journal, &older).unwrap();
    let said = bench.run(&["run", small]).expect(0);
    assert!(said.err.contains("set aside"), "{}", said.err);
    assert!(said.err.contains("results.orphaned-"), "{}", said.err);
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    assert_eq!(of_later(&bench.state().join("results")), Vec::<Vec<u8>>::new());
    let aside = fs::read_dir(bench.state()).unwrap().flatten().map(|entry| entry.path());
    let aside: Vec<PathBuf> =
        aside.filter(|path| path.to_string_lossy().contains("results.orphaned-")).collect();
    let [aside] = &aside[..] else { panic!("{aside:?}") };
    assert_eq!(of_later(aside), results);
    let found = contents(&bench.state().join("checkpoints"));
    for (path, bytes) in checkpoints {
        assert!(found.values().any(|found| *found == bytes) || path.ends_with(".rheo-owner.json"));
    }
    // Put back with what was set aside, the newer journal has everything again.
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(aside.join(".")).arg(bench.state().join("results"));
    assert!(copy.status().unwrap().success());
    fs::write(&journal, &newer).unwrap();
    assert_eq!(bench.number("select count(*) from epochs"), 2 * SMALL_EPOCHS);
}

#[test]
fn a_results_directory_is_claimed_while_its_coordinator_runs() {
    let bench = TestBench::default();
    let serve = RunningProgram::start(bench.rheo(&["serve", "--results", "shared"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    let owner = fs::read_to_string(bench.path().join("shared/.rheo-owner.json")).unwrap();
    assert!(owner.contains(&*bench.state().to_string_lossy()), "{owner}");
    // A copy on a machine that does not see the first: only the lock tells.
    fs::create_dir_all(bench.path().join("copy")).unwrap();
    fs::copy(bench.state().join("journal.redb"), bench.path().join("copy/journal.redb")).unwrap();
    let elsewhere = owner.replace(&*bench.state().to_string_lossy(), "/nowhere/.rheo");
    fs::write(bench.path().join("shared/.rheo-owner.json"), elsewhere).unwrap();
    let said = bench.run(&["--state", "copy", "serve", "--results", "shared"]).expect(2);
    assert!(said.err.contains("is in use by another coordinator"), "{}", said.err);
    serve.signal(Signal::TERM);
    serve.end().expect(0);
}
