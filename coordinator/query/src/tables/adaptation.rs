//! `adaptation`: one row per neuron and subset of steps.
//! Its rows are `rheo_model::row::AdaptationRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 7] = [
    EPOCH,
    VARIANT,
    required(
        "connectivity",
        ColumnType::Str,
        "",
        "`isolated`: neurons without recurrent input; `interacting`: with it",
    ),
    required("neuron", ColumnType::U32, "", "the neuron, from 0"),
    required("xi", ColumnType::F64, "", "strength of the drive"),
    required("subset", ColumnType::Str, "", "the steps that count: `all`, `even` or `odd`"),
    required(
        "index",
        ColumnType::F64,
        "",
        "(early - late) / (abs(early) + abs(late)) of the response; > 0 adapts",
    ),
];
