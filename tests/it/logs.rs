//! The logs of trials, live and at rest, and what says how an attempt ended.

use rheo_tests::{RunningProgram, TestBench, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use crate::sweeps::{LONG, SMALL};

fn serve(bench: &TestBench, args: &[&str]) -> RunningProgram {
    let serve = RunningProgram::start(bench.rheo(&[&["serve"], args].concat()));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    serve
}

fn logs(bench: &TestBench, trial: &str) -> Value {
    bench.run(&["logs", trial, "--output", "json"]).expect(0).json()
}

fn messages(attempt: &Value) -> Vec<&str> {
    let lines = attempt["lines"].as_array().unwrap().iter();
    lines.map(|line| line["message"].as_str().unwrap()).collect()
}

#[test]
fn the_log_of_a_trial_has_its_lines_outcome_and_error() {
    let bench = TestBench::default();
    let file = bench.file(
        "two.yaml",
        &format!(
            "{}  training.optimizer.lr: {{values: [1.0e-3, 1.0e+30]}}\n",
            SMALL
                .split("parameters:")
                .next()
                .unwrap()
                .replace("name: small", "name: two")
                .replace(", optimizer: {lr: 5.0e-3}", "")
                .replace(", controller: 4", "")
                + "parameters:\n"
        ),
    );
    bench.run(&["run", file]).expect(0);
    let good = logs(&bench, "two/0");
    assert_eq!(good["status"], "completed");
    let attempt = &good["attempts"][0];
    assert_eq!((&attempt["outcome"], &attempt["error"]), (&"completed".into(), &Value::Null));
    let lines = messages(attempt);
    assert_eq!(lines.first(), Some(&"attempt begins"), "{lines:?}");
    assert_eq!(lines.last(), Some(&"completed"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("epoch 1 of 4, ")), "{lines:?}");
    let shown = bench.run(&["logs", "two/0"]).expect(0).out;
    for expected in ["two/0 attempt 1: worker ", "INFO  attempt begins", "ended: completed"] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    let shown = bench.run(&["logs", "two/1", "--attempt", "1"]).expect(0).out;
    for expected in ["WARN  diverged: the loss ", "ended: diverged: the loss "] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    for (trial, attempt) in [("two/0", "7"), ("two/9", "1")] {
        bench.run(&["logs", trial, "--attempt", attempt]).expect(2);
    }
    assert_eq!(bench.number("select count(*) from logs where message = 'completed'"), 1);
}

#[test]
fn lines_are_seen_while_a_trial_runs_and_stay_when_its_worker_is_killed() {
    let bench = TestBench::default();
    let _serve = serve(&bench, &["--lease", "2"]);
    // Nothing is committed before the end.
    let file = bench.file("long.yaml", &LONG.replace("interval: 0.1", "interval: 3600"));
    bench.run(&["submit", file]).expect(0);
    let none = bench.run(&["logs", "long/0"]).expect(0);
    assert!(none.err.contains("it has no attempt yet"), "{}", none.err);
    let worker = RunningProgram::start(bench.worker(&["--slots", "1"]));
    wait_for("lines of the running trial", || {
        let seen = logs(&bench, "long/0");
        let attempt = &seen["attempts"][0];
        assert!(attempt["outcome"].is_null(), "{seen}");
        let lines = attempt["lines"].as_array()?;
        lines
            .iter()
            .any(|line| line["message"].as_str().unwrap().starts_with("epoch "))
            .then_some(())
    });
    assert_eq!(bench.number("select count(*) from logs"), 0, "nothing is durable yet");
    let shown = bench.run(&["logs", "long/0"]).expect(0).out;
    assert!(shown.contains("INFO  attempt begins") && shown.contains("  running"), "{shown}");
    worker.kill();
    let ended = wait_for("the lost attempt", || {
        let seen = logs(&bench, "long/0");
        (seen["attempts"][0]["outcome"] == "lost").then_some(seen)
    });
    let lines = messages(&ended["attempts"][0]);
    assert_eq!(lines[0], "attempt begins", "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("epoch ")), "{lines:?}");
    let numbers = "select count(*) - count(distinct line) from logs where trial = 0";
    assert_eq!(bench.number(numbers), 0, "each line once");

    // Whoever takes it next has a log of its own, at rest too.
    let worker = RunningProgram::start(bench.worker(&["--slots", "2"]));
    bench.run(&["wait", "long"]).expect(0);
    worker.end().expect(0);
    let seen = logs(&bench, "long/0");
    let outcomes: Vec<_> = seen["attempts"].as_array().unwrap().iter().collect();
    assert_eq!(outcomes.len(), 2, "{seen}");
    assert_eq!(messages(outcomes[1]).last(), Some(&"completed"), "{seen}");
}

#[test]
fn a_trial_that_times_out_names_its_limit_everywhere() {
    let bench = TestBench::default();
    let slow = LONG.replace("epochs: 12", "epochs: 4000");
    let slow = format!("{slow}resources: {{timeout: 0.5}}\nmax_failed_trials: 1\n");
    let slow = slow.replace("heterogeneous, ", "").replace("{lost: 100}", "{timed_out: 0}");
    let file = bench.file("slow.yaml", &slow.replace("name: long", "name: slow"));
    let run = bench.run(&["run", file, "--slots", "1"]).expect(1);
    let limit = "`resources.timeout: 0.5`";
    assert!(run.out.contains(limit), "{}", run.out);
    for command in [&["trials", "slow"][..], &["show", "slow/0"], &["logs", "slow/0"]] {
        let said = bench.run(command).expect(0);
        assert!(said.out.contains(limit), "{command:?}\n{}", said.out);
    }
    let sql = "select count(*) from attempts where outcome = 'timed_out' and error like \
               '%resources.timeout: 0.5%'";
    assert_eq!(bench.number(sql), 1);
    let seen = logs(&bench, "slow/0");
    let lines = seen["attempts"][0]["lines"].as_array().unwrap().clone();
    let warned = lines.iter().any(|line| line["level"] == "warn" && line["message"] == "timed out");
    assert!(warned, "{seen}");
}

#[test]
fn every_attempt_says_where_it_goes_on_and_what_went_wrong() {
    let bench = TestBench::default();
    let _serve = serve(&bench, &[]);
    let file = bench.file("long.yaml", &LONG.replace("{lost: 100}", "{error: 3, backoff: 0.1}"));
    bench.run(&["submit", file]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "1"]));
    wait_for("commits", || (bench.number("select count(*) from epochs") >= 2).then_some(()));
    worker.signal(Signal::TERM);
    worker.end().expect(0);
    let shown = bench.run(&["show", "long/0", "--output", "json"]).expect(0).json();
    let digest = shown["checkpoint"].as_str().unwrap();
    let path = bench.state().join("checkpoints").join(&digest[..2]).join(digest);
    std::fs::write(path, "no checkpoint").unwrap();

    let worker = RunningProgram::start(bench.worker(&["--slots", "2"]));
    bench.run(&["wait", "long"]).expect(0);
    worker.end().expect(0);
    let seen = logs(&bench, "long/0");
    let attempts = seen["attempts"].as_array().unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["preempted", "error", "completed"], "{seen}");
    let last = messages(&attempts[0]).pop().unwrap();
    assert!(last.contains("the worker is leaving"), "{seen}");
    let second = messages(&attempts[1]);
    let origin = format!("attempt resumes from checkpoint {}", &digest[..12]);
    assert_eq!(second[0], origin, "{seen}");
    assert!(second[1].starts_with("cannot resume: ") && second[1].contains("damaged"), "{seen}");
    assert_eq!(attempts[1]["lines"][1]["level"], "error");
    assert!(attempts[1]["error"].as_str().unwrap().contains("damaged"), "{seen}");
    assert_eq!(messages(&attempts[2])[0], "attempt begins", "{seen}");
}
