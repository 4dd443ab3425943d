//! Damaged files and disks that refuse: a clear error, and nothing acknowledged is lost.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rheo_tests::{RunningProgram, TestBench, wait_for};
use rustix::process::Signal;

use crate::sweeps::{LONG, SMALL, SMALL_EPOCHS};
use crate::traces::{assert_same, traces};

#[test]
fn a_trial_whose_checkpoint_has_a_flipped_bit_starts_over_and_no_row_is_doubled() {
    let whole = TestBench::default();
    whole.run(&["run", whole.file("long.yaml", LONG), "--workers", "2"]).expect(0);

    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let run = RunningProgram::start(bench.rheo(&["run", file]));
    wait_for("commits", || {
        let counted = bench.run(&["query", "select count(*) as n from epochs", "-o", "json"]);
        if counted.code() != 0 {
            return None;
        }
        (counted.json()[0]["n"].as_u64()? > 2).then_some(())
    });
    run.signal(Signal::INT);
    run.end().expect(130);
    let mut damaged = 0;
    let entries = fs::read_dir(bench.state().join("checkpoints")).unwrap().flatten();
    // Beside the file that says whose they are.
    for directory in entries.filter(|entry| entry.path().is_dir()) {
        for checkpoint in fs::read_dir(directory.path()).unwrap().flatten() {
            let mut bytes = fs::read(checkpoint.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(checkpoint.path(), bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "there were checkpoints");
    bench.run(&["run", file]).expect(0);
    let errors = bench.query("select error from attempts where outcome = 'error'");
    assert!(!errors.is_empty(), "a damaged checkpoint was found out");
    for error in errors {
        let text = error["error"].as_str().unwrap();
        assert!(text.contains("is damaged: its digest is"), "{text}");
    }
    assert_same(&traces(&bench, "long"), &traces(&whole, "long"));
}

#[test]
fn a_truncated_journal_is_a_clear_error_and_nothing_is_removed() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    bench.run(&["run", file]).expect(0);
    let journal = bench.state().join("journal.redb");
    let whole = fs::read(&journal).unwrap();
    fs::write(&journal, &whole[..whole.len() / 3]).unwrap();
    for command in [&["status"][..], &["run", file], &["query", "select 1"]] {
        let said = bench.run(command);
        assert_ne!(said.code(), 0, "{}", said.out);
        assert!(said.err.contains("journal.redb` cannot be used"), "{}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
    // An empty journal is a new one, but these results are not its own.
    fs::remove_file(&journal).unwrap();
    let said = bench.run(&["run", file]).expect(2);
    assert!(said.err.contains("put the journal back"), "{}", said.err);
    fs::write(&journal, whole).unwrap();
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    bench.run(&["run", file]).expect(0);
}

#[test]
fn results_that_cannot_be_written_wait_in_the_journal_and_are_written_later() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let results = bench.state().join("results");
    fs::create_dir_all(&results).unwrap();
    let Some(mount) = Mount::new(&results, "rw") else { return };
    // A first start makes the results its own.
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.url());
    serve.signal(Signal::TERM);
    serve.end().expect(0);
    // Not even root can write there any more.
    mount.again("ro");
    let said = bench.run(&["run", file]).expect(0);
    assert!(said.err.contains("rows are safe in the journal"), "{}", said.err);
    assert!(said.err.contains("Read-only file system"), "{}", said.err);
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    mount.again("rw");
    bench.run(&["run", file]).expect(0);
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    let parts = fs::read_dir(bench.state().join("results/epochs/sweep=small")).unwrap();
    assert_eq!(parts.count(), 1);
}

#[test]
fn a_full_results_disk_loses_nothing() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let results = bench.state().join("results");
    fs::create_dir_all(&results).unwrap();
    let Some(mount) = Mount::new(&results, "size=16k") else { return };
    let said = bench.run(&["run", file]).expect(0);
    assert!(said.err.contains("No space left on device"), "{}", said.err);
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    mount.again("size=64m");
    bench.run(&["run", file]).expect(0);
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
}

#[test]
fn results_that_are_no_directory_are_refused_at_the_start() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    fs::create_dir_all(bench.state()).unwrap();
    fs::write(bench.state().join("results"), "not a directory").unwrap();
    let said = bench.run(&["run", file]).expect(2);
    assert!(said.err.contains("/.rheo/results` is not a directory"), "{}", said.err);
    fs::remove_file(bench.state().join("results")).unwrap();
    bench.run(&["run", file]).expect(0);
}

/// A file system of its own on a directory, until it is dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// None, said loudly, where nothing can be mounted.
    pub(crate) fn new(place: &Path, option: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", option, "tmpfs"]).arg(place);
        if mount.output().is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(place.to_owned()));
        }
        eprintln!("skipped: a bad disk needs the right to mount a tmpfs");
        None
    }
}

impl Mount {
    /// Changes an option of it.
    fn again(&self, option: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{option}")]).arg(&self.0);
        assert!(mount.output().unwrap().status.success(), "{option}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).output().unwrap();
    }
}

#[test]
fn a_damaged_data_file_is_refused_before_anything_runs() {
    let bench = TestBench::default();
    let data = bench.path().join("mnist");
    fs::create_dir_all(&data).unwrap();
    for name in ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"] {
        fs::write(data.join(format!("{name}-ubyte")), b"\0\0\x08\x03\0\0").unwrap();
    }
    let file = bench.file(
        "damaged.yaml",
        "
name: damaged
task: {kind: smnist, pool: 2, train_size: 50, validation_size: 20, test_size: 20}
network: {hidden: 8}
training: {epochs: 1}
parameters: {network.kind: {values: [heterogeneous]}}
",
    );
    let said = bench.run(&["run", file, "--data", data.to_str().unwrap()]).expect(2);
    assert!(said.err.contains("train-images-idx3-ubyte"), "{}", said.err);
    assert!(!said.err.contains("panicked"), "{}", said.err);
    assert!(!bench.path().join(".rheo").exists(), "nothing was made");
}
