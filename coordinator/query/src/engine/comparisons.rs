//! `comparisons`: do the neurons of two tasks have the same fractional order? A view over
//! `fractional_fits`, because what it compares are trials, which no worker sees together
//! (Geadah et al. 2024; docs/science.md, section 7.7).

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The name in SQL.
pub(super) const NAME: &str = "comparisons";

/// Student's t test of two samples of equal variance, two-sided, for every pair of tasks that are
/// alike in everything else; over the trials, which as a rule differ in their seed.
const SQL: &str = "\
WITH groups AS (
  SELECT sweep, net, epoch, variant, protocol, connectivity, xi, task, count(*) AS n,
    avg(alpha) AS mean, coalesce(var_samp(alpha), 0.0) AS variance
  FROM fractional_fits
  WHERE scope = 'per_xi' AND NOT isnan(alpha)
  GROUP BY sweep, net, epoch, variant, protocol, connectivity, xi, task
), pairs AS (
  SELECT a.sweep, a.net, a.epoch, a.variant, a.protocol, a.connectivity, a.task AS group_a,
    b.task AS group_b, a.xi, a.mean AS mean_a, b.mean AS mean_b,
    CAST(a.n + b.n - 2 AS DOUBLE) AS df,
    ((a.n - 1) * a.variance + (b.n - 1) * b.variance) / CAST(a.n + b.n - 2 AS DOUBLE)
      * (1.0 / a.n + 1.0 / b.n) AS squared
  FROM groups a JOIN groups b
    ON a.sweep = b.sweep AND a.net = b.net AND a.epoch = b.epoch AND a.variant = b.variant
    AND a.protocol = b.protocol AND a.connectivity = b.connectivity AND a.xi = b.xi
    AND a.task < b.task
  WHERE a.n + b.n > 2
), tested AS (
  SELECT *, (mean_a - mean_b) / sqrt(squared) AS t FROM pairs
)
SELECT sweep, net, epoch, variant, 'alpha' AS quantity, protocol, connectivity, group_a, group_b,
  xi, mean_a, mean_b, t, df, student_t_p(t, df) AS p
FROM tested";

/// Makes the view known to `context`, which knows the tables.
pub(super) async fn register(context: &SessionContext) -> Result<()> {
    let numbers = vec![DataType::Float64, DataType::Float64];
    context.register_udf(create_udf(
        "student_t_p",
        numbers,
        DataType::Float64,
        Volatility::Immutable,
        Arc::new(two_sided),
    ));
    let view = context.sql(SQL).await?.into_view();
    context.register_table(NAME, view)?;
    Ok(())
}

/// The probability of a t at least as far from 0, for columns of t and of degrees of freedom.
fn two_sided(columns: &[ColumnarValue]) -> Result<ColumnarValue> {
    let columns = ColumnarValue::values_to_arrays(columns)?;
    let [t, df] = columns.as_slice() else {
        return datafusion::common::exec_err!("student_t_p takes t and the degrees of freedom");
    };
    let (t, df) = (t.as_primitive::<Float64Type>(), df.as_primitive::<Float64Type>());
    let p: Float64Array = t.iter().zip(df).map(|(t, df)| Some(probability(t?, df?))).collect();
    Ok(ColumnarValue::Array(Arc::new(p) as ArrayRef))
}

/// NaN where there is no such distribution, or no t: two groups without any variance.
fn probability(t: f64, df: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, df) {
        Ok(distribution) if !t.is_nan() => 2.0 * distribution.cdf(-t.abs()),
        _ => f64::NAN,
    }
}
