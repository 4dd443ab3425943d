//! `attempts`: one row per ended attempt, filled by the coordinator.

use arrow::record_batch::RecordBatch;
use rheo_core::fleet::WorkerLocation;
use rheo_core::id::{Digest, WorkerId};
use rheo_core::rows::Batch;
use rheo_core::time::Timestamp;
use rheo_model::row::Table;
use serde::{Deserialize, Serialize};

use super::{Column, Kind, optional, required};
use crate::batch::{Error, Keys};
use crate::encode::to_arrow;
use crate::packed;

pub(super) const COLUMNS: [Column; 18] = [
    required("attempt", Kind::U32, "", "which try of the trial, from 1"),
    required(
        "outcome",
        Kind::Str,
        "",
        "how it ended: `completed`, `preempted`, `lost`, `unfit`, ...",
    ),
    required("worker", Kind::Str, "", "id of the worker process"),
    required("host", Kind::Str, "", "name of its machine"),
    optional("pid", Kind::U32, "", "its process id"),
    optional("pilot", Kind::Str, "", "the pilot that the worker belonged to, as `fleet/number`"),
    optional("job", Kind::Str, "", "id of its job in the cluster"),
    optional("node", Kind::Str, "", "node of the cluster that it ran on"),
    optional("partition", Kind::Str, "", "partition, queue or namespace of the job"),
    required("version", Kind::Str, "", "version of its `rheo-worker`"),
    required("started", Kind::Time, "", "when the attempt was leased"),
    required("ended", Kind::Time, "", "when it ended"),
    required("wall_s", Kind::F64, "s", "time from `started` to `ended`"),
    optional("first_epoch", Kind::I32, "", "first epoch it committed, if any"),
    optional("last_epoch", Kind::I32, "", "last epoch it committed, if any"),
    required("commits", Kind::U64, "", "number of its commits that were accepted"),
    optional("checkpoint", Kind::Str, "", "blake3 digest of its last checkpoint, hexadecimal"),
    optional("error", Kind::Str, "", "what went wrong, if anything did"),
];

/// One row of `attempts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// The trial.
    pub keys: Keys,
    /// Which try of the trial, from 1.
    pub attempt: u32,
    /// How it ended, in the words of the state machine: `completed`, `preempted`, `lost`, ...
    pub outcome: String,
    /// The worker process that held it.
    pub worker: WorkerId,
    /// The name of the worker's machine.
    pub host: String,
    /// The worker's process id on that machine.
    pub pid: Option<u32>,
    /// Where it ran, in the words of its cluster.
    pub place: WorkerLocation,
    /// The version of the worker.
    pub version: String,
    /// When the attempt was leased.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The first and the last epoch that it committed.
    pub epochs: Option<(i32, i32)>,
    /// Number of accepted commits.
    pub commits: u64,
    /// Its last checkpoint.
    pub checkpoint: Option<Digest>,
    /// What went wrong, if anything did.
    pub error: Option<String>,
}

/// Turns rows of `attempts` into a batch.
pub fn encode_attempts(rows: &[AttemptRow]) -> Result<Batch, Error> {
    packed::pack(Table::Attempts, rows.len(), rows)
}

/// The rows as Arrow.
pub(crate) fn attempts(rows: &[AttemptRow]) -> Result<RecordBatch, Error> {
    Ok(to_arrow(Table::Attempts, &rows.iter().map(Flat::from).collect::<Vec<_>>())?)
}

/// The row as its columns.
#[derive(Serialize)]
struct Flat<'a> {
    #[serde(flatten)]
    keys: &'a Keys,
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

impl<'a> From<&'a AttemptRow> for Flat<'a> {
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
