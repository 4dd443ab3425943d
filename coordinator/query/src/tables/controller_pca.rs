//! `controller_pca`: one row per input and step. Its rows are `rheo_model::row::ControllerPcaRow`.

use super::{Column, EPOCH, Kind, VARIANT, required};

pub(super) const COLUMNS: [Column; 8] = [
    EPOCH,
    VARIANT,
    required("input", Kind::F64, "", "the constant input of the controller after step 200"),
    required("t", Kind::U32, "steps", "the step, from 0"),
    required("pc1", Kind::F64, "", "first principal component of the state"),
    required("pc2", Kind::F64, "", "second principal component of the state"),
    required(
        "explained1",
        Kind::F64,
        "",
        "share of the variance along the first, the same in all rows",
    ),
    required(
        "explained2",
        Kind::F64,
        "",
        "share of the variance along the second, the same in all rows",
    ),
];
