//! `activation_curves`: one row per point of the curve of a gain and saturation.
//! Its rows are `rheo_model::row::ActivationCurveRow`.

use super::{Column, EPOCH, Kind, VARIANT, required};

pub(super) const COLUMNS: [Column; 7] = [
    EPOCH,
    VARIANT,
    required("n", Kind::F64, "", "gain of the curve"),
    required("s", Kind::F64, "", "saturation of the curve"),
    required("x", Kind::F64, "", "input"),
    required("value", Kind::F64, "", "gamma(x; n, s)"),
    required("slope", Kind::F64, "", "d gamma / d x"),
];
