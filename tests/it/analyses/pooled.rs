//! The views over trials that differ in their seed, of one sweep and of two, and over the cells of a
//! trial: `comparisons`, `pooled_gain_fits`, `robustness`.

use rheo_tests::TestBench;
use serde_json::{Value, json};

use super::{assert_close, assert_once, column, ended, mean, number, run, those};

const SWEEP: &str = include_str!("../science/pooled.yaml");

/// Seeds of both tasks by what `sweep` says; null is both sweeps together, of which the second has
/// another seed of one task and one that the first has too.
const SCOPES: [(Option<&str>, &[u64], &[u64]); 3] = [
    (Some("pooled"), &[1, 2, 3], &[1, 2, 3]),
    (Some("more"), &[3, 4], &[]),
    (None, &[1, 2, 3, 4], &[1, 2, 3]),
];

#[test]
fn seeds_are_pooled_and_tasks_compared() {
    let bench = ended(SWEEP);
    let more = [
        ("name: pooled", "name: more"),
        ("[digits, evidence]", "[digits]"),
        ("stimulus: 24, silence: 3, ", ""),
        ("seeds: [1, 2, 3]", "seeds: [3, 4]"),
    ];
    let mut second = SWEEP.to_owned();
    for (from, to) in more {
        assert!(second.contains(from), "{from}");
        second = second.replace(from, to);
    }
    run(&bench, "more.yaml", &second);
    comparisons(&bench);
    pooled_gain_fits(&bench);
    robustness(&bench);
}

/// Returns one row for each of `seeds`; a seed may have run in both sweeps.
fn of_seeds<'r>(rows: &'r [Value], wanted: &Value, seeds: &[u64]) -> Vec<&'r Value> {
    let first = |seed: &u64| {
        let mut wanted = wanted.clone();
        wanted["seed"] = json!(seed);
        let found = those(rows, &wanted, "trial");
        *found.first().unwrap_or_else(|| panic!("no row of {wanted}"))
    };
    seeds.iter().map(first).collect()
}

/// Student's t test at xi = 30, of the orders in `fractional_fits`.
fn comparisons(bench: &TestBench) {
    let fits = bench.query("select * from fractional_fits where scope = 'per_xi' and xi = 30");
    let rows = bench.query("select * from comparisons where xi = 30");
    let mut count = 0;
    for (sweep, digits, evidence) in SCOPES {
        for variant in ["corrected", "released"] {
            for connectivity in ["isolated", "interacting"] {
                let group = |task: &str, seeds: &[u64]| {
                    let wanted =
                        json!({"task": task, "variant": variant, "connectivity": connectivity});
                    let mut alphas = column(&of_seeds(&fits, &wanted, seeds), "alpha");
                    // No order was found where it is NaN, which is not so for the published code.
                    alphas.retain(|alpha| !alpha.is_nan());
                    assert!(variant == "corrected" || alphas.len() == seeds.len());
                    alphas
                };
                let (a, b) = (group("digits", digits), group("evidence", evidence));
                let wanted =
                    json!({"sweep": sweep, "variant": variant, "connectivity": connectivity});
                let found = those(&rows, &wanted, "xi");
                let is_testable = !a.is_empty() && !b.is_empty() && a.len() + b.len() > 2;
                assert_eq!(found.len(), usize::from(is_testable), "{wanted}");
                count += found.len();
                for row in found {
                    check_test(row, &a, &b);
                }
            }
        }
    }
    assert!(count >= 2 * 2, "the published fits of two scopes and two connectivities");
    assert_eq!(rows.len(), count, "and no others");
}

fn check_test(row: &Value, a: &[f64], b: &[f64]) {
    assert!(row["net"] == "adaptive" && row["epoch"] == 0 && row["protocol"] == "short", "{row}");
    assert!(row["quantity"] == "alpha", "{row}");
    assert!(row["group_a"] == "digits" && row["group_b"] == "evidence", "{row}");
    assert!(row["seeds_a"] == a.len() && row["seeds_b"] == b.len(), "{row}");
    let squares =
        |values: &[f64]| -> f64 { values.iter().map(|value| (value - mean(values)).powi(2)).sum() };
    let df = (a.len() + b.len() - 2) as f64;
    let size = |values: &[f64]| 1.0 / values.len() as f64;
    let deviation = ((squares(a) + squares(b)) / df * (size(a) + size(b))).sqrt();
    assert_close(number(row, "mean_a"), mean(a), 1e-12, row);
    assert_close(number(row, "mean_b"), mean(b), 1e-12, row);
    assert_eq!(number(row, "df"), df, "{row}");
    let p = number(row, "p");
    if deviation > 1e-9 {
        assert_close(number(row, "t"), (mean(a) - mean(b)) / deviation, 1e-6, row);
        assert!((0.0..=1.0).contains(&p), "{row}");
    } else {
        // Orders from a grid that are all the same: infinitely far apart, or no test at all.
        assert!(p.is_nan() || p < 1e-6, "{row}");
    }
}

/// The corrected curves go through the means over seeds as well as they say, and no worse than the
/// mean itself.
fn pooled_gain_fits(bench: &TestBench) {
    let points = bench.query("select * from gain_scaling");
    let rows = bench.query("select * from pooled_gain_fits where variant = 'corrected'");
    assert_once(&rows, 4 * 2, &["sweep", "task", "quantity"]);
    for (sweep, digits, evidence) in SCOPES {
        // Both sweeps together are told only where they add something.
        let evidence = if sweep.is_none() { &[] } else { evidence };
        for (task, seeds) in [("digits", digits), ("evidence", evidence)] {
            let found = those(&rows, &json!({"sweep": sweep, "task": task}), "epoch");
            assert_eq!(found.len(), if seeds.is_empty() { 0 } else { 2 }, "{sweep:?} {task}");
            for row in found {
                check_fit(row, &points, seeds);
            }
        }
    }
    let released = "select count(*) from pooled_gain_fits where variant = 'released' \
                    and pooled_seeds > 4";
    assert_eq!(bench.number(released), 0);
}

fn check_fit(row: &Value, points: &[Value], seeds: &[u64]) {
    assert!(row["pooled_seeds"] == seeds.len() && row["net"] == "adaptive", "{row}");
    let [a, b, c, rmse] = ["a", "b", "c", "rmse"].map(|name| number(row, name));
    let is_gain = row["quantity"] == "n";
    let square = |xi: f64| {
        let points = of_seeds(points, &json!({"task": row["task"], "xi": xi}), seeds);
        let value = mean(&column(&points, if is_gain { "n_mean" } else { "s_mean" }));
        let shrunk = if is_gain { xi.powf(-b) } else { (-b * xi).exp() };
        (a * shrunk + c - value).powi(2)
    };
    // At all strengths above zero.
    assert_close(rmse, mean(&[1.0, 2.5, 5.0, 20.0].map(square)).sqrt(), 1e-9, row);
    assert!((0.0..=1.0).contains(&number(row, "r2")), "{row}");
}

/// One index for each trial and curve, from its cells.
fn robustness(bench: &TestBench) {
    let cells = bench.query("select * from evaluations where condition is null");
    let rows = bench.query("select * from robustness");
    assert_once(&rows, (6 + 2) * 2, &["sweep", "trial", "perturbation"]);
    for row in &rows {
        let mut trial = json!({"sweep": row["sweep"], "trial": row["trial"]});
        trial["perturbation"] = json!("none");
        let clean = number(those(&cells, &trial, "level")[0], "accuracy");
        let (name, levels): (&str, &[f64]) = match row["perturbation"].as_str() {
            Some("step_drive") => ("step_drive", &[0.0, 20.0, 100.0]),
            _ => ("noise_drive", &[0.0, 2.0]),
        };
        trial["perturbation"] = json!(name);
        let at = |level: f64| {
            let mut wanted = trial.clone();
            wanted["level"] = json!(level);
            mean(&column(&those(&cells, &wanted, "repetition"), "accuracy"))
        };
        let area = |pair: &[f64]| (pair[1] - pair[0]) * f64::midpoint(at(pair[0]), at(pair[1]));
        let range = levels[levels.len() - 1] - levels[0];
        let kept = levels.windows(2).map(area).sum::<f64>() / range;
        assert_close(number(row, "clean_accuracy"), clean, 1e-12, row);
        assert_close(number(row, "mean_accuracy"), kept, 1e-12, row);
        if clean > 0.0 {
            assert_close(number(row, "index"), kept / clean, 1e-12, row);
        }
    }
}
