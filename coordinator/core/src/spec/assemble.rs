//! Assembling the space: conditions, groups and constraints, and the errors that show only then
//! (repeated values, circular conditions).

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::domain::ListedValue;
use super::field_reader::{FieldReader, plain};
use super::mistake::Span;
use super::parameters::{Declarations, DeclaredParameter};
use super::tree::YamlEntry;
use super::{constraint, when, zip};
use crate::schema::field;
use crate::space::{Domain, Parameter, Space};

/// The parts of a file that make up its space.
pub(super) struct SpaceSources<'a, 'n> {
    pub(super) declarations: &'a Declarations<'n>,
    pub(super) zip: Option<&'n YamlEntry>,
    pub(super) constraints: Option<&'n YamlEntry>,
}

/// Assembles the space without what has errors; `fixed` is the configuration around it.
pub(super) fn space(
    reader: &mut FieldReader<'_>,
    parts: &SpaceSources<'_, '_>,
    fixed: &Json,
) -> Space {
    let mut parameters = Vec::new();
    for declared in &parts.declarations.list {
        let when = when::when(reader, parts.declarations, declared, fixed);
        if let Some(domain) = declared.domain.clone() {
            parameters.push(Parameter { path: declared.path.clone(), domain, when });
        }
    }
    let zip = parts.zip.map(|entry| zip::zip(reader, parts.declarations, &entry.node));
    let mut space = Space { parameters, zip: zip.unwrap_or_default(), constraints: Vec::new() };
    // The order of groups has no meaning.
    space.zip.sort_by_key(|group| {
        space.parameters.iter().position(|parameter| group.contains(&parameter.path))
    });
    for declared in &parts.declarations.list {
        check_repeated_values(reader, &space, declared);
    }
    for group in &space.zip {
        check_group(reader, &space, parts, group);
    }
    check_circles(reader, &space, parts.declarations);
    if let Some(entry) = parts.constraints {
        let declarations = parts.declarations;
        space.constraints = constraint::constraints(reader, declarations, &entry.node, fixed);
    }
    space
}

fn check_repeated_values(
    reader: &mut FieldReader<'_>,
    space: &Space,
    declared: &DeclaredParameter<'_>,
) {
    if space.zip.iter().flatten().any(|path| *path == declared.path) {
        return;
    }
    let mut seen = BTreeSet::new();
    for ListedValue { span, value } in &declared.values {
        let Some(value) = value else { continue };
        if !seen.insert(value.to_string()) {
            reader
                .report
                .error(*span, format!("`{}` is given twice", plain(value)))
                .about(&declared.path)
                .help("its trials would be the same: delete one of the two");
        }
    }
}

/// Checks that zipped parameters exist under the same conditions and that no row repeats.
fn check_group(
    reader: &mut FieldReader<'_>,
    space: &Space,
    parts: &SpaceSources<'_, '_>,
    group: &[String],
) {
    let members: Vec<&Parameter> = group.iter().filter_map(|path| space.parameter(path)).collect();
    let span = parts.zip.map_or(Span::new(0, 0), |entry| entry.span);
    if members.iter().any(|member| member.when != members[0].when) {
        reader
            .report
            .error(span, format!("{} exist under different conditions", field::names(group, "and")))
            .help("zipped parameters step together: give them the same `when`");
        return;
    }
    let columns = members.iter().filter_map(|member| match &member.domain {
        Domain::Categorical { values, .. } => Some(values),
        _ => None,
    });
    let columns: Vec<&Vec<Json>> = columns.collect();
    let mut seen = BTreeSet::new();
    for row in 0..columns.first().map_or(0, |column| column.len()) {
        let values: Vec<String> = columns.iter().map(|column| column[row].to_string()).collect();
        if !seen.insert(values) {
            let place = parts.declarations.get(&group[0]).and_then(|first| first.values.get(row));
            let message =
                format!("row {} of {} repeats an earlier row", row + 1, field::names(group, "and"));
            let help = "its trials would be the same: delete the row";
            reader.report.error(place.map_or(span, |listed| listed.span), message).help(help);
        }
    }
}

/// Reports circular conditions, each circle once.
fn check_circles(reader: &mut FieldReader<'_>, space: &Space, declarations: &Declarations<'_>) {
    let mut reported = BTreeSet::new();
    for parameter in &space.parameters {
        let circle = reachable(space, &parameter.path);
        if !circle.contains(&parameter.path) || reported.contains(&parameter.path) {
            continue;
        }
        for path in circle {
            if reachable(space, &path).contains(&path) {
                reader.faulty.insert(when::when_path(&path));
                reported.insert(path);
            }
        }
        let place = declarations.get(&parameter.path).and_then(|declared| declared.when);
        let span = place.map_or(Span::new(0, 0), |entry| entry.span);
        reader
            .report
            .error(span, format!("the conditions of `{0}` depend on `{0}` itself", parameter.path))
            .about(&parameter.path)
            .help("the conditions form a circle: delete one of them");
    }
}

/// Returns the parameters that decide, directly or indirectly, whether the one at `path` exists.
fn reachable(space: &Space, path: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let group = space.zip.iter().find(|group| group.contains(&path));
        let members = group.map_or_else(|| vec![path], Clone::clone);
        let members = members.iter().filter_map(|path| space.parameter(path));
        for parent in members.flat_map(Parameter::parents) {
            if space.parameter(&parent).is_some() && found.insert(parent.clone()) {
                open.push(parent);
            }
        }
    }
    found
}
