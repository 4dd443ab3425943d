//! Tasks whose loss has a known measure, `char_lm` and `copy`, and a second training on turned
//! images.

use std::f64::consts::LN_2;

use serde_json::{Value, json};

use super::{assert_close, assert_once, column, ended, number, run, those};
use crate::traces::weights;

/// Symbols of the generated text.
const SYMBOLS: usize = 27;

/// Entropy rate of the generated text and standard deviation of what one symbol says, in bits
/// (science reference, section 4).
fn surprise() -> (f64, f64) {
    let weight = |from: usize, to: usize| (3.0 * ((1 + SYMBOLS * from + to) as f64).sin()).exp();
    let chances: Vec<Vec<f64>> = (0..SYMBOLS)
        .map(|from| {
            let row: Vec<f64> = (0..SYMBOLS).map(|to| weight(from, to)).collect();
            let sum: f64 = row.iter().sum();
            row.iter().map(|weight| weight / sum).collect()
        })
        .collect();
    let mut share = vec![1.0 / SYMBOLS as f64; SYMBOLS];
    for _ in 0..200 {
        let into = |to: usize| (0..SYMBOLS).map(|from| share[from] * chances[from][to]).sum();
        share = (0..SYMBOLS).map(into).collect();
    }
    let moment = |power: i32| -> f64 {
        let of = |from: usize| -> f64 {
            chances[from].iter().map(|chance| chance * (-chance.log2()).powi(power)).sum()
        };
        (0..SYMBOLS).map(|from| share[from] * of(from)).sum()
    };
    (moment(1), (moment(2) - moment(1).powi(2)).sqrt())
}

#[test]
fn char_lm() {
    let bench = ended(include_str!("../science/char_lm.yaml"));
    let (floor, deviation) = surprise();
    assert!((floor - 3.535_164).abs() < 1e-6, "{floor}");
    // Ten columns of the 1,200 symbols, each of which foretells 119.
    let never_below = floor - 4.0 * deviation / 1190f64.sqrt();
    let epochs =
        bench.query("select net, epoch, val_loss, val_bpc, lr from epochs order by net, epoch");
    assert_once(&epochs, 3 * 3, &["net", "epoch"]);
    for row in &epochs {
        let bits = number(row, "val_bpc");
        assert_eq!(bits, number(row, "val_loss") / LN_2, "{row}");
        assert!(bits > never_below, "{row}");
        // What is known without looking at the symbol before: that was learned.
        assert!(row["epoch"] != 2 || bits < 4.752_404, "{row}");
    }
    let cells = bench.query("select * from evaluations");
    assert_once(&cells, 3 * (1 + 2 + 2), &["net", "perturbation", "level", "repetition"]);
    for row in &cells {
        assert_eq!(number(row, "bpc"), number(row, "loss") / LN_2, "{row}");
        assert!(number(row, "bpc") > never_below && row["count"] == 1190, "{row}");
    }
    for net in ["heterogeneous", "adaptive", "lstm"] {
        let loss = |name: &str, level: f64| {
            let wanted = json!({"net": net, "perturbation": name, "level": level});
            column(&those(&cells, &wanted, "repetition"), "loss")
        };
        assert_close(loss("step_drive", 0.0)[0], loss("none", 0.0)[0], 1e-6, &net);
        assert!(loss("step_drive", 2.0)[0] > loss("none", 0.0)[0], "{net}");
        let noise = loss("noise_drive", 1.0);
        assert!(noise[0] != noise[1], "{net}: repetitions draw anew");
    }
}

#[test]
fn copy() {
    let bench = ended(include_str!("../science/copy.yaml"));
    // What is reached without a memory: blanks are certain, each symbol is one of eight.
    let baseline = 2.0 * 8f64.ln() / 44.0;
    let epochs = bench.query("select * exclude (wall_s) from epochs");
    assert_once(&epochs, 2 * 2, &["net", "epoch"]);
    let last: Vec<&Value> = those(&epochs, &json!({"epoch": 1}), "trial");
    for row in last {
        let loss = number(row, "val_loss");
        assert!((0.9 * baseline..1.25 * baseline).contains(&loss), "{baseline}: {row}");
        // Of the recalled symbols alone, a few of which are guessed.
        assert!(number(row, "val_accuracy") < 0.5 && row["val_bpc"].is_null(), "{row}");
        assert!((0.9..1.25).contains(&(number(row, "train_loss") / baseline)), "{row}");
    }
    let steps = bench.query("select distinct steps from trials");
    assert_eq!(steps, [json!({"steps": 44})]);
}

const READAPT: &str = include_str!("../science/readapt.yaml");

#[test]
fn readaptation_changes_gain_and_saturation_alone() {
    let bench = ended(READAPT);
    // The same first training without the second.
    let plain = READAPT
        .replace("name: readapt", "name: plain")
        .replace(", readapt: {epochs: 2, lr: 5.0e-3}", "");
    run(&bench, "plain.yaml", plain.split("analyze:").next().unwrap());
    let (after, before) = (weights(&bench, "readapt"), weights(&bench, "plain"));
    for trial in [0, 1] {
        // Whatever has a point in its name is no parameter.
        let parameters = before[&trial].iter().filter(|(name, _)| !name.contains('.'));
        let parameters: Vec<_> = parameters.filter(|(name, _)| *name != "blake3").collect();
        assert!(parameters.len() >= 8, "{:?}", before[&trial].keys());
        for (name, bytes) in parameters {
            let is_same = after[&trial].get(name) == Some(bytes);
            assert_eq!(is_same, !["n", "s"].contains(&name.as_str()), "{name} of {trial}");
        }
    }
    let first = |sweep: &str| {
        bench.query(&format!(
            "select * exclude (sweep, wall_s) from epochs where sweep = '{sweep}' and epoch < 2 \
             order by trial, epoch"
        ))
    };
    assert_eq!(first("readapt"), first("plain"));
    second_training(&bench.query("select * from epochs where sweep = 'readapt'"));
    phases(&bench.query("select * from shapes where sweep = 'readapt'"));
    let epochs = bench.query("select sweep, epochs from trials where trial = 0 order by sweep");
    let epochs: Vec<f64> = epochs.iter().map(|row| number(row, "epochs")).collect();
    assert_eq!(epochs, [2.0, 4.0]);
    let eigenvalues = |epoch: i32| {
        bench.query(&format!(
            "select trial, \"index\", re, im from eigenvalues where epoch = {epoch} order by 1, 2"
        ))
    };
    assert_eq!(eigenvalues(1).len(), 2 * 8);
    assert_eq!(eigenvalues(1), eigenvalues(3));
}

/// The epochs are counted on, at the learning rate of the second training.
fn second_training(epochs: &[Value]) {
    assert_once(epochs, 2 * 4, &["trial", "epoch"]);
    for trial in [0, 1] {
        let rows = those(epochs, &json!({"trial": trial}), "epoch");
        assert_eq!(column(&rows, "epoch"), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(column(&rows, "lr"), [0.01, 0.01, 0.005, 0.005]);
        let gains = column(&rows, "n_mean");
        assert!(gains.windows(2).all(|pair| pair[0] != pair[1]), "{gains:?}");
    }
}

/// The shapes at the end of the first training are `before`, those at the end of all `after`.
fn phases(shapes: &[Value]) {
    assert_once(shapes, 2 * 5 * 8, &["trial", "epoch", "neuron"]);
    for row in shapes {
        let phase = match row["epoch"].as_i64() {
            Some(1) => "before",
            Some(3) => "after",
            _ => "trained",
        };
        assert_eq!(row["phase"], phase, "{row}");
    }
    for trial in [0, 1] {
        let of = |phase: &str, name: &str| {
            column(&those(shapes, &json!({"trial": trial, "phase": phase}), "neuron"), name)
        };
        for name in ["n", "s"] {
            let (before, after) = (of("before", name), of("after", name));
            assert!(before.iter().zip(&after).all(|(a, b)| a != b), "{name} of {trial}");
        }
        assert_eq!(of("before", "n_init"), of("after", "n_init"));
    }
}
