//! `controller_pca`: one row per input and step. Its rows are `rheo_model::row::ControllerPcaRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 8] = [
    EPOCH,
    VARIANT,
    required("input", ColumnType::F64, "", "the constant input of the controller after step 200"),
    required("t", ColumnType::U32, "steps", "the step, from 0"),
    required("pc1", ColumnType::F64, "", "first principal component of the state"),
    required("pc2", ColumnType::F64, "", "second principal component of the state"),
    required(
        "explained1",
        ColumnType::F64,
        "",
        "share of the variance along the first, the same in all rows",
    ),
    required(
        "explained2",
        ColumnType::F64,
        "",
        "share of the variance along the second, the same in all rows",
    ),
];
