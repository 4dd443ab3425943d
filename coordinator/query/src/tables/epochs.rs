//! `epochs`: one row per trial and epoch. Its rows are `rheo_model::row::EpochRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, optional, required};

pub(super) const COLUMNS: [Column; 16] = [
    EPOCH,
    VARIANT,
    required(
        "train_loss",
        ColumnType::F64,
        "nats",
        "mean loss over the training samples, each before its update",
    ),
    required("train_accuracy", ColumnType::F64, "", "accuracy over the same samples, in [0, 1]"),
    required("val_loss", ColumnType::F64, "nats", "mean loss over the validation samples"),
    required(
        "val_accuracy",
        ColumnType::F64,
        "",
        "accuracy over the validation samples, in [0, 1]",
    ),
    optional("val_bpc", ColumnType::F64, "bits", "bits per character, for language tasks"),
    required("lr", ColumnType::F64, "", "learning rate of the last update"),
    required(
        "grad_norm",
        ColumnType::F64,
        "",
        "2-norm of the gradient over all parameters, mean over updates",
    ),
    optional("n_mean", ColumnType::F64, "", "mean gain over neurons, for networks that have one"),
    optional("n_std", ColumnType::F64, "", "standard deviation of the gain over neurons"),
    optional("s_mean", ColumnType::F64, "", "mean saturation over neurons"),
    optional("s_std", ColumnType::F64, "", "standard deviation of the saturation over neurons"),
    required(
        "gain_guard_hits",
        ColumnType::U64,
        "",
        "elements whose gain was too close to 0 and was replaced",
    ),
    required("negative_gains", ColumnType::U64, "", "elements with a negative gain"),
    required(
        "wall_s",
        ColumnType::F64,
        "s",
        "wall-clock time of the epoch; the one column that a repetition does not reproduce",
    ),
];
