//! `fractional_traces`: one row per preparation, strength and step.
//! Its rows are `rheo_model::row::FractionalTraceRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 11] = [
    EPOCH,
    VARIANT,
    required("protocol", ColumnType::Str, "", "duration of the drive: `short` or `long`"),
    required(
        "connectivity",
        ColumnType::Str,
        "",
        "`isolated`: neurons without recurrent input; `interacting`: with it",
    ),
    required(
        "group",
        ColumnType::Str,
        "",
        "the neurons: `all`, or by the sign of their alpha `alpha_le_0`, `alpha_gt_0`",
    ),
    required("group_size", ColumnType::U32, "", "number of neurons in the group"),
    required("xi", ColumnType::F64, "", "strength of the drive"),
    required("t", ColumnType::U32, "steps", "the step, from 0"),
    required("drive", ColumnType::F64, "", "the drive at this step"),
    required(
        "h_mean",
        ColumnType::F64,
        "",
        "mean of h over repetitions and the neurons of the group",
    ),
    required("dalpha_h", ColumnType::F64, "", "fractional derivative of order alpha of `h_mean`"),
];
