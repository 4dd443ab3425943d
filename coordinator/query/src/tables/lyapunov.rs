//! `lyapunov`: one row per exponent. Its rows are `rheo_model::row::LyapunovRow`.

use super::{Column, EPOCH, Kind, VARIANT, optional, required};

pub(super) const COLUMNS: [Column; 16] = [
    EPOCH,
    VARIANT,
    required("mode", Kind::Str, "", "`autonomous`, `driven` or `frozen`"),
    required(
        "system",
        Kind::Str,
        "",
        "what is linearised: `h`, or `joint` for neurons and controllers",
    ),
    required(
        "shape_source",
        Kind::Str,
        "",
        "shape: `own`; frozen at `at_step`, `adaptive`; frozen before the drive, `fixed`",
    ),
    required("xi", Kind::F64, "", "strength of the drive"),
    optional("at_step", Kind::I32, "steps", "the step of the drive that `frozen` looks at"),
    required("window_start", Kind::U32, "steps", "first step that counts"),
    required("window_end", Kind::U32, "steps", "first step that no longer counts"),
    required("index", Kind::U32, "", "which exponent, from 0 for the largest"),
    required("nats", Kind::F64, "nats per step", "the exponent"),
    required("bits", Kind::F64, "bits per step", "the exponent"),
    required("std_nats", Kind::F64, "nats per step", "its standard deviation over sequences"),
    required("sequences", Kind::U32, "", "how many sequences it is the mean of"),
    required("steps", Kind::U32, "", "how many steps it is the mean of"),
    required(
        "skipped_nan",
        Kind::U64,
        "",
        "steps left out as NaN; only the published code does so",
    ),
];
