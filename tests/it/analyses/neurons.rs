//! The tables about gain and saturation: `shapes`, `activation_curves`, `shape_traces` and
//! `shape_steps`, `gain_scaling` and `gain_fits`, `slope_contours`.

use std::collections::BTreeSet;

use rheo_tests::TestBench;
use serde_json::{Value, json};

use super::{
    assert_close, assert_once, column, ended, gamma, mean, number, steepest, table, those,
};

const SHAPES: [&str; 6] = ["phase", "neuron", "n", "s", "n_init", "s_init"];
const CURVES: [&str; 5] = ["n", "s", "x", "value", "slope"];
const TRACES: [&str; 7] = ["drive", "xi", "t", "n_mean", "n_std", "s_mean", "s_std"];
const STEPS: [&str; 9] =
    ["xi", "n_pre", "n_onset", "n_steady", "n_tau", "s_pre", "s_onset", "s_steady", "s_tau"];
const SCALING: [&str; 3] = ["xi", "n_mean", "s_mean"];
const FITS: [&str; 8] = ["quantity", "form", "a", "b", "c", "rmse", "r2", "pooled_seeds"];
const CONTOURS: [&str; 4] = ["xi", "n", "s", "slope"];

#[test]
fn shapes() {
    let bench = ended(include_str!("../science/shapes.yaml"));
    let rows = table(&bench, "shapes", &SHAPES);
    // Four kinds with a shape, two epochs, eight neurons.
    assert_once(&rows, 4 * 2 * 8, &["trial", "epoch", "neuron"]);
    for row in &rows {
        assert_eq!((&row["phase"], &row["variant"]), (&json!("trained"), &json!("corrected")));
        assert!(row["neuron"].as_u64().unwrap() < 8, "{row}");
        let start = [number(row, "n_init"), number(row, "s_init")];
        let now = [number(row, "n"), number(row, "s")];
        assert!((4.0..8.0).contains(&start[0]) && start[1].abs() < 1.0, "{row}");
        if row["epoch"] == -1 || row["net"] == "fixed" {
            assert_eq!(now, start, "{row}");
        }
    }
    for trial in bench.query("select net, n0, s0 from trials where n0 is not null") {
        let net = trial["net"].as_str().unwrap();
        let (n0, s0) = (number(&trial, "n0"), number(&trial, "s0"));
        assert!((5.0..7.0).contains(&n0) && s0 == 0.0, "{trial}");
        let at = |epoch: i32| those(&rows, &json!({"net": net, "epoch": epoch}), "neuron");
        let is_adaptive = net == "adaptive";
        for row in at(-1) {
            // The readout of a controller moves its neuron a little from the start.
            let tolerance = if is_adaptive { 0.1 } else { 1e-7 };
            assert_close(number(row, "n_init"), n0, tolerance, row);
            assert_close(number(row, "s_init"), s0, tolerance, row);
        }
        let different: BTreeSet<u64> = column(&at(1), "n").into_iter().map(f64::to_bits).collect();
        let own = is_adaptive || net == "heterogeneous";
        assert_eq!(different.len(), if own { 8 } else { 1 }, "{net}");
        if !is_adaptive {
            // An adaptive network is seen on validation data there and on test data here.
            let seen = format!("select n_mean from epochs where net = '{net}' and epoch = 1");
            let seen = bench.value(&seen).as_f64().unwrap();
            assert_close(mean(&column(&at(1), "n")), seen, 1e-6, &net);
        }
    }
}

#[test]
fn activation_curves() {
    let bench = ended(include_str!("../science/activation_curves.yaml"));
    let rows = table(&bench, "activation_curves", &CURVES);
    let shapes = table(&bench, "shapes", &SHAPES);
    let mut expected = BTreeSet::new();
    for row in &shapes {
        let pair = ["n", "s"].map(|name| number(row, name).to_bits());
        expected.insert((row["net"].to_string(), row["epoch"].as_i64(), pair));
    }
    assert!(expected.len() > 2 * 8, "curves of many neurons");
    assert_once(&rows, expected.len() * 101, &["trial", "epoch", "n", "s", "x"]);
    for (net, epoch, [n, s]) in expected {
        let net: Value = serde_json::from_str(&net).unwrap();
        let (n, s) = (f64::from_bits(n), f64::from_bits(s));
        let wanted = json!({"net": net, "epoch": epoch, "n": n, "s": s, "variant": "corrected"});
        let curve = those(&rows, &wanted, "x");
        assert_eq!(curve.len(), 101, "{wanted}");
        check_curve(&curve, n, s);
    }
}

/// The formula, and slopes whose integral is the curve.
fn check_curve(curve: &[&Value], n: f64, s: f64) {
    for (place, row) in (0..).zip(curve) {
        let x = number(row, "x");
        assert_close(x, -5.0 + 0.1 * f64::from(place), 1e-12, row);
        let (value, slope) = gamma(x, n, s);
        assert_close(number(row, "value"), value, 1e-11, row);
        assert_close(number(row, "slope"), slope, 1e-11, row);
        assert!(slope <= steepest(n, s) + 1e-12, "{row}");
    }
    for points in curve.windows(3) {
        let rise = number(points[2], "value") - number(points[0], "value");
        let slopes = column(points, "slope");
        // Simpson's rule, whose error here is below h^5/90 times the fourth derivative of the slope.
        let integral = 0.1 / 3.0 * (slopes[0] + 4.0 * slopes[1] + slopes[2]);
        assert_close(integral, rise, 2e-4, points[1]);
    }
}

#[test]
fn shape_traces() {
    let bench = ended(include_str!("../science/shape_traces.yaml"));
    let rows = table(&bench, "shape_traces", &TRACES);
    // Of the adaptive network alone: three strengths, 49 steps.
    assert_once(&rows, 3 * 49, &["net", "xi", "t"]);
    let trace = |xi: f64| those(&rows, &json!({"net": "adaptive", "epoch": 0, "xi": xi}), "t");
    for xi in [0.0, 2.0, 10.0] {
        let trace = trace(xi);
        assert_eq!(column(&trace, "t"), (0..49).map(f64::from).collect::<Vec<_>>());
        for row in &trace {
            assert_eq!(
                (&row["drive"], &row["variant"]),
                (&json!("step_drive"), &json!("corrected"))
            );
            assert!(number(row, "n_std") >= 0.0 && number(row, "s_std") >= 0.0, "{row}");
        }
    }
    // The drive is on for 13 < t < 26, with 13 = round(200 49/784): before it nothing differs.
    let still = trace(0.0);
    for xi in [2.0, 10.0] {
        for name in ["n_mean", "n_std", "s_mean", "s_std"] {
            let (driven, still) = (column(&trace(xi), name), column(&still, name));
            assert_eq!(driven[..14], still[..14], "{name} at {xi}");
            assert!(driven[14] != still[14] && driven[25] != still[25], "{name} at {xi}");
        }
    }
    // Without a drive the mean over time is that of the table of shapes.
    let shapes = table(&bench, "shapes", &SHAPES);
    let shapes = those(&shapes, &json!({"net": "adaptive", "epoch": 0}), "neuron");
    for (trace_name, shape_name) in [("n_mean", "n"), ("s_mean", "s")] {
        let over_time = mean(&column(&still, trace_name));
        assert_close(over_time, mean(&column(&shapes, shape_name)), 1e-6, &trace_name);
    }
    shape_steps(&bench, &rows);
}

/// Checks the steps against the traces, with the windows of the science reference scaled to 49 steps.
fn shape_steps(bench: &TestBench, traces: &[Value]) {
    let rows = table(bench, "shape_steps", &STEPS);
    assert_once(&rows, 3 * 2, &["xi", "variant"]);
    for row in &rows {
        let trace = those(traces, &json!({"xi": row["xi"]}), "t");
        let steady = if row["variant"] == "released" { 22..25 } else { 19..24 };
        for name in ["n", "s"] {
            let trace = column(&trace, &format!("{name}_mean"));
            let found = |what: &str| number(row, &format!("{name}_{what}"));
            assert_close(found("pre"), mean(&trace[9..13]), 1e-12, row);
            assert_close(found("steady"), mean(&trace[steady.clone()]), 1e-12, row);
            assert_eq!(found("onset"), trace[14], "{row}");
            let distance = |t: usize| (trace[t] - mean(&trace[steady.clone()])).abs();
            let near = |t: &usize| distance(*t) <= distance(14) / std::f64::consts::E;
            // In steps after the onset.
            let tau = (15..26).find(near).map_or(f64::NAN, |t| (t - 14) as f64);
            assert!(found("tau") == tau || found("tau").is_nan() && tau.is_nan(), "{tau}: {row}");
        }
    }
}

#[test]
fn gain_scaling() {
    let bench = ended(include_str!("../science/gain_scaling.yaml"));
    let rows = table(&bench, "gain_scaling", &SCALING);
    assert_once(&rows, 6, &["xi"]);
    let rows = those(&rows, &json!({"net": "adaptive", "epoch": 0, "variant": "corrected"}), "xi");
    assert_eq!(column(&rows, "xi"), [0.0, 1.0, 2.5, 5.0, 10.0, 20.0]);
    for name in ["n_mean", "s_mean"] {
        assert!(column(&rows, name).windows(2).all(|pair| pair[0] != pair[1]), "{name}");
        // Noise of strength 0 is none: round(310 49/784) = 19 to the end of the drive, 25.
        let traces = table(&bench, "shape_traces", &TRACES);
        let still = column(&those(&traces, &json!({"xi": 0.0}), "t"), name);
        assert_close(number(rows[0], name), mean(&still[19..26]), 1e-6, &name);
    }
    gain_fits(&bench, &rows);
}

/// Curves whose residuals are those that are stated, the smallest of which is ours.
fn gain_fits(bench: &TestBench, points: &[&Value]) {
    let rows = table(bench, "gain_fits", &FITS);
    assert_once(&rows, 2 * 2, &["quantity", "variant"]);
    for row in &rows {
        let [a, b, c, rmse] = ["a", "b", "c", "rmse"].map(|name| number(row, name));
        let is_gain = row["quantity"] == "n";
        assert_eq!(row["form"], if is_gain { "power" } else { "exponential" });
        assert!(row["pooled_seeds"] == 1 && rmse >= 0.0 && number(row, "r2") <= 1.0, "{row}");
        let square = |point: &&Value| {
            let xi = number(point, "xi");
            let shrunk = if is_gain { xi.powf(-b) } else { (-b * xi).exp() };
            let value = number(point, if is_gain { "n_mean" } else { "s_mean" });
            (a * shrunk + c - value).powi(2)
        };
        // Of all strengths above zero.
        let squares: Vec<f64> = points[1..].iter().map(square).collect();
        assert_close(rmse, mean(&squares).sqrt(), 1e-9, row);
        if row["variant"] == "corrected" {
            assert!((0.01..=5.0).contains(&b), "{row}");
            let released =
                those(&rows, &json!({"quantity": row["quantity"], "variant": "released"}), "a");
            let within = (0.01..=5.0).contains(&number(released[0], "b"));
            assert!(!within || rmse <= number(released[0], "rmse") + 1e-12, "{row}");
        }
    }
}

#[test]
fn slope_contours() {
    let bench = ended(include_str!("../science/slope_contours.yaml"));
    let rows = table(&bench, "slope_contours", &CONTOURS);
    let gains: Vec<f64> = (0..100).map(|i| 2.0 + 3.0 / 99.0 * f64::from(i)).collect();
    let mut expected = 0;
    for (variant, slope) in [("corrected", 1.0), ("released", 0.987)] {
        for xi in [1.1, 2.0, 30.0] {
            // The slope is linear in the saturation.
            let saturation = |n: &f64| {
                let (flat, full) = (gamma(xi, *n, 0.0).1, gamma(xi, *n, 1.0).1);
                (slope - flat) / (full - flat)
            };
            let inside = |s: &f64| (-0.015..=0.025).contains(s);
            let count = gains.iter().map(saturation).filter(inside).count();
            let wanted = json!({"net": "fixed", "variant": variant, "xi": xi, "slope": slope});
            assert_eq!(those(&rows, &wanted, "n").len(), count, "{wanted}");
            expected += count;
        }
    }
    assert!(expected > 200, "curves of many points");
    // The same for both kinds with a shape, and none for the other.
    assert_once(&rows, 2 * expected, &["net", "variant", "xi", "n"]);
    assert!(rows.iter().all(|row| row["net"] != "relu" && row["epoch"] == 0));
    for row in &rows {
        let [xi, n, s] = ["xi", "n", "s"].map(|name| number(row, name));
        assert_close(gamma(xi, n, s).1, number(row, "slope"), 1e-9, row);
        assert!(gains.iter().any(|gain| (gain - n).abs() < 1e-12), "{row}");
        assert!((-0.015..=0.025).contains(&s), "{row}");
    }
}
