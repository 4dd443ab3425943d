//! Bounds of everything that a peer can send: a table of fields and a table of whole requests.
//!
//! The decoder checks the encoded bytes against both before it allocates or stores anything, so
//! that a request cannot cost more memory or journal space than its bounds. A test compares the
//! tables with the protocol and fails for a text, bytes or list field without a row.

mod rules;

use rheo_core::log::{MAX_LINE, MAX_LINES};

use crate::{CHUNK, MAX_MESSAGE};

pub(crate) use rules::check;
pub use rules::request_size;

/// The bound of one field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldBound {
    /// One line of text without control characters, in bytes.
    Line(usize),
    /// Text of any kind, in bytes.
    Text(usize),
    /// Bytes.
    Bytes(usize),
    /// Elements of a list or a map.
    List(usize),
    /// A list of lines: their number, and the bytes of each.
    Lines(usize, usize),
    /// The largest value of a number. Only numbers that cost work or memory need a row.
    Number(u64),
}

/// The bound of a field without a row: safe, and small enough to be noticed.
pub(crate) const UNLISTED: FieldBound = FieldBound::Lines(64, 256);

/// The name of a sweep or a fleet. Longer than a valid name, so that the message can quote a name
/// that is too long.
const NAME: FieldBound = FieldBound::Line(256);

/// A UUID or a digest.
const ID: FieldBound = FieldBound::Line(64);

/// A name that a machine, a program or a scheduler gives.
const LABEL: FieldBound = FieldBound::Line(256);

/// The longest error message of a trial, in bytes.
pub const ERROR_LENGTH: usize = 16 << 10;

/// The longest label of a worker, such as its host, in bytes.
pub const LABEL_LENGTH: usize = 256;

/// The longest description of a resource that a worker lacks, in bytes.
pub const CAUSE_LENGTH: usize = 2 << 10;

/// The longest path of a data directory, in bytes.
const PATH_LENGTH: usize = 4096;

/// The longest sweep file, in bytes.
pub const SWEEP_FILE_LENGTH: usize = 4 << 20;

/// The longest SQL text, in bytes.
pub const SQL_LENGTH: usize = 1 << 20;

/// The most attempts of a worker: one for each slot.
const HELD: FieldBound = FieldBound::List(4096);

/// The most GPUs of a worker.
const GPUS: usize = rheo_core::resources::MAX_GPUS as usize;

/// The most log lines of one message.
const LOG: FieldBound = FieldBound::List(MAX_LINES);

/// The most metrics of one report.
const METRICS: FieldBound = FieldBound::List(64);

/// The bound of every text, bytes and list field of every request, by `Message.field`.
///
/// A new field needs a row, such as `("JoinRequest.rack", LABEL)`.
pub const FIELDS: &[(&str, FieldBound)] = &[
    // common.proto
    ("Attempt.sweep", NAME),
    ("Origin.state", ID),
    ("Origin.incarnation", ID),
    ("Origin.configuration", ID),
    ("RowCounts.tables", FieldBound::List(64)),
    ("RowCounts.TablesEntry.key", LABEL),
    ("TableRows.table", LABEL),
    ("TableRows.ipc", FieldBound::Bytes(MAX_MESSAGE)),
    ("MetricValue.name", LABEL),
    ("Report.metrics", METRICS),
    ("Progress.phase", LABEL),
    ("Progress.metrics", METRICS),
    ("LogLine.level", LABEL),
    ("LogLine.text", FieldBound::Line(MAX_LINE)),
    // worker.proto
    ("JoinRequest.worker", ID),
    ("JoinRequest.host", LABEL),
    ("JoinRequest.version", LABEL),
    ("JoinRequest.state", ID),
    ("JoinRequest.workloads", FieldBound::Lines(64, LABEL_LENGTH)),
    ("JoinRequest.slots", FieldBound::Number(1 << 20)),
    ("JoinRequest.gpus", FieldBound::Lines(GPUS, LABEL_LENGTH)),
    ("JoinRequest.shortfalls", FieldBound::Lines(8, CAUSE_LENGTH)),
    ("Inventory.data", FieldBound::List(64)),
    ("Inventory.devices", FieldBound::Lines(64, LABEL_LENGTH)),
    ("Inventory.lacks", FieldBound::List(64)),
    ("FoundData.set", LABEL),
    ("FoundData.sizes", FieldBound::List(3)),
    ("Lack.cause", FieldBound::Text(CAUSE_LENGTH)),
    ("Need.device", LABEL),
    ("Need.Data.set", LABEL),
    ("Need.Data.directory", FieldBound::Text(PATH_LENGTH)),
    ("Need.Data.sizes", FieldBound::List(3)),
    ("WorkerLocation.pilot", LABEL),
    ("WorkerLocation.job", LABEL),
    ("WorkerLocation.node", LABEL),
    ("WorkerLocation.partition", LABEL),
    ("AcquireRequest.worker", ID),
    ("AcquireRequest.held", HELD),
    ("AcquireRequest.slots", FieldBound::Number(1 << 20)),
    ("AcquireRequest.sweep", NAME),
    ("AcquireRequest.free_gpus", FieldBound::List(GPUS)),
    ("RenewRequest.worker", ID),
    ("RenewRequest.held", HELD),
    ("RenewRequest.Held.log", LOG),
    ("CommitRequest.log", LOG),
    ("FinishRequest.log", LOG),
    ("PutCheckpointRequest.chunk", FieldBound::Bytes(CHUNK)),
    ("PutCheckpointRequest.Header.digest", ID),
    ("GetCheckpointRequest.digest", ID),
    ("Claim.worker", ID),
    ("Work.checkpoint", ID),
    ("Work.rows", FieldBound::List(100_000)),
    ("Work.reports", FieldBound::List(100_000)),
    ("FinishRequest.Failure.message", FieldBound::Text(ERROR_LENGTH)),
    ("FinishRequest.Unfit.message", FieldBound::Text(CAUSE_LENGTH)),
    ("FinishRequest.Result.metrics", METRICS),
    ("FinishRequest.Result.detail", FieldBound::Text(ERROR_LENGTH)),
    ("FinishRequest.Result.summary", FieldBound::Text(ERROR_LENGTH)),
    ("LeaveRequest.worker", ID),
    ("LeaveRequest.unfit", FieldBound::Text(CAUSE_LENGTH)),
    // sweep.proto
    ("SubmitRequest.file", FieldBound::Text(4096)),
    ("SubmitRequest.text", FieldBound::Text(SWEEP_FILE_LENGTH)),
    ("GetSweepRequest.sweep", NAME),
    ("ListTrialsRequest.sweep", NAME),
    ("ListTrialsRequest.statuses", FieldBound::Lines(16, LABEL_LENGTH)),
    ("GetTrialRequest.sweep", NAME),
    ("WatchRequest.sweep", NAME),
    ("PauseRequest.sweep", NAME),
    ("PauseRequest.request_id", ID),
    ("ResumeRequest.sweep", NAME),
    ("ResumeRequest.request_id", ID),
    ("CancelRequest.sweep", NAME),
    ("CancelRequest.request_id", ID),
    ("RetryRequest.sweep", NAME),
    ("RetryRequest.request_id", ID),
    ("RetryRequest.Indices.indices", FieldBound::List(1_000_000)),
    ("DeleteRequest.sweep", NAME),
    ("DeleteRequest.request_id", ID),
    ("QueryRequest.sql", FieldBound::Text(SQL_LENGTH)),
    // fleet.proto
    ("FleetSpec.name", NAME),
    ("FleetSpec.launcher", LABEL),
    ("FleetSpec.settings", FieldBound::Text(256 << 10)),
    ("FleetSpec.min", FieldBound::Number(10_000)),
    ("FleetSpec.max", FieldBound::Number(10_000)),
    ("FleetSpec.workers", FieldBound::Number(10_000)),
    ("FleetSpec.slots", FieldBound::Number(1 << 20)),
    ("FleetSpec.gpus", FieldBound::Number(GPUS as u64)),
    ("FleetSpec.sweep", NAME),
    ("LaunchRequest.request_id", ID),
    ("ScaleRequest.request_id", ID),
    ("ScaleRequest.fleet", NAME),
    ("ScaleRequest.min", FieldBound::Number(10_000)),
    ("ScaleRequest.max", FieldBound::Number(10_000)),
    ("DrainRequest.request_id", ID),
    ("DrainRequest.fleet", NAME),
    ("StopRequest.request_id", ID),
    ("StopRequest.fleet", NAME),
];

/// The largest size of a request that [`SIZES`] does not list, in bytes.
const SMALL: usize = 64 << 10;

/// The largest sizes of requests that may exceed [`SMALL`], in bytes. No more is ever buffered.
const SIZES: &[(&str, usize)] = &[
    ("AcquireRequest", 4 << 20),
    ("RenewRequest", 8 << 20),
    ("PutCheckpointRequest", CHUNK + 4096),
    ("CommitRequest", MAX_MESSAGE),
    ("FinishRequest", MAX_MESSAGE),
    ("SubmitRequest", SWEEP_FILE_LENGTH + SMALL),
    ("RetryRequest", 16 << 20),
    ("QueryRequest", SQL_LENGTH + SMALL),
    ("LaunchRequest", 1 << 20),
];
