//! `activation_curves`: one row per point of the curve of a gain and saturation.
//! Its rows are `rheo_model::row::ActivationCurveRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 7] = [
    EPOCH,
    VARIANT,
    required("n", ColumnType::F64, "", "gain of the curve"),
    required("s", ColumnType::F64, "", "saturation of the curve"),
    required("x", ColumnType::F64, "", "input"),
    required("value", ColumnType::F64, "", "gamma(x; n, s)"),
    required("slope", ColumnType::F64, "", "d gamma / d x"),
];
