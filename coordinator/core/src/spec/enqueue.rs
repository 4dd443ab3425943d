//! `enqueue`: points that run before those of the method.

use serde_json::Value as Json;

use super::field_reader::{FieldReader, describe, join};
use super::parameters::{Declarations, Reference};
use super::tree::{YamlNode, YamlValue};
use crate::space::resolved_space::{PointError, ResolvedSpace};
use crate::space::{Point, Space};

/// The largest number of given points.
const MAX_POINTS: usize = 10_000;

/// Reads the points; those with errors are left out. `axes` resolves the space of the file.
pub(super) fn enqueue(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    node: &YamlNode,
    space: &Space,
    axes: &ResolvedSpace,
) -> Vec<Point> {
    let example = example(space);
    let YamlValue::List(items) = &node.value else {
        let found = describe(&node.value, reader.report.snippet(node.span));
        let message = format!("`enqueue` must be a list of points, not {found}");
        reader.report.error(node.span, message).about("enqueue").help(example);
        return Vec::new();
    };
    if items.len() > MAX_POINTS {
        let help = format!("give at most {MAX_POINTS} points");
        reader.report.error(node.span, "too many points").about("enqueue").help(help);
        return Vec::new();
    }
    let mut points: Vec<Point> = Vec::new();
    for item in items {
        let mut values = Vec::new();
        if !read_values(reader, declarations, "", item, &mut values) {
            continue;
        }
        match axes.point_with(&values) {
            Ok(point) if points.contains(&point) => {
                let message = format!("the point `{point}` is given twice");
                let help = "its trials would be the same: delete one of the two";
                reader.report.error(item.span, message).about("enqueue").help(help);
            }
            Ok(point) => points.push(point),
            Err(error) => {
                let help = remedy(&error, space);
                reader.report.error(item.span, error.to_string()).about("enqueue").help(help);
            }
        }
    }
    points
}

/// Reads the values of a point, nested or with dotted paths; returns false after an error.
fn read_values(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    within: &str,
    node: &YamlNode,
    values: &mut Vec<(String, Json)>,
) -> bool {
    let YamlValue::Mapping(entries) = &node.value else {
        let found = describe(&node.value, reader.report.snippet(node.span));
        let message = format!("a point must be a mapping from parameters to values, not {found}");
        let help = "write the path of each parameter and its value";
        reader.report.error(node.span, message).about("enqueue").help(help);
        return false;
    };
    let mut is_right = true;
    for entry in entries {
        let path = join(within, &entry.key);
        let declared = match declarations.refer(&path) {
            Reference::Parameter(declared) => declared,
            Reference::Faulty => {
                is_right = false;
                continue;
            }
            Reference::Nothing => {
                let inner = format!("{path}.");
                let is_group = declarations.list.iter().any(|it| it.path.starts_with(&inner));
                if is_group && matches!(entry.node.value, YamlValue::Mapping(_)) {
                    is_right &= read_values(reader, declarations, &path, &entry.node, values);
                    continue;
                }
                let unknown = declarations.not_a_parameter(&path);
                let mistake = reader.report.error(entry.span, unknown.message).about("enqueue");
                if let Some(help) = unknown.help {
                    mistake.help(help);
                }
                is_right = false;
                continue;
            }
        };
        if let Some((first, _)) = values.iter().find(|(known, _)| *known == declared.path) {
            let message = format!("`{first}` has two values at this point");
            reader.report.error(entry.span, message).about("enqueue").help("delete one of them");
            is_right = false;
            continue;
        }
        match reader.single(&declared.path, &entry.node, declared.field) {
            Some(value) => values.push((declared.path.clone(), value)),
            None => is_right = false,
        }
    }
    is_right
}

fn remedy(error: &PointError, space: &Space) -> String {
    match error {
        PointError::Missing(path) => format!("add `{path}: ...`"),
        PointError::Inactive(path) => format!("delete `{path}`, or change what it depends on"),
        PointError::Outside { path, .. } => {
            let domain = space.parameter(path).map(|parameter| parameter.domain.to_string());
            format!("give it one of its values: {}", domain.unwrap_or_default())
        }
        PointError::NoRow(paths) => format!("give {} values of one row", paths.join(" and ")),
        PointError::Constraint(_) => "change a value, or loosen the constraint".to_owned(),
    }
}

/// Returns a remedy with a point of this sweep.
fn example(space: &Space) -> String {
    let path = space.parameters.first().map_or("path", |parameter| &parameter.path);
    format!("write `enqueue: [{{{path}: ...}}]`")
}
