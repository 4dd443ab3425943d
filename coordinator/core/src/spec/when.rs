//! `when`: the conditions under which a parameter exists, checked against the fields and parameters
//! in them.

use serde_json::Value as Json;

use super::field_reader::{FieldReader, describe, plain};
use super::mistake::Span;
use super::parameters::{Declarations, DeclaredParameter, Reference, comparable};
use super::tree::{YamlEntry, YamlNode, YamlValue};
use crate::schema::field::{self, FieldSchema};
use crate::space::{Condition, Domain};

/// Returns the path that stands for the conditions of a parameter among the faulty paths.
pub(super) fn when_path(path: &str) -> String {
    format!("{path}.when")
}

/// Reads the conditions of a parameter, sorted by path, without those that have errors. `fixed` is
/// the configuration around the parameters.
pub(super) fn when(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    declared: &DeclaredParameter<'_>,
    fixed: &Json,
) -> Vec<Condition> {
    let Some(entry) = declared.when else { return Vec::new() };
    let YamlValue::Mapping(entries) = &entry.node.value else {
        let found = describe(&entry.node.value, reader.report.snippet(entry.node.span));
        reader
            .report
            .error(entry.node.span, format!("`when` must be a mapping, not {found}"))
            .about(&declared.path)
            .help(format!("write `when: {{{}}}`", reader.schema.words.examples.condition));
        reader.faulty.insert(when_path(&declared.path));
        return Vec::new();
    };
    let mut conditions: Vec<Condition> = Vec::new();
    let mut first_places: Vec<Span> = Vec::new();
    for entry in entries {
        let Some(condition) = condition(reader, declarations, entry, fixed) else {
            reader.faulty.insert(when_path(&declared.path));
            continue;
        };
        if let Some(first) = conditions.iter().position(|known| known.path == condition.path) {
            reader.duplicate(entry, first_places[first]);
        } else {
            conditions.push(condition);
            first_places.push(entry.span);
        }
    }
    conditions.sort_by(|one, other| one.path.cmp(&other.path));
    conditions
}

fn condition(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    entry: &YamlEntry,
    fixed: &Json,
) -> Option<Condition> {
    let (field, parameter) = match declarations.refer(&entry.key) {
        Reference::Faulty => return None,
        Reference::Parameter(parameter) => (parameter.field, Some(parameter)),
        Reference::Nothing => {
            let field = comparable(declarations.schema, &entry.key);
            if field.is_none() {
                unknown(reader, declarations, entry);
            }
            (field?, None)
        }
    };
    let path = parameter.map_or(entry.key.as_str(), |parameter| parameter.path.as_str());
    let nodes = match &entry.node.value {
        YamlValue::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&entry.node),
    };
    if nodes.is_empty() {
        let help = "give at least one value";
        reader.report.error(entry.node.span, "this condition never holds").help(help);
        return None;
    }
    // Where a conditional parameter does not exist, its field has the fixed value.
    let fixed = parameter.and_then(|parameter| parameter.when.and(field::value_at(fixed, path)));
    let values = values(reader, path, field, nodes, |value| {
        let domain = parameter.and_then(|parameter| parameter.domain.as_ref());
        match domain.filter(|domain| domain.row_of(value).is_none() && fixed != Some(value)) {
            Some(domain) => Err(takes(path, domain)),
            None => Ok(()),
        }
    })?;
    Some(Condition { path: path.to_owned(), values })
}

/// Reads the values of a condition; `check` refuses those that never occur.
fn values(
    reader: &mut FieldReader<'_>,
    path: &str,
    field: &FieldSchema,
    nodes: &[YamlNode],
    check: impl Fn(&Json) -> Result<(), String>,
) -> Option<Vec<Json>> {
    let mut values: Vec<Json> = Vec::new();
    let mut is_right = true;
    for node in nodes {
        let Some(value) = reader.single(path, node, field) else {
            is_right = false;
            continue;
        };
        if values.contains(&value) {
            let help = "delete one of the two";
            reader.report.error(node.span, "this value is given twice").help(help);
            is_right = false;
        } else if let Err(help) = check(&value) {
            let message = format!("`{path}` is never `{}` in this sweep", plain(&value));
            reader.report.error(node.span, message).about(path).help(help);
            is_right = false;
        }
        values.push(value);
    }
    // The order of values has no meaning.
    values.sort_by_key(Json::to_string);
    is_right.then_some(values)
}

/// Reports a condition on an unknown field.
fn unknown(reader: &mut FieldReader<'_>, declarations: &Declarations<'_>, entry: &YamlEntry) {
    let name = &entry.key;
    if declarations.schema.fields.at(name).is_some() {
        reader
            .report
            .error(entry.span, format!("a condition cannot use `{name}`"))
            .about(name)
            .help("it can use parameters, and fields with a single value");
        return;
    }
    let mistake = reader
        .report
        .error(entry.span, format!("unknown field `{name}` in a condition"))
        .about(name);
    match declarations.nearest_field(name) {
        Some(near) => mistake.help(format!("did you mean `{near}`?")),
        None => mistake.help("a condition names a parameter or another field"),
    };
}

/// Describes the values of a parameter, to explain why a condition never holds.
fn takes(path: &str, domain: &Domain) -> String {
    match domain {
        Domain::Categorical { values, .. } => {
            let values: Vec<String> = values.iter().map(plain).collect();
            format!("its values are {}", field::names(&values, "and"))
        }
        domain if domain.size().is_none() => {
            format!("`{path}` is continuous and never takes an exact value")
        }
        _ => "write one of its values".to_owned(),
    }
}
