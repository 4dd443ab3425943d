//! Hints in messages work: the tests run them as they are printed.

use std::path::Path;
use std::process::{Command, Output};

use rheo_tests::{RunningProgram, TestBench, wait_for};

fn sweep(name: &str, epochs: u32) -> String {
    format!(
        "
name: {name}
task: {{kind: digits, pool: 2, train_size: 100, validation_size: 20, test_size: 20}}
network: {{hidden: 4}}
training: {{epochs: {epochs}, batch: 20}}
checkpoint: {{interval: 0.1}}
parameters:
  training.optimizer.lr: {{values: [1.0e-3, 2.0e-3]}}
"
    )
}

/// The command between backticks that contains `word`.
#[track_caller]
fn printed(text: &str, word: &str) -> String {
    let mut pieces = text.split('`').skip(1).step_by(2);
    let found = pieces.find(|piece| piece.contains(word));
    found.unwrap_or_else(|| panic!("no `{word}` in: {text}")).to_owned()
}

fn paste(command: &str, directory: &Path) -> Output {
    Command::new("sh").args(["-c", command]).current_dir(directory).output().unwrap()
}

fn phase(bench: &TestBench, name: &str) -> String {
    let status = bench.run(&["status", name, "--output", "json"]).expect(0).json();
    status["sweeps"][0]["phase"].as_str().unwrap().to_owned()
}

#[test]
fn a_running_rheo_run_also_runs_sweeps_submitted_to_it() {
    let bench = TestBench::default();
    let (a, b) = (sweep("a", 100_000), sweep("b", 1));
    let (a, b) = (bench.file("a.yaml", &a), bench.file("b it's.yaml", &b));
    let first = RunningProgram::start(bench.rheo(&["run", a]));
    wait_for("a trial of a", || {
        let status = bench.run(&["status", "-o", "json"]);
        (status.code() == 0 && status.json()["sweeps"][0]["counts"]["running"] != 0).then_some(())
    });
    let refused = bench.run(&["run", b]).expect(2);
    let handed = paste(&printed(&refused.err, " submit "), bench.path());
    assert!(handed.status.success(), "{handed:?}");
    assert_eq!(phase(&bench, "b"), "running");
    bench.run(&["cancel", "a"]).expect(0);
    let said = first.end().expect(1);
    assert!(said.err.contains("b was submitted meanwhile and runs now: 2 trials"), "{}", said.err);
    assert!(said.out.contains("a ended: cancelled"), "{}", said.out);
    assert_eq!(phase(&bench, "b"), "ended");
    assert_eq!(bench.number("select count(*) from trials where sweep = 'b'"), 2);
}

#[test]
fn a_run_leaves_earlier_submitted_sweeps_alone() {
    let bench = TestBench::default();
    let (a, b) = (sweep("a", 1), sweep("b", 1));
    bench.run(&["submit", bench.file("a.yaml", &a)]).expect(0);
    bench.run(&["run", bench.file("b.yaml", &b)]).expect(0);
    assert_eq!(phase(&bench, "a"), "running");
    assert_eq!(bench.number("select count(*) from trials where sweep = 'a'"), 0);
}

#[test]
fn without_a_coordinator_every_command_names_the_remedy() {
    let bench = TestBench::default();
    let text = sweep("a", 1);
    let file = bench.file("my sweep.yaml", &text);
    let submitted = bench.run(&["--state", "my state", "submit", file]).expect(0);
    let hint = printed(&submitted.err, " run ");
    for command in ["watch", "wait"] {
        let said = bench.run(&["--state", "my state", command, "a"]).expect(3);
        assert!(said.err.contains("2 trials of `a` are left"), "{command}: {}", said.err);
        assert!(said.err.contains("no coordinator runs here"), "{command}: {}", said.err);
    }
    let status = bench.run(&["--state", "my state", "status"]).expect(0);
    assert!(status.out.contains("idle: no worker"), "{}", status.out);
    assert!(printed(&status.err, " run ").ends_with("--state 'my state' run FILE"));
    for args in [&["pause", "a"][..], &["resume", "a"], &["cancel", "a"], &["resume", "a"]] {
        let said = bench.run(&[&["--state", "my state"], args].concat()).expect(0);
        let waits = args[0] == "resume";
        assert_eq!(said.err.contains("no coordinator runs here"), waits, "{args:?} {}", said.err);
    }
    let pasted = paste(&hint, bench.path());
    assert!(pasted.status.success(), "{hint}: {pasted:?}");
    // Nothing is left to wait for.
    let watched = bench.run(&["--state", "my state", "watch", "a"]).expect(0);
    assert!(watched.err.contains("a ended: 2 of 2 trials have ended"), "{}", watched.err);
}

#[test]
fn a_sweep_without_a_worker_is_idle_until_one_comes() {
    let bench = TestBench::default();
    let text = sweep("a", 100_000);
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    bench.run(&["submit", bench.file("a.yaml", &text)]).expect(0);
    let idle = |bench: &TestBench| {
        let status = bench.run(&["status", "--output", "json"]).expect(0).json();
        status["sweeps"][0]["idle"].as_bool().unwrap()
    };
    assert!(idle(&bench));
    // One that works for other sweeps changes nothing.
    let other = RunningProgram::start(bench.worker(&["--sweep", "other"]));
    let worker = RunningProgram::start(bench.worker(&["--slots", "1"]));
    wait_for("a worker", || (!idle(&bench)).then_some(()));
    let status = bench.run(&["status"]).expect(0);
    assert!(!status.out.contains("idle"), "{}", status.out);
    other.kill();
    worker.kill();
    serve.kill();
}

#[test]
fn a_cancelled_sweep_resumes_by_the_command_that_run_prints() {
    let bench = TestBench::default();
    let text = sweep("a", 1);
    let file = bench.file("a.yaml", &text);
    bench.run(&["submit", file]).expect(0);
    bench.run(&["cancel", "a"]).expect(0);
    let said = bench.run(&["run", file]).expect(1);
    assert!(said.err.contains("and then the same command go on"), "{}", said.err);
    let resumed = paste(&printed(&said.err, " resume "), bench.path());
    assert!(resumed.status.success(), "{resumed:?}");
    bench.run(&["run", file]).expect(0);
}

const STATE: [&str; 2] = ["--state", "my state"];

fn in_state<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&STATE[..], args].concat()
}

#[test]
fn commands_in_replies_of_a_coordinator_repeat_the_state_option() {
    let bench = TestBench::default();
    let serve = RunningProgram::start(bench.rheo(&in_state(&["serve"])));
    let server = bench.path().join("my state/server");
    let url = wait_for("the coordinator", || {
        let text = std::fs::read_to_string(&server).ok()?;
        text.lines().next().map(str::to_owned)
    });
    let text = sweep("a", 100_000);
    bench.run(&in_state(&["submit", bench.file("a.yaml", &text)])).expect(0);
    let worker = RunningProgram::start(bench.worker(&in_state(&["--slots", "1"])));
    wait_for("a trial", || {
        let status = bench.run(&in_state(&["status", "-o", "json"])).expect(0).json();
        (status["sweeps"][0]["counts"]["running"] != 0).then_some(())
    });
    // Neither the coordinator nor the core knows how its clients reach it.
    for args in [&["launch", "scale", "none", "--max", "2"][..], &["launch", "stop", "none"]] {
        let said = bench.run(&in_state(args)).expect(2);
        let listed = paste(&printed(&said.err, " launch list"), bench.path());
        assert!(listed.status.success(), "{args:?} {listed:?}\n{}", said.err);
    }
    let token = bench.path().join("my state/tls/admin.token");
    let mut by_server = bench.rheo(&["--server", &url, "delete", "a", "--yes"]);
    by_server.env("RHEO_TOKEN_FILE", &token);
    let refused = RunningProgram::start(by_server).end().expect(2);
    assert!(printed(&refused.err, " cancel ").contains(&format!("--server {url} ")));
    let refused = bench.run(&in_state(&["delete", "a", "--yes"])).expect(2);
    let cancelled = paste(&printed(&refused.err, " cancel "), bench.path());
    assert!(cancelled.status.success(), "{cancelled:?}\n{}", refused.err);
    wait_for("the sweep to be cancelled", || {
        let status = bench.run(&in_state(&["status", "-o", "json"])).expect(0).json();
        (status["sweeps"][0]["counts"]["running"] == 0).then_some(())
    });
    worker.kill();
    serve.kill();
}
