//! `gradients`: one row per step or length. Its rows are `rheo_model::row::GradientRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 6] = [
    EPOCH,
    VARIANT,
    required(
        "kind",
        ColumnType::Str,
        "",
        "variable of the gradient: `hidden`, `controller` or `w_hh`",
    ),
    required(
        "t",
        ColumnType::U32,
        "steps",
        "the step, from 0; for `w_hh` the length of the sequences",
    ),
    required(
        "norm",
        ColumnType::F64,
        "",
        "norm of the gradient, mean over samples, for `w_hh` over batches",
    ),
    required("norm_std", ColumnType::F64, "", "its standard deviation over the same"),
];
