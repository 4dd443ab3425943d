//! `gain_scaling`: one row per strength of noise. Its rows are `rheo_model::row::GainScalingRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 5] = [
    EPOCH,
    VARIANT,
    required("xi", ColumnType::F64, "", "standard deviation of the noise"),
    required(
        "n_mean",
        ColumnType::F64,
        "",
        "mean gain over sequences, neurons and the steps of the window",
    ),
    required("s_mean", ColumnType::F64, "", "mean saturation over the same"),
];
