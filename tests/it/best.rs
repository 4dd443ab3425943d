//! `rheo best`: the best points in every format, and the sweep file that runs them again.

use rheo_tests::{RunningProgram, TestBench, wait_for};
use serde_json::Value;

/// Two kinds of networks, one of them with a parameter of its own.
const KINDS: &str = "
name: kinds
task: {kind: digits, pool: 2, train_size: 60, validation_size: 40, test_size: 20}
network: {hidden: 6}
training: {epochs: 2, batch: 20}
parameters:
  network.kind: {values: [relu, heterogeneous]}
  network.n0: {values: [2, 6], when: {network.kind: heterogeneous}}
  training.optimizer.lr: {values: [1.0e-5, 1.0e-2]}
replicates: {seeds: [3, 5]}
";

fn best(bench: &TestBench, args: &[&str]) -> Value {
    bench.run(&[&["best"], args, &["--format", "json"]].concat()).expect(0).json()
}

/// The objective of each trial of a sweep, by seed.
fn objectives(bench: &TestBench, sweep: &str, point: &Value) -> Vec<Value> {
    let sql = format!(
        "select seed, objective from trials where sweep = '{sweep}' and point = {point} order by seed"
    );
    bench.query(&sql)
}

#[test]
fn the_best_point_runs_again_from_the_file_that_is_written() {
    let bench = TestBench::default();
    bench.run(&["run", bench.file("kinds.yaml", KINDS)]).expect(0);
    let table = bench.run(&["best", "kinds", "-n", "2"]).expect(0).out;
    assert!(table.contains("Leaderboard, by validation.accuracy"), "{table}");
    assert!(table.contains("2/2") && table.contains("... and 4 more"), "{table}");
    let json = best(&bench, &["last"]);
    let points = json["points"].as_array().unwrap();
    assert_eq!((points.len(), &json["further"]), (5, &1.into()));
    let first = &bench.query("select * from points order by rank limit 1")[0];
    for (key, column) in [
        ("point", "point"),
        ("value", "mean"),
        ("sd", "sd"),
        ("completed", "completed"),
        ("outcome", "outcome"),
    ] {
        assert_eq!(points[0][key], first[column], "{key}");
    }

    // The same trials have the same results, to the bit.
    let text = bench.run(&["best", "kinds", "--format", "yaml"]).expect(0).out;
    assert!(text.starts_with(&format!("# point {} of kinds: ", first["point"])), "{text}");
    bench.run(&["run", bench.file("best.yaml", &text)]).expect(0);
    let again = objectives(&bench, "kinds-best", &0.into());
    assert_eq!(again, objectives(&bench, "kinds", &first["point"]), "{text}");

    let new = ["best", "kinds", "--format", "yaml", "--new-seeds", "3", "--name", "more"];
    let text = bench.run(&new).expect(0).out;
    assert!(text.contains("\nname: more\n") && text.contains("{seeds: [6, 7, 8]}"), "{text}");
    let seen = bench.run(&["preview", bench.file("more.yaml", &text)]).expect(0).out;
    assert!(seen.contains("3 trials (1 points x 3 seeds)"), "{seen}");

    // A coordinator that runs answers the same.
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.url());
    assert_eq!(bench.run(&new).expect(0).out, text);
    assert_eq!(best(&bench, &["kinds"]), json);
    serve.kill();
}

#[test]
fn points_that_no_file_can_hold_together_are_refused_with_the_number_that_fits() {
    let bench = TestBench::default();
    bench.run(&["run", bench.file("kinds.yaml", KINDS)]).expect(0);
    let said = bench.run(&["best", "kinds", "--format", "yaml", "-n", "6"]).expect(2);
    let (_, fits) = said.err.split_once("write at most `-n ").unwrap();
    assert!(said.err.contains("`network.n0` varies among the points"), "{}", said.err);
    let fits = fits.split('`').next().unwrap();
    let text = bench.run(&["best", "kinds", "--format", "yaml", "-n", fits]).expect(0).out;
    let seen = bench.run(&["preview", bench.file("best.yaml", &text)]).expect(0).out;
    assert!(seen.contains(&format!("({fits} points x 2 seeds)")), "{seen}");
}

#[test]
fn a_sweep_without_results_has_no_best_point() {
    let bench = TestBench::default();
    bench.run(&["submit", bench.file("kinds.yaml", KINDS)]).expect(0);
    let said = bench.run(&["best", "kinds"]).expect(0);
    assert!(said.err.contains("no trial of kinds has ended yet"), "{}", said.err);
    let said = bench.run(&["best", "kinds", "--format", "yaml"]).expect(1);
    assert!(said.err.contains("no point of kinds can be repeated"), "{}", said.err);
    for (args, message) in [
        (&["--new-seeds", "2"][..], "add `--format yaml`"),
        (&["--format", "yaml", "--output", "json"], "leave one out"),
        (&["-n", "0"], "1..=1000"),
        (&["--output", "csv"], "this command prints `table` or `json`"),
    ] {
        let said = bench.run(&[&["best", "kinds"], args].concat()).expect(2);
        assert!(said.err.contains(message), "{args:?}: {}", said.err);
    }
}
