//! `evaluations`: one row per trial and cell of its perturbation grid. Its rows are
//! `rheo_model::row::EvaluationRow`.

use super::{Column, EPOCH, Kind, VARIANT, optional, required};

pub(super) const COLUMNS: [Column; 16] = [
    EPOCH,
    VARIANT,
    required("split", Kind::Str, "", "the samples: `test` or `validation`"),
    required("perturbation", Kind::Str, "", "the perturbation, `none` for the data as they are"),
    required("level", Kind::F64, "", "its strength, 0 for `none`"),
    optional("frequency", Kind::F64, "cycles per sequence", "for `sine`"),
    optional("phase", Kind::F64, "radians", "for `sine`, at the first step"),
    required("from_step", Kind::U32, "", "the first perturbed step"),
    required("repetition", Kind::U32, "", "which repetition of a perturbation that draws noise"),
    required(
        "shape_mode",
        Kind::Str,
        "",
        "`own`: gain and saturation as the network sets them; `frozen`: fixed at their mean",
    ),
    optional("condition", Kind::F64, "", "condition of the task that is counted alone, if any"),
    required("count", Kind::U64, "", "number of samples"),
    required("accuracy", Kind::F64, "", "accuracy, in [0, 1]"),
    required("loss", Kind::F64, "nats", "mean loss"),
    optional("bpc", Kind::F64, "bits", "bits per character, for language tasks"),
    required("stderr", Kind::F64, "", "standard error of the accuracy, sqrt(p (1 - p) / count)"),
];
