//! The view `sweeps`: the trials of each sweep by outcome, and the reason for which it ended. The
//! reason is part of the state of the coordinator, not of the rows, so a function looks it up.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use rheo_core::id::SweepName;
use rheo_core::sweep::SweepEndReason;

use super::SqlView;
use crate::tables::{Column, ColumnType, optional, required};

pub(super) const VIEW: SqlView = SqlView {
    name: "sweeps",
    about: "View: one row per sweep of which a trial has ended.",
    columns: &COLUMNS,
    sql: SQL,
};

const COLUMNS: [Column; 10] = [
    required("sweep", ColumnType::Str, "", "the sweep"),
    optional(
        "end_reason",
        ColumnType::Str,
        "",
        "the reason for which it starts no further trial: `exhausted`, `run_cap`, `target`, \
         `max_failed_trials`, `stop_trials`, `stop_epochs`, `stop_wall_time`, `stop_worker_hours`, \
         `stop_no_improvement` or `cancelled`; null while it goes on",
    ),
    required("completed", ColumnType::U64, "", "number of completed trials"),
    required("pruned", ColumnType::U64, "", "number of pruned trials"),
    required("diverged", ColumnType::U64, "", "number of diverged trials"),
    required("failed", ColumnType::U64, "", "number of failed trials"),
    required("cancelled", ColumnType::U64, "", "number of cancelled trials"),
    optional("started", ColumnType::Time, "", "time of the first lease of an ended trial"),
    required("ended", ColumnType::Time, "", "time of the last end of a trial"),
    optional("wall_s", ColumnType::F64, "s", "time of training and evaluation, over its trials"),
];

const SQL: &str = "\
WITH counted AS (
  SELECT sweep,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'pruned') AS pruned,
    count(*) FILTER (WHERE status = 'diverged') AS diverged,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    min(started) AS started, max(ended) AS ended, sum(wall_s) AS wall_s
  FROM trials GROUP BY sweep
)
SELECT sweep, end_reason(sweep) AS end_reason, CAST(completed AS BIGINT UNSIGNED) AS completed,
  CAST(pruned AS BIGINT UNSIGNED) AS pruned, CAST(diverged AS BIGINT UNSIGNED) AS diverged,
  CAST(failed AS BIGINT UNSIGNED) AS failed, CAST(cancelled AS BIGINT UNSIGNED) AS cancelled,
  started, ended, wall_s
FROM counted";

/// The function `end_reason(sweep)`: the reason for which a sweep starts no further trial.
pub(super) fn function(end_reasons: &BTreeMap<SweepName, SweepEndReason>) -> ScalarUDF {
    let end_reasons: BTreeMap<String, SweepEndReason> =
        end_reasons.iter().map(|(name, reason)| (name.to_string(), *reason)).collect();
    create_udf(
        "end_reason",
        vec![DataType::Utf8],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(move |columns: &[ColumnarValue]| look_up(columns, &end_reasons)),
    )
}

fn look_up(
    columns: &[ColumnarValue],
    end_reasons: &BTreeMap<String, SweepEndReason>,
) -> Result<ColumnarValue> {
    let columns = ColumnarValue::values_to_arrays(columns)?;
    let [sweeps] = columns.as_slice() else {
        return exec_err!("end_reason takes a sweep");
    };
    let reason = |sweep: Option<&str>| sweep.and_then(|sweep| end_reasons.get(sweep));
    let sweeps = sweeps.as_string::<i32>();
    let reasons = sweeps.iter().map(|sweep| reason(sweep).map(|reason| reason.name()));
    Ok(ColumnarValue::Array(Arc::new(reasons.collect::<StringArray>())))
}
