//! Directories that cannot be used are refused at the start, with their path and what to do, and
//! nothing is begun.

use std::fs;
use std::os::unix::fs::symlink;

use rheo_tests::{ProgramOutput, TestBench};

/// One trial of a moment.
const TINY: &str = "
name: tiny
task: {kind: digits, pool: 2, train_size: 40, validation_size: 20, test_size: 20}
network: {hidden: 4}
training: {epochs: 1, batch: 20}
";

/// A bench with a file, a link that leads nowhere, and a sweep.
fn bench() -> TestBench {
    let bench = TestBench::default();
    bench.file("file", "of a person");
    symlink("nowhere", bench.path().join("dangling")).unwrap();
    bench.file("tiny.yaml", TINY);
    bench
}

/// Returns the names of the files in the directory of a bench.
fn names(bench: &TestBench) -> Vec<String> {
    let entries = fs::read_dir(bench.path()).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Fails unless a command refuses a directory and leaves nothing behind.
#[track_caller]
fn refused(bench: &TestBench, args: &[&str], said: &str) -> ProgramOutput {
    let before = names(bench);
    let refused = bench.run(args).expect(2);
    assert!(refused.err.contains(said), "{args:?}: {said}\n{}", refused.err);
    assert_eq!(names(bench), before, "{args:?} left something behind");
    refused
}

#[test]
fn unusable_locations_are_refused_at_the_start() {
    let bench = bench();
    for flag in ["results", "checkpoints"] {
        let option = format!("--{flag}");
        let remedy = format!("choose another directory by `--{flag}`");
        for (path, found) in [
            ("file", "file` is not a directory"),
            ("file/in/it", "file` is not a directory"),
            ("dangling", "dangling` is not a directory"),
            ("dangling/in", "dangling` is not a directory"),
            // A file system that lets nobody make a directory, not even root.
            ("/proc/self/nothing/results", "/proc/self` cannot be written: "),
            ("/dev/null", "/dev/null` is not a directory"),
        ] {
            for command in [&["run", "tiny.yaml"][..], &["serve"]] {
                let said = refused(&bench, &[command, &[&option, path]].concat(), found);
                assert!(said.err.contains(&remedy), "{}", said.err);
                assert!(said.err.contains(&format!("the {flag}")) || said.err.contains(flag));
            }
        }
    }
}

#[test]
fn a_state_directory_that_cannot_be_used_is_refused_at_the_start() {
    let bench = bench();
    for (path, found) in [
        ("file", "file` is not a directory"),
        ("file/in/it", "file` is not a directory"),
        ("dangling", "dangling` is not a directory"),
        ("/proc/self/nothing/state", "/proc/self` cannot be written: "),
    ] {
        for command in [&["run", "tiny.yaml"][..], &["serve"]] {
            let said = refused(&bench, &[&["--state", path], command].concat(), found);
            assert!(said.err.contains("choose another directory by `--state`"), "{}", said.err);
        }
        let submit = ["--state", path, "submit", "tiny.yaml"];
        let said = refused(&bench, &submit, "the state directory");
        assert!(said.err.contains("--state names another"), "{}", said.err);
    }
}

#[test]
fn a_file_in_place_of_the_results_is_refused_at_every_start() {
    let bench = bench();
    bench.run(&["submit", "tiny.yaml"]).expect(0);
    bench.file(".rheo/results", "of a person");
    let said = refused(&bench, &["run", "tiny.yaml"], ".rheo/results` is not a directory");
    assert!(said.err.contains("`--results`"), "{}", said.err);
    fs::remove_file(bench.state().join("results")).unwrap();
    bench.run(&["run", "tiny.yaml"]).expect(0);
}

#[test]
fn a_directory_in_the_place_of_the_journal_is_refused() {
    let bench = bench();
    fs::create_dir_all(bench.state().join("journal.redb")).unwrap();
    for args in [&["run", "tiny.yaml"][..], &["submit", "tiny.yaml"], &["status"]] {
        refused(&bench, args, "Is a directory (os error 21)");
    }
}
