//! The view `robustness`: the share of its accuracy that a network keeps under a perturbation, one
//! number per curve (science reference, section 6; docs/science.md, section 6).

use super::SqlView;
use crate::tables::{Column, ColumnType, optional, required};

pub(super) const VIEW: SqlView = SqlView {
    name: "robustness",
    about: "View: one row per trial and curve of accuracy over the levels of a perturbation.",
    columns: &COLUMNS,
    sql: SQL,
};

const COLUMNS: [Column; 19] = [
    required("sweep", ColumnType::Str, "", "the sweep"),
    required("trial", ColumnType::U64, "", "the trial, counted from 0 in its sweep"),
    required("task", ColumnType::Str, "", "`task.kind`"),
    required("net", ColumnType::Str, "", "`network.kind`"),
    required("seed", ColumnType::U64, "", "the seed of the trial"),
    required("epoch", ColumnType::I32, "", "the epoch after which this held"),
    required("variant", ColumnType::Str, "", "`corrected`"),
    required("split", ColumnType::Str, "", "the samples: `test` or `validation`"),
    required("perturbation", ColumnType::Str, "", "the perturbation"),
    optional("frequency", ColumnType::F64, "cycles per sequence", "for `sine`"),
    optional("phase", ColumnType::F64, "radians", "for `sine`, at the first step"),
    required("from_step", ColumnType::U32, "", "the first perturbed step"),
    required(
        "shape_mode",
        ColumnType::Str,
        "",
        "`own`: gain and saturation as the network sets them; `frozen`: fixed at their mean",
    ),
    required("levels", ColumnType::U32, "", "number of levels of the curve"),
    required("lowest", ColumnType::F64, "", "the lowest of them"),
    required("highest", ColumnType::F64, "", "the highest of them"),
    optional(
        "clean_accuracy",
        ColumnType::F64,
        "",
        "accuracy without perturbation, in the same mode",
    ),
    required(
        "mean_accuracy",
        ColumnType::F64,
        "",
        "trapezoid mean of the accuracy over the levels",
    ),
    optional("index", ColumnType::F64, "", "`mean_accuracy` / `clean_accuracy`"),
];

/// Repetitions of a level are averaged before the curve is integrated. The mean of a curve with a
/// single level is its value.
const SQL: &str = "\
WITH levels AS (
  SELECT sweep, trial, task, net, seed, epoch, variant, split, perturbation, frequency, phase,
    from_step, shape_mode, level, avg(accuracy) AS accuracy
  FROM evaluations WHERE condition IS NULL
  GROUP BY sweep, trial, task, net, seed, epoch, variant, split, perturbation, frequency, phase,
    from_step, shape_mode, level
), clean AS (
  SELECT sweep, trial, epoch, variant, split, shape_mode, accuracy AS clean_accuracy
  FROM levels WHERE perturbation = 'none'
), points AS (
  SELECT *, lag(level) OVER curve AS level_before, lag(accuracy) OVER curve AS accuracy_before
  FROM levels WHERE perturbation <> 'none'
  WINDOW curve AS (PARTITION BY sweep, trial, epoch, variant, split, perturbation, frequency, phase,
    from_step, shape_mode ORDER BY level)
), curves AS (
  SELECT sweep, trial, task, net, seed, epoch, variant, split, perturbation, frequency, phase,
    from_step, shape_mode, CAST(count(*) AS INT UNSIGNED) AS levels, min(level) AS lowest,
    max(level) AS highest,
    CASE WHEN count(*) = 1 THEN max(accuracy)
      ELSE sum((level - level_before) * (accuracy + accuracy_before) / 2.0)
        / (max(level) - min(level)) END AS mean_accuracy
  FROM points
  GROUP BY sweep, trial, task, net, seed, epoch, variant, split, perturbation, frequency, phase,
    from_step, shape_mode
)
SELECT u.sweep, u.trial, u.task, u.net, u.seed, u.epoch, u.variant, u.split, u.perturbation,
  u.frequency, u.phase, u.from_step, u.shape_mode, u.levels, u.lowest, u.highest,
  c.clean_accuracy, u.mean_accuracy, u.mean_accuracy / c.clean_accuracy AS index
FROM curves u LEFT JOIN clean c
  ON u.sweep = c.sweep AND u.trial = c.trial AND u.epoch = c.epoch AND u.variant = c.variant
  AND u.split = c.split AND u.shape_mode = c.shape_mode";
