//! Reading the declaration of one parameter into its domain.
//!
//! Names and defaults are those of W&B. Where W&B drops a bound or reads a word in a surprising
//! way, the file is refused with a remedy.

use serde_json::Value as Json;

use super::field_reader::{FieldReader, KeyScope, describe};
use super::mistake::Span;
use super::scalar::number;
use super::tree::{YamlEntry, YamlNode, YamlValue};
use crate::definition::SearchMethod;
use crate::schema::field::{FieldSchema, names};
use crate::space::Domain;
use crate::suggest;

/// The result of reading the declaration of a parameter.
#[derive(Debug, Default)]
pub(super) struct ParameterDeclaration<'n> {
    pub(super) domain: Option<Domain>,
    pub(super) values: Vec<ListedValue>,
    pub(super) when: Option<&'n YamlEntry>,
}

/// A listed value and its span; no value if it has an error.
#[derive(Debug)]
pub(super) struct ListedValue {
    pub(super) span: Span,
    pub(super) value: Option<Json>,
}

/// The keys of a declaration.
pub(crate) const KEYS: [&str; 10] =
    ["value", "values", "probabilities", "distribution", "min", "max", "q", "mu", "sigma", "when"];

/// The distributions, each with its required and its optional keys.
pub(crate) const DISTRIBUTIONS: [(&str, &[&str], &[&str]); 10] = [
    ("constant", &["value"], &[]),
    ("categorical", &["values"], &["probabilities"]),
    ("int_uniform", &["min", "max"], &[]),
    ("uniform", &["min", "max"], &[]),
    ("q_uniform", &["min", "max"], &["q"]),
    ("log_uniform", &["min", "max"], &[]),
    ("log_uniform_values", &["min", "max"], &[]),
    ("q_log_uniform_values", &["min", "max"], &["q"]),
    ("normal", &[], &["mu", "sigma"]),
    ("log_normal", &[], &["mu", "sigma"]),
];

/// Distributions of W&B that are not available, each with a remedy.
const FOREIGN: [(&str, &str); 8] = [
    ("q_log_uniform", "write `q_log_uniform_values`, whose bounds are values"),
    ("inv_log_uniform", "write `log_uniform_values`, whose bounds are values"),
    ("inv_log_uniform_values", "write `log_uniform_values`"),
    ("q_normal", "write `normal`, or `q_uniform`"),
    ("q_log_normal", "write `log_normal`, or `q_log_uniform_values`"),
    ("beta", "write `uniform`"),
    ("q_beta", "write `q_uniform`"),
    ("categorical_w_probabilities", "write `categorical` with `probabilities`"),
];

/// Reads the declaration of the parameter at `target`; `method` is none if it has an error.
pub(super) fn read<'n>(
    reader: &mut FieldReader<'_>,
    target: (&str, &FieldSchema),
    entry: &'n YamlEntry,
    method: Option<SearchMethod>,
) -> ParameterDeclaration<'n> {
    let YamlValue::Mapping(entries) = &entry.node.value else {
        not_a_mapping(reader, target.0, &entry.node);
        return ParameterDeclaration::default();
    };
    let keys = reader.keys(entries, &KEYS, KeyScope::Parameter(target.0));
    let mut spec = DeclarationReader {
        reader,
        path: target.0,
        field: target.1,
        keys,
        entry,
        listed: Vec::new(),
    };
    let domain = spec.domain().filter(|domain| spec.suits_method(domain, method));
    let when = spec.get("when");
    ParameterDeclaration { domain, values: spec.listed, when }
}

fn not_a_mapping(reader: &mut FieldReader<'_>, path: &str, node: &YamlNode) {
    let found = describe(&node.value, reader.report.snippet(node.span));
    let snippet = reader.report.snippet(node.span);
    let help = match &node.value {
        YamlValue::List(_) => format!("write `{path}: {{values: {snippet}}}`"),
        YamlValue::Null => format!("write `{path}: {{values: [...]}}`"),
        _ => format!("write `{path}: {{value: {snippet}}}`"),
    };
    let message = format!("`{path}` must be a mapping such as `{{values: [...]}}`, not {found}");
    reader.report.error(node.span, message).about(path).help(help);
}

/// Reads the declaration of one parameter.
pub(super) struct DeclarationReader<'r, 't, 'n> {
    pub(super) reader: &'r mut FieldReader<'t>,
    pub(super) path: &'r str,
    pub(super) field: &'r FieldSchema,
    keys: Vec<(&'static str, &'n YamlEntry)>,
    pub(super) entry: &'n YamlEntry,
    /// The values read so far.
    listed: Vec<ListedValue>,
}

impl<'n> DeclarationReader<'_, '_, 'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n YamlEntry> {
        self.keys.iter().find(|(known, _)| *known == key).map(|(_, entry)| *entry)
    }

    /// Reports an error of this parameter.
    pub(super) fn error(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.reader.report.error(span, message).about(self.path).help(help);
    }

    fn domain(&mut self) -> Option<Domain> {
        let distribution = self.distribution()?;
        let (_, needed, allowed) = DISTRIBUTIONS.iter().find(|(name, ..)| *name == distribution)?;
        if !self.has_keys(distribution, needed, allowed) {
            return None;
        }
        match distribution {
            "constant" => {
                let value = self.value(&self.get("value")?.node)?;
                Some(Domain::Constant { value })
            }
            "categorical" => self.categorical(),
            _ => self.numeric(distribution),
        }
    }

    /// Returns the named distribution, or the one implied by the keys, as in W&B.
    fn distribution(&mut self) -> Option<&'static str> {
        if let Some(entry) = self.get("distribution") {
            return self.named(&entry.node);
        }
        let has = |key| self.get(key).is_some();
        let is_whole =
            |key| self.get(key).is_some_and(|e| matches!(e.node.value, YamlValue::Integer(_)));
        if has("value") {
            Some("constant")
        } else if has("values") {
            Some("categorical")
        } else if has("min") || has("max") {
            Some(if is_whole("min") && is_whole("max") { "int_uniform" } else { "uniform" })
        } else if has("mu") || has("sigma") {
            let help = "write `distribution: normal` or `distribution: log_normal`";
            self.error(self.entry.span, "`mu` and `sigma` need a distribution", help);
            None
        } else {
            let has_typo = self.has_unknown_key();
            if !has_typo {
                let help = "write `values: [...]`, or `min` and `max`";
                self.error(
                    self.entry.span,
                    format!("`{}` has neither values nor a range", self.path),
                    help,
                );
            }
            None
        }
    }

    /// Whether a key is unknown, so that a seemingly missing key may be a typo.
    fn has_unknown_key(&self) -> bool {
        let YamlValue::Mapping(entries) = &self.entry.node.value else { return false };
        entries.iter().any(|entry| !KEYS.contains(&entry.key.as_str()))
    }

    fn named(&mut self, node: &YamlNode) -> Option<&'static str> {
        let snippet = self.reader.report.snippet(node.span);
        let YamlValue::Text(name) = &node.value else {
            let found = describe(&node.value, snippet);
            let message = format!("`distribution` must be the name of one, not {found}");
            self.error(node.span, message, "write `distribution: uniform`");
            return None;
        };
        let known = DISTRIBUTIONS.iter().map(|(name, ..)| *name);
        if let Some(known) = known.clone().find(|known| known == name) {
            return Some(known);
        }
        if let Some((_, help)) = FOREIGN.iter().find(|(foreign, _)| foreign == name) {
            self.error(node.span, format!("the distribution `{name}` is not available"), *help);
            return None;
        }
        let near = suggest::nearest(&[], name, known.clone());
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the distributions are {}", names(&known.collect::<Vec<_>>(), "and")),
        };
        self.error(node.span, format!("unknown distribution `{name}`"), help);
        near
    }

    /// Checks the keys against those of the distribution.
    fn has_keys(&mut self, distribution: &str, needed: &[&str], allowed: &[&str]) -> bool {
        let mut fits = true;
        for key in needed {
            if self.get(key).is_some() {
                continue;
            }
            if !self.has_unknown_key() {
                let message = format!("`{distribution}` needs `{key}`");
                self.error(self.entry.span, message, format!("add `{key}: ...`"));
            }
            fits = false;
        }
        for (key, entry) in self.keys.clone() {
            let is_general = matches!(key, "distribution" | "when");
            if is_general || needed.contains(&key) || allowed.contains(&key) {
                continue;
            }
            let help = instead(key, distribution);
            self.error(entry.span, format!("`{key}` has no meaning for `{distribution}`"), help);
            fits = false;
        }
        fits
    }

    fn value(&mut self, node: &YamlNode) -> Option<Json> {
        let value = self.reader.value(self.path, node, self.field);
        self.listed.push(ListedValue { span: node.span, value: value.clone() });
        value
    }

    fn categorical(&mut self) -> Option<Domain> {
        let entry = self.get("values")?;
        let YamlValue::List(items) = &entry.node.value else {
            let found = describe(&entry.node.value, self.reader.report.snippet(entry.node.span));
            let message = format!("`values` must be a list, not {found}");
            let snippet = self.reader.report.snippet(entry.node.span);
            self.error(entry.node.span, message, format!("write `values: [{snippet}]`"));
            return None;
        };
        if items.is_empty() {
            self.error(entry.node.span, "`values` is empty", "give at least one value");
            return None;
        }
        let values: Vec<Option<Json>> = items.iter().map(|item| self.value(item)).collect();
        let probabilities = match self.get("probabilities") {
            Some(entry) => Some(self.probabilities(&entry.node, items.len())?),
            None => None,
        };
        let values = values.into_iter().collect::<Option<Vec<Json>>>()?;
        Some(Domain::Categorical { values, probabilities })
    }

    fn probabilities(&mut self, node: &YamlNode, count: usize) -> Option<Vec<f64>> {
        let YamlValue::List(items) = &node.value else {
            self.error(
                node.span,
                "`probabilities` must be a list",
                "give one number for each value",
            );
            return None;
        };
        if items.len() != count {
            let message =
                format!("`probabilities` has {} entries, but `values` has {count}", items.len());
            self.error(node.span, message, "give one number for each value");
            return None;
        }
        let mut probabilities = Vec::with_capacity(count);
        for item in items {
            match number(&item.value) {
                Some(p) if p > 0.0 => probabilities.push(p),
                Some(0.0) => {
                    let message = "a value with probability 0 never occurs";
                    self.error(item.span, message, "delete the value and its probability");
                }
                _ => {
                    self.error(
                        item.span,
                        "a probability must be a positive number",
                        "write a number such as 0.5",
                    );
                }
            }
        }
        if probabilities.len() != count {
            return None;
        }
        let sum: f64 = probabilities.iter().sum();
        if (sum - 1.0).abs() > 1e-6 {
            let message = format!("the probabilities sum to {sum}");
            self.error(node.span, message, "they must sum to 1");
            return None;
        }
        Some(probabilities)
    }

    /// Checks that the method can run the domain.
    fn suits_method(&mut self, domain: &Domain, method: Option<SearchMethod>) -> bool {
        if method != Some(SearchMethod::Grid) {
            return true;
        }
        match domain {
            Domain::Constant { .. }
            | Domain::IntUniform { .. }
            | Domain::Categorical { probabilities: None, .. } => return true,
            Domain::Categorical { .. } => {
                let span = self.get("probabilities").map_or(self.entry.span, |entry| entry.span);
                let message = "a grid does not use `probabilities`: it runs every value once";
                self.error(span, message, "delete them, or write `method: random` or `sobol`");
            }
            _ => {
                let message =
                    format!("a grid needs the values of `{}`, not a distribution", self.path);
                let help = "write `values: [...]`, or `method: random` or `sobol`";
                self.error(self.entry.span, message, help);
            }
        }
        false
    }
}

/// Returns the remedy for a key that the distribution does not have.
fn instead(key: &str, distribution: &str) -> String {
    match (key, distribution) {
        ("q", "uniform" | "int_uniform") => "write `distribution: q_uniform`".to_owned(),
        ("q", "log_uniform_values") => "write `distribution: q_log_uniform_values`".to_owned(),
        ("mu" | "sigma", _) => "write `distribution: normal`, or delete it".to_owned(),
        _ => "delete it".to_owned(),
    }
}
