//! `slope_contours`: one row per input and point of the (n, s) plane.
//! Its rows are `rheo_model::row::SlopeContourRow`.

use super::{Column, EPOCH, Kind, VARIANT, required};

pub(super) const COLUMNS: [Column; 6] = [
    EPOCH,
    VARIANT,
    required("xi", Kind::F64, "", "input at which the slope is taken"),
    required("n", Kind::F64, "", "gain"),
    required("s", Kind::F64, "", "saturation"),
    required(
        "slope",
        Kind::F64,
        "",
        "d gamma / d x there; of the published code with its offset 0.013",
    ),
];
