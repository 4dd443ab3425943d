//! `gain_fits`: one row per fitted quantity. Its rows are `rheo_model::row::GainFitRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 10] = [
    EPOCH,
    VARIANT,
    required("quantity", ColumnType::Str, "", "the fitted quantity: `n` or `s` of `gain_scaling`"),
    required("form", ColumnType::Str, "", "`power`: a xi^-b + c; `exponential`: a exp(-b xi) + c"),
    required("a", ColumnType::F64, "", "the factor a"),
    required("b", ColumnType::F64, "", "the exponent or rate b"),
    required("c", ColumnType::F64, "", "the constant c"),
    required("rmse", ColumnType::F64, "", "root of the mean squared residual"),
    required("r2", ColumnType::F64, "", "share of the variance that the curve explains"),
    required(
        "pooled_seeds",
        ColumnType::U32,
        "",
        "1: a trial has one seed; see `pooled_gain_fits`",
    ),
];
