//! `constraints`: checks names and types of expressions, and reports errors at their place in the
//! text.

use serde_json::Value as Json;

use super::field_reader::{FieldReader, describe};
use super::mistake::Span;
use super::parameters::{Declarations, Reference, comparable};
use super::tree::{YamlNode, YamlValue};
use crate::schema::field::{self, FieldSchema, FieldType};
use crate::space::Constraint;
use crate::space::expression::{NameType, UnknownName, ValueType};

/// Reads the constraints; those with errors are left out.
pub(super) fn constraints(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    node: &YamlNode,
    fixed: &Json,
) -> Vec<Constraint> {
    let nodes = match &node.value {
        YamlValue::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut constraints = Vec::new();
    for node in nodes {
        let YamlValue::Text(text) = &node.value else {
            let found = describe(&node.value, reader.report.snippet(node.span));
            reader
                .report
                .error(node.span, format!("a constraint must be a text, not {found}"))
                .help(format!("write `\"{}\"`", reader.schema.words.examples.constraint));
            continue;
        };
        constraints.extend(constraint(reader, declarations, node.span, text, fixed));
    }
    constraints
}

fn constraint(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    span: Span,
    text: &str,
    fixed: &Json,
) -> Option<Constraint> {
    let parsed = Constraint::parse(text);
    let errors = match &parsed {
        Ok(constraint) => constraint.check(&|name| lookup(declarations, fixed, name)),
        Err(error) => vec![error.clone()],
    };
    // The text of a scalar appears verbatim in the file, unless it has escapes.
    let inside = reader.report.snippet(span).find(text).filter(|_| !text.is_empty());
    let parsed = parsed.ok().filter(|_| errors.is_empty());
    for error in errors {
        let place = match inside {
            Some(start) => {
                let at = span.offset + start + error.span.start;
                Span::new(at, error.span.len().min(span.end().saturating_sub(at)))
            }
            None => span,
        };
        let mistake = reader.report.error(place, error.message);
        if let Some(help) = error.help {
            mistake.help(help);
        }
    }
    let constraint = parsed?;
    let is_fixed = |name: &String| matches!(declarations.refer(name), Reference::Nothing);
    if constraint.names().iter().all(is_fixed) {
        let help = "a constraint says which values of parameters go together";
        reader.report.error(span, "this constraint mentions no parameter").help(help);
        return None;
    }
    Some(constraint)
}

/// Returns the type of a name in a constraint. The error is none for a parameter whose declaration
/// has errors, which are already reported.
fn lookup(
    declarations: &Declarations<'_>,
    fixed: &Json,
    name: &str,
) -> Result<NameType, Option<UnknownName>> {
    let field = match declarations.refer(name) {
        Reference::Faulty => return Err(None),
        Reference::Parameter(declared) => declared.field,
        Reference::Nothing => {
            let Some(field) = comparable(declarations.schema, name) else {
                return Err(Some(unknown_name(declarations, name)));
            };
            if field::value_at(fixed, name).is_none_or(Json::is_null) {
                let message = format!("`{name}` has no value in this sweep");
                return Err(Some(UnknownName { message, help: Some("give it one".to_owned()) }));
            }
            field
        }
    };
    let (kind, choices) = match &field.ty {
        FieldType::Integer { .. } | FieldType::Number(_) => (ValueType::Number, None),
        FieldType::Bool => (ValueType::Bool, None),
        FieldType::Choice(choices) => (ValueType::Text, Some(choices.clone())),
        _ => (ValueType::Text, None),
    };
    Ok(NameType { kind, choices })
}

/// Describes an unknown name. If the word is the value of a field, a text was meant.
fn unknown_name(declarations: &Declarations<'_>, name: &str) -> UnknownName {
    let is_choice = |field: &FieldSchema| match &field.ty {
        FieldType::Choice(choices) => choices.iter().any(|choice| choice == name),
        _ => false,
    };
    let help = if declarations.schema.fields.leaves().iter().any(|(_, field)| is_choice(field)) {
        Some(format!("write `'{name}'` if the text is meant"))
    } else {
        declarations.nearest_field(name).map(|near| format!("did you mean `{near}`?"))
    };
    UnknownName { message: format!("unknown parameter `{name}`"), help }
}
