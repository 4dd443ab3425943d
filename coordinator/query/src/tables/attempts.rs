//! The table `attempts`: one row per ended attempt, filled by the coordinator.

use arrow::record_batch::RecordBatch;
use rheo_core::fleet::WorkerLocation;
use rheo_core::id::{Digest, WorkerId};
use rheo_core::rows::RowBatch;
use rheo_core::time::Timestamp;
use rheo_model::row::Table;
use serde::{Deserialize, Serialize};

use super::{Column, ColumnType, optional, required};
use crate::batch::{Error, TrialKeys};
use crate::encode::to_arrow;
use crate::packed_rows;

pub(super) const COLUMNS: [Column; 18] = [
    required("attempt", ColumnType::U32, "", "number of the attempt, from 1"),
    required(
        "outcome",
        ColumnType::Str,
        "",
        "outcome: `completed`, `paused`, `preempted`, `lost`, `unfit`, ...",
    ),
    required("worker", ColumnType::Str, "", "id of the worker process"),
    required("host", ColumnType::Str, "", "name of its machine"),
    optional("pid", ColumnType::U32, "", "its process id"),
    optional(
        "pilot",
        ColumnType::Str,
        "",
        "the pilot that the worker belonged to, as `fleet/number`",
    ),
    optional("job", ColumnType::Str, "", "id of its job in the cluster"),
    optional("node", ColumnType::Str, "", "node of the cluster that it ran on"),
    optional("partition", ColumnType::Str, "", "partition, queue or namespace of the job"),
    required("version", ColumnType::Str, "", "version of its `rheo-worker`"),
    required("started", ColumnType::Time, "", "time of the lease"),
    required("ended", ColumnType::Time, "", "time of the end"),
    required("wall_s", ColumnType::F64, "s", "time from `started` to `ended`"),
    optional("first_epoch", ColumnType::I32, "", "first epoch it committed, if any"),
    optional("last_epoch", ColumnType::I32, "", "last epoch it committed, if any"),
    required("commits", ColumnType::U64, "", "number of its commits that were accepted"),
    optional(
        "checkpoint",
        ColumnType::Str,
        "",
        "blake3 digest of its last checkpoint, hexadecimal",
    ),
    optional("error", ColumnType::Str, "", "the error, if any"),
];

/// One row of `attempts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// The trial.
    pub keys: TrialKeys,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The outcome, as the state machine names it: `completed`, `preempted`, `lost`, ...
    pub outcome: String,
    /// The worker process that held it.
    pub worker: WorkerId,
    /// The name of the worker's machine.
    pub host: String,
    /// The worker's process id on that machine.
    pub pid: Option<u32>,
    /// The location of the worker on its cluster.
    pub place: WorkerLocation,
    /// The version of the worker.
    pub version: String,
    /// The time of the lease.
    pub started: Timestamp,
    /// The time of its end.
    pub ended: Timestamp,
    /// The first and the last epoch that it committed.
    pub epochs: Option<(i32, i32)>,
    /// The number of accepted commits.
    pub commits: u64,
    /// The last checkpoint.
    pub checkpoint: Option<Digest>,
    /// The error, if any.
    pub error: Option<String>,
}

/// Packs rows of `attempts` into a batch.
pub fn encode_attempts(rows: &[AttemptRow]) -> Result<RowBatch, Error> {
    packed_rows::pack(Table::Attempts, rows.len(), rows)
}

/// Converts rows to Arrow.
pub(crate) fn attempts(rows: &[AttemptRow]) -> Result<RecordBatch, Error> {
    Ok(to_arrow(Table::Attempts, &rows.iter().map(AttemptColumns::from).collect::<Vec<_>>())?)
}

/// A row with one field per column.
#[derive(Serialize)]
struct AttemptColumns<'a> {
    #[serde(flatten)]
    keys: &'a TrialKeys,
    attempt: u32,
    outcome: &'a str,
    worker: WorkerId,
    host: &'a str,
    pid: Option<u32>,
    pilot: Option<String>,
    job: Option<&'a str>,
    node: Option<&'a str>,
    partition: Option<&'a str>,
    version: &'a str,
    started: Timestamp,
    ended: Timestamp,
    wall_s: f64,
    first_epoch: Option<i32>,
    last_epoch: Option<i32>,
    commits: u64,
    checkpoint: Option<Digest>,
    error: Option<&'a str>,
}

impl<'a> From<&'a AttemptRow> for AttemptColumns<'a> {
    fn from(row: &'a AttemptRow) -> Self {
        Self {
            keys: &row.keys,
            attempt: row.attempt,
            outcome: &row.outcome,
            worker: row.worker,
            host: &row.host,
            pid: row.pid,
            pilot: row.place.pilot.as_ref().map(ToString::to_string),
            job: row.place.job.as_deref(),
            node: row.place.node.as_deref(),
            partition: row.place.partition.as_deref(),
            version: &row.version,
            started: row.started,
            ended: row.ended,
            wall_s: row.ended.since(row.started).as_secs_f64(),
            first_epoch: row.epochs.map(|(first, _)| first),
            last_epoch: row.epochs.map(|(_, last)| last),
            commits: row.commits,
            checkpoint: row.checkpoint,
            error: row.error.as_deref(),
        }
    }
}
