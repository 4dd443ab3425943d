//! The science from end to end: sweep files in, tables out, and in the tables what must be true of
//! them whatever the numbers are. The sweeps lie in `science/`.

#![expect(clippy::float_cmp, reason = "numbers that must be the same are the same to the bit")]

mod beside;
mod dynamics;
mod killed;
mod neurons;
mod perturbed;
mod pooled;
mod responses;
mod stability;
mod tasks;

use std::collections::BTreeSet;

use rheo_tests::TestBench;
use serde_json::Value;

/// The columns that every table has.
const KEYS: [&str; 7] = ["sweep", "trial", "task", "net", "seed", "epoch", "variant"];

/// A bench in which the sweep of this file has ended well.
#[track_caller]
fn ended(sweep: &str) -> TestBench {
    let bench = TestBench::default();
    run(&bench, "sweep.yaml", sweep);
    bench
}

/// Runs one more sweep in a bench.
#[track_caller]
fn run(bench: &TestBench, name: &str, sweep: &str) {
    let file = bench.file(name, sweep);
    bench.run(&["run", file, "--workers", "2"]).expect(0);
}

/// All rows of a table, which must have these columns beside [`KEYS`] and no others.
#[track_caller]
fn table(bench: &TestBench, table: &str, columns: &[&str]) -> Vec<Value> {
    let rows = bench.query(&format!("select * from {table}"));
    let expected: BTreeSet<&str> = KEYS.iter().chain(columns).copied().collect();
    for row in &rows {
        let found: BTreeSet<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, expected, "columns of {table}");
    }
    rows
}

/// Fails unless there are `count` rows, no two of which agree in all columns of `key`.
#[track_caller]
fn assert_once(rows: &[Value], count: usize, key: &[&str]) {
    assert_eq!(rows.len(), count, "rows");
    let keys = rows.iter().map(|row| key.iter().map(|column| row[column].to_string()).collect());
    let different: BTreeSet<Vec<String>> = keys.collect();
    assert_eq!(different.len(), count, "rows that differ in {key:?}");
}

/// The rows in which every column of `wanted`, an object, has the value that it has there, in the
/// order of the column `by`.
fn those<'r>(
    rows: impl IntoIterator<Item = &'r Value>,
    wanted: &Value,
    by: &str,
) -> Vec<&'r Value> {
    let is_same = |found: &Value, wanted: &Value| match (found.as_f64(), wanted.as_f64()) {
        (Some(found), Some(wanted)) => found.to_bits() == wanted.to_bits(),
        _ => found == wanted,
    };
    let wanted = wanted.as_object().unwrap();
    let is_wanted =
        |row: &&Value| wanted.iter().all(|(column, value)| is_same(&row[column], value));
    let mut found: Vec<&Value> = rows.into_iter().filter(is_wanted).collect();
    found.sort_by(|a, b| number(a, by).total_cmp(&number(b, by)));
    found
}

/// A number; NaN, which JSON does not have, where there is null.
#[track_caller]
fn number(row: &Value, column: &str) -> f64 {
    match &row[column] {
        Value::Null => f64::NAN,
        value => value.as_f64().unwrap_or_else(|| panic!("`{column}` of {row}")),
    }
}

/// A column of some rows.
#[track_caller]
fn column(rows: &[&Value], name: &str) -> Vec<f64> {
    rows.iter().map(|row| number(row, name)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Fails unless two numbers agree within `tolerance`, absolutely and relatively to the second.
#[track_caller]
fn assert_close(found: f64, expected: f64, tolerance: f64, what: &dyn std::fmt::Display) {
    let off = (found - expected).abs();
    assert!(off <= tolerance * (1.0 + expected.abs()), "{found}, not {expected}: {what}");
}

/// gamma(x; n, s) and its slope (science reference, section 2).
fn gamma(x: f64, n: f64, s: f64) -> (f64, f64) {
    let sigma = 1.0 / (1.0 + (-n * x).exp());
    let softplus = (n * x).max(0.0) + (-(n * x).abs()).exp().ln_1p();
    let value = (1.0 - s) * softplus / n + s * sigma;
    (value, (1.0 - s) * sigma + s * n * sigma * (1.0 - sigma))
}

/// The steepest slope of gamma(x; n, s) over all x, for n > 0 (science reference, section 2).
fn steepest(n: f64, s: f64) -> f64 {
    let t = (1.0 + s * (n - 1.0)) / (2.0 * s * n);
    let inner = (1.0 + s * (n - 1.0)).powi(2) / (4.0 * s * n);
    if t > 0.0 && t < 1.0 { inner.max(1.0 - s) } else { (1.0 - s).max(0.0) }
}
