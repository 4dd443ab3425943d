//! `jacobian`: one row per grid point or checkpoint, and path.
//! Its rows are `rheo_model::row::JacobianRow`.

use super::{Column, EPOCH, Kind, VARIANT, optional, required};

pub(super) const COLUMNS: [Column; 9] = [
    EPOCH,
    VARIANT,
    optional("n", Kind::F64, "", "gain of the grid point, null for the own gain of the network"),
    optional("s", Kind::F64, "", "saturation of the grid point, null for that of the network"),
    required(
        "path",
        Kind::Str,
        "",
        "`direct`: at fixed gain and saturation; `total`: also through the controller",
    ),
    required("norm_spectral", Kind::F64, "", "largest singular value"),
    required("norm_inf", Kind::F64, "", "largest sum of absolute values of a row"),
    optional(
        "norm_released",
        Kind::F64,
        "",
        "the norm of the published code, max over j of abs(sum over i); null for `total`",
    ),
    required("samples", Kind::U32, "", "how many test sequences the norms are the mean of"),
];
