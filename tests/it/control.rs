//! Pausing, cancelling, listing: what people do to a sweep, with and without a coordinator running.

use rheo_tests::{RunningProgram, TestBench, wait_for};
use serde_json::json;

use crate::sweeps::SMALL;

fn serve(bench: &TestBench) -> RunningProgram {
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    serve
}

fn phase(bench: &TestBench) -> String {
    let status = bench.run(&["status", "small", "--output", "json"]).expect(0).json();
    status["sweeps"][0]["phase"].as_str().unwrap().to_owned()
}

#[test]
fn a_rule_of_stop_ends_a_sweep_and_is_named() {
    let bench = TestBench::default();
    let file = SMALL.to_owned() + "stop: {trials: 2}\n";
    // One trial at a time.
    let run = || bench.run(&["run", "small.yaml", "--workers", "1", "--slots", "1"]).expect(0);
    bench.file("small.yaml", &file);
    let preview = bench.run(&["preview", "small.yaml"]).expect(0).out;
    assert!(preview.contains("Ends after 2 ended or paused trials"), "{preview}");
    let said = run();
    assert!(said.out.contains("small ended: stop_trials: 2 of 6 trials completed"), "{}", said.out);
    let status = bench.run(&["status", "small", "--output", "json"]).expect(0).json();
    let sweep = &status["sweeps"][0];
    assert_eq!([&sweep["phase"], &sweep["reason"]], ["ended", "stop_trials"]);
    assert!(bench.run(&["status"]).expect(0).out.contains("ended: stop_trials"));
    assert_eq!(bench.value("select end_reason from sweeps"), "stop_trials");
    bench.run(&["wait", "small"]).expect(0);
    // Another two.
    bench.run(&["resume", "small"]).expect(0);
    let said = run();
    assert!(said.out.contains("stop_trials: 4 of 6 trials completed"), "{}", said.out);
}

#[test]
fn running_trials_go_on_to_their_end_after_a_rule_is_reached() {
    let bench = TestBench::default();
    // Two trials run side by side; the epochs of the first commits reach the rule.
    let file = SMALL.to_owned() + "stop: {epochs: 1}\n";
    let file = bench.file("small.yaml", &file);
    let said = bench.run(&["run", file, "--workers", "2", "--slots", "1"]).expect(0);
    assert!(said.out.contains("small ended: stop_epochs"), "{}", said.out);
    let ends = bench.query("select status, epochs from trials");
    // At most those that ran side by side when the first epoch was committed.
    assert!((1..=2).contains(&ends.len()), "{ends:?}");
    for end in &ends {
        assert_eq!([&end["status"], &end["epochs"]], [&json!("completed"), &ends[0]["epochs"]]);
    }
    assert_eq!(bench.value("select end_reason from sweeps"), "stop_epochs");
}

#[test]
fn a_sweep_is_paused_resumed_cancelled_and_resumed_live_and_at_rest() {
    for live in [true, false] {
        let bench = TestBench::default();
        let file = bench.file("small.yaml", SMALL);
        let _serve = live.then(|| serve(&bench));
        bench.run(&["submit", file]).expect(0);
        for (command, expected) in [
            ("pause", "paused"),
            ("pause", "paused"),
            ("resume", "running"),
            ("cancel", "ended"),
            ("cancel", "ended"),
            ("resume", "running"),
        ] {
            bench.run(&[command, "last"]).expect(0);
            assert_eq!(phase(&bench), expected, "after {command}, live: {live}");
        }
    }
}

#[test]
fn a_paused_sweep_starts_nothing_until_it_is_resumed() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let _serve = serve(&bench);
    bench.run(&["submit", file]).expect(0);
    bench.run(&["pause", "small"]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "1"]));
    wait_for("the worker to join", || {
        let trials = bench.run(&["trials", "small", "--status", "running", "-o", "json"]).expect(0);
        assert_eq!(trials.json().as_array().unwrap().len(), 0);
        bench.path().join("spool").exists().then_some(())
    });
    bench.run(&["resume", "small"]).expect(0);
    bench.run(&["wait", "small"]).expect(0);
    worker.end().expect(0);
}

#[test]
fn cancelling_a_running_sweep_stops_its_workers_soon_and_resuming_completes_it() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", &SMALL.replace("epochs: 4", "epochs: 400"));
    let _serve = serve(&bench);
    bench.run(&["submit", file]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "2"]));
    wait_for("a running trial", || {
        let trials = bench.run(&["trials", "small", "--status", "running", "-o", "json"]).json();
        trials.as_array().is_some_and(|list| !list.is_empty()).then_some(())
    });
    bench.run(&["cancel", "small"]).expect(0);
    bench.run(&["wait", "small"]).expect(1);
    worker.end().expect(0);
    let cancelled = bench.number("select count(*) from trials where status = 'cancelled'");
    assert!((1..=2).contains(&cancelled), "{cancelled}");
    assert_eq!(phase(&bench), "ended");
}

#[test]
fn a_second_coordinator_on_the_same_state_is_refused_and_the_first_goes_on() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let _serve = serve(&bench);
    let second = bench.run(&["serve"]).expect(3);
    assert!(second.err.contains("a coordinator runs already on"), "{}", second.err);
    let run = bench.run(&["run", file]).expect(2);
    assert!(run.err.contains("a coordinator runs already"), "{}", run.err);
    bench.run(&["submit", file]).expect(0);
}

#[test]
fn u02_another_sweep_of_the_same_name_is_refused_with_the_difference() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    bench.run(&["submit", file]).expect(0);
    let again = bench.run(&["submit", file]).expect(0);
    assert!(again.err.contains("was submitted before"), "{}", again.err);
    let other = bench.file("other.yaml", &SMALL.replace("epochs: 4", "epochs: 5"));
    let refused = bench.run(&["submit", other]).expect(2);
    for line in ["- training.epochs: 4", "+ training.epochs: 5", "give this sweep another `name`"] {
        assert!(refused.err.contains(line), "{line}\n{}", refused.err);
    }
}

#[test]
fn everything_about_a_trial_is_shown() {
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let queued = bench.run(&["submit", file]).expect(0);
    assert_eq!(queued.out, "small\n");
    let shown = bench.run(&["show", "small/5"]).expect(0);
    assert!(shown.out.contains("small/5: queued"), "{}", shown.out);
    assert!(shown.out.contains("kind: adaptive"), "{}", shown.out);
    bench.run(&["run", file]).expect(0);
    let shown = bench.run(&["show", "last/5"]).expect(0);
    assert!(shown.out.contains("completed after 1 attempt"), "{}", shown.out);
    let unknown = bench.run(&["show", "small/6"]).expect(2);
    assert!(unknown.err.contains("sweep `small` has no trial 6"), "{}", unknown.err);
    let unknown = bench.run(&["show", "smal/0"]).expect(2);
    assert!(unknown.err.contains("no sweep is called `smal`"), "{}", unknown.err);
}

#[test]
fn without_a_coordinator_and_without_state_the_exit_code_is_3() {
    let bench = TestBench::default();
    for command in [&["status"][..], &["query", "select 1"], &["wait", "demo"]] {
        let said = bench.run(command).expect(3);
        assert!(said.err.contains("no coordinator runs here"), "{}", said.err);
    }
    let said = bench.run(&["status", "--server", "http://127.0.0.1:1"]).expect(3);
    assert!(said.err.contains("cannot be reached"), "{}", said.err);
    assert!(!bench.state().exists(), "looking leaves nothing behind");
}
