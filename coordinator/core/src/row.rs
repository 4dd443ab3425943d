//! The rows that a trial produces, as plain values: what a trainer fills in and `rheo-query` turns
//! into Arrow. The key columns (sweep, trial, task, net, seed) are added there.
//!
//! A row with the same table and contents is produced once per trial, in a fixed order; that is
//! what lets a trial that must start over skip the rows that are already durable.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The tables of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// One row per ended trial.
    Trials,
    /// One row per ended attempt.
    Attempts,
    /// One row per trial and epoch.
    Epochs,
    /// One row per trial, perturbation and level.
    Evaluations,
    /// One row per trial, analysed epoch and neuron.
    Shapes,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 5] =
        [Self::Trials, Self::Attempts, Self::Epochs, Self::Evaluations, Self::Shapes];

    /// The tables that a trainer fills; the coordinator fills the others.
    pub const TRAINED: [Self; 3] = [Self::Epochs, Self::Evaluations, Self::Shapes];

    /// The name in SQL and in the results directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trials => "trials",
            Self::Attempts => "attempts",
            Self::Epochs => "epochs",
            Self::Evaluations => "evaluations",
            Self::Shapes => "shapes",
        }
    }

    /// The table called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// Rows of one table, encoded as an Arrow IPC stream that describes itself; opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The table.
    pub table: Table,
    /// How many rows.
    pub rows: u64,
    /// The rows.
    pub ipc: Bytes,
}

/// The rows of one commit, each table in the order in which they were produced.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Rows of `epochs`.
    pub epochs: Vec<EpochRow>,
    /// Rows of `evaluations`.
    pub evaluations: Vec<EvaluationRow>,
    /// Rows of `shapes`.
    pub shapes: Vec<ShapeRow>,
}

impl Rows {
    /// Whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.counts() == RowCounts::default()
    }

    /// How many rows of each table there are.
    pub fn counts(&self) -> RowCounts {
        RowCounts {
            epochs: self.epochs.len() as u64,
            evaluations: self.evaluations.len() as u64,
            shapes: self.shapes.len() as u64,
        }
    }

    /// Removes the first `count` rows of each table.
    pub fn skip(&mut self, count: RowCounts) {
        fn skip<T>(rows: &mut Vec<T>, count: u64) {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(rows.len());
            rows.drain(..count);
        }
        skip(&mut self.epochs, count.epochs);
        skip(&mut self.evaluations, count.evaluations);
        skip(&mut self.shapes, count.shapes);
    }

    /// Moves the rows of `later` behind these.
    pub fn append(&mut self, mut later: Self) {
        self.epochs.append(&mut later.epochs);
        self.evaluations.append(&mut later.evaluations);
        self.shapes.append(&mut later.shapes);
    }
}

/// How many rows of each trained table a trial has made durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows of `epochs`.
    pub epochs: u64,
    /// Rows of `evaluations`.
    pub evaluations: u64,
    /// Rows of `shapes`.
    pub shapes: u64,
}

impl RowCounts {
    /// The rows that `batches` say they have.
    pub fn of(batches: &[Batch]) -> Self {
        let rows = |table| {
            let of_table = batches.iter().filter(|batch| batch.table == table);
            of_table.fold(0u64, |sum, batch| sum.saturating_add(batch.rows))
        };
        Self {
            epochs: rows(Table::Epochs),
            evaluations: rows(Table::Evaluations),
            shapes: rows(Table::Shapes),
        }
    }

    /// The rows of all tables together.
    pub fn total(self) -> u64 {
        self.epochs + self.evaluations + self.shapes
    }

    /// These rows and `other` rows.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// The rows beyond the first `other` ones of each table.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }

    /// The larger number for each table.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.zip(other, u64::max)
    }

    fn zip(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            epochs: join(self.epochs, other.epochs),
            evaluations: join(self.evaluations, other.evaluations),
            shapes: join(self.shapes, other.shapes),
        }
    }
}

/// One row of `epochs`. Losses are in nats, accuracies in [0, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch, from 0.
    pub epoch: i32,
    /// Mean loss over the training samples, each taken before the update it caused.
    pub train_loss: f64,
    /// Accuracy over the same samples.
    pub train_accuracy: f64,
    /// Mean loss over the validation samples after the epoch.
    pub val_loss: f64,
    /// Accuracy over the validation samples.
    pub val_accuracy: f64,
    /// Bits per character, for language tasks.
    pub val_bpc: Option<f64>,
    /// Learning rate of the last update.
    pub lr: f64,
    /// Total 2-norm of the gradient before the update, averaged over the updates of the epoch.
    pub grad_norm: f64,
    /// Mean gain over neurons, for networks that have one.
    pub n_mean: Option<f64>,
    /// Standard deviation of the gain over neurons.
    pub n_std: Option<f64>,
    /// Mean saturation over neurons.
    pub s_mean: Option<f64>,
    /// Standard deviation of the saturation over neurons.
    pub s_std: Option<f64>,
    /// Elements whose gain was too close to zero and was replaced (science: gain policy).
    pub gain_guard_hits: u64,
    /// Elements with a negative gain.
    pub negative_gains: u64,
    /// Wall-clock seconds that the epoch took, over all attempts; the only column that a
    /// repetition does not reproduce.
    pub wall_s: f64,
}

/// One row of `evaluations`: the test set under one perturbation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// The epoch after which the network was evaluated.
    pub epoch: i32,
    /// The samples: `test` or `validation`.
    pub split: String,
    /// The perturbation: `none`, `sine`, `step_drive`.
    pub perturbation: String,
    /// Its strength; 0 for `none`.
    pub level: f64,
    /// Cycles per sequence, for `sine`.
    pub frequency: Option<f64>,
    /// Phase in radians, for `sine`.
    pub phase: Option<f64>,
    /// The first perturbed step.
    pub from_step: u32,
    /// Which repetition of a perturbation that draws noise, from 0.
    pub repetition: u32,
    /// `own`: gain and saturation as the network sets them; `frozen`: fixed at their mean.
    pub shape_mode: String,
    /// A condition of the task within which samples are counted, where it has any.
    pub condition: Option<f64>,
    /// Number of samples.
    pub count: u64,
    /// Accuracy in [0, 1].
    pub accuracy: f64,
    /// Mean loss in nats.
    pub loss: f64,
    /// Bits per character, for language tasks.
    pub bpc: Option<f64>,
    /// Standard error of the accuracy, sqrt(p (1 - p) / count).
    pub stderr: f64,
}

/// One row of `shapes`: the curve of one neuron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeRow {
    /// The epoch after which it was read, -1 for the untrained network.
    pub epoch: i32,
    /// `trained`, or `before` and `after` a re-adaptation.
    pub phase: String,
    /// The neuron, from 0.
    pub neuron: u32,
    /// Gain; for adaptive networks its mean over time on unperturbed test data.
    pub n: f64,
    /// Saturation, likewise.
    pub s: f64,
    /// Gain of the untrained network.
    pub n_init: f64,
    /// Saturation of the untrained network.
    pub s_init: f64,
}

/// What is known of a trial when it ends: the columns of `trials` that only its trainer can fill.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of trained parameters.
    pub parameters: u64,
    /// Number of inputs per step.
    pub inputs: u32,
    /// Number of steps of a sequence.
    pub steps: u32,
    /// Initial gain, drawn or given; none for networks without one.
    pub n0: Option<f64>,
    /// Epochs that were trained.
    pub epochs: u32,
    /// Epoch with the highest validation accuracy.
    pub best_val_epoch: Option<u32>,
    /// Validation accuracy at that epoch.
    pub best_val_accuracy: Option<f64>,
    /// Where it ran, such as `cpu`.
    pub device: String,
    /// Seconds of training and evaluation, over all attempts.
    pub wall_s: f64,
}
