//! `fractional_fits`: one row per fit of an order to responses.
//! Its rows are `rheo_model::row::FractionalFitRow`.

use super::{Column, EPOCH, Kind, VARIANT, optional, required};

pub(super) const COLUMNS: [Column; 13] = [
    EPOCH,
    VARIANT,
    required("protocol", Kind::Str, "", "how long the drive lasts: `short` or `long`"),
    required(
        "connectivity",
        Kind::Str,
        "",
        "`isolated`: the neurons do not hear each other; `interacting`: they do",
    ),
    required("scope", Kind::Str, "", "what is fitted: `all_xi`, `per_xi` or `per_neuron`"),
    optional("neuron", Kind::U32, "", "the neuron, for `per_neuron`"),
    optional("xi", Kind::F64, "", "strength of the drive, unless all are fitted together"),
    required(
        "order",
        Kind::F64,
        "",
        "order of the response: > 0 differentiates, < 0 integrates; NaN where none fits",
    ),
    required(
        "alpha",
        Kind::F64,
        "",
        "the order with the sign of the published code: > 0 integrates",
    ),
    required("gain", Kind::F64, "", "factor of the fit"),
    required("offset", Kind::F64, "", "constant of the fit, mean over strengths"),
    required("error", Kind::F64, "", "mean squared residual in the window"),
    required("r2", Kind::F64, "", "share of the variance in the window that the fit explains"),
];
