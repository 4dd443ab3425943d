//! `gain_scaling`: one row per strength of noise. Its rows are `rheo_model::row::GainScalingRow`.

use super::{Column, EPOCH, Kind, VARIANT, required};

pub(super) const COLUMNS: [Column; 5] = [
    EPOCH,
    VARIANT,
    required("xi", Kind::F64, "", "standard deviation of the noise"),
    required(
        "n_mean",
        Kind::F64,
        "",
        "mean gain over sequences, neurons and the steps of the window",
    ),
    required("s_mean", Kind::F64, "", "mean saturation over the same"),
];
