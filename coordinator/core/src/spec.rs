//! The parser of sweep files.
//!
//! A file is read into a tree with spans, checked key by key against the known fields, and then
//! understood as a whole. All errors are found in one pass, each reported once, at its origin. The
//! parser is pure: reading files and showing errors happen elsewhere.

mod assemble;
mod auto;
mod cardinality;
mod constraint;
pub(crate) mod domain;
mod early_terminate;
mod enqueue;
mod field_reader;
pub(crate) mod header;
mod mistake;
mod parameters;
mod range;
mod remedy;
mod replicates;
mod scalar;
mod tree;
mod trials;
mod unused;
mod when;
mod writer;
mod zip;

use std::sync::Arc;

use serde_json::{Map, Value as Json};

pub use mistake::{Mistake, Mistakes, Severity, Span, render};
pub use writer::write;

use assemble::SpaceSources;
use early_terminate::RuleContext;
use field_reader::{FieldReader, KeyScope};
use header::SweepHeader;
use mistake::MistakeCollector;
use parameters::Declarations;
use replicates::Replicates;
use tree::{YamlEntry, YamlNode, YamlValue};

use crate::definition::{SearchMethod, SweepDefinition};
use crate::name::WorkloadName;
use crate::plan;
use crate::schema::field::{self, FieldSchema, ObjectSchema};
use crate::schema::{WorkloadRegistry, WorkloadSchema};
use crate::space::grid_index::GridIndex;
use crate::suggest;

/// A valid sweep file.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedSweep {
    /// The definition.
    pub definition: SweepDefinition,
    /// Warnings about probable mistakes.
    pub warnings: Vec<Mistake>,
    /// The reason for the method, if the file leaves it open.
    pub method_reason: Option<String>,
}

/// Parses a sweep file for one of the `workloads`. `file` is its name, for messages.
pub fn parse(
    workloads: &WorkloadRegistry,
    file: &str,
    text: &str,
) -> Result<ParsedSweep, Mistakes> {
    let mut report = MistakeCollector::new(text);
    let root = tree::read(&mut report, text);
    let entries = root.as_ref().and_then(|root| top_level(&mut report, root));
    let schema = entries.and_then(|entries| workload(&mut report, workloads, entries));
    let (report, definition) = match (entries, schema) {
        (Some(entries), Some(schema)) => {
            let mut reader = FieldReader::new(schema, report);
            let defined = define_sweep(&mut reader, schema, entries);
            (reader.report, defined)
        }
        _ => (report, None),
    };
    let has_errors = report.has_errors();
    let mistakes = report.into_list();
    match definition {
        Some((definition, method_reason)) if !has_errors => {
            Ok(ParsedSweep { definition, warnings: mistakes, method_reason })
        }
        _ => Err(Mistakes::new(file, text, mistakes)),
    }
}

/// Returns the schema of the workload named by the file, or the default one.
fn workload<'w>(
    report: &mut MistakeCollector<'_>,
    workloads: &'w WorkloadRegistry,
    entries: &[YamlEntry],
) -> Option<&'w Arc<WorkloadSchema>> {
    let Some(entry) = entries.iter().find(|entry| entry.key == "workload") else {
        if workloads.default_schema().is_none() {
            report.error(Span::new(0, 0), "this program knows no workload");
        }
        return workloads.default_schema();
    };
    let name = match &entry.node.value {
        YamlValue::Text(name) => WorkloadName::parse(name).ok(),
        _ => None,
    };
    let schema = name.and_then(|name| workloads.get(&name));
    if schema.is_none() {
        let known: Vec<&str> = workloads.names().map(WorkloadName::as_str).collect();
        let written = report.snippet(entry.node.span).to_owned();
        report
            .error(entry.node.span, format!("there is no workload `{written}`"))
            .about("workload")
            .help(format!("write {}", field::names(&known, "or")));
    }
    schema
}

/// Returns the entries of the file, which must be a mapping.
fn top_level<'n>(report: &mut MistakeCollector<'_>, root: &'n YamlNode) -> Option<&'n [YamlEntry]> {
    match &root.value {
        YamlValue::Mapping(entries) => Some(entries),
        YamlValue::Null => {
            let help = "a sweep needs at least `name: my-sweep`";
            report.error(Span::new(0, 0), "the file is empty").help(help);
            None
        }
        other => {
            let found = field_reader::describe(other, report.snippet(root.span));
            report
                .error(root.span, format!("a sweep is a mapping, not {found}"))
                .help("write `name: my-sweep` and so on, one key a line");
            None
        }
    }
}

/// The keys with their own readers.
const SPECIAL: [&str; 5] = ["parameters", "zip", "constraints", "replicates", "enqueue"];

/// Returns the other top-level fields.
fn fields(schema: &WorkloadSchema) -> ObjectSchema {
    let mut object = header::fields(schema);
    // The seed of a trial comes from the seed of the sweep, which is in the header.
    object.fields.extend(schema.fields.fields.iter().filter(|(name, _)| name != "seed").cloned());
    object
}

/// The entries of a file by their meaning.
#[derive(Default)]
struct TopLevel<'n> {
    header: Map<String, Json>,
    base: Map<String, Json>,
    special: Vec<(&'n str, &'n YamlEntry)>,
    /// The spans of the keys.
    places: Vec<(&'n str, Span)>,
}

impl<'n> TopLevel<'n> {
    fn read(
        reader: &mut FieldReader<'_>,
        fields: &'n ObjectSchema,
        entries: &'n [YamlEntry],
    ) -> Self {
        let known: Vec<&'n str> = fields.names().chain(SPECIAL).collect();
        let mut top = Self::default();
        for (name, entry) in reader.keys(entries, &known, KeyScope::Fields { within: "", hint }) {
            top.places.push((name, entry.span));
            let Some(field) = fields.get(name) else {
                top.special.push((name, entry));
                continue;
            };
            if name == "method" && header::is_foreign_method(reader, &entry.node) {
                continue;
            }
            let value = reader.field(name, name, entry, field);
            if reader.schema.fields.get(name).is_some() && name != "seed" {
                top.base.extend(value);
            } else {
                top.header.extend(value);
            }
        }
        top
    }

    fn special(&self, name: &str) -> Option<&'n YamlEntry> {
        self.special.iter().find(|(known, _)| *known == name).map(|(_, entry)| *entry)
    }

    /// Returns the span of `name`, or else of the first key.
    fn span(&self, name: &str) -> Span {
        self.places
            .iter()
            .find(|(known, _)| *known == name)
            .or_else(|| self.places.first())
            .map_or(Span { offset: 0, length: 0 }, |(_, span)| *span)
    }
}

/// Returns the remedy for a top-level key that is wrong in a known way.
fn hint(schema: &WorkloadSchema, key: &str) -> Option<String> {
    if let Some(help) = header::foreign_key(schema, key) {
        return Some(help.to_owned());
    }
    let aliases = schema.words.aliases;
    // A typo of a top-level key is not a nested field.
    let is_top = || {
        let fields = fields(schema);
        suggest::nearest(aliases, key, fields.names().chain(SPECIAL)).is_some()
    };
    let alias = || suggest::alias(aliases, key).filter(|_| !is_top());
    let path = if key.contains('.') { key } else { alias()? };
    let (parent, rest) = path.split_once('.')?;
    let field: &FieldSchema = schema.fields.at(path)?;
    let nested =
        rest.split('.').rev().fold("...".to_owned(), |inner, name| format!("{{{name}: {inner}}}"));
    let sweep = if parameters::is_single(field) { ", or sweep it under `parameters`" } else { "" };
    Some(format!("write `{parent}: {nested}`{sweep}"))
}

/// Builds the definition; none if the file has errors, which are all reported.
fn define_sweep(
    reader: &mut FieldReader<'_>,
    schema: &WorkloadSchema,
    entries: &[YamlEntry],
) -> Option<(SweepDefinition, Option<String>)> {
    let fields = fields(schema);
    let mut top = TopLevel::read(reader, &fields, entries);
    let header = header::header(reader, std::mem::take(&mut top.header))?;
    let name = header::name(reader, &header);
    let objective = header::objective(reader, &header);
    let base = Json::Object(std::mem::take(&mut top.base));
    // Values with errors are left out.
    let fixed = schema.fill(&base).unwrap_or_default();

    let method = (!reader.faulty.contains("method")).then_some(header.method);
    let mut declarations = Declarations::new(schema);
    if let Some(entry) = top.special("parameters") {
        declarations.read(reader, entry, method);
    }
    let parts = SpaceSources {
        declarations: &declarations,
        zip: top.special("zip"),
        constraints: top.special("constraints"),
    };
    let space = assemble::space(reader, &parts, &fixed);
    unused::check(reader, &declarations, &space, &fixed);
    let replicates = replicates(reader, &top, &declarations, &header);
    let early_terminate = header.early_terminate.as_ref().and_then(|keys| {
        let (fields, objective) = (&fields, &objective);
        let context = RuleContext { fields, objective, fixed: &fixed, space: &space };
        early_terminate::rule(reader, keys, context)
    });
    if reader.report.has_errors() {
        trials::check_fixed(reader, &declarations, &fixed);
        return None;
    }
    let mut definition = SweepDefinition {
        name: name?,
        workload: schema.workload.clone(),
        description: header.description,
        method: header.method.resolved(),
        objective,
        base,
        space,
        seeds: replicates.seeds?,
        aggregate: replicates.aggregate,
        seed: header.seed,
        run_cap: header.run_cap,
        enqueue: Vec::new(),
        max_failed_trials: header.max_failed_trials,
        stop: header.stop,
        retry: header.retry,
        early_terminate,
    };
    if let Some(entry) = top.special("enqueue") {
        let axes = plan::axes(&definition, schema);
        definition.enqueue =
            enqueue::enqueue(reader, &declarations, &entry.node, &definition.space, &axes);
    }
    let method_reason = choose_method(&mut definition, schema);
    check_whole(reader, &top, &declarations, &definition);
    Some((definition, method_reason))
}

/// Sets the method of a sweep that leaves it open; returns the reason.
fn choose_method(definition: &mut SweepDefinition, schema: &WorkloadSchema) -> Option<String> {
    if definition.method != SearchMethod::Auto {
        return None;
    }
    let grid = GridIndex::new(Arc::new(plan::axes(definition, schema)));
    let (method, reason) = auto::choose(definition, grid.ok().map(|grid| grid.total()));
    definition.method = method;
    Some(reason)
}

/// Runs the checks that need a file without other errors.
fn check_whole(
    reader: &mut FieldReader<'_>,
    top: &TopLevel<'_>,
    declarations: &Declarations<'_>,
    definition: &SweepDefinition,
) {
    let spans = cardinality::SizeSpans {
        method: top.span("method"),
        parameters: top.span("parameters"),
        constraints: top.span("constraints"),
        run_cap: top.span("run_cap"),
    };
    cardinality::check(reader, definition, &spans);
    if !reader.report.has_errors() {
        trials::check(reader, declarations, definition);
    }
}

/// Returns the seeds of every point, and how they give one value.
fn replicates(
    reader: &mut FieldReader<'_>,
    top: &TopLevel<'_>,
    declarations: &Declarations<'_>,
    header: &SweepHeader,
) -> Replicates {
    let entry = top.special("replicates");
    let swept = declarations.get("seed");
    if let (Some(swept), Some(_)) = (swept, entry) {
        reader
            .report
            .error(swept.span, "`seed` is swept, and `replicates` gives seeds too")
            .about("seed")
            .help("delete one of the two");
    }
    let lists_seeds = entry.is_some_and(replicates::lists_seeds);
    let is_unused = header.method == SearchMethod::Grid && (swept.is_some() || lists_seeds);
    if let Some(place) = reader.written.get("seed").filter(|_| is_unused) {
        reader
            .report
            .warn(place.key, "`seed` has no effect: a grid draws nothing, and trials have seeds")
            .about("seed")
            .help("delete it");
    }
    let Some(entry) = entry else { return Replicates::one(header.seed) };
    replicates::replicates(reader, entry, header.seed)
}
