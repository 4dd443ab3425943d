//! A fleet on this machine: workers that outlive the command and the coordinator that started them.

use rheo_tests::{RunningProgram, TestBench, wait_for};
use serde_json::Value;

use crate::sweeps::{LONG, LONG_EPOCHS};

/// Returns the pilots of the fleet `local`, as `rheo launch list` prints them.
fn pilots(bench: &TestBench) -> Vec<Value> {
    let said = bench.run(&["launch", "list", "local", "--output", "json"]);
    let fleets = said.status.success().then(|| said.json());
    let pilots = fleets.and_then(|fleets| fleets[0]["pilots"].as_array().cloned());
    pilots.unwrap_or_default()
}

fn serve(bench: &TestBench) -> RunningProgram {
    let _ = std::fs::remove_file(bench.state().join("server"));
    let running = RunningProgram::start(bench.rheo(&["serve", "--poll", "0.3"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    running
}

#[test]
fn pilots_on_this_machine_are_found_again_by_a_coordinator_that_was_killed() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let coordinator = serve(&bench);
    bench.run(&["launch", "local", file, "--max", "2"]).expect(0);
    let jobs = |pilots: &[Value]| -> Vec<String> {
        pilots.iter().map(|pilot| pilot["job"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let before = wait_for("two pilots with trials", || {
        let pilots = pilots(&bench);
        let busy = pilots.iter().filter(|pilot| pilot["trials"] == 1).count();
        (busy == 2).then(|| jobs(&pilots))
    });
    coordinator.kill();
    let _coordinator = serve(&bench);
    let after = wait_for("the pilots", || {
        let pilots = pilots(&bench);
        (pilots.len() == 2).then(|| jobs(&pilots))
    });
    assert_eq!(after, before, "neither forgotten nor doubled");
    bench.run(&["wait", "long"]).expect(0);
    assert_eq!(bench.number("select count(*) from epochs"), LONG_EPOCHS);
    let told = bench.number("select count(*) from attempts where pilot like 'local/%'");
    assert_eq!(told, bench.number("select count(*) from attempts"));
    wait_for("pilots to leave", || pilots(&bench).is_empty().then_some(()));
    wait_for("their processes to end", || bench.worker_pids().is_empty().then_some(()));
}

#[test]
fn a_fleet_that_is_unknown_or_asked_for_too_little_is_told() {
    let bench = TestBench::default();
    let _coordinator = serve(&bench);
    for verb in ["drain", "stop"] {
        let said = bench.run(&["launch", verb, "nobody"]).expect(2);
        assert!(said.err.contains("no fleet is called `nobody`"), "{}", said.err);
    }
    let said = bench.run(&["launch", "local"]).expect(2);
    assert!(said.err.contains("--max is missing"), "{}", said.err);
    let said = bench.run(&["launch", "local", "--max", "2", "--min", "3"]).expect(2);
    assert!(said.err.contains("--max 2 is less than --min 3"), "{}", said.err);
    let said = bench.run(&["launch", "local", "--max", "2", "--name", "Not Me"]).expect(2);
    assert!(said.err.contains("not a name of a fleet"), "{}", said.err);
    // A trial that is larger than any worker waits for nobody in silence.
    let file = bench.file("large.yaml", &format!("{LONG}resources: {{threads: 4}}\n"));
    bench.run(&["launch", "local", file, "--max", "1"]).expect(0);
    wait_for("the sweep to be told too large", || {
        bench.run(&["status"]).err.contains("takes 4 threads (`resources.threads`)").then_some(())
    });
    assert!(bench.worker_pids().is_empty());
}
