//! `shapes`: one row per trial, analysed epoch and neuron. Its rows are
//! `rheo_model::row::ShapeRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 8] = [
    EPOCH,
    VARIANT,
    required("phase", ColumnType::Str, "", "`trained`, or `before` and `after` a re-adaptation"),
    required("neuron", ColumnType::U32, "", "the neuron, from 0"),
    required(
        "n",
        ColumnType::F64,
        "",
        "gain; of adaptive networks its mean over time on test data",
    ),
    required("s", ColumnType::F64, "", "saturation, likewise"),
    required("n_init", ColumnType::F64, "", "gain of the untrained network"),
    required("s_init", ColumnType::F64, "", "saturation of the untrained network"),
];
