//! Sweep files of the tests.

/// Six small trials, all kinds of networks that have a shape; a second or so each.
pub(crate) const SMALL: &str = "
name: small
task: {kind: digits, pool: 2, train_size: 200, validation_size: 50, test_size: 50}
network: {hidden: 8, controller: 4}
training: {epochs: 4, batch: 20, optimizer: {lr: 5.0e-3}}
checkpoint: {interval: 0}
parameters:
  network.kind: {values: [homogeneous, heterogeneous, adaptive]}
replicates: {seeds: [1, 2]}
evaluate:
  - {kind: sine, level: [0.0, 0.5], frequency: [1.0]}
  - {kind: step_drive, level: [0, 5]}
";

/// Rows of `epochs` that `SMALL` gives.
pub(crate) const SMALL_EPOCHS: u64 = 6 * 4;

/// Rows of `evaluations`: the unperturbed network, and two levels of two perturbations.
pub(crate) const SMALL_EVALUATIONS: u64 = 6 * (1 + 2 + 2);

/// Rows of `shapes`: before and after training, each neuron.
pub(crate) const SMALL_SHAPES: u64 = 6 * 2 * 8;

/// Four trials of some seconds each, to be interrupted.
pub(crate) const LONG: &str = "
name: long
task: {kind: digits, pool: 2, train_size: 6000, validation_size: 100, test_size: 100}
network: {hidden: 12, controller: 5}
training: {epochs: 12, batch: 20, optimizer: {lr: 5.0e-4}}
checkpoint: {interval: 0.1}
retry: {lost: 100}
parameters:
  network.kind: {values: [heterogeneous, adaptive]}
replicates: {seeds: [1, 2]}
evaluate:
  - {kind: sine, level: [0.5], frequency: [1.0]}
  - {kind: step_drive, level: [5]}
";

/// Rows of `epochs` that `LONG` gives.
pub(crate) const LONG_EPOCHS: u64 = 4 * 12;
