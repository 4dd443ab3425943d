//! Other programs read the results in place, while the sweep runs and afterwards, and agree with
//! `rheo query`.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};
use serde_json::{Value, json};

use crate::sweeps::SMALL;

pub(crate) use rheo_tests::readers;

/// Counts and sums of every table as three readers see them, as JSON.
const READ: &str = r#"
import json, sys
import duckdb, polars, pyarrow.dataset

root = sys.argv[1]
columns = {"trials": "test_accuracy", "attempts": "wall_s", "epochs": "val_loss", "evaluations": "loss", "shapes": "n"}
seen = {"duckdb": {}, "polars": {}, "pyarrow": {}}
for table, column in columns.items():
    files = f"{root}/{table}/**/*.parquet"
    row = duckdb.sql(f"select count(*), sum({column}), min(sweep) from read_parquet('{files}', hive_partitioning = true)").fetchall()[0]
    seen["duckdb"][table] = [row[0], row[1], row[2]]
    frame = polars.scan_parquet(files, hive_partitioning=True).select(polars.len(), polars.col(column).sum().alias("s"), polars.col("sweep").min().alias("w")).collect()
    seen["polars"][table] = list(frame.row(0))
    data = pyarrow.dataset.dataset(f"{root}/{table}", format="parquet", partitioning="hive").to_table(columns=[column, "sweep"])
    values = [value for value in data.column(column).to_pylist() if value is not None]
    seen["pyarrow"][table] = [data.num_rows, sum(values), min(data.column("sweep").to_pylist())]
print(json.dumps(seen))
"#;

fn read(readers: &PathBuf, bench: &TestBench) -> ProgramOutput {
    let mut python = Command::new("python3");
    python.args(["-c", READ]).arg(bench.state().join("results")).env("PYTHONPATH", readers);
    RunningProgram::start(python).end()
}

/// Which directories hold the parts of each table: compaction exchanges them for others.
fn directories(bench: &TestBench) -> Vec<Option<u64>> {
    let results = bench.state().join("results");
    let table = |table| std::fs::metadata(results.join(table).join("sweep=small"));
    ["trials", "attempts", "epochs", "evaluations", "shapes"]
        .map(|name| table(name).ok().map(|directory| directory.ino()))
        .to_vec()
}

fn ours(bench: &TestBench) -> Value {
    let mut tables = serde_json::Map::new();
    for (table, column) in [
        ("trials", "test_accuracy"),
        ("attempts", "wall_s"),
        ("epochs", "val_loss"),
        ("evaluations", "loss"),
        ("shapes", "n"),
    ] {
        let sql = format!("select count(*) as n, sum({column}) as s, min(sweep) as w from {table}");
        let row = bench.query(&sql).remove(0);
        tables.insert(table.to_owned(), json!([row["n"], row["s"], row["w"]]));
    }
    Value::Object(tables)
}

#[track_caller]
fn assert_agree(theirs: &Value, ours: &Value, reader: &str) {
    for (table, expected) in ours.as_object().unwrap() {
        let found = &theirs[reader][table];
        assert_eq!(found[0], expected[0], "{reader}: rows of {table}");
        assert_eq!(found[2], expected[2], "{reader}: sweep of {table}");
        let (found, expected) = (found[1].as_f64().unwrap(), expected[1].as_f64().unwrap());
        // Sums may be taken in another order.
        let close = (found - expected).abs() <= 1e-9 * expected.abs().max(1.0);
        assert!(close, "{reader}: sum of {table}: {found} and {expected}");
    }
}

#[test]
fn u30_three_other_readers_agree_with_us_during_and_after_a_sweep() {
    let Some(readers) = readers() else { return };
    let bench = TestBench::default();
    let file = bench.file("small.yaml", SMALL);
    let run = bench.rheo(&["run", file, "--workers", "2", "--flush-interval", "0.2"]);
    let mut run = RunningProgram::start(run);
    let complete = bench.state().join("results/shapes/sweep=small");
    let mut reads = 0;
    wait_for("the sweep to end", || {
        if complete.exists() && run.is_running() && bench.state().join("results/trials").exists() {
            let before = directories(&bench);
            let said = read(&readers, &bench);
            // Whatever it sees is whole. Only who listed parts right before they were compacted, and
            // opens them right after, is told that they have gone.
            if said.code() != 0 {
                assert_ne!(before, directories(&bench), "nothing was compacted\n{}", said.err);
                let gone = ["FileNotFoundError", "No such file", "No files found"];
                assert!(gone.iter().any(|error| said.err.contains(error)), "{}", said.err);
                return None;
            }
            let said = said.json();
            for reader in ["duckdb", "polars", "pyarrow"] {
                assert!(said[reader]["epochs"][0].as_u64().unwrap() <= 24, "{said}");
            }
            reads += 1;
        }
        (!run.is_running()).then_some(())
    });
    run.end().expect(0);
    eprintln!("read {reads} times while the sweep ran");
    let theirs = read(&readers, &bench).expect(0).json();
    let ours = ours(&bench);
    for reader in ["duckdb", "polars", "pyarrow"] {
        assert_agree(&theirs, &ours, reader);
    }
}

#[test]
fn answers_come_out_in_every_format() {
    let Some(readers) = readers() else { return };
    let bench = TestBench::default();
    bench.run(&["run", bench.file("small.yaml", SMALL)]).expect(0);
    let sql = "select * from trials order by trial";
    for format in ["csv", "parquet", "arrow", "json", "jsonl", "table"] {
        let name = format!("trials.{format}");
        bench.run(&["query", sql, "-o", format, "--file", &name]).expect(0);
    }
    let script = r#"
import polars, pyarrow.ipc, json
frames = [polars.read_csv("trials.csv"), polars.read_parquet("trials.parquet"), polars.read_ndjson("trials.jsonl"), polars.DataFrame(json.load(open("trials.json")))]
frames.append(polars.from_arrow(pyarrow.ipc.open_stream("trials.arrow").read_all()))
print([(frame.height, frame["trial"].sum(), round(frame["test_accuracy"].sum(), 9)) for frame in frames])
"#;
    let mut python = Command::new("python3");
    python.args(["-c", script]).current_dir(bench.path()).env("PYTHONPATH", readers);
    let said = RunningProgram::start(python).end().expect(0);
    let numbers: Vec<&str> = said.out.trim().trim_matches(['[', ']']).split("), ").collect();
    assert_eq!(numbers.len(), 5);
    assert!(
        numbers.iter().all(|n| n.trim_end_matches(')') == numbers[0].trim_end_matches(')')),
        "{}",
        said.out
    );
}
