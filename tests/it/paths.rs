//! Paths: whatever is accepted works to the end, and whatever would not is refused at the start.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;

use rheo_tests::{RunningProgram, TestBench};

/// One trial of a moment.
const TINY: &str = "
name: tiny
task: {kind: digits, pool: 2, train_size: 40, validation_size: 20, test_size: 20}
network: {hidden: 4}
training: {epochs: 1, batch: 20}
";

/// Runs a sweep with these arguments and asks for its rows with the first two, at rest.
#[track_caller]
fn check(bench: &TestBench, state: &str, places: &[&str]) {
    let file = bench.file("tiny.yaml", TINY);
    let run = [&["--state", state, "run", file], places].concat();
    let said = bench.run(&run).expect(0);
    assert!(said.out.contains("1 of 1 trials completed"), "{}", said.out);
    let sql = "select count(*) as n from epochs where sweep = 'tiny'";
    let rows = bench.run(&["--state", state, "query", sql, "-o", "csv"]).expect(0);
    assert_eq!(rows.out, "n\n1\n", "{state} {places:?}");
    bench.run(&["--state", state, "show", "tiny/0"]).expect(0);
    bench.run(&["--state", state, "checkpoint", "export", "tiny/0", "-f", "w.bin"]).expect(0);
}

#[test]
fn special_characters_in_paths_do_not_change_queries() {
    let bench = TestBench::default();
    check(&bench, " a b%20#?*=1 'c' \"d\" \\e [f]{g} ~;&|<>$h!:@+,^ü", &[]);
}

#[test]
fn dots_in_paths_are_resolved_once() {
    let bench = TestBench::default();
    fs::create_dir_all(bench.path().join("deep/er")).unwrap();
    check(
        &bench,
        "deep/er/../../deep/./st",
        &["--results", "deep/../out//r=1/.", "--checkpoints", "./nowhere/../cp"],
    );
    assert!(bench.path().join("deep/st/journal.redb").is_file());
    assert!(bench.path().join("out/r=1/epochs").is_dir());
    assert!(bench.path().join("cp").is_dir());
    // The same places by other names are the same places.
    let file = bench.file("tiny.yaml", TINY);
    bench.run(&["--state", "deep/st", "run", file, "--results", "out/r=1"]).expect(0);
    let said = bench.run(&["--state", "deep/st", "run", file, "--results", "else"]).expect(2);
    assert!(said.err.contains("not in `"), "{}", said.err);
}

#[test]
fn links_in_paths_are_followed() {
    let bench = TestBench::default();
    for name in ["real-state", "real-results/inner"] {
        fs::create_dir_all(bench.path().join(name)).unwrap();
    }
    symlink("real-state", bench.path().join("state")).unwrap();
    symlink("real-results/inner", bench.path().join("results")).unwrap();
    // The parent of a link is that of the directory to which it leads.
    check(&bench, "state", &["--results", "results/../r"]);
    assert!(bench.path().join("real-results/r/epochs").is_dir());
    assert!(!bench.path().join("r").exists());
    // The state behind the link is the same state, and no copy of it.
    check(&bench, "real-state", &[]);
}

#[test]
fn unusable_paths_are_refused_before_anything_is_made() {
    let bench = TestBench::default();
    let file = bench.file("tiny.yaml", TINY);
    let broken =
        [OsString::from("a\nb"), OsString::from("a\tb"), OsString::from_vec(b"a\xff".to_vec())];
    for path in broken {
        for (before, after) in [
            (&["run", file, "--results"][..], &[][..]),
            (&["run", file, "--checkpoints"], &[]),
            (&["run", file, "--data"], &[]),
            (&["--state"], &["run", file]),
            (&["--state"], &["submit", file]),
            (&["--state"], &["serve"]),
            (&["serve", "--results"], &[]),
            (&["launch", "local", "--max", "1", "--data"], &[]),
            (&["query", "select 1", "--file"], &[]),
            (&["checkpoint", "export", "tiny/0", "--file"], &[]),
            (&["analyze", "tiny/0", "--directory"], &[]),
            (&["data", "fetch", "mnist", "--dir"], &[]),
        ] {
            let mut command = bench.rheo(before);
            command.arg(&path).args(after.iter().map(OsStr::new));
            let said = RunningProgram::start(command).end().expect(2);
            assert!(!said.err.contains("panicked"), "{}", said.err);
        }
        let mut command = bench.rheo(&["run", file]);
        command.env("RHEO_STATE", &path);
        let said = RunningProgram::start(command).end().expect(2);
        assert!(said.err.contains("--state"), "{}", said.err);
    }
    // Nor is a state directory made below such a one.
    let here = bench.path().join("here\nis");
    fs::create_dir(&here).unwrap();
    let absolute = bench.path().join(file);
    for args in [&["submit"][..], &["run"], &["launch", "local", "--max", "1"]] {
        let mut command = bench.rheo(args);
        command.arg(&absolute).current_dir(&here);
        let said = RunningProgram::start(command).end().expect(2);
        assert!(said.err.contains("control character"), "{}", said.err);
    }
    fs::remove_dir(&here).unwrap();
    let left: Vec<_> = fs::read_dir(bench.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
