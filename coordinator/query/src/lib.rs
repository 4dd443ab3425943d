//! Results as Arrow: tables, Parquet files and SQL.
//!
//! The only crate that knows Arrow. Workers [encode] rows (this part compiles without
//! DataFusion and Parquet); the coordinator [checks](parse) them before it accepts a commit,
//! journals them as opaque bytes, and later has a [`Dataset`] write them into parts. A [`QueryEngine`]
//! runs SQL over the parts that the journal names and the pending rows.

mod batch;
mod config;
#[cfg(feature = "sql")]
mod conform;
#[cfg(feature = "sql")]
pub mod dataset;
mod encode;
#[cfg(feature = "sql")]
pub mod engine;
mod ipc;
#[cfg(feature = "sql")]
pub mod limits;
#[cfg(feature = "sql")]
mod merge;
#[cfg(feature = "sql")]
mod names;
#[cfg(feature = "sql")]
pub mod output;
mod packed_rows;
#[cfg(feature = "sql")]
mod parquet;
#[cfg(feature = "sql")]
pub mod report;
#[cfg(feature = "sql")]
mod retraction;
mod stored_rows;
mod tables;
mod version;
#[cfg(feature = "sql")]
pub mod wire;

pub use batch::{Error, MAX_BYTES, TrialKeys, parse};
#[cfg(feature = "sql")]
pub use dataset::{Compaction, Dataset, Pin};
pub use encode::encode;
#[cfg(feature = "sql")]
pub use engine::{PendingBatch, QueryEngine, QuerySnapshot, QueryStream, RankingRule};
#[cfg(feature = "sql")]
pub use limits::Limits;
pub use stored_rows::check_readable;
pub use tables::{
    AttemptRow, Column, ColumnType, TrialRow, columns, encode_attempts, encode_logs, encode_trials,
    schema,
};
pub use version::SCHEMA_VERSION;

#[cfg(test)]
extern crate self as rheo_query;
#[cfg(test)]
mod sample;
