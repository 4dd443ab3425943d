//! Rows that no longer count.
//!
//! A trial that is retried after it ended gets a second row in `trials`. Parts are immutable, so
//! the first row stays where it is until compaction; until then the journal says that it does not
//! count, and queries leave it out. Readers in place see both rows until then.

use std::collections::BTreeSet;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::UInt64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use rheo_core::id::SweepName;
use rheo_core::part::Retraction;
use rheo_core::row::Table;

/// The trials that do not count among the rows of `table` and `sweep` that were journaled up to
/// `position`.
pub(crate) fn retracted(
    table: Table,
    sweep: &SweepName,
    position: u64,
    retractions: &[Retraction],
) -> BTreeSet<u64> {
    let concerns = |retraction: &&Retraction| {
        table == Table::Trials && retraction.trial.sweep == *sweep && position < retraction.before
    };
    retractions.iter().filter(concerns).map(|retraction| retraction.trial.index).collect()
}

/// The rows that are not of `retracted` trials.
pub(crate) fn apply(
    rows: &RecordBatch,
    retracted: &BTreeSet<u64>,
) -> Result<RecordBatch, ArrowError> {
    if retracted.is_empty() {
        return Ok(rows.clone());
    }
    let trials = rows.column(0).as_primitive::<UInt64Type>();
    let counts = trials.values().iter().map(|trial| Some(!retracted.contains(trial)));
    filter_record_batch(rows, &counts.collect::<BooleanArray>())
}
