//! Reading fields from the tree of a file: it checks keys against known names, values against types
//! and ranges, and reports duplicates with the nearest spelling.
//!
//! A mistyped key is reported and then read as the key that it resembles, so one typo gives one
//! error. Paths with errors are recorded as faulty, and later checks skip them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::mistake::{MistakeCollector, Span};
use super::remedy;
use super::scalar::scalar;
use super::tree::{YamlEntry, YamlNode, YamlValue};
use crate::schema::WorkloadSchema;
use crate::schema::field::{FieldSchema, FieldType, ObjectSchema, names};
use crate::suggest;

/// The spans of a given field.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldSpans {
    pub(super) key: Span,
    pub(super) value: Span,
}

/// The kind of keys in a mapping, for messages about unknown ones.
#[derive(Clone, Copy)]
pub(super) enum KeyScope<'a> {
    /// Fields of the mapping at a path; `hint` gives the remedy for known wrong words.
    Fields { within: &'a str, hint: fn(&WorkloadSchema, &str) -> Option<String> },
    /// Keys of the declaration of a parameter.
    Parameter(&'a str),
}

impl<'a> KeyScope<'a> {
    pub(super) fn fields(within: &'a str) -> Self {
        Self::Fields { within, hint: |_, _| None }
    }
}

/// Reads values and collects errors.
#[derive(Debug)]
pub(super) struct FieldReader<'t> {
    /// The schema of the workload.
    pub(super) schema: &'t Arc<WorkloadSchema>,
    pub(super) report: MistakeCollector<'t>,
    /// The spans of every given field, by dotted path.
    pub(super) written: BTreeMap<String, FieldSpans>,
    /// The paths of values with errors.
    pub(super) faulty: BTreeSet<String>,
}

impl<'t> FieldReader<'t> {
    pub(super) fn new(schema: &'t Arc<WorkloadSchema>, report: MistakeCollector<'t>) -> Self {
        Self { schema, report, written: BTreeMap::new(), faulty: BTreeSet::new() }
    }

    /// Returns the entries of a mapping by their known names.
    pub(super) fn keys<'n, 'k>(
        &mut self,
        entries: &'n [YamlEntry],
        known: &[&'k str],
        scope: KeyScope<'_>,
    ) -> Vec<(&'k str, &'n YamlEntry)> {
        let mut found: Vec<(&'k str, &YamlEntry)> = Vec::new();
        for entry in entries {
            let exact = known.iter().find(|name| **name == entry.key).copied();
            let Some(name) = exact.or_else(|| self.unknown(entry, known, scope)) else { continue };
            match found.iter().find(|(other, _)| *other == name) {
                None => found.push((name, entry)),
                // A typo of a key that is also present has been reported.
                Some(_) if exact.is_none() => {}
                Some((_, first)) => self.duplicate(entry, first.span),
            }
        }
        found
    }

    pub(super) fn duplicate(&mut self, entry: &YamlEntry, first: Span) {
        let line = self.report.line(first);
        self.report
            .error(entry.span, format!("duplicate key `{}`", entry.key))
            .help(format!("it is given on line {line} already"));
    }

    /// Reports an unknown key; returns the name that was probably meant.
    fn unknown<'k>(
        &mut self,
        entry: &YamlEntry,
        known: &[&'k str],
        scope: KeyScope<'_>,
    ) -> Option<&'k str> {
        let (message, within) = match scope {
            KeyScope::Fields { within, .. } => {
                (format!("unknown field `{}`", join(within, &entry.key)), within)
            }
            KeyScope::Parameter(path) => {
                (format!("unknown key `{}` of the parameter `{path}`", entry.key), "")
            }
        };
        let aliases = self.schema.words.aliases;
        let mistake = self.report.error(entry.span, message).about(join(within, &entry.key));
        if let KeyScope::Fields { hint, .. } = scope
            && let Some(help) = hint(self.schema, &entry.key)
        {
            mistake.help(help);
            return None;
        }
        let paths: Vec<String> = known.iter().map(|name| join(within, name)).collect();
        let near =
            suggest::nearest(aliases, &join(within, &entry.key), paths.iter().map(String::as_str));
        match near {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake.help(format!("known here: {}", names(known, "and"))),
        };
        let near = paths.iter().position(|path| Some(path.as_str()) == near)?;
        known.get(near).copied()
    }

    /// Reads the value of a field in its JSON form; none if it has an error.
    pub(super) fn value(
        &mut self,
        path: &str,
        node: &YamlNode,
        field: &FieldSchema,
    ) -> Option<Json> {
        let value = match (&node.value, &field.ty) {
            (YamlValue::Mapping(entries), FieldType::Object(object)) => {
                self.object(path, node.span, entries, object).map(Json::Object)
            }
            (YamlValue::List(items), FieldType::List { item, min }) => {
                let is_long_enough = self.check_length(path, node.span, items, *min);
                is_long_enough.then(|| self.list(path, items, item)).flatten()
            }
            _ => self.single(path, node, field),
        };
        if value.is_none() {
            self.faulty.insert(path.to_owned());
        }
        value
    }

    /// Reads a value of a field's type that appears elsewhere, such as in a condition.
    pub(super) fn single(
        &mut self,
        path: &str,
        node: &YamlNode,
        field: &FieldSchema,
    ) -> Option<Json> {
        if field.nullable && matches!(node.value, YamlValue::Null) {
            return Some(Json::Null);
        }
        let value = scalar(&node.value, &field.ty);
        if value.is_none() {
            self.mismatch(path, node, field);
        }
        value
    }

    /// Reads the fields of a mapping without those that have errors; none if a required field is
    /// missing.
    fn object(
        &mut self,
        path: &str,
        span: Span,
        entries: &[YamlEntry],
        object: &ObjectSchema,
    ) -> Option<Map<String, Json>> {
        let known: Vec<&str> = object.names().collect();
        let mut values = Map::new();
        for (name, entry) in self.keys(entries, &known, KeyScope::fields(path)) {
            if let Some(field) = object.get(name) {
                values.extend(self.field(&join(path, name), name, entry, field));
            }
        }
        let mut is_whole = true;
        for (name, field) in &object.fields {
            if !field.required || values.contains_key(name) {
                continue;
            }
            is_whole = false;
            if !self.faulty.contains(&join(path, name)) {
                self.report
                    .error(span, format!("`{path}` has no `{name}`"))
                    .about(path)
                    .help(format!("add `{name}`, {}", field.ty));
            }
        }
        is_whole.then_some(values)
    }

    /// Reads an entry as a member of the surrounding mapping.
    pub(super) fn field(
        &mut self,
        path: &str,
        name: &str,
        entry: &YamlEntry,
        field: &FieldSchema,
    ) -> Option<(String, Json)> {
        let place = FieldSpans { key: entry.span, value: entry.node.span };
        self.written.insert(path.to_owned(), place);
        Some((name.to_owned(), self.value(path, &entry.node, field)?))
    }

    /// Checks that a list has enough items.
    fn check_length(&mut self, path: &str, span: Span, items: &[YamlNode], min: u64) -> bool {
        let is_long_enough = items.len() as u64 >= min;
        if !is_long_enough {
            let help = "give it a value, or delete it for the default";
            self.report.error(span, format!("`{path}` is empty")).about(path).help(help);
        }
        is_long_enough
    }

    fn list(&mut self, path: &str, items: &[YamlNode], item: &FieldSchema) -> Option<Json> {
        let mut values = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.written.insert(path.clone(), FieldSpans { key: node.span, value: node.span });
            let value = self.value(&path, node, item);
            if let (FieldType::Object(object), Some(value)) = (&item.ty, &value) {
                self.check_kind(&path, value, object);
            }
            values.push(value);
        }
        values.into_iter().collect::<Option<Vec<Json>>>().map(Json::Array)
    }

    /// Refuses fields of a list item that its kind does not use.
    fn check_kind(&mut self, path: &str, value: &Json, object: &ObjectSchema) {
        let kind_path = join(path, "kind");
        let Some(default) = object.get("kind").map(|field| &field.default) else { return };
        if self.faulty.contains(&kind_path) {
            return;
        }
        let kind = value.get("kind").unwrap_or(default).as_str().unwrap_or_default();
        let is_default = if value.get("kind").is_none() { ", the default" } else { "" };
        for (name, field) in &object.fields {
            let path = join(path, name);
            let (Some(kinds), Some(place)) = (&field.kinds, self.written.get(&path)) else {
                continue;
            };
            if !field.is_used_by(kind) {
                let message = format!("`{name}` is not used by `kind: {kind}`{is_default}");
                self.report.error(place.key, message).about(path).help(format!(
                    "delete it, or write a kind that uses it: {}",
                    names(kinds, "or")
                ));
            }
        }
    }

    /// Reports a value of the wrong type.
    fn mismatch(&mut self, path: &str, node: &YamlNode, field: &FieldSchema) {
        let ty = &field.ty;
        let found = describe(&node.value, self.report.snippet(node.span));
        let message = match (&node.value, ty) {
            (YamlValue::Text(text), FieldType::Choice(_)) => {
                format!("unknown value `{text}` of `{path}`")
            }
            _ => format!("`{path}` must be {ty}, not {found}"),
        };
        let snippet = self.report.snippet(node.span);
        let help = remedy::remedy(self.schema, path, node, field, snippet);
        let mistake = self.report.error(node.span, message).about(path);
        if let Some(help) = help {
            mistake.help(help);
        }
    }
}

/// Joins two paths.
pub(super) fn join(within: &str, name: &str) -> String {
    if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") }
}

/// Describes a value for a message.
pub(super) fn describe(value: &YamlValue, snippet: &str) -> String {
    match value {
        YamlValue::Null => "empty".to_owned(),
        YamlValue::Text(text) => format!("the text `{text}`"),
        YamlValue::List(_) => "a list".to_owned(),
        YamlValue::Mapping(_) => "a mapping".to_owned(),
        YamlValue::Bool(_) | YamlValue::Integer(_) | YamlValue::Number(_) => format!("`{snippet}`"),
    }
}

/// Formats a value without quotes.
pub(super) fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
