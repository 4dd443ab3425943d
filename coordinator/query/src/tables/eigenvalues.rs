//! `eigenvalues`: one row per eigenvalue of the recurrent matrix.
//! Its rows are `rheo_model::row::EigenvalueRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, required};

pub(super) const COLUMNS: [Column; 8] = [
    EPOCH,
    VARIANT,
    required("stage", ColumnType::Str, "", "`init` or `trained`"),
    required("index", ColumnType::U32, "", "number of the eigenvalue, from 0"),
    required("re", ColumnType::F64, "", "real part"),
    required("im", ColumnType::F64, "", "imaginary part"),
    required(
        "spectral_radius",
        ColumnType::F64,
        "",
        "largest absolute value of all, the same in all rows of a matrix",
    ),
    required(
        "orthogonality",
        ColumnType::F64,
        "",
        "norm(w^T w - I) / sqrt(H), 0 if orthogonal, the same in all rows",
    ),
];
