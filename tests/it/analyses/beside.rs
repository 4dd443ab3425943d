//! `rheo analyze`: analyses of a trained network beside its sweep.

use rheo_tests::{ProgramOutput, TestBench};
use serde_json::Value;

use super::{assert_once, ended, number};

const BESIDE: &str = include_str!("../science/beside.yaml");

/// `rheo analyze beside/TRIAL` with these arguments.
fn analyze(bench: &TestBench, trial: u32, args: &[&str]) -> ProgramOutput {
    let trial = format!("beside/{trial}");
    bench.run(&[&["analyze", &trial], args].concat())
}

/// Without the column that only results on disk have.
fn without_sweep(rows: &[Value]) -> Vec<Value> {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        row.as_object_mut().unwrap().remove("sweep");
    }
    rows
}

#[test]
fn an_analysis_gives_what_the_sweep_has_kept_and_leaves_it_as_it_is() {
    let bench = ended(BESIDE);
    let tables = ["jacobian", "eigenvalues", "controller_pca", "trials", "lyapunov"];
    let counts = || tables.map(|table| bench.number(&format!("select count(*) from {table}")));
    let before = counts();
    // Of eigenvalues, those of another draw before training too.
    assert_eq!(before, [2 * 2 + 2, 2 * 3 * 6, 400, 2, 0]);
    let only = r#"{"kind": "jacobian", "samples": 3}"#;
    let said = analyze(&bench, 0, &["--only", only, "-o", "json"]).expect(0).json();
    let kept = bench.query("select * from jacobian where trial = 0 and epoch = 1");
    assert_eq!(kept.len(), 2);
    assert_eq!(without_sweep(said.as_array().unwrap()), without_sweep(&kept));
    // With other fields than in the sweep: more sequences have another mean.
    let only = r#"{"kind": "jacobian", "samples": 20}"#;
    let more = analyze(&bench, 0, &["--only", only, "-o", "json"]).expect(0).json();
    assert_eq!(more[0]["samples"], 20);
    assert!(number(&more[0], "norm_inf") != number(&kept[0], "norm_inf"));
    // One that the sweep does not have, by its name.
    let rows = analyze(&bench, 1, &["--only", "lyapunov", "-o", "json"]).expect(0).json();
    let rows = rows.as_array().unwrap();
    assert_once(rows, 2 * 6, &["variant", "index"]);
    assert!(rows.iter().all(|row| row["net"] == "relu" && row["epoch"] == 1 && row["trial"] == 1));
    assert!(rows.iter().all(|row| row["mode"] == "autonomous" && row["steps"] == 1000));
    let shown = analyze(&bench, 1, &["--only", "lyapunov"]).expect(0).out;
    assert!(shown.contains("lyapunov:\n") && shown.contains("autonomous"), "{shown}");
    assert_eq!(counts(), before);
}

#[test]
fn all_analyses_of_the_sweep_go_into_files_of_a_directory() {
    let bench = ended(BESIDE);
    let several = analyze(&bench, 0, &["-o", "json"]).expect(2);
    assert!(several.err.contains("add --directory DIR"), "{}", several.err);
    let said = analyze(&bench, 0, &["--directory", "out", "-o", "json"]).expect(0);
    for table in ["jacobian", "eigenvalues", "controller_pca"] {
        let place = format!("out/{table}.json");
        assert!(said.out.lines().any(|line| line == place), "{}", said.out);
        let text = std::fs::read_to_string(bench.path().join(place)).unwrap();
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        let kept = format!("select * from {table} where trial = 0 and epoch = 1");
        assert_eq!(without_sweep(&found), without_sweep(&bench.query(&kept)), "{table}");
    }
    // Parquet unless another format is asked for.
    analyze(&bench, 0, &["--directory", "out"]).expect(0);
    let parquet = std::fs::read(bench.path().join("out/jacobian.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    // `relu` has no controller: the other two.
    let said = analyze(&bench, 1, &["--directory", "other"]).expect(0);
    assert_eq!(said.out, "other/jacobian.parquet\nother/eigenvalues.parquet\n");
}

#[test]
fn impossible_analyses_are_refused_by_name() {
    let bench = ended(BESIDE);
    let unknown = analyze(&bench, 0, &["--only", "lyapunow"]).expect(2);
    assert!(unknown.err.contains("no analysis `lyapunow`; there are shapes"), "{}", unknown.err);
    let field = analyze(&bench, 0, &["--only", r#"{"kind": "jacobian", "sample": 3}"#]).expect(2);
    assert!(field.err.contains("unknown field `analyze[0].sample`"), "{}", field.err);
    for (only, wrong) in [
        (r#"{"kind": "lyapunov", "steps": 0}"#, "steps"),
        (r#"{"kind": "lyapunov", "mode": ["driven"], "window": [5, 17]}"#, "have 16 steps"),
        (r#"{"kind": "shapes", "exponents": 3}"#, "exponents"),
        (r#"{"kind": "mutual_information", "lags": [1, 1]}"#, "lags"),
        (r#"{"kind": "eigenvalues", "epochs": [-1]}"#, "epochs"),
    ] {
        let refused = analyze(&bench, 0, &["--only", only]).expect(2);
        assert!(refused.err.contains(wrong) && refused.out.is_empty(), "{}", refused.err);
    }
    let twice = ["--only", "eigenvalues", "--only", "eigenvalues"];
    assert!(analyze(&bench, 0, &twice).expect(2).err.contains("twice"));
    let place = analyze(&bench, 0, &["--only", "jacobian", "--directory", "/dev/null"]).expect(2);
    assert!(place.err.contains("`/dev/null` cannot be used"), "{}", place.err);
    let trial = analyze(&bench, 7, &["--only", "jacobian"]).expect(2);
    assert!(trial.err.contains("has no trial 7"), "{}", trial.err);
    // Nothing is wrong where there is nothing to see.
    let none = analyze(&bench, 1, &["--only", "controller_pca", "-o", "json"]).expect(0);
    assert!(none.err.contains("none of these analyses applies"), "{}", none.err);

    let bench = ended(&format!("{BESIDE}checkpoint: {{keep: none}}\n"));
    let gone = analyze(&bench, 0, &["--only", "jacobian"]).expect(2);
    assert!(gone.err.contains("beside/0 has no checkpoint"), "{}", gone.err);
}
