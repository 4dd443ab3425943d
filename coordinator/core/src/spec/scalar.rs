//! Single values of a file in JSON form.

use serde_json::Value as Json;

use super::tree::YamlValue;
use crate::schema::field::FieldType;
use crate::space::whole;

/// Converts a value to the JSON form of its type.
pub(super) fn scalar(value: &YamlValue, ty: &FieldType) -> Option<Json> {
    match (value, ty) {
        (YamlValue::Bool(x), FieldType::Bool) => Some(Json::from(*x)),
        (YamlValue::Text(text), FieldType::Text) => Some(Json::from(text.as_str())),
        (YamlValue::Text(text), FieldType::Choice(choices)) => {
            choices.contains(text).then(|| Json::from(text.as_str()))
        }
        (YamlValue::Integer(x), FieldType::Integer { min, max }) => {
            (min..=max).contains(&x).then(|| integer(*x))?
        }
        (YamlValue::Number(x), FieldType::Integer { .. }) => {
            scalar(&YamlValue::Integer(whole(*x)?.into()), ty)
        }
        (YamlValue::Integer(_) | YamlValue::Number(_), FieldType::Number(range)) => {
            let x = number(value)?;
            range.contains(x).then(|| Json::from(x))
        }
        _ => None,
    }
}

/// Converts an integer in the range of its field.
fn integer(x: i128) -> Option<Json> {
    let unsigned = u64::try_from(x).ok().map(Json::from);
    unsigned.or_else(|| i64::try_from(x).ok().map(Json::from))
}

/// Returns a finite number.
pub(super) fn number(value: &YamlValue) -> Option<f64> {
    match value {
        YamlValue::Integer(x) => Some(*x as f64),
        YamlValue::Number(x) if x.is_finite() => Some(*x),
        _ => None,
    }
}
