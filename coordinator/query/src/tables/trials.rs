//! The table `trials`: one row per ended trial, filled by the coordinator. A trial that is retried
//! after it ended gets a second row; `Retraction` removes the first.
//!
//! The table has no `epoch` and no `variant`: a row describes the trial, not a measurement, and
//! `epoch` in two tables would make every join of `trials` with `epochs` ambiguous.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use rheo_core::id::{Digest, WorkerId};
use rheo_core::metric::Metrics;
use rheo_core::rows::RowBatch;
use rheo_core::time::Timestamp;
use rheo_model::config::{InputInit, Metric, TrialConfig};
use rheo_model::row::{Summary, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Column, ColumnType, optional, required};
use crate::batch::{Error, TrialKeys};
use crate::encode::to_arrow;
use crate::packed_rows;

pub(super) const COLUMNS: [Column; 43] = [
    required("point", ColumnType::U64, "", "the point of the space; its replicates share it"),
    required(
        "status",
        ColumnType::Str,
        "",
        "`completed`, `diverged`, `pruned`, `cancelled` or `failed`",
    ),
    optional("objective", ColumnType::F64, "", "final value of the metric of the sweep"),
    required("swept", ColumnType::Str, "JSON", "swept values of the parameters"),
    required(
        "config",
        ColumnType::Config,
        "",
        "the whole configuration, null where a kind ignores it",
    ),
    optional("train_loss", ColumnType::F64, "nats", "training loss of the last epoch"),
    optional(
        "train_accuracy",
        ColumnType::F64,
        "",
        "training accuracy of the last epoch, in [0, 1]",
    ),
    optional("val_loss", ColumnType::F64, "nats", "validation loss after the last epoch"),
    optional(
        "val_accuracy",
        ColumnType::F64,
        "",
        "validation accuracy after the last epoch, in [0, 1]",
    ),
    optional("test_loss", ColumnType::F64, "nats", "test loss after the last epoch"),
    optional("test_accuracy", ColumnType::F64, "", "test accuracy after the last epoch, in [0, 1]"),
    optional("best_val_epoch", ColumnType::I32, "", "epoch with the highest validation accuracy"),
    optional("best_val_accuracy", ColumnType::F64, "", "validation accuracy at that epoch"),
    optional("parameters", ColumnType::U64, "", "number of trained parameters"),
    optional("inputs", ColumnType::U32, "", "inputs per step"),
    required("hidden", ColumnType::U32, "", "recurrent neurons"),
    optional("controller", ColumnType::U32, "", "units of the controller, for `adaptive`"),
    optional("steps", ColumnType::U32, "", "steps of a sequence"),
    required("batch", ColumnType::U32, "", "samples per update"),
    optional("epochs", ColumnType::U32, "", "epochs that were trained"),
    required("lr", ColumnType::F64, "", "learning rate at the start"),
    optional("n0", ColumnType::F64, "", "gain at the start, given or drawn"),
    optional("s0", ColumnType::F64, "", "saturation at the start"),
    optional("n0_drawn", ColumnType::Bool, "", "whether `n0` was drawn"),
    optional(
        "learn_shape_from",
        ColumnType::U32,
        "",
        "epoch from which gain and saturation are learned",
    ),
    optional("augment_p", ColumnType::F64, "", "share of the training batches that are perturbed"),
    required("recurrent_init", ColumnType::Str, "", "initialiser of the recurrent matrices"),
    required("input_init", ColumnType::Str, "", "initialiser of the input matrices"),
    required("bias_init", ColumnType::Str, "", "initialiser of the biases"),
    optional("permutation_seed", ColumnType::U64, "", "seed of the order of the pixels"),
    optional("split_seed", ColumnType::U64, "", "seed of the split into training and validation"),
    optional("task_seed", ColumnType::U64, "", "seed of generated data"),
    required("attempts", ColumnType::U32, "", "attempts so far"),
    optional("started", ColumnType::Time, "", "time of the first lease"),
    required("ended", ColumnType::Time, "", "time of the end"),
    optional("wall_s", ColumnType::F64, "s", "time of training and evaluation, over all attempts"),
    optional("device", ColumnType::Str, "", "device of the last attempt, such as `cpu`"),
    optional(
        "kernel",
        ColumnType::Str,
        "",
        "execution backend of the network: an instruction set, `libtorch` or `autograd`",
    ),
    optional("host", ColumnType::Str, "", "name of the machine of its last attempt"),
    optional("worker", ColumnType::Str, "", "id of the worker of its last attempt"),
    optional("version", ColumnType::Str, "", "version of that worker"),
    optional(
        "checkpoint",
        ColumnType::Str,
        "",
        "blake3 digest of its last checkpoint, hexadecimal",
    ),
    optional("error", ColumnType::Str, "", "the error, or the position of the divergence"),
];

/// One row of `trials`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialRow {
    /// The trial, counted from 0 in its sweep.
    pub trial: u64,
    /// The point of the space; replicates share it.
    pub point: u64,
    /// The status: `completed`, `diverged`, `pruned`, `cancelled` or `failed`.
    pub status: String,
    /// The resolved configuration as JSON, without the fields that its kinds ignore.
    pub config: Arc<str>,
    /// The values that the sweep gave to its parameters, by dotted path.
    pub swept: Map<String, Value>,
    /// The final value of the metric of the sweep.
    pub objective: Option<f64>,
    /// The final value of every metric that exists.
    pub metrics: Metrics,
    /// The summary of its trainer, if the trainer finished it.
    pub summary: Option<Summary>,
    /// Attempts so far.
    pub attempts: u32,
    /// The lease time of the first attempt; none without an attempt.
    pub started: Option<Timestamp>,
    /// The time of its end.
    pub ended: Timestamp,
    /// The name of the machine of its last attempt.
    pub host: Option<String>,
    /// The worker of its last attempt.
    pub worker: Option<WorkerId>,
    /// The version of that worker.
    pub version: Option<String>,
    /// The last checkpoint.
    pub checkpoint: Option<Digest>,
    /// The error, or the position of the divergence.
    pub error: Option<String>,
}

/// Packs rows of `trials` into a batch.
pub fn encode_trials(rows: &[TrialRow]) -> Result<RowBatch, Error> {
    packed_rows::pack(Table::Trials, rows.len(), rows)
}

/// Converts rows to Arrow.
pub(crate) fn trials(rows: &[TrialRow]) -> Result<RecordBatch, Error> {
    let rows = rows.iter().map(TrialColumns::new).collect::<Result<Vec<_>, _>>()?;
    Ok(to_arrow(Table::Trials, &rows)?)
}

/// A row with one field per column. Columns that repeat a value of `config` are read from it.
#[derive(Serialize)]
struct TrialColumns<'a> {
    #[serde(flatten)]
    keys: TrialKeys,
    point: u64,
    status: &'a str,
    objective: Option<f64>,
    swept: String,
    config: Value,
    train_loss: Option<f64>,
    train_accuracy: Option<f64>,
    val_loss: Option<f64>,
    val_accuracy: Option<f64>,
    test_loss: Option<f64>,
    test_accuracy: Option<f64>,
    best_val_epoch: Option<u32>,
    best_val_accuracy: Option<f64>,
    parameters: Option<u64>,
    inputs: Option<u32>,
    hidden: u32,
    controller: Value,
    steps: Option<u32>,
    batch: u32,
    epochs: Option<u32>,
    lr: f64,
    n0: Option<f64>,
    s0: Value,
    n0_drawn: Option<bool>,
    learn_shape_from: u32,
    augment_p: f64,
    recurrent_init: Value,
    input_init: InputInit,
    bias_init: Value,
    permutation_seed: Value,
    split_seed: Value,
    task_seed: Value,
    attempts: u32,
    started: Option<Timestamp>,
    ended: Timestamp,
    wall_s: Option<f64>,
    device: Option<&'a str>,
    kernel: Option<&'a str>,
    host: Option<&'a str>,
    worker: Option<WorkerId>,
    version: Option<&'a str>,
    checkpoint: Option<Digest>,
    error: Option<&'a str>,
}

impl<'a> TrialColumns<'a> {
    fn new(row: &'a TrialRow) -> Result<Self, Error> {
        let typed: TrialConfig = serde_json::from_str(&row.config)?;
        let config: Value = serde_json::from_str(&row.config)?;
        let metric = |metric: Metric| row.metrics.get(&metric.to_name()).copied();
        let summary = row.summary.as_ref();
        let (task, network) = (&config["task"], &config["network"]);
        // Summaries of older versions have 0.
        let hidden = summary.map(|s| s.hidden).filter(|hidden| *hidden > 0);
        // Null stays null: the task uses no such seed.
        let paper_seed = |seed: &Value| match (seed, typed.task.paper_seeds) {
            (Value::Number(_), true) => typed.seed.into(),
            _ => seed.clone(),
        };
        Ok(Self {
            keys: TrialKeys::new(row.trial, &config),
            point: row.point,
            status: &row.status,
            objective: row.objective,
            swept: serde_json::to_string(&row.swept)?,
            train_loss: metric(Metric::TrainLoss),
            train_accuracy: metric(Metric::TrainAccuracy),
            val_loss: metric(Metric::ValidationLoss),
            val_accuracy: metric(Metric::ValidationAccuracy),
            test_loss: metric(Metric::TestLoss),
            test_accuracy: metric(Metric::TestAccuracy),
            best_val_epoch: summary.and_then(|s| s.best_val_epoch),
            best_val_accuracy: summary.and_then(|s| s.best_val_accuracy),
            parameters: summary.map(|s| s.parameters),
            inputs: summary.map(|s| s.inputs),
            hidden: hidden.unwrap_or(typed.network.hidden),
            controller: network["controller"].clone(),
            steps: summary.map(|s| s.steps),
            batch: typed.training.batch,
            epochs: summary.map(|s| s.epochs),
            lr: typed.training.optimizer.lr,
            n0: summary.and_then(|s| s.n0),
            s0: network["s0"].clone(),
            n0_drawn: network["s0"].is_number().then_some(typed.network.n0.is_none()),
            learn_shape_from: typed.training.learn_shape_from,
            augment_p: typed.training.augment.probability,
            recurrent_init: network["recurrent_init"].clone(),
            input_init: typed.input_init(),
            bias_init: network["bias_init"].clone(),
            permutation_seed: paper_seed(&task["permutation_seed"]),
            split_seed: paper_seed(&task["split_seed"]),
            task_seed: task["seed"].clone(),
            attempts: row.attempts,
            started: row.started,
            ended: row.ended,
            wall_s: summary.map(|s| s.wall_s),
            device: summary.map(|s| s.device.as_str()),
            kernel: summary.map(|s| s.kernel.as_str()).filter(|kernel| !kernel.is_empty()),
            host: row.host.as_deref(),
            worker: row.worker,
            version: row.version.as_deref(),
            checkpoint: row.checkpoint,
            error: row.error.as_deref(),
            config,
        })
    }
}
