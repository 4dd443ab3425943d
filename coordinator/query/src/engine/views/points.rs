//! The view `points`: the results of each point over its seeds, best first. The order is that of
//! [`rheo_core::ranking`], as in `rheo run` and `rheo status`; SQL only computes statistics.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, StringArray, StructArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use rheo_core::id::SweepName;
use rheo_core::metric::Goal;
use rheo_core::ranking::{AggregateRule, PointStanding, Score, SeedStatistics, SeedTally};

use super::SqlView;
use crate::engine::RankingRule;
use crate::tables::{Column, ColumnType, optional, required};

pub(super) const VIEW: SqlView = SqlView {
    name: "points",
    about: "View: one row per sweep and point of which a trial has ended. A point is a choice of the \
            swept values; its replicates are trials with different seeds.",
    columns: &COLUMNS,
    sql: SQL,
};

const COLUMNS: [Column; 18] = [
    required("sweep", ColumnType::Str, "", "the sweep"),
    required("point", ColumnType::U64, "", "the point, counted from 0 in its sweep"),
    required(
        "rank",
        ColumnType::U64,
        "",
        "rank among the points of its sweep, from 1 for the best",
    ),
    required(
        "outcome",
        ColumnType::Str,
        "",
        "`completed`: all its seeds are; `provisional`: some are, others are missing; `pruned`, \
         `diverged`, `failed`: one of them is; `unfinished`: none has come to a result",
    ),
    required("seeds", ColumnType::U32, "", "number of seeds per point that the sweep requests"),
    required("completed", ColumnType::U32, "", "number of completed seeds"),
    required("diverged", ColumnType::U32, "", "number of diverged seeds"),
    required("failed", ColumnType::U32, "", "number of failed seeds"),
    optional(
        "value",
        ColumnType::F64,
        "",
        "the value by which points are ranked: the mean, median or confidence bound of the metric \
         over the completed seeds, as `replicates.aggregate` says; null without any, or if one of \
         them lacks the metric",
    ),
    optional(
        "mean",
        ColumnType::F64,
        "",
        "mean of the metric of the sweep over the completed seeds; null without any, or if one of \
         them lacks the metric",
    ),
    optional(
        "sd",
        ColumnType::F64,
        "",
        "its sample standard deviation; null for fewer than two seeds",
    ),
    optional("lowest", ColumnType::F64, "", "the lowest value of a completed seed"),
    optional("highest", ColumnType::F64, "", "the highest value of a completed seed"),
    required("first_trial", ColumnType::U64, "", "the lowest number of its trials that have ended"),
    optional(
        "wall_s",
        ColumnType::F64,
        "s",
        "time of training and evaluation, mean over its trials",
    ),
    required("task", ColumnType::Str, "", "`task.kind`"),
    required("net", ColumnType::Str, "", "`network.kind`"),
    required("swept", ColumnType::Str, "JSON", "swept values of the parameters"),
];

/// A completed trial without the metric counts as NaN, so that the mean is NaN; SQL would skip a
/// null.
const SQL: &str = "\
WITH ended AS (
  SELECT *, CASE WHEN status = 'completed' THEN coalesce(objective, CAST('NaN' AS DOUBLE)) END AS value
  FROM trials
), counted AS (
  SELECT sweep, point, min(trial) AS first_trial, avg(wall_s) AS wall_s, min(task) AS task,
    min(net) AS net, min(swept) AS swept, count(value) AS completed,
    count(*) FILTER (WHERE status = 'pruned') AS pruned,
    count(*) FILTER (WHERE status = 'diverged') AS diverged,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    avg(value) AS average, median(value) AS middle, stddev(value) AS sd, min(value) AS lowest,
    max(value) AS highest
  FROM ended GROUP BY sweep, point
), averaged AS (
  SELECT *, CASE WHEN NOT isnan(average) THEN average END AS mean FROM counted
), judged AS (
  SELECT *, standing(sweep, completed, pruned, diverged, failed, mean, middle, sd) AS standing
  FROM averaged
)
SELECT sweep, point,
  row_number() OVER (PARTITION BY sweep
    ORDER BY standing['place'], standing['score'] NULLS LAST, point) AS rank,
  standing['outcome'] AS outcome, standing['seeds'] AS seeds,
  CAST(completed AS INT UNSIGNED) AS completed, CAST(diverged AS INT UNSIGNED) AS diverged,
  CAST(failed AS INT UNSIGNED) AS failed, standing['value'] AS value, mean,
  CASE WHEN completed > 1 AND mean IS NOT NULL THEN sd END AS sd,
  CASE WHEN mean IS NOT NULL THEN lowest END AS lowest,
  CASE WHEN mean IS NOT NULL THEN highest END AS highest,
  first_trial, wall_s, task, net, swept
FROM judged";

fn standing_fields() -> Fields {
    let field = |(name, kind): (&str, DataType)| Field::new(name, kind, true);
    [
        ("outcome", DataType::Utf8),
        ("place", DataType::UInt32),
        ("seeds", DataType::UInt32),
        ("value", DataType::Float64),
        ("score", DataType::UInt64),
    ]
    .map(field)
    .into_iter()
    .collect()
}

/// The function `standing(sweep, completed, pruned, diverged, failed, mean, median, sd)`: a struct of
/// the outcome, its rank among outcomes, the number of requested seeds, the value of the point, and a
/// score that is lower for a better value.
pub(super) fn function(ranking_rules: &BTreeMap<SweepName, RankingRule>) -> ScalarUDF {
    let ranking_rules: BTreeMap<String, RankingRule> =
        ranking_rules.iter().map(|(name, rule)| (name.to_string(), *rule)).collect();
    let mut types = vec![DataType::Utf8];
    types.extend(std::iter::repeat_n(DataType::Int64, 4));
    types.extend(std::iter::repeat_n(DataType::Float64, 3));
    create_udf(
        "standing",
        types,
        DataType::Struct(standing_fields()),
        Volatility::Immutable,
        Arc::new(move |columns: &[ColumnarValue]| judge_all(columns, &ranking_rules)),
    )
}

fn judge_all(
    columns: &[ColumnarValue],
    ranking_rules: &BTreeMap<String, RankingRule>,
) -> Result<ColumnarValue> {
    let columns = ColumnarValue::values_to_arrays(columns)?;
    let [sweeps, counts @ .., means, medians, sds] = columns.as_slice() else {
        return exec_err!("standing takes a sweep, four counts, a mean, a median and a deviation");
    };
    let sweeps = sweeps.as_string::<i32>();
    let [means, medians, sds] = [means, medians, sds].map(AsArray::as_primitive::<Float64Type>);
    let count = |column: usize, row: usize| -> u64 {
        let counts = counts[column].as_primitive::<Int64Type>();
        u64::try_from(counts.value(row)).unwrap_or(0)
    };
    let rows = 0..sweeps.len();
    let judged = rows.map(|row| {
        let tally = SeedTally {
            completed: count(0, row),
            pruned: count(1, row),
            diverged: count(2, row),
            failed: count(3, row),
        };
        // A sweep without a rule in the state: all its seeds count as requested.
        let unknown = RankingRule {
            seeds: tally.completed.max(1),
            goal: Goal::Minimize,
            aggregate: AggregateRule::default(),
        };
        let rule = ranking_rules.get(sweeps.value(row)).copied().unwrap_or(unknown);
        let number = |column: &Float64Array| column.is_valid(row).then(|| column.value(row));
        let statistics = SeedStatistics {
            count: tally.completed,
            mean: number(means).unwrap_or(f64::NAN),
            sd: number(sds),
            median: number(medians).unwrap_or(f64::NAN),
        };
        let value = rule.aggregate.value(rule.goal, &statistics);
        JudgedPoint {
            standing: PointStanding::of(tally, rule.seeds),
            seeds: rule.seeds,
            value,
            score: Score::new(value, rule.goal).sortable(),
        }
    });
    Ok(ColumnarValue::Array(Arc::new(to_struct(&judged.collect::<Vec<_>>())?)))
}

/// A row of the function.
struct JudgedPoint {
    standing: PointStanding,
    seeds: u64,
    value: Option<f64>,
    score: Option<u64>,
}

fn to_struct(judged: &[JudgedPoint]) -> Result<StructArray> {
    let place = |standing: PointStanding| {
        let place = PointStanding::ALL.iter().position(|one| *one == standing);
        u32::try_from(place.unwrap_or(PointStanding::ALL.len())).unwrap_or(u32::MAX)
    };
    let outcomes = judged.iter().map(|one| one.standing.name());
    let places = judged.iter().map(|one| place(one.standing));
    let seeds = judged.iter().map(|one| u32::try_from(one.seeds).unwrap_or(u32::MAX));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(outcomes)),
        Arc::new(UInt32Array::from_iter_values(places)),
        Arc::new(UInt32Array::from_iter_values(seeds)),
        Arc::new(judged.iter().map(|one| one.value).collect::<Float64Array>()),
        Arc::new(judged.iter().map(|one| one.score).collect::<UInt64Array>()),
    ];
    Ok(StructArray::try_new(standing_fields(), columns, None)?)
}
