//! The table `lyapunov`.

use std::f64::consts::LN_2;

use serde_json::{Value, json};

use super::{assert_close, assert_once, column, ended, number, table, those};

const LYAPUNOV: [&str; 14] = [
    "mode",
    "system",
    "shape_source",
    "xi",
    "at_step",
    "window_start",
    "window_end",
    "index",
    "nats",
    "bits",
    "std_nats",
    "sequences",
    "steps",
    "skipped_nan",
];

/// Exponents of every network.
const COUNT: usize = 6;

#[test]
fn lyapunov() {
    let bench = ended(include_str!("../science/lyapunov.yaml"));
    let rows = table(&bench, "lyapunov", &LYAPUNOV);
    // Without input by our formulas and, where there is one recurrent matrix, by the released ones;
    // two drives; for the adaptive network two drives, four steps and two sources of the shape.
    let spectra = [
        ("linear", "h", 1 + 1 + 2),
        ("heterogeneous", "h", 1 + 1 + 2),
        ("adaptive", "joint", 1 + 1 + 2 + 2 * 4 * 2),
        ("lstm", "joint", 1 + 2),
        ("gru", "h", 1 + 2),
    ];
    let count: usize = spectra.iter().map(|(_, _, count)| count).sum();
    let key = ["net", "epoch", "variant", "mode", "xi", "at_step", "shape_source", "index"];
    assert_once(&rows, count * 2 * COUNT, &key);
    for (net, system, count) in spectra {
        for epoch in [-1, 0] {
            let rows = those(&rows, &json!({"net": net, "epoch": epoch}), "index");
            assert_eq!(rows.len(), count * COUNT, "{net} {epoch}");
            for row in rows {
                check_row(row, system);
            }
        }
    }
    for spectrum in spectra_of(&rows) {
        check_spectrum(&spectrum);
    }
    linear_networks_have_the_exponents_of_their_matrix(&rows, &bench.query(EIGENVALUES));
    frozen_shapes_are_those_of_their_step(&rows);
}

/// The logarithms of the sizes of the eigenvalues of the linear network, added up.
const EIGENVALUES: &str = "select epoch, sum(ln(sqrt(re * re + im * im))) as sum from eigenvalues \
    where net = 'linear' and variant = 'corrected' group by epoch";

/// Units, windows and counts of one row.
fn check_row(row: &Value, system: &str) {
    let nats = number(row, "nats");
    assert_eq!(number(row, "bits"), nats / LN_2, "{row}");
    assert_eq!(row["skipped_nan"], 0, "{row}");
    let is_driven = row["mode"] == "driven";
    // A hundred steps of 784 are six of 49; without input 200 and 100 are discarded.
    let (start, steps) = match (is_driven, row["variant"] == "released") {
        (true, _) => (6, 43),
        (false, false) => (300, 150),
        (false, true) => (0, 150),
    };
    assert_eq!((&row["window_start"], &row["steps"]), (&json!(start), &json!(steps)), "{row}");
    assert_eq!(row["window_end"], start + steps, "{row}");
    assert_eq!(row["sequences"], if is_driven { 3 } else { 1 }, "{row}");
    assert!(is_driven || row["std_nats"] == 0.0, "{row}");
    let is_whole = row["variant"] == "corrected" && row["mode"] != "frozen";
    assert_eq!(row["system"], if is_whole { system } else { "h" }, "{row}");
    assert!(is_driven || row["mode"] == "frozen" || row["xi"] == 0.0, "{row}");
    assert_eq!(row["at_step"].is_null(), row["mode"] != "frozen", "{row}");
    assert_eq!(row["shape_source"] == "own", row["mode"] != "frozen", "{row}");
    // No slope of these neurons exceeds 1 but those that a controller moves, and a matrix that was a
    // rotation shrinks them all before training.
    if row["net"] == "heterogeneous" && row["epoch"] == -1 {
        assert!(nats < 0.0, "{row}");
    }
    assert!(nats < 0.5 && nats > -50.0, "{row}");
}

/// The rows of each spectrum, from its index 0 on.
fn spectra_of(rows: &[Value]) -> Vec<Vec<&Value>> {
    let same = ["net", "epoch", "variant", "mode", "xi", "at_step", "shape_source"];
    let first = rows.iter().filter(|row| row["index"] == 0);
    let whole = |first: &Value| {
        let wanted = same.map(|column| (column.to_owned(), first[column].clone()));
        those(rows, &Value::Object(wanted.into_iter().collect()), "index")
    };
    first.map(whole).collect()
}

/// Largest first. Over so few steps exponents of one rate, such as those of a rotation, take turns.
fn check_spectrum(spectrum: &[&Value]) {
    assert_eq!(column(spectrum, "index"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    for pair in column(spectrum, "nats").windows(2) {
        assert!(pair[0] >= pair[1] - 0.05, "{spectrum:?}");
    }
    if spectrum[0]["mode"] == "driven" && spectrum[0]["net"] != "linear" {
        assert!(column(spectrum, "std_nats").iter().all(|std| *std > 0.0), "{spectrum:?}");
    }
}

/// The sum of all exponents is ln |det w_hh| whatever the input; of a rotation each of them is 0.
fn linear_networks_have_the_exponents_of_their_matrix(rows: &[Value], eigenvalues: &[Value]) {
    assert_eq!(eigenvalues.len(), 2);
    for matrix in eigenvalues {
        let expected = number(matrix, "sum");
        for (variant, mode, xi) in [
            ("corrected", "autonomous", 0.0),
            ("released", "autonomous", 0.0),
            ("corrected", "driven", 0.0),
            ("corrected", "driven", 1.0),
        ] {
            let wanted = json!({"net": "linear", "epoch": matrix["epoch"], "variant": variant,
                "mode": mode, "xi": xi});
            let nats = column(&those(rows, &wanted, "index"), "nats");
            assert_eq!(nats.len(), COUNT);
            assert_close(nats.iter().sum(), expected, 1e-6, &wanted);
            let is_untrained = matrix["epoch"] == -1;
            assert!(!is_untrained || nats.iter().all(|nats| nats.abs() < 1e-6), "{nats:?}");
            assert!(is_untrained || expected.abs() > 1e-3, "training changes the matrix");
        }
    }
}

/// Steps 200, 250, 300 and 350 of 784; the shape before the drive is the same beside all of them.
fn frozen_shapes_are_those_of_their_step(rows: &[Value]) {
    for xi in [0.0, 1.0] {
        let of = |source: &str, at: u32| {
            let wanted = json!({"net": "adaptive", "epoch": 0, "mode": "frozen", "xi": xi,
                "shape_source": source, "at_step": at});
            column(&those(rows, &wanted, "index"), "nats")
        };
        for at in [13, 16, 19, 22] {
            assert_eq!(of("fixed", at).len(), COUNT);
            assert_eq!(of("fixed", at), of("fixed", 13));
            assert_ne!(of("adaptive", at), of("fixed", at));
        }
        assert_ne!(of("adaptive", 16), of("adaptive", 22));
    }
}

#[test]
fn lyapunov_in_a_window() {
    let bench = ended(include_str!("../science/lyapunov_window.yaml"));
    let rows = table(&bench, "lyapunov", &LYAPUNOV);
    assert_once(&rows, 2 * 2 * COUNT, &["net", "epoch", "index"]);
    for row in &rows {
        let window = ["window_start", "window_end", "steps"].map(|column| number(row, column));
        assert_eq!(window, [10.0, 30.0, 20.0], "{row}");
        assert_eq!((&row["mode"], &row["sequences"]), (&json!("driven"), &json!(3)), "{row}");
    }
    let matrices = bench.query(EIGENVALUES);
    assert_eq!(matrices.len(), 2);
    for matrix in &matrices {
        let wanted = json!({"net": "linear", "epoch": matrix["epoch"]});
        let nats = column(&those(&rows, &wanted, "index"), "nats");
        assert_eq!(nats.len(), COUNT);
        assert_close(nats.iter().sum(), number(matrix, "sum"), 1e-6, &wanted);
    }
}
