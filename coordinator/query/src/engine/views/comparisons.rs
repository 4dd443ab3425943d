//! The view `comparisons`: tests whether the neurons of two tasks have the same fractional order
//! (Geadah et al. 2024; science reference, 7.7; docs/science.md, section 7.7).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::SqlView;
use crate::tables::{Column, ColumnType, optional, required};

pub(super) const VIEW: SqlView = SqlView {
    name: "comparisons",
    about: "View: one row per two tasks of which trials of the same network, alike but for their \
            seed, were analysed, and epoch, variant, preparation and strength of the drive.",
    columns: &COLUMNS,
    sql: SQL,
};

const COLUMNS: [Column; 19] = [
    optional("sweep", ColumnType::Str, "", "the sweep; null: over several sweeps"),
    required("net", ColumnType::Str, "", "`network.kind`"),
    required("epoch", ColumnType::I32, "", "the epoch after which this held, -1 before training"),
    required(
        "variant",
        ColumnType::Str,
        "",
        "`corrected`: by our formulas; `released`: as the published code computes it",
    ),
    required(
        "quantity",
        ColumnType::Str,
        "",
        "the compared quantity: `alpha` of `fractional_fits`",
    ),
    required("protocol", ColumnType::Str, "", "duration of the drive: `short` or `long`"),
    required(
        "connectivity",
        ColumnType::Str,
        "",
        "`isolated`: neurons without recurrent input; `interacting`: with it",
    ),
    required("group_a", ColumnType::Str, "", "`task.kind` of one group"),
    required("group_b", ColumnType::Str, "", "`task.kind` of the other"),
    required("xi", ColumnType::F64, "", "strength of the drive"),
    required("seeds_a", ColumnType::U32, "", "seeds in group a for which an order was found"),
    required("seeds_b", ColumnType::U32, "", "seeds in group b for which an order was found"),
    required("mean_a", ColumnType::F64, "", "mean over the seeds of group a"),
    required("mean_b", ColumnType::F64, "", "mean over the seeds of group b"),
    required(
        "t",
        ColumnType::F64,
        "",
        "Student's t of two samples of equal variance; NaN without any",
    ),
    required("df", ColumnType::F64, "", "its degrees of freedom, `seeds_a` + `seeds_b` - 2"),
    required("p", ColumnType::F64, "", "two-sided probability of a t as far from 0"),
    required("swept_a", ColumnType::Str, "JSON", "swept values of group a"),
    required("swept_b", ColumnType::Str, "JSON", "swept values of group b"),
];

/// A scope is one sweep, or '' for all sweeps, which is kept only if the two groups span several.
/// Networks must be equal; training may differ between tasks.
const SQL: &str = "\
WITH recipes AS (
  SELECT sweep, trial, swept,
    dense_rank() OVER (ORDER BY recipe(config) ROWS UNBOUNDED PRECEDING) AS recipe,
    dense_rank() OVER (ORDER BY network_of(config) ROWS UNBOUNDED PRECEDING) AS network
  FROM trials
), measured AS (
  SELECT f.sweep, r.recipe, r.network, r.swept, f.task, f.net, f.epoch, f.variant, f.protocol,
    f.connectivity, f.xi, f.seed, f.alpha
  FROM fractional_fits f JOIN recipes r ON f.sweep = r.sweep AND f.trial = r.trial
  WHERE f.scope = 'per_xi' AND NOT isnan(f.alpha)
), scoped AS (
  SELECT sweep AS scope, * FROM measured UNION ALL SELECT '' AS scope, * FROM measured
), seeds AS (
  SELECT scope, recipe, network, task, net, epoch, variant, protocol, connectivity, xi, seed,
    avg(alpha) AS alpha, min(sweep) AS first, max(sweep) AS last, min(swept) AS swept
  FROM scoped
  GROUP BY scope, recipe, network, task, net, epoch, variant, protocol, connectivity, xi, seed
), groups AS (
  SELECT scope, recipe, network, task, net, epoch, variant, protocol, connectivity, xi,
    count(*) AS n, avg(alpha) AS mean, coalesce(var_samp(alpha), 0.0) AS variance,
    min(first) AS first, max(last) AS last, min(swept) AS swept
  FROM seeds
  GROUP BY scope, recipe, network, task, net, epoch, variant, protocol, connectivity, xi
), pairs AS (
  SELECT a.scope, a.net, a.epoch, a.variant, a.protocol, a.connectivity, a.task AS group_a,
    b.task AS group_b, a.xi, a.n AS seeds_a, b.n AS seeds_b, a.mean AS mean_a, b.mean AS mean_b,
    CAST(a.n + b.n - 2 AS DOUBLE) AS df,
    ((a.n - 1) * a.variance + (b.n - 1) * b.variance) / CAST(a.n + b.n - 2 AS DOUBLE)
      * (1.0 / a.n + 1.0 / b.n) AS squared,
    a.swept AS swept_a, b.swept AS swept_b
  FROM groups a JOIN groups b
    ON a.scope = b.scope AND a.network = b.network AND a.net = b.net AND a.epoch = b.epoch
    AND a.variant = b.variant AND a.protocol = b.protocol AND a.connectivity = b.connectivity
    AND a.xi = b.xi AND a.task < b.task
  WHERE a.n + b.n > 2
    AND (a.scope <> '' OR a.first <> a.last OR b.first <> b.last OR a.first <> b.first)
), tested AS (
  SELECT *, (mean_a - mean_b) / sqrt(squared) AS t FROM pairs
)
SELECT nullif(scope, '') AS sweep, net, epoch, variant, 'alpha' AS quantity, protocol,
  connectivity, group_a, group_b, xi, CAST(seeds_a AS INT UNSIGNED) AS seeds_a,
  CAST(seeds_b AS INT UNSIGNED) AS seeds_b, mean_a, mean_b, t, df, student_t_p(t, df) AS p,
  swept_a, swept_b
FROM tested";

/// The function `student_t_p(t, df)`: the two-sided probability of t.
pub(super) fn function() -> ScalarUDF {
    create_udf(
        "student_t_p",
        vec![DataType::Float64, DataType::Float64],
        DataType::Float64,
        Volatility::Immutable,
        Arc::new(two_sided),
    )
}

fn two_sided(columns: &[ColumnarValue]) -> Result<ColumnarValue> {
    let columns = ColumnarValue::values_to_arrays(columns)?;
    let [t, df] = columns.as_slice() else {
        return exec_err!("student_t_p takes t and the degrees of freedom");
    };
    let (t, df) = (t.as_primitive::<Float64Type>(), df.as_primitive::<Float64Type>());
    let p: Float64Array = t.iter().zip(df).map(|(t, df)| Some(probability(t?, df?))).collect();
    Ok(ColumnarValue::Array(Arc::new(p) as ArrayRef))
}

/// The two-sided probability of t; NaN for an invalid `df`, or a NaN t of groups without variance.
fn probability(t: f64, df: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, df) {
        Ok(distribution) if !t.is_nan() => 2.0 * distribution.cdf(-t.abs()),
        _ => f64::NAN,
    }
}
