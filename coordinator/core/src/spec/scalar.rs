//! Single values of a file in the JSON form of their types.

use serde_json::Value as Json;

use super::tree::Value;
use crate::schema::field::Type;
use crate::space::whole;

/// A single value in the JSON form of its type.
pub(super) fn scalar(value: &Value, ty: &Type) -> Option<Json> {
    match (value, ty) {
        (Value::Bool(x), Type::Bool) => Some(Json::from(*x)),
        (Value::Text(text), Type::Text) => Some(Json::from(text.as_str())),
        (Value::Text(text), Type::Choice(choices)) => {
            choices.contains(text).then(|| Json::from(text.as_str()))
        }
        (Value::Integer(x), Type::Integer { min, max }) => {
            (min..=max).contains(&x).then(|| integer(*x))?
        }
        (Value::Number(x), Type::Integer { .. }) => scalar(&Value::Integer(whole(*x)?.into()), ty),
        (Value::Integer(_) | Value::Number(_), Type::Number(range)) => {
            let x = number(value)?;
            range.contains(x).then(|| Json::from(x))
        }
        _ => None,
    }
}

/// An integer that is in the range of a field, and so in that of JSON.
fn integer(x: i128) -> Option<Json> {
    let unsigned = u64::try_from(x).ok().map(Json::from);
    unsigned.or_else(|| i64::try_from(x).ok().map(Json::from))
}

/// A finite number.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(x) => Some(*x as f64),
        Value::Number(x) if x.is_finite() => Some(*x),
        _ => None,
    }
}
