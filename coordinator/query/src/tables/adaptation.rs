//! `adaptation`: one row per neuron and subset of steps.
//! Its rows are `rheo_model::row::AdaptationRow`.

use super::{Column, EPOCH, Kind, VARIANT, required};

pub(super) const COLUMNS: [Column; 7] = [
    EPOCH,
    VARIANT,
    required(
        "connectivity",
        Kind::Str,
        "",
        "`isolated`: the neurons do not hear each other; `interacting`: they do",
    ),
    required("neuron", Kind::U32, "", "the neuron, from 0"),
    required("xi", Kind::F64, "", "strength of the drive"),
    required("subset", Kind::Str, "", "the steps that count: `all`, `even` or `odd`"),
    required(
        "index",
        Kind::F64,
        "",
        "(early - late) / (abs(early) + abs(late)) of the response; > 0 adapts",
    ),
];
