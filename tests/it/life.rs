//! A sweep from its file to its results.

use rheo_tests::{TestBench, wait_for};

use crate::sweeps::{SMALL, SMALL_EPOCHS, SMALL_EVALUATIONS, SMALL_SHAPES};
use crate::traces::{assert_same, traces};
use crate::unfit::write_short_texts;

#[test]
fn a_sweep_runs_to_its_end_and_leaves_every_row_once() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let said = bench.run(&["run", file, "--workers", "2"]).expect(0);
    for expected in [
        "small ended: 6 of 6 trials completed",
        "Leaderboard, by validation.accuracy",
        "step_drive",
        "results are Parquet files in",
        "query \"select",
    ] {
        assert!(said.out.contains(expected), "{expected}\n{}", said.out);
    }
    for (table, rows) in [
        ("trials", 6),
        ("attempts", 6),
        ("epochs", SMALL_EPOCHS),
        ("evaluations", SMALL_EVALUATIONS),
        ("shapes", SMALL_SHAPES),
    ] {
        assert_eq!(bench.number(&format!("select count(*) from {table}")), rows, "{table}");
    }
    // Each key once.
    for (table, key) in [
        ("trials", "trial"),
        ("attempts", "trial, attempt"),
        ("epochs", "trial, epoch"),
        ("evaluations", "trial, perturbation, level, coalesce(frequency, -1)"),
        ("shapes", "trial, epoch, neuron"),
    ] {
        let sql = format!("select count(*) from (select distinct {key} from {table})");
        let all = bench.number(&format!("select count(*) from {table}"));
        assert_eq!(bench.number(&sql), all, "{table}");
    }
}

#[test]
fn u01_running_a_finished_sweep_again_changes_nothing_and_says_so() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let first = bench.run(&["run", file, "--workers", "2"]).expect(0);
    let before = traces(&bench, "small");
    let again = bench.run(&["run", file, "--workers", "2"]).expect(0);
    assert!(again.err.contains("small has ended already"), "{}", again.err);
    assert_eq!(again.out, first.out, "the same leaderboard");
    assert_same(&traces(&bench, "small"), &before);
    assert_eq!(bench.number("select count(*) from attempts"), 6);
}

#[test]
fn the_example_queries_that_a_run_prints_work_when_pasted() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let said = bench.run(&["run", file]).expect(0);
    let examples: Vec<&str> =
        said.out.lines().filter(|line| line.trim_start().contains(" query \"")).collect();
    assert_eq!(examples.len(), 2, "{}", said.out);
    for example in examples {
        let shell = std::process::Command::new("sh")
            .args(["-c", example])
            .current_dir(bench.path())
            .output()
            .unwrap();
        let text = String::from_utf8(shell.stdout).unwrap();
        assert!(shell.status.success() && text.contains("heterogeneous"), "{example}\n{text}");
    }
}

#[test]
fn the_same_sweep_gives_the_same_bits_whatever_the_number_of_workers() {
    let (one, three) = (TestBench::default(), TestBench::default());
    for (bench, workers) in [(&one, "1"), (&three, "3")] {
        let file = bench.file("small.yaml", SMALL);
        bench.run(&["run", file, "--workers", workers]).expect(0);
    }
    assert_same(&traces(&three, "small"), &traces(&one, "small"));
}

#[test]
fn u37_submitting_returns_at_once_and_waiting_tells_the_end_by_its_exit_code() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let serve = rheo_tests::RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    let said = bench.run(&["submit", file]).expect(0);
    assert_eq!(said.out, "small\n");
    // Nothing has worked on it.
    let status = bench.run(&["status", "small", "--output", "json"]).expect(0).json();
    assert_eq!(status["sweeps"][0]["counts"]["queued"], 6);
    let wait = bench.run(&["wait", "small", "--timeout", "0.2"]).expect(1);
    assert!(wait.err.contains("has not ended"), "{}", wait.err);

    let _worker = rheo_tests::RunningProgram::start(bench.worker(&["--slots", "2"]));
    let wait = bench.run(&["wait", "small"]).expect(0);
    assert!(wait.out.contains("small  ended"), "{}", wait.out);
    serve.signal(rustix::process::Signal::TERM);
    serve.end().expect(0);
    assert!(!bench.state().join("server").exists());
}

#[test]
fn u07_a_worker_leaves_by_itself_when_nothing_is_left_and_the_sweep_says_exhausted() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let _serve = rheo_tests::RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    bench.run(&["submit", file]).expect(0);
    // One has no work of its own and waits until the others are done.
    let workers = ["1", "5", "2"]
        .map(|slots| rheo_tests::RunningProgram::start(bench.worker(&["--slots", slots])));
    for worker in workers {
        worker.end().expect(0);
    }
    let status = bench.run(&["status", "small", "--output", "json"]).expect(0).json();
    assert_eq!(status["sweeps"][0]["phase"], "ended");
    assert_eq!(status["sweeps"][0]["reason"], "exhausted");
}

#[test]
fn u14_a_sweep_with_a_failed_trial_exits_with_1_and_names_the_failure() {
    let bench = TestBench::default();
    // The texts are too short for so many columns.
    write_short_texts(&bench);
    let file = bench.file(
        "half.yaml",
        "
name: half
network: {hidden: 8}
task: {kind: char_lm, source: bytes, data: texts, eval_batch: 5000}
training: {epochs: 1, batch: 10}
retry: {error: 1, backoff: 0.01}
parameters:
  training.optimizer.lr: {values: [1.0e-3, 2.0e-3]}
",
    );
    let said = bench.run(&["run", file]).expect(1);
    assert!(said.out.contains("0 of 2 trials completed, 2 failed"), "{}", said.out);
    assert!(said.out.contains("`task.eval_batch: 5000` needs"), "{}", said.out);
    bench.run(&["wait", "half"]).expect(1);
    // U06: they are tried again, as new attempts, and no others.
    let retried = bench.run(&["retry", "half", "--failed"]).expect(0);
    assert!(retried.err.contains("2 trials are queued again"), "{}", retried.err);
    let said = bench.run(&["run", file]).expect(1);
    assert!(said.err.contains("half goes on"), "{}", said.err);
    assert_eq!(bench.number("select max(attempt) from attempts"), 4);
    assert_eq!(bench.number("select count(*) from attempts"), 8);
    assert_eq!(bench.number("select count(*) from trials"), 2);
}

#[test]
fn u38_everything_works_without_any_other_network() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let rheo = bench.rheo(&["run", file]);
    let program = rheo.get_program().to_string_lossy().into_owned();
    // A network namespace of its own has loopback and nothing else.
    let script = format!("ip link set lo up && exec {program} run {file}");
    let mut unshared = std::process::Command::new("unshare");
    unshared.args(["--net", "--map-root-user", "sh", "-c", &script]);
    let probe = std::process::Command::new("unshare")
        .args(["--net", "--map-root-user", "ip", "link", "set", "lo", "up"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("skipped: network namespaces need `unshare` and `ip` (util-linux, iproute2)");
        return;
    }
    let said = unshared.current_dir(bench.path()).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
}
