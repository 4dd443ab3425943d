//! Everything that a sweep leaves and that a repetition must reproduce to the bit.

use std::collections::BTreeMap;

use rheo_tests::TestBench;
use safetensors::SafeTensors;

/// Results of a sweep: rows as text, and the bytes of every tensor of the last checkpoints.
#[derive(Debug, PartialEq)]
pub(crate) struct Traces {
    pub(crate) rows: BTreeMap<&'static str, Vec<String>>,
    pub(crate) weights: BTreeMap<u64, BTreeMap<String, Vec<u8>>>,
}

/// Reads what the sweep `name` left.
pub(crate) fn traces(bench: &TestBench, name: &str) -> Traces {
    let rows = |sql: String| bench.query(&sql).iter().map(ToString::to_string).collect();
    let of_sweep = format!("where sweep = '{name}'");
    Traces {
        rows: [
            ("epochs", rows(format!("select * exclude (wall_s) from epochs {of_sweep} order by trial, epoch"))),
            ("evaluations", rows(format!("select * from evaluations {of_sweep} order by trial, perturbation, level, frequency"))),
            ("shapes", rows(format!("select * from shapes {of_sweep} order by trial, epoch, neuron"))),
        ]
        .into(),
        weights: weights(bench, name),
    }
}

/// The bytes of every tensor of the last checkpoints of a sweep, by trial.
pub(crate) fn weights(bench: &TestBench, name: &str) -> BTreeMap<u64, BTreeMap<String, Vec<u8>>> {
    let trials =
        bench.query(&format!("select trial, checkpoint from trials where sweep = '{name}'"));
    let read = |row: &serde_json::Value| {
        let digest = row["checkpoint"].as_str().unwrap();
        let path = bench.state().join("checkpoints").join(&digest[..2]).join(digest);
        let bytes = std::fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            (name, view.data().to_vec())
        };
        (row["trial"].as_u64().unwrap(), tensors.tensors().into_iter().map(tensor).collect())
    };
    trials.iter().map(read).collect()
}

/// Fails unless two sweeps left the same; says where they differ.
#[track_caller]
pub(crate) fn assert_same(found: &Traces, expected: &Traces) {
    for (table, rows) in &expected.rows {
        let theirs = &found.rows[table];
        for (row, other) in rows.iter().zip(theirs) {
            assert_eq!(other, row, "a row of {table} differs");
        }
        assert_eq!(theirs.len(), rows.len(), "rows of {table}");
    }
    for (trial, tensors) in &expected.weights {
        // The digest is over the header too, which says how long the trial took.
        for (name, bytes) in tensors.iter().filter(|(name, _)| *name != "blake3") {
            assert!(
                found.weights[trial].get(name) == Some(bytes),
                "`{name}` of trial {trial} differs"
            );
        }
    }
}
