//! The header of a sweep file: everything about the sweep as a whole, and words of W&B that are not
//! supported.
//!
//! The doc comments of these fields are the descriptions in the JSON Schema. Keys that need more
//! than a type (`parameters`, `zip`, `constraints`, `replicates`) are read elsewhere.

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::early_terminate::EarlyTerminateKeys;
use super::field_reader::FieldReader;
use super::mistake::Span;
use super::tree::{YamlNode, YamlValue};
use crate::definition::{RetryPolicy, SearchMethod, StopRules};
use crate::id::SweepName;
use crate::metric::Objective;
use crate::schema::{ObjectSchema, WorkloadSchema};

/// A sweep: a space of configurations and how to run it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Rheobase sweep")]
pub(crate) struct SweepHeader {
    /// The name of the sweep: 1 to 64 of a-z, 0-9, `-`, `_` and `.`, starting with a letter or
    /// digit. The words `last` and `all` are reserved by commands.
    #[schemars(extend("pattern" = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
    #[schemars(extend("not" = {"enum": SweepName::SELECTORS}))]
    pub(super) name: String,
    /// The workload of the trials; without it, the default workload of the program.
    #[serde(default)]
    #[expect(dead_code, reason = "read before the rest, to find the schema")]
    pub(super) workload: Option<String>,
    /// The purpose of the sweep.
    #[serde(default)]
    pub(super) description: Option<String>,
    /// The method by which points are chosen.
    #[serde(default)]
    pub(super) method: SearchMethod,
    /// The objective that trials are judged by; without it, that of the workload.
    #[serde(default)]
    pub(super) metric: Option<Objective>,
    /// The largest number of trials to run; required for an infinite space.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(super) run_cap: Option<u64>,
    /// The seed of the sampler and, without `replicates`, of every trial.
    #[serde(default)]
    pub(super) seed: u64,
    /// The number of failed trials at which the sweep ends early; without it, none.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(super) max_failed_trials: Option<u64>,
    /// Rules that end the sweep early; without them, none.
    #[serde(default)]
    pub(super) stop: StopRules,
    /// The retry budget for each cause.
    #[serde(default)]
    pub(super) retry: RetryPolicy,
    /// The rule by which trials that will not win stop early; without it, every trial runs to its
    /// end.
    #[serde(default)]
    pub(super) early_terminate: Option<EarlyTerminateKeys>,
}

/// Builds the JSON Schema of the header, with the metrics of a workload.
pub(crate) fn json_schema(schema: &WorkloadSchema) -> Json {
    let mut header = schema_for!(SweepHeader).to_value();
    let metrics = schema.metrics.iter().map(
        |metric| json!({"description": metric.docs, "type": "string", "const": metric.name.as_str()}),
    );
    let metrics: Vec<Json> = metrics.collect();
    if let Some(defs) = header["$defs"].as_object_mut() {
        let description = "A metric that a trial reports, by the name it has in sweep files.";
        defs.insert("Metric".to_owned(), json!({"description": description, "oneOf": metrics}));
    }
    header
}

/// Returns the fields of the header.
pub(super) fn fields(schema: &WorkloadSchema) -> ObjectSchema {
    ObjectSchema::from_json(&json_schema(schema))
}

/// Returns the remedy for a key of W&B that has no meaning here.
pub(super) fn foreign_key(schema: &WorkloadSchema, key: &str) -> Option<&'static str> {
    let help = match key {
        "entity" | "project" => "delete it: results are kept by the `name` of the sweep",
        "job" | "scheduler" => "delete it: workers take trials from the coordinator",
        "count" | "num_trials" | "max_trials" | "n_trials" => "write `run_cap`",
        "space" | "params" | "search_space" => "write `parameters`",
        _ => {
            let mut known = schema.words.foreign_keys.iter();
            return known.find(|(foreign, _)| *foreign == key).map(|(_, help)| *help);
        }
    };
    Some(help)
}

/// Refuses methods of other tools by name; returns whether the method was one.
pub(super) fn is_foreign_method(reader: &mut FieldReader<'_>, node: &YamlNode) -> bool {
    let YamlValue::Text(method) = &node.value else { return false };
    let (problem, help) = match method.to_lowercase().as_str() {
        "cma-es" | "cma_es" => ("has another name", "write `cmaes`"),
        "hyperband" | "asha" => (
            "is a rule for early stopping",
            "write it as the `type` of `early_terminate`, beside any `method`",
        ),
        "pbt" | "custom" => (
            "is not available in this version",
            "write `grid`, `random`, `sobol`, `tpe`, `gp` or `cmaes`",
        ),
        _ => return false,
    };
    reader
        .report
        .error(node.span, format!("the method `{method}` {problem}"))
        .about("method")
        .help(help);
    reader.faulty.insert("method".to_owned());
    true
}

/// Builds the header from its checked values; reports a missing name.
pub(super) fn header(
    reader: &mut FieldReader<'_>,
    mut values: Map<String, Json>,
) -> Option<SweepHeader> {
    if !values.contains_key("name") && !reader.faulty.contains("name") {
        let start = Span::new(0, 0);
        reader.report.error(start, "the sweep has no `name`").help("add `name: my-sweep`");
    }
    // The rest of the header is checked all the same.
    values.entry("name").or_insert_with(|| Json::from("unnamed"));
    match serde_json::from_value(Json::Object(values)) {
        Ok(header) => Some(header),
        Err(error) => {
            reader.report.error(Span::new(0, 0), error.to_string());
            None
        }
    }
}

/// Returns the name of the sweep.
pub(super) fn name(reader: &mut FieldReader<'_>, header: &SweepHeader) -> Option<SweepName> {
    match SweepName::parse(&header.name) {
        Ok(name) if name.is_selector() => {
            let span = reader.written.get("name").map_or(Span::new(0, 0), |place| place.value);
            let message = format!("`{name}` is no name: commands mean other sweeps by that word");
            reader.report.error(span, message).about("name").help(format!("write `{name}-1`"));
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            let span = reader.written.get("name").map_or(Span::new(0, 0), |place| place.value);
            let mistake = reader.report.error(span, error.to_string()).about("name");
            let plain: String = header.name.trim().to_lowercase().replace([' ', '/'], "-");
            if let Ok(plain) = SweepName::parse(&plain) {
                let ending = if plain.is_selector() { "-1" } else { "" };
                mistake.help(format!("write `{plain}{ending}`"));
            }
            None
        }
    }
}

/// Returns the objective.
pub(super) fn objective(reader: &mut FieldReader<'_>, header: &SweepHeader) -> Objective {
    let Some(objective) = header.metric.clone() else {
        return reader.schema.objective.clone();
    };
    let rises = reader.schema.metric(&objective.name).is_some_and(|metric| metric.rises);
    let is_given = reader.written.contains_key("metric.goal");
    if let (true, false, Some(place)) = (rises, is_given, reader.written.get("metric.name")) {
        reader
            .report
            .warn(place.value, format!("`{}` will be minimized", objective.name))
            .about("metric")
            .help("`goal` is `minimize` if it is not given: write `goal: maximize`");
    }
    objective
}
