//! `logs`: one row per line of the log of an attempt, as its worker sent it.

use rheo_core::log::LogLine;
use rheo_core::rows::Batch;
use rheo_core::time::Timestamp;
use rheo_model::row::Table;
use serde::Serialize;

use super::{Column, Kind, required};
use crate::batch::{Error, Keys};
use crate::encode::encode_rows;

pub(super) const COLUMNS: [Column; 5] = [
    required("attempt", Kind::U32, "", "which try of the trial, from 1"),
    required("line", Kind::U32, "", "counts the lines of the attempt, from 1"),
    required("time", Kind::Time, "", "when it was written, by the clock of the worker"),
    required("level", Kind::Str, "", "`error`, `warn` or `info`"),
    required("message", Kind::Str, "", "its text"),
];

/// Turns lines of one attempt into a batch.
pub fn encode_logs(keys: &Keys, attempt: u32, lines: &[LogLine]) -> Result<Batch, Error> {
    let rows: Vec<_> = lines
        .iter()
        .map(|line| Flat {
            keys,
            attempt,
            line: line.number,
            time: line.at,
            level: line.level.name(),
            message: &line.text,
        })
        .collect();
    encode_rows(Table::Logs, &rows)
}

/// The row as its columns.
#[derive(Serialize)]
struct Flat<'a> {
    #[serde(flatten)]
    keys: &'a Keys,
    attempt: u32,
    line: u32,
    time: Timestamp,
    level: &'static str,
    message: &'a str,
}
