//! The writer of sweep files: the inverse of the parser. Parsing the text gives the definition back.
//!
//! Values that equal their default are left out where that changes nothing. Mappings without inner
//! mappings are written on one line if they are short.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::definition::{RetryPolicy, SearchMethod, SweepDefinition};
use crate::ranking::AggregateRule;
use crate::space::{Constraint, Parameter, Space};

/// The largest length of a mapping on one line, in bytes.
const MAX_LINE: usize = 100;

/// Words that YAML readers take for booleans, numbers or nothing.
const RESERVED: [&str; 12] =
    ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];

/// Writes a definition as a sweep file.
pub fn write(definition: &SweepDefinition) -> String {
    let mut text = String::new();
    let mut add = |key: &str, value: &Json| write_entry(&mut text, 0, key, value);
    add("name", &json!(definition.name));
    add("workload", &json!(definition.workload));
    if let Some(description) = &definition.description {
        add("description", &json!(description));
    }
    for (key, value) in definition.base.as_object().into_iter().flatten() {
        add(key, value);
    }
    if definition.method != SearchMethod::default() {
        add("method", &json!(definition.method));
    }
    add("metric", &given(&definition.objective));
    write_space(&mut text, &definition.space);
    write_limits(&mut text, definition);
    text
}

fn write_space(text: &mut String, Space { parameters, zip, constraints }: &Space) {
    if !parameters.is_empty() {
        *text += "parameters:\n";
    }
    // Their order has a meaning.
    for one in parameters {
        write_entry(text, 2, &one.path, &parameter(one));
    }
    if !zip.is_empty() {
        write_entry(text, 0, "zip", &json!(zip));
    }
    if !constraints.is_empty() {
        let constraints: Json = constraints.iter().map(Constraint::as_str).collect();
        write_entry(text, 0, "constraints", &constraints);
    }
}

fn write_limits(text: &mut String, definition: &SweepDefinition) {
    let mut add = |key: &str, value: &Json| write_entry(text, 0, key, value);
    let is_usual = definition.aggregate == AggregateRule::default();
    if definition.seeds != [definition.seed] || !is_usual {
        let mut replicates = json!({ "seeds": definition.seeds });
        if !is_usual {
            replicates["aggregate"] = json!(definition.aggregate);
        }
        add("replicates", &replicates);
    }
    if definition.seed != 0 {
        add("seed", &json!(definition.seed));
    }
    if !definition.enqueue.is_empty() {
        write_entry(text, 0, "enqueue", &json!(definition.enqueue));
    }
    let mut add = |key: &str, value: &Json| write_entry(text, 0, key, value);
    if let Some(cap) = definition.run_cap {
        add("run_cap", &json!(cap));
    }
    if let Some(failed) = definition.max_failed_trials {
        add("max_failed_trials", &json!(failed));
    }
    if let Some(rule) = &definition.early_terminate {
        let mut rule = given(rule);
        // The rules of W&B have the name of those of the paper, and other keys.
        if rule["type"] == "bands" {
            rule["type"] = json!("hyperband");
        }
        add("early_terminate", &rule);
    }
    if !definition.stop.is_empty() {
        add("stop", &given(&definition.stop));
    }
    if definition.retry != RetryPolicy::default() {
        add("retry", &given(&definition.retry));
    }
}

/// Converts a part of a definition to JSON, without fields that are not given.
fn given(part: &impl Serialize) -> Json {
    let mut json = serde_json::to_value(part).unwrap_or_default();
    if let Some(fields) = json.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    json
}

fn parameter(parameter: &Parameter) -> Json {
    let mut keys = serde_json::to_value(&parameter.domain).unwrap_or_default();
    if let Some(keys) = keys.as_object_mut() {
        // The type of the field decides it.
        keys.remove("whole");
        if keys.contains_key("values") || keys.contains_key("value") {
            keys.remove("distribution");
        }
        let when = parameter.when.iter().map(|one| (one.path.clone(), json!(one.values)));
        let when: Map<String, Json> = when.collect();
        if !when.is_empty() {
            keys.insert("when".to_owned(), Json::Object(when));
        }
    }
    keys
}

fn write_entry(text: &mut String, indent: usize, key: &str, value: &Json) {
    *text += &format!("{:indent$}{}:", "", scalar(key));
    match value {
        Json::Object(fields) if !fields.is_empty() && !fits_on_line(value, fields) => {
            *text += "\n";
            for (key, value) in named_first(fields) {
                write_entry(text, indent + 2, key, value);
            }
        }
        Json::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            *text += "\n";
            for item in items {
                *text += &format!("{:indent$}  - {}\n", "", flow(item));
            }
        }
        value => *text += &format!(" {}\n", flow(value)),
    }
}

/// Returns the fields in alphabetical order, after those that say what the mapping is.
fn named_first(fields: &Map<String, Json>) -> Vec<(&String, &Json)> {
    let mut fields: Vec<(&String, &Json)> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| !matches!(key.as_str(), "kind" | "name" | "type"));
    fields
}

fn fits_on_line(value: &Json, fields: &Map<String, Json>) -> bool {
    !fields.values().any(Json::is_object) && flow(value).len() <= MAX_LINE
}

/// Writes a value on one line.
fn flow(value: &Json) -> String {
    match value {
        Json::Object(fields) => {
            let fields = named_first(fields);
            let fields =
                fields.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Json::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Json::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Writes a text, quoted unless every YAML reader takes it for a text.
fn scalar(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    let is_reserved = RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(is_plain)
        && !is_reserved
    {
        return text.to_owned();
    }
    let mut quoted = String::new();
    for letter in Json::from(text).to_string().chars() {
        // YAML allows these only as escapes; JSON does not escape them.
        match letter {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                quoted += &format!("\\u{:04x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_readers_may_mistake_are_quoted() {
        for (text, written) in [
            ("arabica", "arabica"),
            ("resources.threads", "resources.threads"),
            ("yes", "\"yes\""),
            ("Null", "\"Null\""),
            ("1e-3", "\"1e-3\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("a\n\"b\"\u{85}", "\"a\\n\\\"b\\\"\\u0085\""),
        ] {
            assert_eq!(scalar(text), written);
        }
    }

    #[test]
    fn short_mappings_stand_on_one_line() {
        let mut text = String::new();
        let value = json!({"a": {"b": 1, "c": [1.5, null]}, "d": [{"e": 1}, {"e": 2}], "f": {}});
        write_entry(&mut text, 0, "top", &value);
        let expected =
            "top:\n  a: {b: 1, c: [1.5, null]}\n  d:\n    - {e: 1}\n    - {e: 2}\n  f: {}\n";
        assert_eq!(text, expected);
    }
}
