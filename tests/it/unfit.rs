//! Workers that lack what trials need: data, a device, memory, a disk. They get no such trial, use no
//! budget of one, and are named.

mod data;
mod fleets;

use std::fs;
use std::path::Path;
use std::process::Command;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};

/// Six short trials on MNIST that may not fail once.
const HOLE: &str = "
name: hole
task: {kind: psmnist, pool: 4, train_size: 100, validation_size: 20, test_size: 20}
network: {hidden: 8}
training: {epochs: 2, batch: 25}
retry: {error: 0, lost: 0, out_of_memory: 0}
parameters:
  training.optimizer.lr: {values: [1.0e-4, 2.0e-4, 3.0e-4, 4.0e-4, 5.0e-4, 6.0e-4]}
";

/// The same on generated digits, with networks whose checkpoints take more than 100 kB.
fn large() -> String {
    HOLE.replace("psmnist, pool: 4", "digits, pool: 2").replace("hidden: 8", "hidden: 128")
}

/// An idx file of these dimensions.
fn idx(dimensions: &[u32]) -> Vec<u8> {
    let code = u8::try_from(dimensions.len()).unwrap();
    let mut bytes = vec![0, 0, 8, code];
    bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
    let items: u32 = dimensions.iter().product();
    bytes.extend((0..items).map(|item| u8::try_from(item % 10).unwrap()));
    bytes
}

/// Files like those of MNIST with so many images.
fn write_mnist(directory: &Path, train: u32, test: u32) {
    fs::create_dir_all(directory).unwrap();
    for (prefix, count) in [("train", train), ("t10k", test)] {
        let images = idx(&[count, 28, 28]);
        fs::write(directory.join(format!("{prefix}-images-idx3-ubyte")), images).unwrap();
        fs::write(directory.join(format!("{prefix}-labels-idx1-ubyte")), idx(&[count])).unwrap();
    }
}

/// Texts of 1,000 symbols in the directory `texts`: too few for 5,000 columns, which only shows when a
/// trial reads them.
pub(crate) fn write_short_texts(bench: &TestBench) {
    let texts = bench.path().join("texts");
    fs::create_dir_all(&texts).unwrap();
    for name in ["train.txt", "valid.txt", "test.txt"] {
        fs::write(texts.join(name), "abcdefghij".repeat(100)).unwrap();
    }
}

fn serve(bench: &TestBench) -> RunningProgram {
    let running = RunningProgram::start(bench.rheo(&["serve", "--poll", "0.3"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    running
}

/// A worker with a spool of its own.
fn worker(bench: &TestBench, spool: &str, args: &[&str]) -> Command {
    let mut command = bench.worker(args);
    command.env("RHEO_SPOOL", bench.path().join(spool)).args(["--slots", "1"]);
    command
}

/// The same command under a limit of the size of files, which is as good as a disk that is full.
fn limited(command: &Command, bytes: u32) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--fsize={bytes}")).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.current_dir(command.get_current_dir().unwrap());
    limited
}

/// Waits until `rheo status` says this.
fn wait_until_told(bench: &TestBench, text: &str) -> ProgramOutput {
    wait_for(text, || Some(bench.run(&["status"])).filter(|said| said.err.contains(text)))
}

/// Returns the number of attempts for each outcome.
fn outcomes(bench: &TestBench) -> Vec<(String, u64)> {
    let sql = "select outcome, count(*) as n from attempts group by outcome order by outcome";
    let row = |row: serde_json::Value| {
        (row["outcome"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap())
    };
    bench.query(sql).into_iter().map(row).collect()
}

fn all_completed() -> Vec<(String, u64)> {
    vec![("completed".to_owned(), 6)]
}

#[test]
fn u42_a_worker_without_data_takes_no_trial_beside_a_healthy_one_and_is_named() {
    let bench = TestBench::default();
    write_mnist(&bench.path().join("mnist"), 240, 40);
    fs::create_dir(bench.path().join("none")).unwrap();
    let _serve = serve(&bench);
    bench.run(&["submit", bench.file("hole.yaml", HOLE)]).expect(0);
    let _unfit = RunningProgram::start(worker(&bench, "a", &["--data", "none"]));
    let told = wait_until_told(&bench, "hole: no worker can run the waiting trials");
    let missing = "no file `train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz` in `none`";
    assert!(told.err.contains(missing), "{}", told.err);
    let _fit = RunningProgram::start(worker(&bench, "b", &["--data", "mnist"]));
    bench.run(&["wait", "hole"]).expect(0);
    assert_eq!(outcomes(&bench), all_completed());
    assert_eq!(bench.number("select count(distinct worker) from attempts"), 1);
    let told = bench.run(&["status"]).expect(0);
    assert!(told.err.contains("unfit: worker") && told.err.contains(missing), "{}", told.err);
    let unfit = bench.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(unfit["unfit"].as_array().unwrap().len(), 1, "{unfit}");
}

#[test]
fn u42_a_worker_with_a_full_disk_takes_no_trial_beside_a_healthy_one() {
    let bench = TestBench::default();
    let _serve = serve(&bench);
    bench.run(&["submit", bench.file("hole.yaml", &large())]).expect(0);
    let full = worker(&bench, "a", &[]);
    let _full = RunningProgram::start(limited(&full, 2000));
    let told = wait_until_told(&bench, "commits cannot be stored on disk (`--spool`)");
    assert!(told.err.contains("File too large (os error 27)"), "{}", told.err);
    assert!(told.err.contains(&bench.path().join("a").display().to_string()), "{}", told.err);
    let _fit = RunningProgram::start(worker(&bench, "b", &[]));
    bench.run(&["wait", "hole"]).expect(0);
    assert_eq!(outcomes(&bench), all_completed());
}

#[test]
fn u42_a_worker_whose_disk_fills_up_gives_its_trials_back_and_leaves_after_three() {
    let bench = TestBench::default();
    let _serve = serve(&bench);
    bench.run(&["submit", bench.file("hole.yaml", &large())]).expect(0);
    // There is room to see that the disk can be written to, and none for a checkpoint.
    let filling = worker(&bench, "a", &[]);
    let said = RunningProgram::start(limited(&filling, 100_000)).end().expect(1);
    assert!(
        said.err.contains("error: this worker is unfit for the trials: commits"),
        "{}",
        said.err
    );
    assert!(said.err.contains("File too large (os error 27)"), "{}", said.err);
    // What it trained was delivered from memory: the trial goes on from there.
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'unfit'"), 3);
    assert_eq!(bench.number("select count(*) from attempts where outcome <> 'unfit'"), 0);
    assert!(bench.number("select count(*) from attempts where commits > 0") > 0);
    let told = bench.run(&["status"]).expect(0);
    assert!(told.err.contains(", left: commits cannot be stored"), "{}", told.err);
    let _fit = RunningProgram::start(worker(&bench, "b", &[]));
    bench.run(&["wait", "hole"]).expect(0);
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'completed'"), 6);
    assert_eq!(bench.number("select count(*) from trials where status = 'completed'"), 6);
    assert_eq!(bench.number("select count(*) from epochs"), 12, "each row once");
}

#[test]
fn u42_a_spool_that_cannot_be_used_is_told_to_the_coordinator_too() {
    let bench = TestBench::default();
    let _serve = serve(&bench);
    bench.run(&["submit", bench.file("hole.yaml", &large())]).expect(0);
    bench.file("taken", "not a directory");
    let said = RunningProgram::start(worker(&bench, "taken", &[])).end().expect(2);
    assert!(said.err.contains("Not a directory (os error 20)"), "{}", said.err);
    let told = bench.run(&["status"]).expect(0);
    assert!(told.err.contains("Not a directory (os error 20)"), "{}", told.err);
}

#[test]
fn u42_a_run_that_no_worker_can_do_gives_up_and_says_why() {
    for (resources, cause) in [
        ("{device: cuda, kernel: libtorch}", "resources.device: no CUDA device here"),
        ("{memory_mb: 1000000}", "resources.memory_mb: `1000000`, but there are only"),
    ] {
        let bench = TestBench::default();
        let file = format!("{}resources: {resources}\n", large());
        let file = bench.file("hole.yaml", &file);
        let said = bench.run(&["run", file, "--unfit-timeout", "2"]).expect(1);
        assert!(
            said.err.contains("for 2 s no worker could run the waiting trials"),
            "{}",
            said.err
        );
        assert!(said.err.contains(cause), "{}", said.err);
        // Nothing is spoilt, and people see why afterwards.
        let told = bench.run(&["status"]).expect(0);
        assert!(told.err.contains(cause), "{}", told.err);
        let status = bench.run(&["status", "--output", "json"]).expect(0).json();
        assert_eq!(status["sweeps"][0]["counts"]["queued"], 6, "{status}");
        assert_eq!(bench.number("select count(*) from attempts"), 0);
    }
}

#[test]
fn u42_a_trial_that_needs_nothing_special_overtakes_those_that_do() {
    let bench = TestBench::default();
    let mixed = large()
        .replace("parameters:", "parameters:\n  resources.memory_mb: {values: [1000000, 1000]}");
    let _serve = serve(&bench);
    bench.run(&["submit", bench.file("hole.yaml", &mixed)]).expect(0);
    let _worker = RunningProgram::start(worker(&bench, "a", &[]));
    let status = || bench.run(&["status", "hole", "--output", "json"]).expect(0).json();
    let counts = wait_for("six trials", || {
        Some(status()["sweeps"][0]["counts"].clone()).filter(|counts| counts["completed"] == 6)
    });
    assert_eq!(counts["queued"], 6, "{counts}");
    wait_until_told(&bench, "no worker can run the waiting trials");
    let said = bench.run(&["wait", "hole", "--unfit-timeout", "1", "--timeout", "10"]).expect(1);
    let told = "no worker can run the waiting trials of hole: worker";
    assert!(said.err.contains(told), "{}", said.err);
    assert!(said.err.contains("resources.memory_mb: `1000000`"), "{}", said.err);
}
