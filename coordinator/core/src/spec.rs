//! From the text of a sweep file to its meaning.
//!
//! A file is read to a tree with places, checked key by key against the fields that exist, and only
//! then understood as a whole. All its mistakes are found in one go, each once, where it was made.
//! Pure: who reads the file and who shows the mistakes is elsewhere.

mod assemble;
mod constraint;
pub(crate) mod domain;
mod extent;
pub(crate) mod header;
mod mistake;
mod parameters;
mod range;
mod reach;
mod read;
mod remedy;
mod replicates;
mod scalar;
mod tree;
mod trials;
mod when;
mod zip;

use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

pub use mistake::{Mistake, Mistakes, Severity, Span, render};

use crate::config::TrialConfig;
use crate::config::field::{self, Field, Object};
use crate::definition::{Definition, Method};
use crate::suggest;
use assemble::Parts;
use header::Header;
use parameters::Declarations;
use read::{Reader, Scope};
use tree::{Entry, Node, Value};

/// A file without mistakes.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What it means.
    pub definition: Definition,
    /// What its author may not have meant.
    pub warnings: Vec<Mistake>,
}

/// Parses a sweep file. `file` is its name, for messages.
pub fn parse(file: &str, text: &str) -> Result<Parsed, Mistakes> {
    let mut reader = Reader::new(text);
    let definition = tree::read(&mut reader.report, text).and_then(|root| {
        let entries = top_level(&mut reader, &root)?;
        define(&mut reader, entries)
    });
    let has_errors = reader.report.has_errors();
    let mistakes = reader.report.into_list();
    match definition {
        Some(definition) if !has_errors => Ok(Parsed { definition, warnings: mistakes }),
        _ => Err(Mistakes::new(file, text, mistakes)),
    }
}

/// The entries of the file, which must be a mapping.
fn top_level<'n>(reader: &mut Reader<'_>, root: &'n Node) -> Option<&'n [Entry]> {
    match &root.value {
        Value::Mapping(entries) => Some(entries),
        Value::Null => {
            let help = "a sweep needs at least `name: my-sweep`";
            reader.report.error(Span::new(0, 0), "the file is empty").help(help);
            None
        }
        other => {
            let found = read::describe(other, reader.report.snippet(root.span));
            reader
                .report
                .error(root.span, format!("a sweep is a mapping, not {found}"))
                .help("write `name: my-sweep` and so on, one key a line");
            None
        }
    }
}

/// The keys that have readers of their own.
const SPECIAL: [&str; 4] = ["parameters", "zip", "constraints", "replicates"];

/// The fields of the top level of a file, without the special ones.
fn fields() -> &'static Object {
    static FIELDS: LazyLock<Object> = LazyLock::new(|| {
        let mut fields = Object::of::<Header>().fields;
        // The seed of a trial comes from the seed of the sweep, which stands in the header.
        fields.extend(field::trial().fields.iter().filter(|(name, _)| name != "seed").cloned());
        Object { fields }
    });
    &FIELDS
}

/// The entries of a file by their meaning.
#[derive(Default)]
struct Top<'n> {
    header: Map<String, Json>,
    base: Map<String, Json>,
    special: Vec<(&'static str, &'n Entry)>,
    /// Where the keys stand.
    places: Vec<(&'static str, Span)>,
}

impl<'n> Top<'n> {
    fn read(reader: &mut Reader<'_>, entries: &'n [Entry]) -> Self {
        let known: Vec<&'static str> = fields().names().chain(SPECIAL).collect();
        let mut top = Self::default();
        for (name, entry) in reader.keys(entries, &known, Scope::Fields { within: "", hint }) {
            top.places.push((name, entry.span));
            let Some(field) = fields().get(name) else {
                top.special.push((name, entry));
                continue;
            };
            if name == "method" && header::is_foreign_method(reader, &entry.node) {
                continue;
            }
            let value = reader.field(name, name, entry, field);
            if field::trial().get(name).is_some() && name != "seed" {
                top.base.extend(value);
            } else {
                top.header.extend(value);
            }
        }
        top
    }

    fn special(&self, name: &str) -> Option<&'n Entry> {
        self.special.iter().find(|(known, _)| *known == name).map(|(_, entry)| *entry)
    }

    /// Where `name` stands, or else where the file begins.
    fn place(&self, name: &str) -> Span {
        self.places
            .iter()
            .find(|(known, _)| *known == name)
            .or_else(|| self.places.first())
            .map_or(Span { offset: 0, length: 0 }, |(_, span)| *span)
    }
}

/// What to do about a key of the top level that is wrong in a known way.
fn hint(key: &str) -> Option<String> {
    if let Some(help) = header::foreign_key(key) {
        return Some(help);
    }
    // A typo of a key of the top level is none of a field deeper down.
    let is_top = || suggest::nearest(key, fields().names().chain(SPECIAL)).is_some();
    let path = if key.contains('.') { key } else { suggest::alias(key).filter(|_| !is_top())? };
    let (parent, rest) = path.split_once('.')?;
    let field: &Field = field::trial().at(path)?;
    let nested =
        rest.split('.').rev().fold("...".to_owned(), |inner, name| format!("{{{name}: {inner}}}"));
    let sweep = if parameters::is_single(field) { ", or sweep it under `parameters`" } else { "" };
    Some(format!("write `{parent}: {nested}`{sweep}"))
}

/// The meaning of a file; nothing if it has a mistake, all of which are then reported.
fn define(reader: &mut Reader<'_>, entries: &[Entry]) -> Option<Definition> {
    let mut top = Top::read(reader, entries);
    let header = header::header(reader, std::mem::take(&mut top.header))?;
    let name = header::name(reader, &header);
    let objective = header::objective(reader, &header);
    let base = Json::Object(std::mem::take(&mut top.base));
    let config: TrialConfig = serde_json::from_value(base.clone()).unwrap_or_default();
    let fixed = serde_json::to_value(&config).unwrap_or_default();

    let method = (!reader.faulty.contains("method")).then_some(header.method);
    let declarations = match top.special("parameters") {
        Some(entry) => Declarations::read(reader, entry, method),
        None => Declarations::default(),
    };
    let parts = Parts {
        declarations: &declarations,
        zip: top.special("zip"),
        constraints: top.special("constraints"),
    };
    let space = assemble::space(reader, &parts, &fixed);
    reach::check(reader, &declarations, &space, &fixed);
    let seeds = seeds(reader, &top, &declarations, &header);
    if reader.report.has_errors() {
        trials::check_fixed(reader, &declarations, &config);
        return None;
    }
    let definition = Definition {
        name: name?,
        description: header.description,
        method: header.method,
        objective,
        base,
        space,
        seeds: seeds?,
        seed: header.seed,
        run_cap: header.run_cap,
        max_failed_trials: header.max_failed_trials,
        retry: header.retry,
    };
    check_whole(reader, &top, &declarations, &definition);
    Some(definition)
}

/// Checks what only a file without other mistakes can be checked for.
fn check_whole(
    reader: &mut Reader<'_>,
    top: &Top<'_>,
    declarations: &Declarations<'_>,
    definition: &Definition,
) {
    let spans = extent::Spans {
        method: top.place("method"),
        parameters: top.place("parameters"),
        constraints: top.place("constraints"),
        run_cap: top.place("run_cap"),
    };
    extent::check(reader, definition, &spans);
    if !reader.report.has_errors() {
        trials::check(reader, declarations, definition);
    }
}

/// The seeds of every point.
fn seeds(
    reader: &mut Reader<'_>,
    top: &Top<'_>,
    declarations: &Declarations<'_>,
    header: &Header,
) -> Option<Vec<u64>> {
    let entry = top.special("replicates");
    let swept = declarations.get("seed");
    if let (Some(swept), Some(_)) = (swept, entry) {
        reader
            .report
            .error(swept.span, "`seed` is swept, and `replicates` gives seeds too")
            .about("seed")
            .help("delete one of the two");
    }
    let lists_seeds = entry.is_some_and(|entry| matches!(entry.node.value, Value::Mapping(_)));
    let is_unused = header.method == Method::Grid && (swept.is_some() || lists_seeds);
    if let Some(place) = reader.written.get("seed").filter(|_| is_unused) {
        reader
            .report
            .warn(place.key, "`seed` has no effect: a grid draws nothing, and trials have seeds")
            .about("seed")
            .help("delete it");
    }
    let Some(entry) = entry else { return Some(vec![header.seed]) };
    replicates::replicates(reader, entry, header.seed)
}
