//! Sample rows for tests and benches, distinct and determined by their trial.

#[path = "sample/analyses.rs"]
mod analyses;

use rheo_core::fleet::WorkerLocation;
use rheo_core::id::{Digest, WorkerId};
use rheo_core::time::Timestamp;
use rheo_model::config::{Evaluation, EvaluationKind, Metric, NetworkKind, TrialConfig};
use rheo_model::networks;
use rheo_model::row::{EpochRow, EvaluationRow, Rows, ShapeRow, Summary};
use rheo_query::{AttemptRow, TrialKeys, TrialRow};
use serde_json::Value;

/// A configuration; trials alternate between three kinds of network and two seeds.
pub(crate) fn config(trial: u64) -> TrialConfig {
    let mut config = TrialConfig { seed: 400 + trial % 2, ..TrialConfig::default() };
    config.network.kind = [NetworkKind::Homogeneous, NetworkKind::Adaptive, NetworkKind::Relu]
        [usize::try_from(trial % 3).unwrap_or_default()];
    config.evaluate = vec![Evaluation {
        kind: EvaluationKind::Sine,
        level: Some(vec![0.0, 0.5]),
        ..Evaluation::default()
    }];
    config
}

/// The resolved form of a configuration.
pub(crate) fn resolved(config: &TrialConfig) -> Value {
    let given = serde_json::to_value(config).unwrap_or_default();
    networks::workloads().schema(&networks::NAME).resolve(&given).unwrap_or_default()
}

pub(crate) fn keys(trial: u64) -> TrialKeys {
    TrialKeys::new(trial, &resolved(&config(trial)))
}

pub(crate) fn epoch(trial: u64, epoch: i32) -> EpochRow {
    let shape = (trial % 3 != 2).then_some(5.5);
    EpochRow {
        epoch,
        train_loss: 2.5 / f64::from(epoch + 1),
        train_accuracy: 0.5,
        val_loss: 2.0 / f64::from(epoch + 1),
        val_accuracy: accuracy(trial),
        val_bpc: None,
        lr: 1e-3,
        grad_norm: 0.25,
        n_mean: shape,
        n_std: shape.map(|_| 0.5),
        s_mean: shape.map(|_| 0.1),
        s_std: shape.map(|_| 0.01),
        gain_guard_hits: 0,
        negative_gains: 3,
        wall_s: 1.5,
    }
}

/// An accuracy between 0 and 1, different for neighbouring trials.
pub(crate) fn accuracy(trial: u64) -> f64 {
    (trial * 7919 % 1000) as f64 / 1000.0
}

pub(crate) fn evaluation(trial: u64, level: f64) -> EvaluationRow {
    EvaluationRow {
        epoch: 1,
        split: "test".to_owned(),
        perturbation: if level == 0.0 { "none" } else { "sine" }.to_owned(),
        level,
        frequency: (level != 0.0).then_some(1.0),
        phase: (level != 0.0).then_some(0.0),
        from_step: 0,
        repetition: 0,
        shape_mode: "own".to_owned(),
        condition: None,
        count: 1000,
        accuracy: accuracy(trial) * (1.0 - level),
        loss: 1.0,
        bpc: None,
        stderr: 0.01,
    }
}

pub(crate) fn shape(neuron: u32, epoch: i32) -> ShapeRow {
    ShapeRow {
        epoch,
        phase: "trained".to_owned(),
        neuron,
        n: 5.0 + f64::from(neuron),
        s: 0.25,
        n_init: 5.0,
        s_init: 0.0,
    }
}

/// Two epochs, two evaluations and four shapes, and some rows of every other table.
pub(crate) fn rows(trial: u64) -> Rows {
    Rows {
        epochs: vec![epoch(trial, 0), epoch(trial, 1)],
        evaluations: vec![evaluation(trial, 0.0), evaluation(trial, 0.5)],
        shapes: vec![shape(0, -1), shape(1, -1), shape(0, 1), shape(1, 1)],
        ..analyses::rows()
    }
}

pub(crate) fn trial(trial: u64) -> TrialRow {
    let config = config(trial);
    let swept = serde_json::json!({ "network.kind": config.network.kind });
    TrialRow {
        trial,
        point: trial / 2,
        status: "completed".to_owned(),
        swept: swept.as_object().cloned().unwrap_or_default(),
        objective: Some(accuracy(trial)),
        metrics: Metric::ALL.map(|metric| (metric.to_name(), accuracy(trial))).into(),
        summary: Some(Summary {
            parameters: 165_212,
            inputs: 1,
            hidden: 100,
            steps: 196,
            n0: (trial % 3 != 2).then_some(5.5),
            epochs: 2,
            best_val_epoch: Some(1),
            best_val_accuracy: Some(accuracy(trial)),
            device: "cpu".to_owned(),
            kernel: "avx2".to_owned(),
            wall_s: 12.5,
        }),
        config: resolved(&config).to_string().into(),
        attempts: 1,
        started: Some(Timestamp(1_790_000_000_000 + trial)),
        ended: Timestamp(1_790_000_012_500 + trial),
        host: Some("node-7".to_owned()),
        worker: Some(worker()),
        version: Some("0.1.0".to_owned()),
        checkpoint: Some(Digest::from_bytes([7; 32])),
        error: None,
    }
}

pub(crate) fn attempt(trial: u64) -> AttemptRow {
    AttemptRow {
        keys: keys(trial),
        attempt: 1,
        outcome: "completed".to_owned(),
        worker: worker(),
        host: "node-7".to_owned(),
        pid: Some(4711),
        place: WorkerLocation {
            pilot: "slurm/3".parse().ok(),
            job: Some("815".to_owned()),
            node: Some("n7".to_owned()),
            partition: Some("main".to_owned()),
            ..WorkerLocation::default()
        },
        version: "0.1.0".to_owned(),
        started: Timestamp(1_790_000_000_000 + trial),
        ended: Timestamp(1_790_000_012_500 + trial),
        epochs: Some((0, 1)),
        commits: 2,
        checkpoint: Some(Digest::from_bytes([7; 32])),
        error: None,
    }
}

fn worker() -> WorkerId {
    "0190f5c2-0000-7000-8000-000000000007".parse().expect("a worker id")
}
