//! The table `logs`: one row per log line of an attempt, as its worker sent it.

use arrow::record_batch::RecordBatch;
use rheo_core::log::LogLine;
use rheo_core::rows::RowBatch;
use rheo_core::time::Timestamp;
use rheo_model::row::Table;
use serde::{Deserialize, Serialize};

use super::{Column, ColumnType, required};
use crate::batch::{Error, TrialKeys};
use crate::encode::to_arrow;
use crate::packed_rows;

pub(super) const COLUMNS: [Column; 5] = [
    required("attempt", ColumnType::U32, "", "number of the attempt, from 1"),
    required("line", ColumnType::U32, "", "counts the lines of the attempt, from 1"),
    required("time", ColumnType::Time, "", "time of the line, by the clock of the worker"),
    required("level", ColumnType::Str, "", "`error`, `warn` or `info`"),
    required("message", ColumnType::Str, "", "its text"),
];

/// Log lines of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogRows {
    keys: TrialKeys,
    attempt: u32,
    lines: Vec<LogLine>,
}

/// Packs log lines of one attempt into a batch.
pub fn encode_logs(keys: &TrialKeys, attempt: u32, lines: &[LogLine]) -> Result<RowBatch, Error> {
    let rows = LogRows { keys: keys.clone(), attempt, lines: lines.to_vec() };
    packed_rows::pack(Table::Logs, lines.len(), &[rows])
}

/// Converts rows to Arrow.
pub(crate) fn logs(rows: &[LogRows]) -> Result<RecordBatch, Error> {
    let lines = rows.iter().flat_map(|rows| {
        rows.lines.iter().map(|line| LogColumns {
            keys: &rows.keys,
            attempt: rows.attempt,
            line: line.number,
            time: line.at,
            level: line.level.name(),
            message: &line.text,
        })
    });
    Ok(to_arrow(Table::Logs, &lines.collect::<Vec<_>>())?)
}

/// A row with one field per column.
#[derive(Serialize)]
struct LogColumns<'a> {
    #[serde(flatten)]
    keys: &'a TrialKeys,
    attempt: u32,
    line: u32,
    time: Timestamp,
    level: &'static str,
    message: &'a str,
}
