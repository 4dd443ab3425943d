//! `shape_traces`: one row per drive, strength and step.
//! Its rows are `rheo_model::row::ShapeTraceRow`.

use super::{Column, EPOCH, Kind, VARIANT, required};

pub(super) const COLUMNS: [Column; 9] = [
    EPOCH,
    VARIANT,
    required("drive", Kind::Str, "", "the drive: `step_drive`"),
    required("xi", Kind::F64, "", "its strength"),
    required("t", Kind::U32, "steps", "the step, from 0"),
    required("n_mean", Kind::F64, "", "mean gain over sequences and neurons"),
    required("n_std", Kind::F64, "", "standard deviation of the gain over the same"),
    required("s_mean", Kind::F64, "", "mean saturation over sequences and neurons"),
    required("s_std", Kind::F64, "", "standard deviation of the saturation over the same"),
];
