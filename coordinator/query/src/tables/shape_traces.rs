//! `shape_traces`: one row per drive, strength and step.
//! Its rows are `rheo_model::row::ShapeTraceRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 9] = [
    EPOCH,
    VARIANT,
    required("drive", ColumnType::Str, "", "the drive: `step_drive`"),
    required("xi", ColumnType::F64, "", "its strength"),
    required("t", ColumnType::U32, "steps", "the step, from 0"),
    required("n_mean", ColumnType::F64, "", "mean gain over sequences and neurons"),
    required("n_std", ColumnType::F64, "", "standard deviation of the gain over the same"),
    required("s_mean", ColumnType::F64, "", "mean saturation over sequences and neurons"),
    required("s_std", ColumnType::F64, "", "standard deviation of the saturation over the same"),
];
