//! `fractional_traces`: one row per preparation, strength and step.
//! Its rows are `rheo_model::row::FractionalTraceRow`.

use super::{Column, EPOCH, Kind, VARIANT, required};

pub(super) const COLUMNS: [Column; 11] = [
    EPOCH,
    VARIANT,
    required("protocol", Kind::Str, "", "how long the drive lasts: `short` or `long`"),
    required(
        "connectivity",
        Kind::Str,
        "",
        "`isolated`: the neurons do not hear each other; `interacting`: they do",
    ),
    required(
        "group",
        Kind::Str,
        "",
        "the neurons: `all`, or by the sign of their alpha `alpha_le_0`, `alpha_gt_0`",
    ),
    required("group_size", Kind::U32, "", "how many neurons are in the group"),
    required("xi", Kind::F64, "", "strength of the drive"),
    required("t", Kind::U32, "steps", "the step, from 0"),
    required("drive", Kind::F64, "", "the drive at this step"),
    required("h_mean", Kind::F64, "", "mean of h over repetitions and the neurons of the group"),
    required("dalpha_h", Kind::F64, "", "fractional derivative of order alpha of `h_mean`"),
];
