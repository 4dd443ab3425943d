//! The tables about the responses of neurons and controllers to a drive: `fractional_fits`,
//! `fractional_traces`, `adaptation`, `controller_pca`.

use serde_json::{Value, json};

use super::{assert_close, assert_once, column, ended, mean, number, table, those};

const FITS: [&str; 11] = [
    "protocol",
    "connectivity",
    "scope",
    "neuron",
    "xi",
    "order",
    "alpha",
    "gain",
    "offset",
    "error",
    "r2",
];
const TRACES: [&str; 9] =
    ["protocol", "connectivity", "group", "group_size", "xi", "t", "drive", "h_mean", "dalpha_h"];
const ADAPTATION: [&str; 5] = ["connectivity", "neuron", "xi", "subset", "index"];
const PCA: [&str; 6] = ["input", "t", "pc1", "pc2", "explained1", "explained2"];

/// Combinations of protocol, connectivity and variant.
const PARTS: [[&str; 3]; 8] = [
    ["short", "isolated", "corrected"],
    ["short", "isolated", "released"],
    ["short", "interacting", "corrected"],
    ["short", "interacting", "released"],
    ["long", "isolated", "corrected"],
    ["long", "isolated", "released"],
    ["long", "interacting", "corrected"],
    ["long", "interacting", "released"],
];

#[test]
fn fractional() {
    let bench = ended(include_str!("../science/fractional.yaml"));
    let fits = table(&bench, "fractional_fits", &FITS);
    // Three kinds (not `lstm`): all strengths together, two alone, four neurons.
    let key = ["net", "protocol", "connectivity", "variant", "scope", "neuron", "xi"];
    assert_once(&fits, 3 * PARTS.len() * (1 + 2 + 4), &key);
    fits.iter().for_each(check_fit);
    let traces = table(&bench, "fractional_traces", &TRACES);
    let mut count = 0;
    for net in ["adaptive", "heterogeneous", "linear"] {
        let (fits, traces) = (of_net(&fits, net), of_net(&traces, net));
        for [protocol, connectivity, variant] in PARTS {
            let part = json!({"protocol": protocol, "connectivity": connectivity,
                "variant": variant});
            let fits = those(fits.iter().copied(), &part, "xi");
            let traces = those(traces.iter().copied(), &part, "t");
            count += check_traces(&traces, &fits, protocol);
        }
    }
    let key = ["net", "protocol", "connectivity", "variant", "group", "xi", "t"];
    assert_once(&traces, count, &key);
    check_linear(&of_net(&traces, "linear"));
}

fn of_net<'r>(rows: &'r [Value], net: &str) -> Vec<&'r Value> {
    those(rows, &json!({"net": net}), "xi")
}

fn check_fit(row: &Value) {
    let [order, alpha, error, r2] = ["order", "alpha", "error", "r2"].map(|name| number(row, name));
    assert_eq!(row["neuron"].is_null(), row["scope"] != "per_neuron", "{row}");
    assert_eq!(row["xi"].is_null(), row["scope"] == "all_xi", "{row}");
    // The strongest drive for single neurons.
    assert!(row["scope"] != "per_neuron" || row["xi"] == 20.0, "{row}");
    assert!(error >= 0.0 && r2.is_nan() == (row["variant"] == "released"), "{row}");
    assert!(r2.is_nan() || r2 <= 1.0, "{row}");
    if r2 < 0.5 {
        assert!(order.is_nan() && alpha.is_nan(), "{row}");
    } else {
        assert!((-1.0..=1.0).contains(&order) && alpha == -order, "{row}");
    }
}

/// Traces of the groups of one part and what they have to do with its fits; how many rows.
fn check_traces(traces: &[&Value], fits: &[&Value], protocol: &str) -> usize {
    let (steps, on) = if protocol == "short" { (150, 51..101) } else { (300, 102..202) };
    let of = |scope: &str| those(fits.iter().copied(), &json!({"scope": scope}), "neuron");
    let alphas = column(&of("per_neuron"), "alpha");
    let is_known = number(of("all_xi")[0], "alpha").is_finite();
    let sizes = [
        ("all", 4),
        ("alpha_le_0", alphas.iter().filter(|alpha| **alpha <= 0.0).count()),
        ("alpha_gt_0", alphas.iter().filter(|alpha| **alpha > 0.0).count()),
    ];
    let mut count = 0;
    for (group, size) in sizes {
        for xi in [0.0, 2.0, 20.0] {
            let rows = those(traces.iter().copied(), &json!({"group": group, "xi": xi}), "t");
            assert_eq!(rows.len(), if size > 0 { steps } else { 0 }, "{group}");
            count += rows.len();
            for (t, row) in rows.iter().enumerate() {
                assert!(row["t"] == t && row["group_size"] == size, "{row}");
                assert_eq!(number(row, "drive"), if on.contains(&t) { xi } else { 0.0 }, "{row}");
                assert!(number(row, "h_mean").is_finite(), "{row}");
                // At the first step a derivative of any order is the trace itself.
                let has_derivative = number(row, "dalpha_h").is_finite();
                assert!(t == 0 || has_derivative == is_known, "{row}");
            }
        }
    }
    count
}

/// The response of a linear network exceeds that without drive in proportion to the drive, because
/// all strengths see the same inputs.
fn check_linear(traces: &[&Value]) {
    for connectivity in ["isolated", "interacting"] {
        let response = |xi: f64| {
            let wanted = json!({"protocol": "short", "variant": "corrected", "group": "all",
                "connectivity": connectivity, "xi": xi});
            column(&those(traces.iter().copied(), &wanted, "t"), "h_mean")
        };
        let (none, weak, strong) = (response(0.0), response(2.0), response(20.0));
        for t in 0..150 {
            let (weak, strong) = ((weak[t] - none[t]) / 2.0, (strong[t] - none[t]) / 20.0);
            assert_close(weak, strong, 1e-4, &format!("{connectivity} {t}"));
            assert!(t > 50 || weak == 0.0, "{connectivity} {t}: not driven yet");
        }
    }
}

#[test]
fn adaptation() {
    let bench = ended(include_str!("../science/adaptation.yaml"));
    let rows = table(&bench, "adaptation", &ADAPTATION);
    // Two kinds of one neuron and of six; two connectivities, three subsets, two variants.
    let key = ["trial", "connectivity", "neuron", "subset", "variant"];
    assert_once(&rows, 2 * (1 + 6) * 2 * 3 * 2, &key);
    for row in &rows {
        let index = number(row, "index");
        assert_eq!(row["xi"], 20.0, "the strongest drive");
        assert!(index.is_finite(), "{row}");
        assert!(row["variant"] == "released" || index.abs() <= 1.0, "{row}");
    }
    let traces = table(&bench, "fractional_traces", &TRACES);
    for net in ["adaptive", "heterogeneous"] {
        let single = format!("select trial from trials where net = '{net}' and hidden = 1");
        let trial = bench.number(&single);
        for connectivity in ["isolated", "interacting"] {
            let of = json!({"trial": trial, "connectivity": connectivity});
            let mut wanted = of.clone();
            wanted["variant"] = json!("corrected");
            wanted["group"] = json!("all");
            let trace = column(&those(&traces, &wanted, "t"), "h_mean");
            assert_eq!(trace.len(), 150);
            let indices = those(&rows, &of, "index");
            assert_eq!(indices.len(), 6);
            for row in indices {
                assert_close(number(row, "index"), index(&trace, row), 1e-9, row);
            }
        }
    }
}

/// The index of the response of the single neuron (science reference, 7.11) that `row` states.
fn index(trace: &[f64], row: &Value) -> f64 {
    let over = |first: usize, last: usize| {
        let counts = |t: &usize| match row["subset"].as_str().unwrap() {
            "even" => t.is_multiple_of(2),
            "odd" => !t.is_multiple_of(2),
            _ => true,
        };
        mean(&(first..=last).filter(counts).map(|t| trace[t]).collect::<Vec<_>>())
    };
    let (early, late, sum) = if row["variant"] == "released" {
        let (early, late) = (over(100, 114), over(134, 148));
        (early, late, early + late)
    } else {
        let base = over(36, 50);
        let (early, late) = (over(51, 65) - base, over(86, 100) - base);
        (early, late, early.abs() + late.abs())
    };
    if sum < 1e-10 { 0.0 } else { (early - late) / sum }
}

#[test]
fn controller_pca() {
    let bench = ended(include_str!("../science/controller_pca.yaml"));
    let rows = table(&bench, "controller_pca", &PCA);
    assert_once(&rows, 2 * 3 * 400, &["trial", "input", "t"]);
    for (trial, units) in [(0, 1), (1, 4)] {
        let all = those(&rows, &json!({"trial": trial, "epoch": 0, "variant": "corrected"}), "t");
        let (first, second) = (column(&all, "pc1"), column(&all, "pc2"));
        let [one, two] = ["explained1", "explained2"].map(|name| number(all[0], name));
        for row in &all {
            assert!(row["explained1"] == one && row["explained2"] == two, "{row}");
        }
        assert!(one >= two && two >= 0.0 && one + two <= 1.0 + 1e-12, "{one} {two}");
        if units == 1 {
            assert!((one - 1.0).abs() < 1e-12 && second.iter().all(|score| *score == 0.0));
        }
        // Centred, uncorrelated, and of variances in the ratio of the shares.
        let product =
            |a: &[f64], b: &[f64]| mean(&a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>());
        let variance = product(&first, &first);
        assert!(mean(&first).abs() < 1e-9 && mean(&second).abs() < 1e-9);
        assert!(product(&first, &second).abs() < 1e-9 * variance);
        assert_close(product(&second, &second) / variance, two / one, 1e-9, &units);
        check_runs(&rows, trial);
    }
}

/// All inputs begin alike and part when they step up after step 200.
fn check_runs(rows: &[Value], trial: u32) {
    let run = |input: f64| {
        let run = those(rows, &json!({"trial": trial, "input": input}), "t");
        assert_eq!(column(&run, "t"), (0..400).map(f64::from).collect::<Vec<_>>());
        column(&run, "pc1")
    };
    let (weak, strong) = (run(0.2), run(5.0));
    assert_eq!(weak[..=200], strong[..=200]);
    assert!((201..400).all(|t| weak[t] != strong[t]), "trial {trial}");
}
