//! `jacobian`: one row per grid point or checkpoint, and path.
//! Its rows are `rheo_model::row::JacobianRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, optional, required};

pub(super) const COLUMNS: [Column; 9] = [
    EPOCH,
    VARIANT,
    optional(
        "n",
        ColumnType::F64,
        "",
        "gain of the grid point, null for the own gain of the network",
    ),
    optional(
        "s",
        ColumnType::F64,
        "",
        "saturation of the grid point, null for that of the network",
    ),
    required(
        "path",
        ColumnType::Str,
        "",
        "`direct`: at fixed gain and saturation; `total`: also through the controller",
    ),
    required("norm_spectral", ColumnType::F64, "", "largest singular value"),
    required("norm_inf", ColumnType::F64, "", "largest sum of absolute values of a row"),
    optional(
        "norm_released",
        ColumnType::F64,
        "",
        "the norm of the published code, max over j of abs(sum over i); null for `total`",
    ),
    required("samples", ColumnType::U32, "", "number of averaged test sequences"),
];
