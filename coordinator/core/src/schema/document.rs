//! The JSON Schema of a sweep file, for completion, documentation and checks in editors.
//!
//! It is derived from the same structs as the checks of the file, and their doc comments are the
//! descriptions. It is looser than the checks, which know how parts of a file depend on each other.

use schemars::schema_for;
use serde_json::{Map, Value as Json, json};

use super::field::names;
use super::workload::WorkloadSchema;
use crate::ranking::AggregateRule;
use crate::spec::domain::{DISTRIBUTIONS, KEYS};
use crate::spec::header;

/// Builds the JSON Schema of sweep files.
pub fn of(workload: &WorkloadSchema) -> Json {
    let mut schema = header::json_schema(workload);
    let trial = &workload.json;
    let parameters = parameters(trial);
    if let (Some(defs), Some(more)) = (schema["$defs"].as_object_mut(), trial["$defs"].as_object())
    {
        defs.extend(more.clone());
        defs.insert("Parameter".to_owned(), parameter());
    }
    if let (Some(fields), Some(more)) =
        (schema["properties"].as_object_mut(), trial["properties"].as_object())
    {
        // The seed of a trial comes from the seed of the sweep.
        fields.extend(more.clone().into_iter().filter(|(name, _)| name != "seed"));
        fields.insert("parameters".to_owned(), parameters);
        fields.insert("zip".to_owned(), zip());
        fields.insert("enqueue".to_owned(), enqueue());
        fields.insert("constraints".to_owned(), constraints(workload));
        fields.insert("replicates".to_owned(), replicates());
    }
    schema
}

/// The schema of `parameters`: every single-valued field by its dotted path.
fn parameters(trial: &Json) -> Json {
    let mut properties = Map::new();
    for (path, field) in leaves(trial, &trial["$defs"], "") {
        let docs = field["description"].as_str().unwrap_or_default();
        let kinds = field["x-kinds"].as_array().into_iter().flatten();
        let kinds: Vec<&str> = kinds.filter_map(Json::as_str).collect();
        let description = match kinds.as_slice() {
            [] => docs.to_owned(),
            kinds => format!("{docs}\n\nUsed by {} only.", names(kinds, "and")),
        };
        let value = without_default(&field);
        properties.insert(
            path,
            json!({
                "description": description,
                "$ref": "#/$defs/Parameter",
                "properties": {
                    "value": value,
                    "values": {"type": "array", "minItems": 1, "items": value},
                },
            }),
        );
    }
    json!({
        "description": "The parameters of the sweep and their values, in the order of the grid: \
            the last one varies fastest. A name is the dotted path of a field; nested `parameters` \
            mean the same.",
        "type": "object",
        "properties": properties,
        "additionalProperties": {
            "description": "Parameters whose paths begin with this name.",
            "type": "object",
            "properties": {"parameters": {"type": "object"}},
            "required": ["parameters"],
            "additionalProperties": false,
        },
    })
}

/// Returns the schemas of all single-valued fields by dotted path.
fn leaves(object: &Json, defs: &Json, within: &str) -> Vec<(String, Json)> {
    let mut leaves = Vec::new();
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let path = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        let target = field["$ref"].as_str().map(|name| &defs[name.trim_start_matches("#/$defs/")]);
        match target {
            Some(target) if target["properties"].is_object() => {
                leaves.extend(self::leaves(target, defs, &path));
            }
            _ if field["type"] == "array" => {}
            _ => leaves.push((path, field.clone())),
        }
    }
    leaves
}

/// Removes the default of a field, which a value in a list does not have.
fn without_default(field: &Json) -> Json {
    let mut field = field.clone();
    if let Some(object) = field.as_object_mut() {
        object.remove("default");
        object.remove("description");
        object.remove("x-kinds");
    }
    field
}

/// The schema of one parameter.
fn parameter() -> Json {
    let properties: Map<String, Json> =
        KEYS.iter().map(|key| ((*key).to_owned(), parameter_key(key))).collect();
    json!({
        "description": "The values of a parameter. Without `distribution`, `value` is a constant, \
            `values` are tried one by one, two whole bounds mean `int_uniform` and any others \
            `uniform`.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn parameter_key(key: &str) -> Json {
    let distributions: Vec<&str> = DISTRIBUTIONS.iter().map(|(name, ..)| *name).collect();
    let number = |description: &str| json!({"description": description, "type": "number"});
    match key {
        "value" => json!({"description": "The only value."}),
        "values" => {
            json!({"description": "The values, each once.", "type": "array", "minItems": 1})
        }
        "probabilities" => json!({
            "description": "The probability of each value; they sum to 1.",
            "type": "array",
            "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        }),
        "distribution" => json!({
            "description": "The distribution of the values. The bounds of `log_uniform` are exponents of e, \
                all others are values. Those with `q` take multiples of it, within the bounds.",
            "enum": distributions,
        }),
        "min" => number("The smallest value."),
        "max" => number("The largest value; ranges of integers include it."),
        "q" => json!({
            "description": "The step of `q_uniform` and `q_log_uniform_values`, 1 if not given.",
            "type": "number",
            "exclusiveMinimum": 0,
        }),
        "mu" => {
            number("The mean of `normal`, or of the logarithm of `log_normal`; 0 if not given.")
        }
        "sigma" => json!({
            "description": "The standard deviation of `normal`, or of the logarithm of \
                `log_normal`; 1 if not given.",
            "type": "number",
            "exclusiveMinimum": 0,
        }),
        _ => json!({
            "description": "The conditions under which the parameter exists: each field named here \
                has the value, or one of the values. Elsewhere its field keeps its fixed value or \
                its default.",
            "type": "object",
        }),
    }
}

fn zip() -> Json {
    json!({
        "description": "Groups of parameters that step through their `values` together.",
        "type": "array",
        "items": {"type": "array", "items": {"type": "string"}, "minItems": 2},
    })
}

fn enqueue() -> Json {
    json!({
        "description": "Points that run before those of the method, each with a value of every \
            parameter that exists there. Their results count for a method with a model.",
        "type": "array",
        "items": {"type": "object"},
    })
}

fn constraints(workload: &WorkloadSchema) -> Json {
    let example = workload.words.examples.constraint;
    let description = format!(
        "Conditions that hold at every point, such as `{example}`: `and`, `or`, `not`, comparisons, \
         `+ - * / % **`, `in [...]`, names of parameters and other fields. Where a parameter does \
         not exist, a constraint that mentions it holds."
    );
    json!({
        "description": description,
        "type": ["string", "array"],
        "items": {"type": "string"},
    })
}

fn replicates() -> Json {
    let rules = schema_for!(AggregateRule).to_value();
    json!({
        "description": "The seeds of every point, a number counted up from `seed` or a list, and \
            the rule by which they give one value.",
        "type": ["integer", "object"],
        "minimum": 1,
        "properties": {
            "aggregate": {
                "description": "Rule by which the completed seeds of a point give one value.",
                "default": AggregateRule::default().name(),
                "oneOf": rules["oneOf"],
            },
            "count": {
                "description": "The number of seeds, counted up from `seed`.",
                "type": "integer",
                "minimum": 1,
            },
            "seeds": {
                "description": "The seeds, each once.",
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "minItems": 1,
                "uniqueItems": true,
            },
        },
        "minProperties": 1,
        "additionalProperties": false,
    })
}
