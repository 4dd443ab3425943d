//! `fractional_fits`: one row per fit of an order to responses.
//! Its rows are `rheo_model::row::FractionalFitRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, optional, required};

pub(super) const COLUMNS: [Column; 13] = [
    EPOCH,
    VARIANT,
    required("protocol", ColumnType::Str, "", "duration of the drive: `short` or `long`"),
    required(
        "connectivity",
        ColumnType::Str,
        "",
        "`isolated`: neurons without recurrent input; `interacting`: with it",
    ),
    required("scope", ColumnType::Str, "", "data of the fit: `all_xi`, `per_xi` or `per_neuron`"),
    optional("neuron", ColumnType::U32, "", "the neuron, for `per_neuron`"),
    optional("xi", ColumnType::F64, "", "strength of the drive, unless all are fitted together"),
    required(
        "order",
        ColumnType::F64,
        "",
        "order of the response: > 0 differentiates, < 0 integrates; NaN where none fits",
    ),
    required(
        "alpha",
        ColumnType::F64,
        "",
        "the order with the sign of the published code: > 0 integrates",
    ),
    required("gain", ColumnType::F64, "", "factor of the fit"),
    required("offset", ColumnType::F64, "", "constant of the fit, mean over strengths"),
    required("error", ColumnType::F64, "", "mean squared residual in the window"),
    required(
        "r2",
        ColumnType::F64,
        "",
        "share of the variance in the window that the fit explains",
    ),
];
