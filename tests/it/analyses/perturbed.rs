//! Every kind of network under every perturbation: each cell is one row of `evaluations`, and for
//! evidence one more for each coherence.

use std::collections::BTreeSet;

use rheo_tests::TestBench;
use serde_json::{Value, json};

use super::{assert_close, assert_once, column, ended, mean, number, table, those};

const EVALUATIONS: [&str; 14] = [
    "split",
    "perturbation",
    "level",
    "frequency",
    "phase",
    "from_step",
    "repetition",
    "shape_mode",
    "condition",
    "count",
    "accuracy",
    "loss",
    "bpc",
    "stderr",
];

/// Key columns of the rows of a trial.
const CELL: [&str; 7] =
    ["perturbation", "level", "frequency", "from_step", "repetition", "shape_mode", "condition"];

const NETS: [&str; 12] = [
    "fixed",
    "homogeneous",
    "heterogeneous",
    "adaptive",
    "relu",
    "tanh",
    "sigmoid",
    "softplus",
    "linear",
    "modrelu",
    "lstm",
    "gru",
];

/// The cells of both sweep files in the columns [`CELL`] but the last, for sequences whose noise
/// begins at step `onset` and whose second half at `half`.
fn cells(onset: u32, half: u32) -> Vec<[Value; 6]> {
    let mut cells = Vec::new();
    let mut add = |name: &str, level: f64, frequency: Value, from: u32, repetition, mode: &str| {
        let (name, mode) = (json!(name), json!(mode));
        cells.push([name, json!(level), frequency, json!(from), json!(repetition), mode]);
    };
    for mode in ["own", "frozen"] {
        add("none", 0.0, Value::Null, 0, 0, mode);
        for level in [0.0, 5.0] {
            add("step_drive", level, Value::Null, onset + 1, 0, mode);
            for repetition in 0..2 {
                add("noise_drive", level, Value::Null, onset, repetition, mode);
            }
        }
    }
    for level in [0.0, 0.5] {
        for frequency in [0.5, 2.0] {
            add("sine", level, json!(frequency), 0, 0, "own");
        }
    }
    for (level, repetition) in [(0.0, 0), (0.0, 1), (0.3, 0), (0.3, 1)] {
        add("input_noise", level, Value::Null, 0, repetition, "own");
    }
    for (name, levels) in [("contrast", [0.5, 1.0]), ("offset", [0.0, 0.25])] {
        for level in levels {
            add(name, level, Value::Null, 0, 0, "own");
            add(name, level, Value::Null, half, 0, "own");
        }
    }
    cells
}

/// The rows, of which those of all samples together must be these cells of every kind of network.
#[track_caller]
fn checked(bench: &TestBench, cells: &[[Value; 6]]) -> Vec<Value> {
    let rows = table(bench, "evaluations", &EVALUATIONS);
    let expected: BTreeSet<String> = cells.iter().map(|cell| json!(cell).to_string()).collect();
    assert_eq!(expected.len(), cells.len());
    for net in NETS {
        let rows = those(&rows, &json!({"net": net, "epoch": 0, "condition": null}), "level");
        let cell = |row: &&Value| json!(CELL[..6].iter().map(|c| &row[*c]).collect::<Vec<_>>());
        let found: BTreeSet<String> = rows.iter().map(|row| cell(row).to_string()).collect();
        assert_eq!((found, rows.len()), (expected.clone(), cells.len()), "{net}");
    }
    rows.iter().for_each(check_row);
    rows
}

/// Ranges and units of one row.
fn check_row(row: &Value) {
    let [accuracy, loss, count] = ["accuracy", "loss", "count"].map(|name| number(row, name));
    assert!((0.0..=1.0).contains(&accuracy) && loss > 0.0 && loss.is_finite(), "{row}");
    assert_close(number(row, "stderr"), (accuracy * (1.0 - accuracy) / count).sqrt(), 1e-12, row);
    assert!((accuracy * count - (accuracy * count).round()).abs() < 1e-9, "{row}");
    assert_eq!((&row["split"], &row["variant"]), (&json!("test"), &json!("corrected")));
    assert!(row["bpc"].is_null(), "{row}");
    let is_sine = row["perturbation"] == "sine";
    assert_eq!(row["frequency"].is_null(), !is_sine, "{row}");
    assert!(if is_sine { row["phase"] == 1.0 } else { row["phase"].is_null() }, "{row}");
}

/// A perturbation of no strength changes nothing, and neurons that do not adapt are the same frozen.
fn check_neutral(rows: &[Value]) {
    for net in NETS {
        let rows = those(rows, &json!({"net": net, "condition": null}), "level");
        let of = |wanted: Value| those(rows.iter().copied(), &wanted, "repetition");
        let clean = |mode: &str| of(json!({"perturbation": "none", "shape_mode": mode}))[0];
        let (own, frozen) = (number(clean("own"), "loss"), number(clean("frozen"), "loss"));
        assert_eq!((own - frozen).abs() > 1e-9, net == "adaptive", "{net}: {own} {frozen}");
        let mut neutral = 0;
        for row in &rows {
            let is_none = if row["perturbation"] == "contrast" { 1.0 } else { 0.0 };
            let clean = clean(row["shape_mode"].as_str().unwrap());
            if number(row, "level") == is_none && row["count"] == clean["count"] {
                assert_close(number(row, "loss"), number(clean, "loss"), 1e-5, row);
                assert_eq!(row["accuracy"], clean["accuracy"], "{row}");
                neutral += 1;
            }
        }
        assert!(neutral >= 2 * (1 + 1 + 2) + 2 + 2 + 2, "{net}: {neutral}");
        let offset = of(json!({"perturbation": "offset", "level": 0.25, "from_step": 0}));
        assert!((number(offset[0], "loss") - own).abs() > 1e-9, "{net}");
        let noise = column(&of(json!({"perturbation": "input_noise", "level": 0.3})), "loss");
        assert!(noise[0] != noise[1], "{net}: repetitions draw anew");
    }
}

#[test]
fn images_under_all_perturbations() {
    let bench = ended(include_str!("../science/perturbed_digits.yaml"));
    // Sixteen steps: round(200 16/784) = 4.
    let mut all = cells(4, 8);
    for level in [0.0, 45.0] {
        let name = json!("rotation");
        all.push([name, json!(level), Value::Null, json!(0), json!(0), json!("own")]);
    }
    let rows = checked(&bench, &all);
    assert_once(
        &rows,
        NETS.len() * all.len(),
        &["trial", "perturbation", "level", "frequency", "from_step", "repetition", "shape_mode"],
    );
    for row in &rows {
        let count = if row["perturbation"] == "input_noise" { 10 } else { 20 };
        assert!(row["count"] == count && row["condition"].is_null(), "{row}");
    }
    check_neutral(&rows);
}

#[test]
fn evidence_under_all_perturbations() {
    let bench = ended(include_str!("../science/perturbed_evidence.yaml"));
    // Thirty steps: round(200 30/784) = 8.
    let all = cells(8, 15);
    let rows = checked(&bench, &all);
    // All samples, and those of each of ten coherences.
    let key: Vec<&str> = ["trial"].into_iter().chain(CELL).collect();
    assert_once(&rows, NETS.len() * all.len() * 11, &key);
    let coherences = [0.032, 0.064, 0.128, 0.256, 0.512];
    let coherences: Vec<f64> = coherences.iter().rev().map(|c| -c).chain(coherences).collect();
    for net in NETS {
        let rows = those(&rows, &json!({"net": net}), "level");
        for cell in &all {
            let mut wanted = json!({});
            for (column, value) in CELL.iter().zip(cell) {
                wanted[*column] = value.clone();
            }
            let cell = those(rows.iter().copied(), &wanted, "condition");
            // NaN, which is all samples, comes last.
            let (whole, parts) = cell.split_last().unwrap();
            assert_eq!(column(parts, "condition"), coherences, "{wanted}");
            assert_eq!(whole["count"], 60, "{whole}");
            check_parts(whole, parts);
        }
    }
    check_neutral(&rows);
}

/// The rows of the coherences add up to that of all samples.
fn check_parts(whole: &Value, parts: &[&Value]) {
    let count = number(whole, "count");
    for name in ["accuracy", "loss"] {
        let weighted = |row: &&Value| number(row, name) * number(row, "count");
        let sum: f64 = parts.iter().map(weighted).sum();
        assert_close(sum / count, number(whole, name), 1e-6, whole);
    }
    assert_eq!(mean(&column(parts, "count")) * 10.0, count, "{whole}");
}
