//! `slope_contours`: one row per input and point of the (n, s) plane.
//! Its rows are `rheo_model::row::SlopeContourRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 6] = [
    EPOCH,
    VARIANT,
    required("xi", ColumnType::F64, "", "input at which the slope is taken"),
    required("n", ColumnType::F64, "", "gain"),
    required("s", ColumnType::F64, "", "saturation"),
    required(
        "slope",
        ColumnType::F64,
        "",
        "d gamma / d x there; of the published code with its offset 0.013",
    ),
];
