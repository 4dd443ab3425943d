//! `eigenvalues`: one row per eigenvalue of the recurrent matrix.
//! Its rows are `rheo_model::row::EigenvalueRow`.

use super::{Column, EPOCH, Kind, VARIANT, required};

pub(super) const COLUMNS: [Column; 8] = [
    EPOCH,
    VARIANT,
    required("stage", Kind::Str, "", "`init` or `trained`"),
    required("index", Kind::U32, "", "which eigenvalue, from 0"),
    required("re", Kind::F64, "", "real part"),
    required("im", Kind::F64, "", "imaginary part"),
    required(
        "spectral_radius",
        Kind::F64,
        "",
        "largest absolute value of all, the same in all rows of a matrix",
    ),
    required(
        "orthogonality",
        Kind::F64,
        "",
        "norm(w^T w - I) / sqrt(H), 0 if orthogonal, the same in all rows",
    ),
];
