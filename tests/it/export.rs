//! `rheo checkpoint export` gives files that others can read; what the numbers in them are worth is
//! tested where they are made.

use std::fs;

use rheo_tests::TestBench;
use serde_json::{Value, json};

use crate::sweeps::SMALL;

/// The header of a safetensors file: eight bytes with its length, then JSON.
fn header(bytes: &[u8]) -> Value {
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap());
    serde_json::from_slice(&rest[..usize::try_from(length).unwrap()]).unwrap()
}

#[test]
fn the_weights_of_a_trial_are_exported_with_its_configuration() {
    let bench = TestBench::default();
    bench.run(&["run", bench.file("small.yaml", SMALL)]).expect(0);
    let trials = bench.query("select trial, net from trials order by trial");
    let adaptive = trials.iter().find(|row| row["net"] == "adaptive").unwrap();
    let name = format!("small/{}", adaptive["trial"]);
    let said = bench.run(&["checkpoint", "export", &name]).expect(0);
    let file = format!("small-{}.safetensors", adaptive["trial"]);
    assert_eq!(said.out.trim(), file);
    let bytes = fs::read(bench.path().join(&file)).unwrap();
    let header = header(&bytes);
    // Eight neurons, four controller units.
    for (tensor, shape) in [("w_hh", json!([8, 8])), ("u_ag", json!([4, 1])), ("b_gn", json!([1]))]
    {
        assert_eq!((&header[tensor]["dtype"], &header[tensor]["shape"]), (&json!("F32"), &shape));
    }
    assert_eq!(header.as_object().unwrap().len(), 1 + 14, "{header}");
    let ours = header["__metadata__"]["rheobase"].as_str().unwrap();
    let ours: Value = serde_json::from_str(ours).unwrap();
    assert_eq!(
        (&ours["config"]["network"]["kind"], &ours["epoch"]),
        (&json!("adaptive"), &json!(3))
    );
    bench.run(&["checkpoint", "export", &name, "--file", "other"]).expect(0);
    assert_eq!(fs::read(bench.path().join("other")).unwrap(), bytes);
}

#[test]
fn an_export_without_checkpoint_names_the_setting_that_keeps_one() {
    let bench = TestBench::default();
    let sweep = SMALL.replace("checkpoint: {interval: 0}", "checkpoint: {keep: none}");
    bench.run(&["run", bench.file("small.yaml", &sweep)]).expect(0);
    let said = bench.run(&["checkpoint", "export", "last/0"]).expect(2);
    assert!(said.err.contains("keep: final"), "{}", said.err);
    let written = fs::read_dir(bench.path()).unwrap().flatten();
    let mut written =
        written.filter(|entry| entry.path().extension() == Some("safetensors".as_ref()));
    assert!(written.next().is_none());
}
