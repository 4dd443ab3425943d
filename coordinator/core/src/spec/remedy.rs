//! Remedies for values of the wrong type. They are separate from reading, because they guess what
//! was meant.
//!
//! If a single value stands where a mapping is expected, the schema tells which field of the
//! mapping fits. Words of other tools are translated here as well.

use std::str::FromStr as _;

use super::scalar::scalar;
use super::tree::{YamlNode, YamlValue};
use crate::metric::Goal;
use crate::schema::WorkloadSchema;
use crate::schema::field::{FieldSchema, FieldType, ObjectSchema, names};
use crate::space::whole;
use crate::suggest;

/// Fields that a choice may stand for where a mapping is expected, in order of preference.
const CHOICES: [&str; 2] = ["kind", "name"];

/// Fields of every workload that a number may stand for where a mapping is expected.
const NUMBERS: [&str; 2] = ["threads", "error"];

/// Returns the remedy for `node`, with the text `snippet`, as the value of the field at `path`.
pub(super) fn remedy(
    schema: &WorkloadSchema,
    path: &str,
    node: &YamlNode,
    field: &FieldSchema,
    snippet: &str,
) -> Option<String> {
    let is_meant = |object| fitting(schema, &node.value, object, snippet).is_some();
    match &field.ty {
        // A kind may be called `none`.
        FieldType::Object(object) if is_meant(object) => {
            Some(mapping(schema, path, node, object, snippet))
        }
        ty => nothing(&node.value, field).or_else(|| of_type(schema, path, node, ty, snippet)),
    }
}

/// Returns the remedy for a text that means null in YAML or Python.
fn nothing(value: &YamlValue, field: &FieldSchema) -> Option<String> {
    let YamlValue::Text(text) = value else { return None };
    if !matches!(text.to_lowercase().as_str(), "null" | "none" | "nil" | "~" | "") {
        return None;
    }
    // A choice may have such a value.
    if matches!(&field.ty, FieldType::Choice(choices) if choices.contains(&text.to_lowercase())) {
        return None;
    }
    let instead = if field.nullable { "write `null`, without quotes" } else { "give it a value" };
    Some(format!("{instead}, or delete it for the default"))
}

/// Returns the remedy for a value that is not of type `ty`.
fn of_type(
    schema: &WorkloadSchema,
    path: &str,
    node: &YamlNode,
    ty: &FieldType,
    snippet: &str,
) -> Option<String> {
    match (&node.value, ty) {
        (YamlValue::Null, FieldType::List { .. }) => None,
        (YamlValue::Null, _) => Some("give it a value, or delete it for the default".to_owned()),
        (_, FieldType::Object(object)) => Some(mapping(schema, path, node, object, snippet)),
        (_, FieldType::List { item, .. }) => Some(list(schema, &node.value, item, snippet)),
        (YamlValue::List(_) | YamlValue::Mapping(_), _) => {
            swept(schema, path, &node.value, snippet)
        }
        (YamlValue::Text(text), FieldType::Choice(choices)) => {
            let near =
                suggest::nearest(schema.words.aliases, text, choices.iter().map(String::as_str));
            Some(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it is {ty}"),
            })
        }
        (YamlValue::Text(text), FieldType::Bool) => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        (YamlValue::Text(text), FieldType::Integer { .. } | FieldType::Number(_)) => {
            let number = f64::from_str(text).ok()?;
            let is_padded = text.starts_with('0') && whole(number).is_some();
            Some(if is_padded {
                format!("write `{number}`")
            } else {
                "delete the quotes".to_owned()
            })
        }
        (YamlValue::Text(_), FieldType::Duration) => Some(
            "write a number of seconds, or a number with `s`, `min`, `h` or `d`, such as `2h`"
                .to_owned(),
        ),
        (YamlValue::Number(x), _) if !x.is_finite() => Some("write a finite number".to_owned()),
        (YamlValue::Bool(_) | YamlValue::Integer(_) | YamlValue::Number(_), FieldType::Text) => {
            Some("quote it".to_owned())
        }
        _ => None,
    }
}

/// Returns the remedy for several values instead of one; only fields of trials can be swept.
fn swept(schema: &WorkloadSchema, path: &str, value: &YamlValue, snippet: &str) -> Option<String> {
    schema.fields.at(path)?;
    let is_short = matches!(value, YamlValue::Mapping(_)) && is_inline(snippet);
    let declared = if is_short { snippet } else { "{values: [...]}" };
    Some(format!("to sweep it, write `{path}: {declared}` under `parameters`"))
}

/// Returns the remedy for a value that is not a list.
fn list(schema: &WorkloadSchema, value: &YamlValue, item: &FieldSchema, snippet: &str) -> String {
    match (value, &item.ty) {
        (YamlValue::Mapping(_), FieldType::Object(_)) if !is_inline(snippet) => {
            "put `- ` before its first field, and two spaces before the others".to_owned()
        }
        (YamlValue::Mapping(_), FieldType::Object(_)) => format!("write `[{snippet}]`"),
        (YamlValue::Mapping(_), _) => "write `[...]`, with values".to_owned(),
        (_, FieldType::Object(object)) => match fitting(schema, value, object, snippet) {
            Some(fields) => format!("write `[{{{fields}}}]`"),
            None => format!("write `[{{...}}]`, with fields such as {}", listed(object)),
        },
        _ => format!("write `[{snippet}]`"),
    }
}

/// Returns the remedy for a value that is not a mapping.
fn mapping(
    schema: &WorkloadSchema,
    path: &str,
    node: &YamlNode,
    object: &ObjectSchema,
    snippet: &str,
) -> String {
    let key = match path.rsplit('.').next() {
        // An item of a list.
        Some(last) if !last.ends_with(']') => format!("{last}: "),
        _ => String::new(),
    };
    if let Some(fields) = fitting(schema, &node.value, object, snippet) {
        return format!("write `{key}{{{fields}}}`");
    }
    if let YamlValue::List(items) = &node.value
        && let [YamlNode { value: YamlValue::Mapping(_), .. }] = items.as_slice()
    {
        return format!("it is one mapping: write `{key}{{...}}`, without a list around it");
    }
    if let (YamlValue::List(items), Some(FieldType::Choice(choices))) =
        (&node.value, object.get("kind").map(|field| &field.ty))
        && !items.is_empty()
        && items.iter().all(|item| is_one_of(&item.value, choices))
        && schema.fields.at(path).is_some()
    {
        return format!("to sweep it, write `{path}.kind: {{values: [...]}}` under `parameters`");
    }
    match object.fields.iter().find(|(_, field)| field.required) {
        Some((name, field)) => {
            format!("write `{key}{{{name}: ...}}`, where `{name}` is {}", field.ty)
        }
        None => format!("write `{key}{{...}}`, with fields such as {}", listed(object)),
    }
}

/// Returns the fields of `object` that a single value may stand for, as written between braces.
fn fitting(
    schema: &WorkloadSchema,
    value: &YamlValue,
    object: &ObjectSchema,
    snippet: &str,
) -> Option<String> {
    match value {
        YamlValue::Text(text) => {
            let Some((name, choice)) = chosen(schema, text, object) else {
                return within(text, object);
            };
            let metric = schema.metrics.iter().find(|metric| metric.name.as_str() == choice);
            let goal = metric.filter(|_| object.get("goal").is_some()).map(|metric| {
                let goal = if metric.rises { Goal::Maximize } else { Goal::Minimize };
                format!(", goal: {}", goal.name())
            });
            Some(format!("{name}: {choice}{}", goal.unwrap_or_default()))
        }
        YamlValue::Integer(_) | YamlValue::Number(_) => {
            let takes = |name: &&&str| {
                object.get(name).is_some_and(|field| scalar(value, &field.ty).is_some())
            };
            schema
                .words
                .numbers
                .iter()
                .chain(&NUMBERS)
                .find(takes)
                .map(|name| format!("{name}: {snippet}"))
        }
        _ => None,
    }
}

/// Returns the mapping with this choice in `object`, as it is written.
fn within(text: &str, object: &ObjectSchema) -> Option<String> {
    object.fields.iter().find_map(|(name, field)| {
        let FieldType::Object(inner) = &field.ty else { return None };
        let (choice, _) = exactly(text, &choices(inner))?;
        Some(format!("{name}: {{{choice}: {text}}}"))
    })
}

/// Returns the field of `object` with this choice, or with a similar one.
fn chosen<'o>(
    schema: &WorkloadSchema,
    text: &str,
    object: &'o ObjectSchema,
) -> Option<(&'o str, &'o str)> {
    let choices = choices(object);
    let near = |(name, choices): &Choices<'o>| {
        Some((
            *name,
            suggest::nearest(schema.words.aliases, text, choices.iter().map(String::as_str))?,
        ))
    };
    exactly(text, &choices).or_else(|| choices.iter().find_map(near))
}

/// A field and its choices.
type Choices<'o> = (&'o str, &'o [String]);

/// Returns the fields of `object` that have choices, the most likely first.
fn choices(object: &ObjectSchema) -> Vec<Choices<'_>> {
    let choices = object.fields.iter().filter_map(|(name, field)| match &field.ty {
        FieldType::Choice(choices) => Some((name.as_str(), choices.as_slice())),
        _ => None,
    });
    let mut choices: Vec<Choices<'_>> = choices.collect();
    choices.sort_by_key(|(name, _)| {
        CHOICES.iter().position(|first| first == name).unwrap_or(CHOICES.len())
    });
    choices
}

/// Returns the field with exactly this choice.
fn exactly<'o>(text: &str, choices: &[Choices<'o>]) -> Option<(&'o str, &'o str)> {
    choices.iter().find_map(|(name, choices)| {
        let choice = choices.iter().find(|choice| *choice == text)?;
        Some((*name, choice.as_str()))
    })
}

fn is_one_of(value: &YamlValue, choices: &[String]) -> bool {
    matches!(value, YamlValue::Text(text) if choices.contains(text))
}

/// Whether a value is written in brackets on one line.
fn is_inline(snippet: &str) -> bool {
    snippet.starts_with('{') && !snippet.contains('\n')
}

/// Returns the names of the fields of a mapping; only the first if there are many.
fn listed(object: &ObjectSchema) -> String {
    const FEW: usize = 6;
    let known: Vec<&str> = object.names().collect();
    names(&known[..known.len().min(FEW)], "and")
}
