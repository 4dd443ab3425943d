//! The declarations of parameters: the field, the domain and the conditions of each, with names not
//! resolved yet.
//!
//! Dotted paths and nested `parameters` mean the same. A mistyped path is read as the field that it
//! resembles, also where it is mentioned elsewhere.

use std::collections::BTreeMap;

use super::domain::{self, ListedValue};
use super::field_reader::{FieldReader, describe, join};
use super::mistake::Span;
use super::tree::{YamlEntry, YamlNode, YamlValue};
use crate::definition::SearchMethod;
use crate::schema::WorkloadSchema;
use crate::schema::field::{FieldSchema, FieldType, names};
use crate::space::Domain;
use crate::space::expression::UnknownName;
use crate::suggest;

/// A declared parameter.
#[derive(Debug)]
pub(super) struct DeclaredParameter<'n> {
    pub(super) path: String,
    pub(super) field: &'n FieldSchema,
    /// The span of its path.
    pub(super) span: Span,
    /// The domain; none if it has an error.
    pub(super) domain: Option<Domain>,
    /// The listed values, if any.
    pub(super) values: Vec<ListedValue>,
    pub(super) when: Option<&'n YamlEntry>,
}

/// The parameters of a file.
#[derive(Debug)]
pub(super) struct Declarations<'n> {
    /// The schema of the workload.
    pub(super) schema: &'n WorkloadSchema,
    pub(super) list: Vec<DeclaredParameter<'n>>,
    /// Mistyped paths, and the fields that they were read as.
    typos: BTreeMap<String, Option<String>>,
}

/// The meaning of a name in `zip`, `when` or a constraint.
pub(super) enum Reference<'a, 'n> {
    Parameter(&'a DeclaredParameter<'n>),
    /// A parameter whose declaration has errors, which are reported.
    Faulty,
    /// Not a parameter of this file.
    Nothing,
}

impl<'n> Declarations<'n> {
    /// Creates an empty collection.
    pub(super) fn new(schema: &'n WorkloadSchema) -> Self {
        Self { schema, list: Vec::new(), typos: BTreeMap::new() }
    }

    /// Reads the mapping under `parameters`; `method` is none if it has an error.
    pub(super) fn read(
        &mut self,
        reader: &mut FieldReader<'_>,
        entry: &'n YamlEntry,
        method: Option<SearchMethod>,
    ) {
        self.group(reader, "", &entry.node, method);
    }

    /// Resolves `name`.
    pub(super) fn refer(&self, name: &str) -> Reference<'_, 'n> {
        let path = match self.typos.get(name) {
            Some(None) => return Reference::Faulty,
            Some(Some(path)) => path.as_str(),
            None => name,
        };
        match self.list.iter().find(|declared| declared.path == path) {
            Some(declared) if declared.domain.is_none() => Reference::Faulty,
            Some(declared) => Reference::Parameter(declared),
            None => Reference::Nothing,
        }
    }

    /// Returns the parameter at `path`.
    pub(super) fn get(&self, path: &str) -> Option<&DeclaredParameter<'n>> {
        self.list.iter().find(|declared| declared.path == path)
    }

    /// Returns the declared path that resembles `name`.
    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        suggest::nearest(
            self.schema.words.aliases,
            name,
            self.list.iter().map(|declared| declared.path.as_str()),
        )
    }

    /// Returns the parameter or field that resembles `name`.
    pub(super) fn nearest_field(&self, name: &str) -> Option<String> {
        let leaves = self.schema.fields.leaves();
        let leaves = leaves.iter().map(|(path, _)| path.as_str());
        let aliases = self.schema.words.aliases;
        self.nearest(name).or_else(|| suggest::nearest(aliases, name, leaves)).map(str::to_owned)
    }

    /// Describes a name that is not a parameter, and the remedy.
    pub(super) fn not_a_parameter(&self, name: &str) -> UnknownName {
        if self.schema.fields.at(name).is_some() {
            let help = format!("declare it under `parameters`: `{name}: {{values: [...]}}`");
            return UnknownName {
                message: format!("`{name}` is not a parameter"),
                help: Some(help),
            };
        }
        let near = self.nearest(name).map(|near| format!("did you mean `{near}`?"));
        let help = near.or_else(|| Some("name a path that stands under `parameters`".to_owned()));
        UnknownName { message: format!("unknown parameter `{name}`"), help }
    }

    fn group(
        &mut self,
        reader: &mut FieldReader<'_>,
        within: &str,
        node: &'n YamlNode,
        method: Option<SearchMethod>,
    ) {
        let YamlValue::Mapping(entries) = &node.value else {
            let found = describe(&node.value, reader.report.snippet(node.span));
            reader
                .report
                .error(node.span, format!("`parameters` must be a mapping, not {found}"))
                .help(format!(
                    "write `{}` on a line of its own",
                    self.schema.words.examples.parameter
                ));
            return;
        };
        for entry in entries {
            let path = join(within, &entry.key);
            match nested(&entry.node) {
                Some(inner) => {
                    Self::refuse_beside_nested(reader, &path, &entry.node);
                    self.group(reader, &path, inner, method);
                }
                None => self.declare(reader, &path, entry, method),
            }
        }
    }

    fn refuse_beside_nested(reader: &mut FieldReader<'_>, path: &str, node: &YamlNode) {
        let YamlValue::Mapping(entries) = &node.value else { return };
        for entry in entries.iter().filter(|entry| entry.key != "parameters") {
            reader
                .report
                .error(
                    entry.span,
                    format!("`{}` cannot stand beside nested `parameters`", entry.key),
                )
                .about(path)
                .help("move it into `parameters`, or delete it");
        }
    }

    fn declare(
        &mut self,
        reader: &mut FieldReader<'_>,
        written: &str,
        entry: &'n YamlEntry,
        method: Option<SearchMethod>,
    ) {
        let Some((path, field)) = self.resolve(reader, written, entry) else { return };
        if let Some(first) = self.get(&path) {
            // A typo of a parameter that is also present has been reported.
            if path == written {
                let first = first.span;
                reader.duplicate(entry, first);
            }
            return;
        }
        let spec = domain::read(reader, (&path, field), entry, method);
        if spec.domain.is_none() {
            reader.faulty.insert(path.clone());
        }
        self.list.push(DeclaredParameter {
            path,
            field,
            span: entry.span,
            domain: spec.domain,
            values: spec.values,
            when: spec.when,
        });
    }

    /// Returns the field that a path names, or probably means.
    fn resolve(
        &mut self,
        reader: &mut FieldReader<'_>,
        written: &str,
        entry: &YamlEntry,
    ) -> Option<(String, &'n FieldSchema)> {
        let schema = self.schema;
        let known = schema.fields.at(written);
        if let Some(field) = known.filter(|field| is_single(field)) {
            return Some((written.to_owned(), field));
        }
        let meant = match known {
            Some(field) => {
                let (message, help) = not_single(written, field, entry);
                reader.report.error(entry.span, message).about(written).help(help);
                None
            }
            None => self.unknown(reader, written, entry),
        };
        self.typos.insert(written.to_owned(), meant.clone());
        let meant = meant?;
        let field = schema.fields.at(&meant)?;
        Some((meant, field))
    }

    fn unknown(
        &self,
        reader: &mut FieldReader<'_>,
        written: &str,
        entry: &YamlEntry,
    ) -> Option<String> {
        let words = &self.schema.words;
        let leaves = self.schema.fields.leaves();
        let near =
            suggest::nearest(words.aliases, written, leaves.iter().map(|(path, _)| path.as_str()));
        let mistake =
            reader.report.error(entry.span, format!("unknown field `{written}`")).about(written);
        match near {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake
                .help(format!("a parameter is named by a path such as `{}`", words.examples.path)),
        };
        near.map(str::to_owned)
    }
}

/// Returns the field at `path`, if conditions and constraints can use it. The seed of a trial is
/// not part of its point.
pub(super) fn comparable<'s>(schema: &'s WorkloadSchema, path: &str) -> Option<&'s FieldSchema> {
    schema.fields.at(path).filter(|field| path != "seed" && is_single(field))
}

/// Returns the mapping of nested parameters, if the node has one.
fn nested(node: &YamlNode) -> Option<&YamlNode> {
    let YamlValue::Mapping(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == "parameters").map(|entry| &entry.node)
}

/// Whether a field holds a single value.
pub(super) fn is_single(field: &FieldSchema) -> bool {
    !matches!(field.ty, FieldType::Object(_) | FieldType::List { .. } | FieldType::Any)
}

/// Explains why a field without a single value cannot be a parameter.
fn not_single(path: &str, field: &FieldSchema, entry: &YamlEntry) -> (String, String) {
    let FieldType::Object(object) = &field.ty else {
        return (
            format!("`{path}` is a list and cannot be swept"),
            "write it at the top level of the file: every trial gets the whole list".to_owned(),
        );
    };
    let message = format!("`{path}` is not a single value");
    let inner = match &entry.node.value {
        YamlValue::Mapping(entries) => {
            entries.iter().find(|inner| object.get(&inner.key).is_some())
        }
        _ => None,
    };
    let help = match inner {
        Some(inner) => format!("write `{path}.{}: ...`", inner.key),
        None => format!("it has the fields {}", names(&object.names().collect::<Vec<_>>(), "and")),
    };
    (message, help)
}
