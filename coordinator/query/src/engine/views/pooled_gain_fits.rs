//! The view `pooled_gain_fits`: fits of gain and saturation against the strength of noise, averaged
//! over seeds first (science reference, 7.5; docs/science.md, section 7.5). The table `gain_fits`
//! cannot hold them, because a trial has one seed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use rheo_model::numerics::scaling::{CurveForm, ScalingFit};
use rheo_model::numerics::{released_scaling, scaling};

use super::SqlView;
use crate::tables::{Column, ColumnType, optional, required};

pub(super) const VIEW: SqlView = SqlView {
    name: "pooled_gain_fits",
    about: "View: one row per group of trials that differ in their seed alone, analysed epoch, \
            variant and fitted quantity.",
    columns: &COLUMNS,
    sql: SQL,
};

const COLUMNS: [Column; 14] = [
    optional("sweep", ColumnType::Str, "", "the sweep; null: over several sweeps"),
    required("task", ColumnType::Str, "", "`task.kind`"),
    required("net", ColumnType::Str, "", "`network.kind`"),
    required("epoch", ColumnType::I32, "", "the epoch after which this held, -1 before training"),
    required(
        "variant",
        ColumnType::Str,
        "",
        "`corrected`: the least squares fit; `released`: as the published code searches it",
    ),
    required(
        "quantity",
        ColumnType::Str,
        "",
        "the fitted quantity: the mean over seeds of `n` or `s`",
    ),
    required("form", ColumnType::Str, "", "`power`: a xi^-b + c; `exponential`: a exp(-b xi) + c"),
    required("a", ColumnType::F64, "", "the factor a"),
    required("b", ColumnType::F64, "", "the exponent or rate b"),
    required("c", ColumnType::F64, "", "the constant c"),
    required("rmse", ColumnType::F64, "", "root of the mean squared residual"),
    required("r2", ColumnType::F64, "", "share of the variance that the curve explains"),
    required("pooled_seeds", ColumnType::U32, "", "number of averaged seeds"),
    required("swept", ColumnType::Str, "JSON", "swept values of the trials"),
];

/// A scope is one sweep, or '' for all sweeps, which is kept only if a group spans several. Strengths
/// that lack a seed are left out: seeds differ more than neighbouring strengths, so means over
/// different seeds would distort the curve.
const SQL: &str = "\
WITH recipes AS (
  SELECT sweep, trial, swept,
    dense_rank() OVER (ORDER BY recipe(config) ROWS UNBOUNDED PRECEDING) AS recipe
  FROM trials
), measured AS (
  SELECT g.sweep, r.recipe, r.swept, g.task, g.net, g.epoch, g.seed, g.xi, g.n_mean, g.s_mean
  FROM gain_scaling g JOIN recipes r ON g.sweep = r.sweep AND g.trial = r.trial
  WHERE g.variant = 'corrected'
), scoped AS (
  SELECT sweep AS scope, * FROM measured UNION ALL SELECT '' AS scope, * FROM measured
), seeds AS (
  SELECT scope, recipe, task, net, epoch, xi, seed, avg(n_mean) AS n, avg(s_mean) AS s,
    min(sweep) AS first, max(sweep) AS last, min(swept) AS swept
  FROM scoped GROUP BY scope, recipe, task, net, epoch, xi, seed
), groups AS (
  SELECT scope, recipe, task, net, epoch, count(DISTINCT seed) AS pooled, min(swept) AS swept
  FROM seeds GROUP BY scope, recipe, task, net, epoch
  HAVING scope <> '' OR min(first) <> max(last)
), means AS (
  SELECT scope, recipe, task, net, epoch, xi, avg(n) AS n, avg(s) AS s, count(*) AS seeds
  FROM seeds GROUP BY scope, recipe, task, net, epoch, xi
), curves AS (
  SELECT g.scope, g.task, g.net, g.epoch, g.pooled, g.swept, array_agg(m.xi ORDER BY m.xi) AS xi,
    array_agg(m.n ORDER BY m.xi) AS n, array_agg(m.s ORDER BY m.xi) AS s
  FROM groups g JOIN means m
    ON g.scope = m.scope AND g.recipe = m.recipe AND g.task = m.task AND g.net = m.net
    AND g.epoch = m.epoch AND g.pooled = m.seeds
  GROUP BY g.scope, g.recipe, g.task, g.net, g.epoch, g.pooled, g.swept
), fits AS (
  SELECT *, scaling_fit(variant, form, xi, CASE quantity WHEN 'n' THEN n ELSE s END) AS fit
  FROM curves
    CROSS JOIN (VALUES ('n', 'power'), ('s', 'exponential')) AS quantities (quantity, form)
    CROSS JOIN (VALUES ('corrected'), ('released')) AS variants (variant)
)
SELECT nullif(scope, '') AS sweep, task, net, epoch, variant, quantity, form, fit['a'] AS a,
  fit['b'] AS b, fit['c'] AS c, fit['rmse'] AS rmse, fit['r2'] AS r2,
  CAST(pooled AS INT UNSIGNED) AS pooled_seeds, swept
FROM fits WHERE fit IS NOT NULL";

const FIT: [&str; 5] = ["a", "b", "c", "rmse", "r2"];

fn fit_fields() -> Fields {
    FIT.map(|name| Field::new(name, DataType::Float64, true)).into_iter().collect()
}

/// The function `scaling_fit(variant, form, xi, values)`: a struct, or null without a fit.
pub(super) fn function() -> ScalarUDF {
    let list = DataType::new_list(DataType::Float64, true);
    create_udf(
        "scaling_fit",
        vec![DataType::Utf8, DataType::Utf8, list.clone(), list],
        DataType::Struct(fit_fields()),
        Volatility::Immutable,
        Arc::new(fit_all),
    )
}

fn fit_all(columns: &[ColumnarValue]) -> Result<ColumnarValue> {
    let columns = ColumnarValue::values_to_arrays(columns)?;
    let [variants, forms, xi, values] = columns.as_slice() else {
        return exec_err!("scaling_fit takes a variant, a form, strengths and values");
    };
    let (variants, forms) = (variants.as_string::<i32>(), forms.as_string::<i32>());
    let (xi, values) = (xi.as_list::<i32>(), values.as_list::<i32>());
    let one = |row: usize| {
        let form = match forms.value(row) {
            "power" => CurveForm::Power,
            "exponential" => CurveForm::Exponential,
            other => return exec_err!("no such form: `{other}`"),
        };
        let (xi, values) = (numbers(&xi.value(row)), numbers(&values.value(row)));
        Ok(match variants.value(row) {
            "released" => released_scaling::fit(form, &xi, &values),
            _ => scaling::fit(form, &xi, &values),
        })
    };
    let fits = (0..variants.len()).map(one).collect::<Result<Vec<_>>>()?;
    Ok(ColumnarValue::Array(Arc::new(to_struct(&fits)?)))
}

fn numbers(list: &ArrayRef) -> Vec<f64> {
    list.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

fn to_struct(fits: &[Option<ScalingFit>]) -> Result<StructArray> {
    let column = |of: fn(&ScalingFit) -> f64| {
        let values = fits.iter().map(|fit| fit.as_ref().map(of));
        Arc::new(values.collect::<Float64Array>()) as ArrayRef
    };
    let columns = vec![
        column(|fit| fit.a),
        column(|fit| fit.b),
        column(|fit| fit.c),
        column(|fit| fit.rmse),
        column(|fit| fit.r2),
    ];
    let present: NullBuffer = fits.iter().map(Option::is_some).collect::<Vec<_>>().into();
    Ok(StructArray::try_new(fit_fields(), columns, Some(present))?)
}
