//! Retractions of rows.
//!
//! A trial that is retried after it ended gets a second row in `trials`; a trial that starts over,
//! because rows were damaged, gets all of its rows again. Parts are immutable, so the old rows stay
//! until compaction. Until then the journal holds a retraction and queries skip the old rows; readers
//! of the files see both.

use std::collections::BTreeSet;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::UInt64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction};

/// The trials whose rows in `part` are retracted.
pub(crate) fn retracted(part: &Part, retractions: &[Retraction]) -> BTreeSet<u64> {
    let mut trials = retracted_before(&part.table, &part.sweep, part.last, retractions);
    trials.retain(|trial| part.may_hold(*trial));
    trials
}

/// The retracted trials among the rows of `table` and `sweep` that were journaled up to `position`.
pub(crate) fn retracted_before(
    table: &TableName,
    sweep: &SweepName,
    position: u64,
    retractions: &[Retraction],
) -> BTreeSet<u64> {
    let concerns = |retraction: &&Retraction| {
        retraction.concerns(table, sweep) && position < retraction.before
    };
    retractions.iter().filter(concerns).map(|retraction| retraction.trial.index).collect()
}

/// Removes the rows of `retracted` trials.
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
