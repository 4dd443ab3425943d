//! The workload of a sweep whose fields are its parameters.
//!
//! A sweep file does not give the types of fields, which are those of a workload. Here the values of a
//! parameter give its type: integers, numbers, booleans or texts.

use anyhow::Context as _;
use rheo_core::metric::{Goal, Objective};
use rheo_core::name::{MetricName, WorkloadName};
use rheo_core::schema::{
    MetricField, NoRules, ObjectSchema, Vocabulary, WorkloadRegistry, WorkloadSchema,
};
use serde_json::{Map, Value as Json, json};

/// The metric of every sweep; smaller is better.
const LOSS: MetricName = MetricName::of("loss");

/// Distributions over numbers that are never integers.
const CONTINUOUS: [&str; 4] = ["uniform", "log_uniform_values", "normal", "log_normal"];

/// Returns the workload of a sweep file.
pub(crate) fn of(file: &Json) -> anyhow::Result<WorkloadRegistry> {
    let mut fields = properties(&file["parameters"])?;
    fields.insert("seed".to_owned(), json!({"type": "integer", "default": 0}));
    let json = json!({"type": "object", "properties": fields});
    let loss = MetricField {
        name: LOSS,
        docs: "The value of the function.".into(),
        rises: false,
        of_epochs: true,
    };
    Ok(WorkloadRegistry::new([WorkloadSchema {
        workload: WorkloadName::of("search"),
        fields: ObjectSchema::from_json(&json),
        json,
        metrics: vec![loss],
        objective: Objective { name: LOSS, goal: Goal::Minimize, target: None },
        words: Vocabulary::default(),
        rules: Box::new(NoRules),
    }]))
}

fn properties(parameters: &Json) -> anyhow::Result<Map<String, Json>> {
    let parameters = parameters.as_object().context("`parameters` must be a mapping")?;
    let property = |(name, declared): (&String, &Json)| {
        let kind = kind(declared).with_context(|| format!("the type of `{name}` is unclear"))?;
        Ok((name.clone(), json!({"type": kind, "x-optional": true})))
    };
    parameters.iter().map(property).collect()
}

/// Returns the JSON type of the values of a declared parameter.
fn kind(declared: &Json) -> Option<&'static str> {
    let listed = declared["values"].as_array().map(Vec::as_slice);
    let named = ["value", "min", "max", "q"].map(|key| &declared[key]);
    let single: Vec<&Json> = named.into_iter().filter(|value| !value.is_null()).collect();
    let values = listed.map_or(single, |listed| listed.iter().collect());
    let all =
        |test: fn(&Json) -> bool| !values.is_empty() && values.iter().all(|value| test(value));
    let is_continuous =
        declared["distribution"].as_str().is_some_and(|name| CONTINUOUS.contains(&name));
    if is_continuous {
        Some("number")
    } else if all(|value| value.is_i64() || value.is_u64()) {
        Some("integer")
    } else if all(Json::is_number) {
        Some("number")
    } else if all(Json::is_boolean) {
        Some("boolean")
    } else if all(Json::is_string) {
        Some("string")
    } else {
        None
    }
}
