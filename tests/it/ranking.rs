//! One definition of best: the leaderboard, `rheo status`, `rheo best` and SQL name the same point.

use rheo_tests::{ProgramOutput, TestBench};
use serde_json::Value;

/// A large rate diverges early, with a lower loss than the small one ever reaches.
const DIVERGED: &str = "
name: win
task: {kind: digits, pool: 2, train_size: 100, validation_size: 50, test_size: 50}
network: {hidden: 16, kind: relu}
training: {epochs: 30, batch: 25, optimizer: {kind: sgd}}
method: grid
metric: {name: validation.loss, goal: minimize}
parameters:
  training.optimizer.lr: {values: [0.001, 1.0]}
";

/// The best trial belongs to a point that is not the best.
const LUCKY: &str = "
name: lucky
task: {kind: digits, pool: 2, train_size: 400, validation_size: 40, test_size: 40}
network: {hidden: 16, kind: relu}
training: {epochs: 8, batch: 25}
method: grid
parameters:
  training.optimizer.lr: {values: [4.0e-3, 6.0e-3, 1.0e-2, 1.4e-2]}
replicates: {seeds: [1, 2, 3, 4, 5, 6]}
";

/// The first line of the leaderboard.
#[track_caller]
fn leader(said: &ProgramOutput) -> Vec<&str> {
    let (_, board) = said.out.split_once("Leaderboard").unwrap();
    board.lines().nth(2).unwrap().split_whitespace().collect()
}

/// The best point as `rheo status` has it.
fn status(bench: &TestBench) -> Value {
    let status = bench.run(&["status", "last", "--output", "json"]).expect(0).json();
    status["sweeps"][0]["best"].clone()
}

/// The best point as SQL has it.
fn sql(bench: &TestBench) -> Value {
    bench.query("select * from points order by rank limit 1").remove(0)
}

/// The best point as `rheo best` has it.
fn best(bench: &TestBench) -> Value {
    let best = bench.run(&["best", "last", "-n", "1", "--output", "json"]).expect(0).json();
    best["points"][0].clone()
}

/// Fails unless all of them agree, and returns the point.
#[track_caller]
fn agreed(bench: &TestBench, said: &ProgramOutput) -> u64 {
    let (status, sql, leader, best) = (status(bench), sql(bench), leader(said), best(bench));
    let point = sql["point"].as_u64().unwrap();
    let value = sql["value"].as_f64().unwrap();
    for other in [&status, &best] {
        assert_eq!(other["point"], sql["point"], "{other} {sql}");
        assert_eq!((&other["completed"], &other["seeds"]), (&sql["completed"], &sql["seeds"]));
        let same = other["value"].as_f64().unwrap();
        assert!((value - same).abs() < 1e-12 * value.abs(), "{value} {same}");
    }
    assert_eq!(leader[..2], ["1".to_owned(), point.to_string()], "{leader:?}");
    assert_eq!(leader[2], format!("{value:.*}", leader[2].split('.').next_back().unwrap().len()));
    point
}

#[test]
fn u47_a_diverged_trial_never_stands_above_a_completed_one() {
    let bench = TestBench::default();
    let said = bench.run(&["run", bench.file("win.yaml", DIVERGED)]).expect(0);
    let trials = bench.query("select status, objective from trials order by trial");
    assert_eq!([&trials[0]["status"], &trials[1]["status"]], ["completed", "diverged"]);
    assert_eq!(agreed(&bench, &said), 0);
    let board = said.out.split_once("Leaderboard").unwrap().1;
    assert!(board.find("completed") < board.find("diverged"), "{board}");
    let table = bench.run(&["status"]).expect(0).out;
    let count = |column: &str| {
        let [head, row] = [0, 1].map(|line| table.lines().nth(line).unwrap().split_whitespace());
        let at = head.into_iter().position(|name| name == column).unwrap();
        row.into_iter().nth(at).unwrap().to_owned()
    };
    assert_eq!(["DONE", "DIVERGED", "FAILED"].map(count), ["1", "1", "0"], "{table}");
}

#[test]
fn u36_a_lucky_seed_does_not_win() {
    let bench = TestBench::default();
    let said = bench.run(&["run", bench.file("lucky.yaml", LUCKY), "--workers", "2"]).expect(0);
    let point = agreed(&bench, &said);
    let sums = "select point, avg(objective) as mean, max(objective) as highest from trials \
                group by point order by mean desc";
    let points = bench.query(sums);
    assert_eq!(points[0]["point"], point, "the point with the best mean");
    let luckiest = points.iter().max_by(|a, b| {
        let highest = |point: &Value| point["highest"].as_f64().unwrap();
        highest(a).total_cmp(&highest(b))
    });
    assert_ne!(luckiest.unwrap()["point"], point, "the input shows a lucky seed\n{}", said.out);
    // Its seeds are beside it.
    assert_eq!(leader(&said)[4], "6/6", "{}", said.out);
    let status = bench.run(&["status", "lucky"]).expect(0).out;
    assert!(status.contains("6/6 seeds") && status.contains("seed 6"), "{status}");
}

#[test]
fn u36_the_rule_of_the_sweep_ranks_points_everywhere() {
    // The 95 % quantile of Student's t with 2 degrees of freedom is 2.919986.
    let bound = "avg(objective) - 2.919986 * stddev(objective) / sqrt(3)";
    for (rule, heading, value) in
        [("median", "MEDIAN", "median(objective)"), ("lower_bound", "BOUND", bound)]
    {
        let bench = TestBench::default();
        let file = LUCKY
            .replace("{seeds: [1, 2, 3, 4, 5, 6]}", &format!("{{count: 3, aggregate: {rule}}}"));
        let said = bench.run(&["run", bench.file("ruled.yaml", &file), "--workers", "2"]).expect(0);
        agreed(&bench, &said);
        assert!(said.out.contains(heading), "{}", said.out);
        let own =
            format!("select point, {value} as value from trials group by point order by point");
        let (own, points) = (bench.query(&own), bench.query("select * from points order by point"));
        for (own, point) in own.iter().zip(&points) {
            let [own, value] = [own, point].map(|row| row["value"].as_f64().unwrap());
            assert!((own - value).abs() < 1e-6, "{own} {point}");
        }
        let ranked = bench.query("select value from points order by rank");
        assert!(ranked.is_sorted_by_key(|row| -row["value"].as_f64().unwrap()), "{ranked:?}");
    }
}

#[test]
fn u36_a_point_with_seeds_missing_is_not_best_while_a_completed_one_exists() {
    let bench = TestBench::default();
    // One trial at a time, and one seed of the second point.
    let file =
        LUCKY.replace("lucky", "half").replace("[1, 2, 3, 4, 5, 6]", "[3, 5]") + "run_cap: 3\n";
    let said = bench.run(&["run", bench.file("half.yaml", &file)]).expect(0);
    assert_eq!(agreed(&bench, &said), 0);
    let points = bench.query("select outcome, completed, seeds from points order by rank");
    assert_eq!(points[1]["outcome"], "provisional", "{points:?}");
    assert!(said.out.contains("1/2"), "{}", said.out);
}

#[test]
fn tables_of_a_run_mix_no_hyperparameters() {
    let bench = TestBench::default();
    let file = LUCKY
        .replace("lucky", "two")
        .replace("[4.0e-3, 6.0e-3, 1.0e-2, 1.4e-2]", "[1.0e-6, 1.0e-2]")
        .replace("[1, 2, 3, 4, 5, 6]", "[1, 2]");
    let said = bench.run(&["run", bench.file("two.yaml", &file), "--workers", "2"]).expect(0);
    let best = bench.value("select avg(test_accuracy) from trials where point = 1").as_f64();
    let all = bench.value("select avg(test_accuracy) from trials").as_f64();
    let row = said.out.lines().find(|line| line.starts_with("digits")).unwrap();
    let shown = row.split_whitespace().nth(6).and_then(|value| value.parse::<f64>().ok());
    let off = |from: Option<f64>| (shown.unwrap() - from.unwrap()).abs();
    assert!(off(best) < 1e-4, "{row} is not of the best point, {best:?}");
    assert!(off(all) > 1e-3, "{row} is a mean over both points, {all:?}");
}
