//! Fleets on a real control plane of Kubernetes, whose nodes are played by processes (nodes.py). The
//! coordinator is the service account of the plain manifests in every one of these tests, so that all
//! of it works with exactly those rights.

#![expect(clippy::unwrap_used, reason = "tests")]

mod disturbed;
mod lab;
mod rights;
mod scaled;

/// Six trials of a few seconds each, to be interrupted.
const SWEEP: &str = "
name: sweep
task: {kind: digits, pool: 2, train_size: 4000, validation_size: 50, test_size: 50}
network: {hidden: 12, controller: 4}
training: {epochs: 8, batch: 20, optimizer: {lr: 5.0e-4}}
checkpoint: {interval: 0.1}
retry: {lost: 100}
parameters:
  network.kind: {values: [homogeneous, heterogeneous, adaptive]}
replicates: {seeds: [1, 2]}
evaluate:
  - {kind: step_drive, level: [5]}
";

/// Trials of the sweep.
const TRIALS: u64 = 6;

/// Epochs of each.
const EPOCHS: u64 = 8;
