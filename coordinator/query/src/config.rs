//! Arrow type of a trial's configuration: one struct derived from the JSON Schema, so that a new field
//! of a sweep file becomes a field of the struct automatically.
//!
//! A field that the chosen kind ignores is absent from a resolved configuration, hence null: a query
//! for `config['network']['controller']` finds adaptive networks only. Every field is nullable, also
//! because older rows lack newer fields.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields};
use rheo_core::schema::WorkloadSchema;
use rheo_model::networks;
use serde_json::Value;

static SCHEMA: LazyLock<Arc<WorkloadSchema>> =
    LazyLock::new(|| networks::workloads().schema(&networks::NAME));

/// The Arrow type of resolved configurations.
pub(crate) fn data_type() -> DataType {
    arrow_type(&SCHEMA.json)
}

fn arrow_type(schema: &Value) -> DataType {
    let schema = resolve(schema);
    if let Some(properties) = schema["properties"].as_object() {
        let field = |(name, schema)| Field::new(name, arrow_type(schema), true);
        let mut fields: Vec<_> = properties.iter().map(field).collect();
        // The order in files must not depend on the map order of the JSON library.
        fields.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        return DataType::Struct(Fields::from(fields));
    }
    if let Some(items) = schema.get("items") {
        return DataType::List(Arc::new(Field::new_list_field(arrow_type(items), true)));
    }
    match (type_name(schema), schema["format"].as_str()) {
        ("boolean", _) => DataType::Boolean,
        ("number", _) => DataType::Float64,
        ("integer", Some("uint64")) => DataType::UInt64,
        ("integer", Some("uint32")) => DataType::UInt32,
        ("integer", Some("int32")) => DataType::Int32,
        ("integer", _) => DataType::Int64,
        // Strings and enums, which are one-of lists of strings.
        _ => DataType::Utf8,
    }
}

/// Follows a reference into the definitions. The schema of an optional struct or enum is `anyOf` it
/// and null.
fn resolve(schema: &Value) -> &Value {
    let schema = schema["anyOf"].get(0).unwrap_or(schema);
    let target = |pointer: &str| SCHEMA.json.pointer(pointer.strip_prefix('#')?);
    schema["$ref"].as_str().and_then(target).unwrap_or(schema)
}

/// The type of a present value; an optional one has the types `[T, "null"]`.
fn type_name(schema: &Value) -> &str {
    schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_json_type_has_an_arrow_type() {
        let DataType::Struct(config) = data_type() else { panic!("not a struct") };
        let child = |fields: &Fields, name: &str| fields.find(name).unwrap().1.data_type().clone();
        let DataType::Struct(network) = child(&config, "network") else { panic!("not a struct") };
        assert_eq!(child(&network, "kind"), DataType::Utf8);
        assert_eq!(child(&network, "hidden"), DataType::UInt32);
        assert_eq!(child(&network, "n0"), DataType::Float64);
        assert_eq!(child(&network, "learn_shape"), DataType::Boolean);
        assert_eq!(child(&config, "seed"), DataType::UInt64);
        let DataType::List(evaluation) = child(&config, "evaluate") else { panic!("not a list") };
        let DataType::Struct(evaluation) = evaluation.data_type() else { panic!("not a struct") };
        assert!(matches!(child(evaluation, "level"), DataType::List(_)));
        assert_eq!(child(&network, "match_parameters_of"), DataType::Utf8);
        let DataType::Struct(training) = child(&config, "training") else { panic!("not a struct") };
        let DataType::Struct(readapt) = child(&training, "readapt") else { panic!("not a struct") };
        assert_eq!(child(&readapt, "epochs"), DataType::UInt32);
    }
}
