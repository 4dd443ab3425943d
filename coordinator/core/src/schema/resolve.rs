//! Resolving configurations: the given values with the defaults of the schema, every number in the
//! form of its field.

use std::fmt;

use serde_json::{Map, Number, Value as Json};

use super::field::{FieldSchema, FieldType, ObjectSchema};
use super::workload::WorkloadSchema;

/// A value that does not fit its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` must be {wanted}, not `{found}`")]
pub struct FieldMismatch {
    path: String,
    wanted: String,
    found: String,
}

impl WorkloadSchema {
    /// Completes a configuration with all defaults.
    pub fn fill(&self, given: &Json) -> Result<Json, FieldMismatch> {
        object("", given, &self.fields)
    }

    /// Completes a configuration, without the fields that its kinds do not use.
    pub fn resolve(&self, given: &Json) -> Result<Json, FieldMismatch> {
        let mut config = self.fill(given)?;
        drop_unused(&mut config, &self.fields);
        Ok(config)
    }
}

fn mismatch(path: &str, found: &Json, wanted: &dyn fmt::Display) -> FieldMismatch {
    let (path, found) = (path.to_owned(), crate::excerpt::excerpt(&found.to_string()));
    FieldMismatch { path, wanted: wanted.to_string(), found }
}

fn object(path: &str, given: &Json, object: &ObjectSchema) -> Result<Json, FieldMismatch> {
    let values = given.as_object().ok_or_else(|| mismatch(path, given, &"a mapping"))?;
    if object.is_open {
        return Ok(given.clone());
    }
    if let Some((name, value)) = values.iter().find(|(name, _)| object.get(name).is_none()) {
        return Err(mismatch(&within(path, name), value, &"absent: there is no such field"));
    }
    let mut whole = Map::new();
    for (name, field) in &object.fields {
        let path = within(path, name);
        let given = values.get(name).filter(|given| !(field.is_optional && given.is_null()));
        let value = match given {
            Some(value) => self::value(&path, value, field)?,
            None if field.required => return Err(mismatch(&path, &Json::Null, &"given")),
            None if field.is_optional => continue,
            None => field.default.clone(),
        };
        whole.insert(name.clone(), value);
    }
    Ok(Json::Object(whole))
}

fn value(path: &str, given: &Json, field: &FieldSchema) -> Result<Json, FieldMismatch> {
    let wrong = || mismatch(path, given, &field.ty);
    if field.nullable && given.is_null() {
        return Ok(Json::Null);
    }
    match &field.ty {
        FieldType::Object(inner) => object(path, given, inner),
        FieldType::List { item, .. } => {
            let items = given.as_array().ok_or_else(wrong)?.iter().enumerate();
            items.map(|(index, given)| value(&format!("{path}[{index}]"), given, item)).collect()
        }
        FieldType::Number(_) => {
            let number = given.as_f64().and_then(Number::from_f64);
            number.map(Json::Number).ok_or_else(wrong)
        }
        FieldType::Duration => {
            let number = given.as_f64().filter(|seconds| *seconds > 0.0);
            number.and_then(Number::from_f64).map(Json::Number).ok_or_else(wrong)
        }
        FieldType::Integer { min, max } => {
            let number = given.as_u64().map(i128::from).or(given.as_i64().map(i128::from));
            let fits = number.is_some_and(|number| (*min..=*max).contains(&number));
            if fits { Ok(given.clone()) } else { Err(wrong()) }
        }
        FieldType::Bool if given.is_boolean() => Ok(given.clone()),
        FieldType::Text if given.is_string() => Ok(given.clone()),
        FieldType::Choice(choices) => {
            let is_known = given.as_str().is_some_and(|text| choices.iter().any(|c| c == text));
            if is_known { Ok(given.clone()) } else { Err(wrong()) }
        }
        FieldType::Any => Ok(given.clone()),
        FieldType::Bool | FieldType::Text => Err(wrong()),
    }
}

fn within(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn drop_unused(json: &mut Json, object: &ObjectSchema) {
    let Json::Object(values) = json else { return };
    let kind = values.get("kind").and_then(Json::as_str).map(str::to_owned);
    for (name, field) in &object.fields {
        if kind.as_ref().is_some_and(|kind| !field.is_used_by(kind)) {
            values.remove(name);
            continue;
        }
        match (&field.ty, values.get_mut(name)) {
            (FieldType::Object(inner), Some(value)) => drop_unused(value, inner),
            (FieldType::List { item, .. }, Some(Json::Array(items))) => {
                if let FieldType::Object(inner) = &item.ty {
                    for item in items {
                        drop_unused(item, inner);
                    }
                }
            }
            _ => {}
        }
    }
}
