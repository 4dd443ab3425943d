//! docs/sweeps.md: its reference of keys is generated from the schema and from `examples.txt`, and
//! every piece of YAML in it is parsed and planned. `RHEO_BLESS=1` writes the reference anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rheo_core::plan::Plan;
use rheo_core::schema::document;
use rheo_core::spec;
use rheo_model::networks;
use serde_json::Value as Json;

use crate::schema;

/// The line of the page after which everything is generated.
const MARK: &str = "<!-- generated from the schema: `make bless` writes what follows -->\n";

/// The path that stands for each parameter.
const PARAMETER: &str = "parameters.*";

/// Examples that need a parameter to be declared, as the declaration that they are planned with.
const DECLARED: [(&str, &str); 5] = [
    ("method", "parameters: {network.hidden: {values: [32, 64]}}"),
    ("seed", "method: random\nrun_cap: 4\nparameters: {network.s0: {min: 0.0, max: 1.0}}"),
    ("zip", "parameters: {network.n0: {values: [2, 5]}, network.s0: {values: [0, 0.5]}}"),
    ("enqueue", "parameters: {network.hidden: {values: [32, 64]}, network.s0: {values: [0, 0.5]}}"),
    (
        "constraints",
        "parameters: {network.hidden: {values: [32, 64]}, training.batch: {values: [25, 50]}}",
    ),
];

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sweeps.md")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only a person sets the variable")]
fn the_reference_of_keys_equals_the_schema() {
    let written = fs::read_to_string(page()).unwrap();
    let (head, _) = written.split_once(MARK).unwrap();
    let generated = format!("{head}{MARK}{}", Reference::new().text());
    if std::env::var("RHEO_BLESS").is_ok() {
        fs::write(page(), &generated).unwrap();
    } else {
        assert!(written == generated, "docs/sweeps.md is out of date: run `make bless`");
    }
}

#[test]
fn every_example_of_the_page_is_a_sweep() {
    let page = fs::read_to_string(page()).unwrap();
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).collect();
    assert!(blocks.len() > 12, "{} blocks", blocks.len());
    for block in blocks {
        let (text, _) = block.split_once("```").unwrap();
        let points = plan(text);
        let told = text.lines().find_map(|line| line.strip_prefix("# ")?.split_once(" points"));
        let told = told.and_then(|(number, _)| number.parse().ok());
        assert!(told.is_none() || told == points, "{points:?}\n{text}");
    }
}

#[test]
fn every_key_has_an_example_that_uses_it() {
    for (key, example) in examples() {
        let last = key.rsplit('.').next().unwrap();
        assert!(example.contains(&format!("{last}:")), "{key}: `{example}`");
        let declared = DECLARED.iter().find(|(declared, _)| *declared == key);
        let random = if key.starts_with("parameters.*") && !is_listed(&example) {
            "method: random\nrun_cap: 4\n"
        } else {
            ""
        };
        plan(&format!("{random}{}\n{example}", declared.map_or("", |(_, more)| more)));
    }
}

/// Whether a grid can run the parameters of an example.
fn is_listed(example: &str) -> bool {
    let has = |word: &str| example.contains(word);
    (has("values:") || has("value:")) && !has("probabilities:")
}

/// Parses and plans a sweep or a piece of one, without a warning; the number of its points.
fn plan(piece: &str) -> Option<u64> {
    let is_whole = piece.lines().any(|line| line.starts_with("name:"));
    let text = if is_whole { piece.to_owned() } else { format!("name: example\n{piece}") };
    let parsed = spec::parse(&networks::workloads(), "docs/sweeps.md", &text)
        .unwrap_or_else(|mistakes| panic!("{text}\n{}", mistakes.render()));
    let warnings = spec::render("docs/sweeps.md", &text, &parsed.warnings);
    assert!(parsed.warnings.is_empty(), "{text}\n{warnings}");
    let plan = Plan::new(&parsed.definition, &schema());
    assert!(plan.trials() > 0, "{text}");
    let suggestion = plan.suggest(&plan.history(), 0).unwrap();
    plan.trial(0, &suggestion).unwrap();
    plan.points()
}

/// The examples by key; ` # ` in one stands for the end of a line.
fn examples() -> BTreeMap<String, String> {
    let lines = include_str!("examples.txt").lines().filter(|line| !line.starts_with('#'));
    let example = |line: &str| {
        let (key, example) = line.split_once(' ').unwrap();
        (key.to_owned(), example.trim().replace(" # ", "\n"))
    };
    lines.map(example).collect()
}

/// The part of the page that is generated.
struct Reference {
    schema: Json,
    examples: BTreeMap<String, String>,
    /// The keys that are described.
    keys: BTreeSet<String>,
    text: String,
}

impl Reference {
    fn new() -> Self {
        Self {
            schema: document::of(&networks::schema()),
            examples: examples(),
            keys: BTreeSet::new(),
            text: String::new(),
        }
    }

    fn text(mut self) -> String {
        let top = self.schema.clone();
        self.text += "\n## All keys\n";
        self.section("", &top);
        let parameter = self.schema["$defs"]["Parameter"].clone();
        self.section(PARAMETER, &parameter);
        for key in self.examples.keys() {
            assert!(self.keys.contains(key), "`{key}` of examples.txt is no key");
        }
        self.text
    }

    /// One object: a table of its keys, the values of its choices, then the objects in it.
    fn section(&mut self, path: &str, object: &Json) {
        let title = match path {
            "" => "Keys of a sweep file".to_owned(),
            PARAMETER => "Keys of a parameter".to_owned(),
            path => format!("Keys of `{path}`"),
        };
        let docs = if path.is_empty() { String::new() } else { prose(object) + "\n\n" };
        write!(self.text, "\n### {title}\n\n{docs}").unwrap();
        self.text += "| key | takes | default | meaning | example |\n|---|---|---|---|---|\n";
        let properties = object["properties"].as_object().unwrap().clone();
        for (name, field) in &properties {
            let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.row(name, &key, field);
        }
        for (name, field) in &properties {
            self.choices(name, field);
        }
        for (name, field) in &properties {
            let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if let Some(inner) = self.inner(&key, field) {
                self.section(&key, &inner);
            }
        }
    }

    fn row(&mut self, name: &str, key: &str, field: &Json) {
        let example = self.examples.get(key).unwrap_or_else(|| panic!("no example for `{key}`"));
        let lines: Vec<String> = example.lines().map(|line| format!("`{line}`")).collect();
        let of = field["x-kinds"].as_array().map(|kinds| {
            let kinds: Vec<String> =
                kinds.iter().map(|kind| format!("`{}`", kind.as_str().unwrap())).collect();
            format!(" Only for {}.", kinds.join(", "))
        });
        let (takes, default) = (self.takes(key, field), usual(field));
        let meaning = prose(field) + &of.unwrap_or_default();
        let lines = lines.join("<br>");
        writeln!(self.text, "| `{name}` | {takes} | {default} | {meaning} | {lines} |").unwrap();
        self.keys.insert(key.to_owned());
    }

    /// The words of a field, each with its meaning.
    fn choices(&mut self, name: &str, field: &Json) {
        let Some(choices) = self.resolved(field)["oneOf"].as_array().cloned() else { return };
        write!(self.text, "\nValues of `{name}`:\n\n").unwrap();
        for choice in choices {
            let word = choice["const"].as_str().unwrap();
            writeln!(self.text, "* `{word}`: {}", prose(&choice)).unwrap();
        }
    }

    /// The object that a field holds, alone or in a list.
    fn inner(&self, key: &str, field: &Json) -> Option<Json> {
        let resolved = self.resolved(field);
        let has_keys = resolved["properties"].is_object() && key != "parameters";
        has_keys.then_some(resolved)
    }

    /// A field without the reference to its type, its `null`, and the list around it.
    fn resolved(&self, field: &Json) -> Json {
        let mut field = field.clone();
        if let Some(first) = field["anyOf"].get(0) {
            field = first.clone();
        }
        if field["items"].is_object() && field["items"]["$ref"].is_string() {
            field = field["items"].clone();
        }
        match field["$ref"].as_str() {
            Some(name) => {
                let name = name.rsplit('/').next().unwrap();
                self.schema["$defs"][name].clone()
            }
            None => field,
        }
    }

    /// The values that a field takes, in words.
    fn takes(&self, key: &str, field: &Json) -> String {
        let resolved = self.resolved(field);
        if resolved["oneOf"].is_array() {
            return if is_list(field) { "list of words" } else { "word" }.to_owned();
        }
        if let Some(words) = resolved["enum"].as_array() {
            let words: Vec<String> =
                words.iter().map(|word| format!("`{}`", word.as_str().unwrap())).collect();
            return words.join(", ");
        }
        if resolved["properties"].is_object() {
            let anchor = match key {
                "parameters" => "keys-of-a-parameter".to_owned(),
                key => format!("keys-of-{}", key.replace('.', "")),
            };
            return match (key, is_list(field)) {
                ("parameters", _) => format!("mapping of [parameters](#{anchor})"),
                ("replicates", _) => format!("whole number from 1, or [mapping](#{anchor})"),
                (_, true) => format!("list of [mappings](#{anchor})"),
                (_, false) => format!("[mapping](#{anchor})"),
            };
        }
        if field["x-duration"] == true {
            return "seconds, or text such as `2h`".to_owned();
        }
        let single = if is_list(field) { &field["items"] } else { field };
        let (one, many) = words(single);
        let bounds = range(single);
        match (is_list(field), kinds(field).first()) {
            (true, Some(&"string")) => format!("{one}, or list of {many}"),
            (true, _) => format!("list of {many}{bounds}"),
            (false, _) => format!("{one}{bounds}"),
        }
    }
}

/// The values of a plain type, one and many.
fn words(field: &Json) -> (&'static str, &'static str) {
    match kinds(field).first() {
        Some(&"integer") => ("whole number", "whole numbers"),
        Some(&"number") => ("number", "numbers"),
        Some(&"boolean") => ("`true` or `false`", "`true` and `false`"),
        Some(&"string") => ("text", "texts"),
        Some(&"object") => ("mapping", "mappings"),
        Some(&"array") if field["items"].is_object() => ("list", "lists of texts"),
        Some(&"array") => ("list", "lists"),
        _ => ("value", "values"),
    }
}

fn kinds(field: &Json) -> Vec<&str> {
    match &field["type"] {
        Json::String(kind) => vec![kind],
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_list(field: &Json) -> bool {
    field["items"].is_object() && kinds(field).contains(&"array")
}

/// The bounds of a number.
fn range(field: &Json) -> String {
    let bound = |key: &str, word: &str| {
        field[key].as_f64().map(|bound| format!("{word} {}", plain(&Json::from(bound))))
    };
    let low = bound("minimum", "from").or_else(|| bound("exclusiveMinimum", "above"));
    let high = bound("maximum", "to").or_else(|| bound("exclusiveMaximum", "below"));
    let bounds: Vec<String> = low.into_iter().chain(high).collect();
    if bounds.is_empty() { String::new() } else { format!(" {}", bounds.join(" ")) }
}

/// The default of a field, unless that is nothing or another section says it.
fn usual(field: &Json) -> String {
    match &field["default"] {
        Json::Null | Json::Object(_) => String::new(),
        Json::Array(items) if items.iter().any(Json::is_object) || items.is_empty() => {
            String::new()
        }
        value => format!("`{}`", plain(value)),
    }
}

/// A value as a sweep file has it.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => match number.as_f64() {
            Some(x) if x.fract() == 0.0 && x.abs() < 1e15 => format!("{x:.0}"),
            _ => number.to_string(),
        },
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// The description of a part of the schema, as one line of a table.
fn prose(part: &Json) -> String {
    let text = part["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
