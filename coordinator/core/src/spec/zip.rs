//! `zip`: groups of parameters that step through their values together.

use super::field_reader::{FieldReader, describe};
use super::mistake::Span;
use super::parameters::{Declarations, DeclaredParameter, Reference};
use super::tree::{YamlNode, YamlValue};
use crate::space::Domain;

/// Reads the groups, each in the order of declaration, without those that have errors.
pub(super) fn zip(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    node: &YamlNode,
) -> Vec<Vec<String>> {
    let example = reader.schema.words.examples.group;
    let help = &*format!("write `zip: [{example}]`: a list of groups");
    let YamlValue::List(groups) = &node.value else {
        let found = describe(&node.value, reader.report.snippet(node.span));
        reader.report.error(node.span, format!("`zip` must be a list, not {found}")).help(help);
        return Vec::new();
    };
    let mut read: Vec<Vec<String>> = Vec::new();
    for group in groups {
        let YamlValue::List(names) = &group.value else {
            let found = describe(&group.value, reader.report.snippet(group.span));
            let message = format!("a group of `zip` must be a list of parameters, not {found}");
            reader.report.error(group.span, message).help(help);
            // A list without groups gives one error, not one per name.
            break;
        };
        if let Some(members) = zip_group(reader, declarations, group.span, names, &read) {
            read.push(members);
        }
    }
    read
}

fn zip_group(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    span: Span,
    names: &[YamlNode],
    earlier: &[Vec<String>],
) -> Option<Vec<String>> {
    let mut members: Vec<&DeclaredParameter<'_>> = Vec::new();
    let mut is_right = true;
    for node in names {
        match zip_member(reader, declarations, node) {
            None => is_right = false,
            Some(member) => {
                let is_repeated = members.iter().any(|other| other.path == member.path)
                    || earlier.iter().flatten().any(|path| *path == member.path);
                if is_repeated {
                    reader
                        .report
                        .error(node.span, format!("`{}` is zipped twice", member.path))
                        .about(&member.path)
                        .help("a parameter can be in one group only");
                    is_right = false;
                }
                members.push(member);
            }
        }
    }
    if names.len() < 2 {
        let help = "name at least two parameters";
        reader.report.error(span, "this group has fewer than two parameters").help(help);
        return None;
    }
    if !is_right || !check_lengths(reader, span, &members) {
        return None;
    }
    let declared = declarations.list.iter().map(|declared| &declared.path);
    let is_member = |path: &&String| members.iter().any(|member| member.path == **path);
    Some(declared.filter(is_member).cloned().collect())
}

fn zip_member<'a, 'n>(
    reader: &mut FieldReader<'_>,
    declarations: &'a Declarations<'n>,
    node: &YamlNode,
) -> Option<&'a DeclaredParameter<'n>> {
    let YamlValue::Text(name) = &node.value else {
        let found = describe(&node.value, reader.report.snippet(node.span));
        let message = format!("a group of `zip` must name parameters, not be {found}");
        reader.report.error(node.span, message).help("write the path of a parameter");
        return None;
    };
    match declarations.refer(name) {
        Reference::Faulty => None,
        Reference::Parameter(declared) => {
            if let Some(Domain::Categorical { probabilities: None, .. }) = &declared.domain {
                return Some(declared);
            }
            reader
                .report
                .error(node.span, format!("`{name}` has no list of values to step through"))
                .about(name)
                .help("give it `values: [...]`, without probabilities");
            None
        }
        Reference::Nothing => {
            let unknown = declarations.not_a_parameter(name);
            let mistake = reader.report.error(node.span, unknown.message).about(name);
            if let Some(help) = unknown.help {
                mistake.help(help);
            }
            None
        }
    }
}

/// Checks that the parameters of a group have the same number of values and the same conditions.
fn check_lengths(
    reader: &mut FieldReader<'_>,
    span: Span,
    members: &[&DeclaredParameter<'_>],
) -> bool {
    let lengths: Vec<usize> = members.iter().map(|member| member.values.len()).collect();
    if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
        let counts: Vec<String> = members
            .iter()
            .map(|member| format!("`{}` has {}", member.path, member.values.len()))
            .collect();
        reader
            .report
            .error(span, "zipped parameters have different numbers of values")
            .help(format!("{} values", counts.join(", ")));
        return false;
    }
    true
}
