//! `lyapunov`: one row per exponent. Its rows are `rheo_model::row::LyapunovRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, optional, required};

pub(super) const COLUMNS: [Column; 16] = [
    EPOCH,
    VARIANT,
    required("mode", ColumnType::Str, "", "`autonomous`, `driven` or `frozen`"),
    required(
        "system",
        ColumnType::Str,
        "",
        "the linearised system: `h`, or `joint` for neurons and controllers",
    ),
    required(
        "shape_source",
        ColumnType::Str,
        "",
        "shape: `own`; frozen at `at_step`, `adaptive`; frozen before the drive, `fixed`",
    ),
    required("xi", ColumnType::F64, "", "strength of the drive"),
    optional("at_step", ColumnType::I32, "steps", "the step of the drive that `frozen` looks at"),
    required("window_start", ColumnType::U32, "steps", "first step that counts"),
    required("window_end", ColumnType::U32, "steps", "first step that no longer counts"),
    required("index", ColumnType::U32, "", "number of the exponent, from 0 for the largest"),
    required("nats", ColumnType::F64, "nats per step", "the exponent"),
    required("bits", ColumnType::F64, "bits per step", "the exponent"),
    required("std_nats", ColumnType::F64, "nats per step", "its standard deviation over sequences"),
    required("sequences", ColumnType::U32, "", "number of averaged sequences"),
    required("steps", ColumnType::U32, "", "number of averaged steps"),
    required(
        "skipped_nan",
        ColumnType::U64,
        "",
        "steps left out as NaN; only the published code does so",
    ),
];
