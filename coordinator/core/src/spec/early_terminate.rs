//! `early_terminate`: the rule by which trials stop early.
//!
//! The keys of W&B stand beside those of the rules of our own. A key that the chosen `type` does
//! not use is an error, so nothing is silently ignored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::field_reader::FieldReader;
use super::mistake::{Mistake, Span};
use crate::definition::{EarlyTermination, HalvingMode};
use crate::metric::Objective;
use crate::schema::field::{FieldType, ObjectSchema, names};
use crate::space::Space;

/// A rule by which trials stop early. Epochs count from 1.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EarlyTerminate")]
pub(super) struct EarlyTerminateKeys {
    /// The rule.
    #[serde(rename = "type")]
    rule: EarlyTerminationType,
    /// The number of epochs at the first rung, 1 if not given.
    #[serde(default)]
    #[schemars(range(min = 1), extend("x-kinds" = ["asha", "hyperband"]))]
    min_epochs: Option<u32>,
    /// The number of epochs of a whole trial, from which the brackets follow; by default that of
    /// the trials of the sweep.
    #[serde(default)]
    #[schemars(range(min = 2), extend("x-kinds" = ["hyperband"]))]
    max_epochs: Option<u32>,
    /// The factor between rungs: about one trial in `eta` passes a rung; 3 if not given.
    #[serde(default)]
    #[schemars(range(min = 1.5, max = 1000.0), extend("x-kinds" = ["asha", "hyperband"]))]
    eta: Option<f64>,
    /// What happens to a trial that does not pass a rung; `stop` if not given.
    #[serde(default)]
    #[schemars(extend("x-kinds" = ["asha", "hyperband"]))]
    mode: Option<HalvingMode>,
    /// As in W&B: the number of epochs at the first rung.
    #[serde(default)]
    #[schemars(range(min = 1), extend("x-kinds" = ["hyperband"]))]
    min_iter: Option<u32>,
    /// As in W&B: the number of epochs from which the rungs count down by the factor `eta`.
    #[serde(default)]
    #[schemars(range(min = 2), extend("x-kinds" = ["hyperband"]))]
    max_iter: Option<u32>,
    /// As in W&B: the number of rungs below `max_iter`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100), extend("x-kinds" = ["hyperband"]))]
    s: Option<u32>,
    /// As in W&B: whether to stop more trials, namely ties and the first value beyond the quota;
    /// `false` if not given. Only with `min_iter` or `max_iter`.
    #[serde(default)]
    #[schemars(extend("x-kinds" = ["hyperband"]))]
    strict: Option<bool>,
    /// The percentage of trials that continue at each epoch.
    #[serde(default)]
    #[schemars(
        range(max = 100.0),
        extend("exclusiveMinimum" = 0.0, "x-kinds" = ["percentile"])
    )]
    percentile: Option<f64>,
    /// The number of epochs in which no trial stops; 0 if not given.
    #[serde(default)]
    #[schemars(extend("x-kinds" = ["median", "percentile", "patience"]))]
    warmup_epochs: Option<u32>,
    /// The number of trials that must have reached an epoch before one stops there; 5 if not given.
    #[serde(default)]
    #[schemars(range(min = 1), extend("x-kinds" = ["median", "percentile"]))]
    min_trials: Option<u64>,
    /// The number of epochs without an improvement after which a trial stops.
    #[serde(default)]
    #[schemars(range(min = 1), extend("x-kinds" = ["patience"]))]
    patience: Option<u32>,
    /// The difference of the metric that counts as an improvement; 0 if not given.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("x-kinds" = ["patience"]))]
    min_delta: Option<f64>,
}

/// Rule by which trials stop early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum EarlyTerminationType {
    /// Asynchronous successive halving: at each rung, the best 1/`eta` of the trials that got there
    /// continue.
    Asha,
    /// Hyperband: several brackets of successive halving, each with a later first rung. With the
    /// keys `min_iter` or `max_iter`, the rule that W&B calls so.
    Hyperband,
    /// At each epoch, a trial stops if its best value is worse than the median of all trials there.
    Median,
    /// At each epoch, a trial stops if its best value is not among the best `percentile` percent of
    /// the values there.
    Percentile,
    /// A trial stops if it has not improved for `patience` epochs.
    Patience,
}

impl EarlyTerminationType {
    fn name(self) -> &'static str {
        match self {
            Self::Asha => "asha",
            Self::Hyperband => "hyperband",
            Self::Median => "median",
            Self::Percentile => "percentile",
            Self::Patience => "patience",
        }
    }
}

/// The factor between rungs that W&B and the paper use.
const ETA: f64 = 3.0;

/// The default of `min_trials`.
const MIN_TRIALS: u64 = 5;

/// The parts of a file that the rule depends on.
#[derive(Clone, Copy)]
pub(super) struct RuleContext<'a> {
    /// The fields of the header.
    pub(super) fields: &'a ObjectSchema,
    /// The objective.
    pub(super) objective: &'a Objective,
    /// The configuration without parameters.
    pub(super) fixed: &'a Json,
    /// The search space.
    pub(super) space: &'a Space,
}

/// Returns the rule of a file; none if it has errors, which are reported.
pub(super) fn rule(
    reader: &mut FieldReader<'_>,
    keys: &EarlyTerminateKeys,
    context: RuleContext<'_>,
) -> Option<EarlyTermination> {
    let is_used = check_used(reader, keys.rule, context.fields);
    let is_reported = check_metric(reader, context.objective);
    let rule = match keys.rule {
        EarlyTerminationType::Asha => Some(EarlyTermination::Asha {
            min_epochs: keys.min_epochs.unwrap_or(1),
            eta: keys.eta.unwrap_or(ETA),
            mode: keys.mode.unwrap_or_default(),
        }),
        EarlyTerminationType::Hyperband if keys.min_iter.is_some() || keys.max_iter.is_some() => {
            bands(reader, keys)
        }
        EarlyTerminationType::Hyperband => hyperband(reader, keys, context),
        EarlyTerminationType::Median => Some(percentile(keys, 50.0)),
        EarlyTerminationType::Percentile => {
            let given = keys.percentile.map(|given| percentile(keys, given));
            given.or_else(|| {
                missing(
                    reader,
                    keys,
                    "percentile",
                    "such as 25: the best quarter of the trials continues",
                )
            })
        }
        EarlyTerminationType::Patience => {
            let given = keys.patience.map(|patience| EarlyTermination::Patience {
                patience,
                min_delta: keys.min_delta.unwrap_or(0.0),
                warmup_epochs: keys.warmup_epochs.unwrap_or(0),
            });
            given.or_else(|| missing(reader, keys, "patience", "a number of epochs, such as 5"))
        }
    };
    let rule = rule.filter(|_| is_used && is_reported)?;
    check_reached(reader, &rule, context);
    Some(rule)
}

fn percentile(keys: &EarlyTerminateKeys, percentile: f64) -> EarlyTermination {
    EarlyTermination::Percentile {
        percentile,
        warmup_epochs: keys.warmup_epochs.unwrap_or(0),
        min_trials: keys.min_trials.unwrap_or(MIN_TRIALS),
    }
}

/// Reads the rule that W&B calls `hyperband`.
fn bands(reader: &mut FieldReader<'_>, keys: &EarlyTerminateKeys) -> Option<EarlyTermination> {
    let EarlyTerminateKeys { min_iter, max_iter, s, .. } = *keys;
    let eta = keys.eta.unwrap_or(ETA);
    for ours in ["min_epochs", "max_epochs", "mode"] {
        if reader.written.contains_key(&format!("early_terminate.{ours}")) {
            let message = format!("`{ours}` and the keys of W&B are different rules");
            let help = "delete it, or write `min_epochs` and `max_epochs` for brackets as in the \
                        paper, or `min_iter` or `max_iter` for the rungs of W&B";
            at(reader, ours, message).help(help);
            return None;
        }
    }
    match (min_iter, max_iter, s) {
        (Some(_), Some(_), _) => {
            let message = "`min_iter` and `max_iter` both say where the rungs are";
            at(reader, "min_iter", message).help("delete one of the two");
            return None;
        }
        (None, Some(_), None) => {
            return missing(reader, keys, "s", "the number of rungs below `max_iter`");
        }
        (Some(_), None, Some(_)) => {
            let message = "`s` has no effect without `max_iter`";
            at(reader, "s", message).help("delete it");
            return None;
        }
        _ => {}
    }
    let rule = EarlyTermination::Bands {
        min_iter,
        max_iter,
        s,
        eta,
        strict: keys.strict.unwrap_or(false),
    };
    if rule.ladders().concat().is_empty() {
        let message = format!("there is no rung: `max_iter` / {eta} is less than one epoch");
        at(reader, "max_iter", message).help("write a larger `max_iter` or a smaller `eta`");
        return None;
    }
    Some(rule)
}

/// Reads the rule of the paper.
fn hyperband(
    reader: &mut FieldReader<'_>,
    keys: &EarlyTerminateKeys,
    context: RuleContext<'_>,
) -> Option<EarlyTermination> {
    for theirs in ["s", "strict"] {
        if reader.written.contains_key(&format!("early_terminate.{theirs}")) {
            let message = format!("`{theirs}` has no effect without `min_iter` or `max_iter`");
            at(reader, theirs, message).help("delete it, or add one of the two");
            return None;
        }
    }
    let Some(min_epochs) = keys.min_epochs else {
        let help = "such as 1, or `min_iter` or `max_iter` for the rule of W&B";
        return missing(reader, keys, "min_epochs", help);
    };
    let swept = || {
        let mut parameters = context.space.parameters.iter();
        parameters.find(|parameter| reader.schema.decides_epochs(&parameter.path))
    };
    let of_trials = || reader.schema.rules.epochs(context.fixed);
    let max_epochs = match (keys.max_epochs, swept()) {
        (Some(given), _) => Some(given),
        (None, Some(_)) => None,
        (None, None) => of_trials(),
    };
    let Some(max_epochs) = max_epochs else {
        let help = "the epochs of the longest trial, because the trials of this sweep differ in it";
        return missing(reader, keys, "max_epochs", help);
    };
    let eta = keys.eta.unwrap_or(ETA);
    if f64::from(min_epochs) * eta > f64::from(max_epochs) {
        let message = format!(
            "there is one bracket only: {min_epochs} epochs times {eta} is more than the \
             {max_epochs} of a whole trial"
        );
        let help = "write a smaller `min_epochs` or `eta`, or `type: asha`";
        at(reader, "min_epochs", message).help(help);
        return None;
    }
    let mode = keys.mode.unwrap_or_default();
    Some(EarlyTermination::Hyperband { min_epochs, max_epochs, eta, mode })
}

/// Reports keys that the rule does not use.
fn check_used(
    reader: &mut FieldReader<'_>,
    rule: EarlyTerminationType,
    fields: &ObjectSchema,
) -> bool {
    let Some(FieldType::Object(object)) = fields.get("early_terminate").map(|field| &field.ty)
    else {
        return true;
    };
    let mut is_right = true;
    for (name, field) in &object.fields {
        let is_written = reader.written.contains_key(&format!("early_terminate.{name}"));
        if let Some(kinds) = field.kinds.as_ref().filter(|_| is_written)
            && !field.is_used_by(rule.name())
        {
            is_right = false;
            let message = format!("`{name}` is not used by `type: {}`", rule.name());
            let help = names(kinds, "or");
            at(reader, name, message)
                .help(format!("delete it, or write a type that uses it: {help}"));
        }
    }
    is_right
}

/// Reports a metric that is known only at the end of a trial.
fn check_metric(reader: &mut FieldReader<'_>, objective: &Objective) -> bool {
    let metric = reader.schema.metric(&objective.name);
    if metric.is_none_or(|metric| metric.of_epochs) {
        return true;
    }
    let of_epochs = reader.schema.metrics.iter().filter(|metric| metric.of_epochs);
    let known: Vec<&str> = of_epochs.map(|metric| metric.name.as_str()).collect();
    let help = format!("write a metric of every epoch: {}", names(&known, "or"));
    let place = reader.written.get("metric.name").map(|place| place.value);
    let span = place.unwrap_or_else(|| span(reader, "type"));
    let message = format!(
        "`{}` is known only at the end of a trial, so `early_terminate` cannot judge by it",
        objective.name
    );
    reader.report.error(span, message).about("metric").help(help);
    false
}

/// Warns if no trial lives long enough to be judged.
fn check_reached(reader: &mut FieldReader<'_>, rule: &EarlyTermination, context: RuleContext<'_>) {
    let mut parameters = context.space.parameters.iter();
    if parameters.any(|parameter| reader.schema.decides_epochs(&parameter.path)) {
        return;
    }
    let Some(epochs) = reader.schema.rules.epochs(context.fixed) else { return };
    let first = rule.first_epoch();
    if first < epochs {
        return;
    }
    let message = format!(
        "no trial stops early: trials have {epochs} epochs, and the first is judged after {first}"
    );
    let help = "judge earlier, or delete `early_terminate`";
    let span = span(reader, "type");
    reader.report.warn(span, message).about("early_terminate").help(help);
}

/// Reports a missing key.
fn missing(
    reader: &mut FieldReader<'_>,
    keys: &EarlyTerminateKeys,
    key: &str,
    help: &str,
) -> Option<EarlyTermination> {
    // A key with an error has been reported.
    if !reader.faulty.contains(&format!("early_terminate.{key}")) {
        let message = format!("`type: {}` has no `{key}`", keys.rule.name());
        at(reader, "type", message).help(format!("add `{key}`, {help}"));
    }
    None
}

/// Reports an error at a key.
fn at<'r>(
    reader: &'r mut FieldReader<'_>,
    key: &str,
    message: impl Into<String>,
) -> &'r mut Mistake {
    let span = span(reader, key);
    reader.report.error(span, message).about(format!("early_terminate.{key}"))
}

/// Returns the span of a key with its value.
fn span(reader: &FieldReader<'_>, key: &str) -> Span {
    let place = reader.written.get(&format!("early_terminate.{key}"));
    place
        .or_else(|| reader.written.get("early_terminate"))
        .map_or(Span::new(0, 0), |place| place.key)
}
