//! `mutual_information`: one row per lag. Its rows are `rheo_model::row::MutualInformationRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 7] = [
    EPOCH,
    VARIANT,
    required("lag", ColumnType::U32, "steps", "delay of the state relative to the input"),
    required("dimension", ColumnType::U32, "", "number of components of the state that are used"),
    required(
        "nats",
        ColumnType::F64,
        "nats",
        "mutual information of input and state, mean over sequences",
    ),
    required("std", ColumnType::F64, "nats", "its standard deviation over sequences"),
    required("sequences", ColumnType::U32, "", "number of averaged sequences"),
];
