//! `gain_fits`: one row per fitted quantity. Its rows are `rheo_model::row::GainFitRow`.

use super::{Column, EPOCH, Kind, VARIANT, required};

pub(super) const COLUMNS: [Column; 10] = [
    EPOCH,
    VARIANT,
    required("quantity", Kind::Str, "", "what is fitted: `n` or `s` of `gain_scaling`"),
    required("form", Kind::Str, "", "`power`: a xi^-b + c; `exponential`: a exp(-b xi) + c"),
    required("a", Kind::F64, "", "the factor a"),
    required("b", Kind::F64, "", "the exponent or rate b"),
    required("c", Kind::F64, "", "the constant c"),
    required("rmse", Kind::F64, "", "root of the mean squared residual"),
    required("r2", Kind::F64, "", "share of the variance that the curve explains"),
    required("pooled_seeds", Kind::U32, "", "1: a trial has one seed; see `pooled_gain_fits`"),
];
