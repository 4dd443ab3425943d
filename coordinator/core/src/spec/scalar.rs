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
        (YamlValue::Integer(_) | YamlValue::Number(_), FieldType::Duration) => {
            number(value).filter(|seconds| *seconds > 0.0).map(Json::from)
        }
        (YamlValue::Text(text), FieldType::Duration) => duration(text).map(Json::from),
        _ => None,
    }
}

/// Returns the seconds of a positive time with a unit, such as `1.5h`.
fn duration(text: &str) -> Option<f64> {
    let end = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (count, unit) = text.split_at(end);
    let unit = match unit {
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let count = count.trim_end();
    let is_plain = count.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = count.parse::<f64>().ok().filter(|_| is_plain)? * unit;
    (seconds > 0.0 && seconds.is_finite()).then_some(seconds)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        for (text, seconds) in [
            ("90s", Some(90.0)),
            ("30min", Some(1800.0)),
            ("1.5h", Some(5400.0)),
            ("2 d", Some(172_800.0)),
            ("2", None),
            ("h", None),
            ("-1h", None),
            ("0h", None),
            ("1e3s", None),
            ("2H", None),
            ("1h30min", None),
            ("infd", None),
        ] {
            assert_eq!(duration(text), seconds, "{text}");
        }
    }
}
