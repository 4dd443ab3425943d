//! `evaluations`: one row per trial and cell of its perturbation grid. Its rows are
//! `rheo_model::row::EvaluationRow`.

use super::{Column, ColumnType, EPOCH, VARIANT, optional, required};

pub(super) const COLUMNS: [Column; 16] = [
    EPOCH,
    VARIANT,
    required("split", ColumnType::Str, "", "the samples: `test` or `validation`"),
    required(
        "perturbation",
        ColumnType::Str,
        "",
        "the perturbation, `none` for the data as they are",
    ),
    required("level", ColumnType::F64, "", "its strength, 0 for `none`"),
    optional("frequency", ColumnType::F64, "cycles per sequence", "for `sine`"),
    optional("phase", ColumnType::F64, "radians", "for `sine`, at the first step"),
    required("from_step", ColumnType::U32, "", "the first perturbed step"),
    required(
        "repetition",
        ColumnType::U32,
        "",
        "number of the repetition of a random perturbation",
    ),
    required(
        "shape_mode",
        ColumnType::Str,
        "",
        "`own`: gain and saturation as the network sets them; `frozen`: fixed at their mean",
    ),
    optional(
        "condition",
        ColumnType::F64,
        "",
        "condition of the task that is counted alone, if any",
    ),
    required("count", ColumnType::U64, "", "number of samples"),
    required("accuracy", ColumnType::F64, "", "accuracy, in [0, 1]"),
    required("loss", ColumnType::F64, "nats", "mean loss"),
    optional("bpc", ColumnType::F64, "bits", "bits per character, for language tasks"),
    required(
        "stderr",
        ColumnType::F64,
        "",
        "standard error of the accuracy, sqrt(p (1 - p) / count)",
    ),
];
