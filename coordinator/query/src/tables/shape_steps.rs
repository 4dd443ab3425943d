//! `shape_steps`: one row per strength of a step. Its rows are `rheo_model::row::ShapeStepRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 11] = [
    EPOCH,
    VARIANT,
    required("xi", ColumnType::F64, "", "strength of the drive"),
    required("n_pre", ColumnType::F64, "", "mean gain before the drive"),
    required("n_onset", ColumnType::F64, "", "mean gain at the first driven step"),
    required("n_steady", ColumnType::F64, "", "mean gain once it has settled"),
    required(
        "n_tau",
        ColumnType::F64,
        "steps",
        "time from the onset until 1/e of the way to `n_steady` is left; NaN if never",
    ),
    required("s_pre", ColumnType::F64, "", "mean saturation before the drive"),
    required("s_onset", ColumnType::F64, "", "mean saturation at the first driven step"),
    required("s_steady", ColumnType::F64, "", "mean saturation once it has settled"),
    required(
        "s_tau",
        ColumnType::F64,
        "steps",
        "time from the onset until 1/e of the way to `s_steady` is left; NaN if never",
    ),
];
