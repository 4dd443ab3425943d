//! `replicates`: the seeds of every point, and the rule by which they give one value.

use super::field_reader::{FieldReader, KeyScope, describe};
use super::tree::{YamlEntry, YamlNode, YamlValue};
use crate::ranking::AggregateRule;
use crate::schema::field::names;
use crate::suggest;

/// The largest number of replicates.
const MAX_REPLICATES: u64 = 10_000;

/// The keys of the mapping.
const KEYS: [&str; 3] = ["aggregate", "count", "seeds"];

/// The replicates of every point.
pub(super) struct Replicates {
    /// The seeds; none if they have an error.
    pub(super) seeds: Option<Vec<u64>>,
    /// The rule by which they give one value.
    pub(super) aggregate: AggregateRule,
}

impl Replicates {
    /// Returns a single replicate.
    pub(super) fn one(seed: u64) -> Self {
        Self { seeds: Some(vec![seed]), aggregate: AggregateRule::default() }
    }
}

/// Whether the file names the seeds, so that they do not count up from `seed`.
pub(super) fn lists_seeds(entry: &YamlEntry) -> bool {
    match &entry.node.value {
        YamlValue::Mapping(entries) => !entries.iter().any(|entry| entry.key == "count"),
        _ => false,
    }
}

/// Reads the replicates of every point.
pub(super) fn replicates(reader: &mut FieldReader<'_>, entry: &YamlEntry, seed: u64) -> Replicates {
    let aggregate = AggregateRule::default();
    match &entry.node.value {
        YamlValue::Integer(count) => {
            let seeds = count_from(reader, "replicates", &entry.node, *count, seed);
            Replicates { seeds, aggregate }
        }
        YamlValue::Mapping(entries) => mapping(reader, entry, entries, seed),
        _ => {
            wrong_replicates(reader, &entry.node);
            Replicates { seeds: None, aggregate }
        }
    }
}

fn mapping(
    reader: &mut FieldReader<'_>,
    entry: &YamlEntry,
    entries: &[YamlEntry],
    seed: u64,
) -> Replicates {
    let keys = reader.keys(entries, &KEYS, KeyScope::fields("replicates"));
    let key = |name: &str| keys.iter().find(|(known, _)| *known == name).map(|(_, entry)| *entry);
    let seeds = match (key("seeds"), key("count")) {
        (Some(seeds), None) => seed_list(reader, &seeds.node),
        (None, Some(count)) => {
            let number = match count.node.value {
                YamlValue::Integer(number) => number,
                _ => 0,
            };
            count_from(reader, "replicates.count", &count.node, number, seed)
        }
        (Some(_), Some(count)) => {
            let message = "`replicates` has both `seeds` and `count`";
            let help = "delete one of the two: the number of seeds in the list is the count";
            reader.report.error(count.span, message).about("replicates").help(help);
            None
        }
        (None, None) => {
            // An unknown key was reported, which may be meant as one of them.
            if keys.len() == entries.len() {
                let help = "add one of the two: `count: 3` or `seeds: [1, 2, 3]`";
                reader
                    .report
                    .error(entry.node.span, "`replicates` has neither `seeds` nor `count`")
                    .about("replicates")
                    .help(help);
            }
            None
        }
    };
    let aggregate = key("aggregate").and_then(|entry| aggregate(reader, entry, seeds.as_deref()));
    Replicates { seeds, aggregate: aggregate.unwrap_or_default() }
}

fn aggregate(
    reader: &mut FieldReader<'_>,
    entry: &YamlEntry,
    seeds: Option<&[u64]>,
) -> Option<AggregateRule> {
    let rules = AggregateRule::ALL.map(AggregateRule::name);
    let rule = match &entry.node.value {
        YamlValue::Text(name) => AggregateRule::parse(name),
        _ => None,
    };
    let path = "replicates.aggregate";
    let Some(rule) = rule else {
        let found = describe(&entry.node.value, reader.report.snippet(entry.node.span));
        let near = match &entry.node.value {
            YamlValue::Text(name) => suggest::nearest(reader.schema.words.aliases, name, rules),
            _ => None,
        };
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write {}", names(&rules, "or")),
        };
        let message = format!("`{path}` must be one of {}, not {found}", names(&rules, "or"));
        reader.report.error(entry.node.span, message).about(path).help(help);
        return None;
    };
    if rule == AggregateRule::LowerBound && seeds.is_some_and(|seeds| seeds.len() < 2) {
        reader
            .report
            .error(entry.node.span, "`lower_bound` needs at least two seeds: one has no deviation")
            .about(path)
            .help("give each point more seeds, such as `count: 3`, or write `mean`");
    }
    Some(rule)
}

fn wrong_replicates(reader: &mut FieldReader<'_>, node: &YamlNode) {
    let found = describe(&node.value, reader.report.snippet(node.span));
    reader
        .report
        .error(
            node.span,
            format!(
                "`replicates` must be a number or a mapping with `seeds` or `count`, not {found}"
            ),
        )
        .about("replicates")
        .help(
            "write `replicates: 3`, `replicates: {seeds: [1, 2, 3]}` or \
             `replicates: {count: 3, aggregate: median}`",
        );
}

fn count_from(
    reader: &mut FieldReader<'_>,
    path: &str,
    node: &YamlNode,
    count: i128,
    seed: u64,
) -> Option<Vec<u64>> {
    let count = u64::try_from(count).ok().filter(|count| (1..=MAX_REPLICATES).contains(count));
    let Some(count) = count else {
        let message = format!("`{path}` must be a whole number from 1 to {MAX_REPLICATES}");
        reader.report.error(node.span, message).about(path).help("such as 3");
        return None;
    };
    let Some(last) = seed.checked_add(count - 1) else {
        let message = "the seeds of the replicates count up from `seed`, which is too large";
        reader.report.error(node.span, message).about("replicates").help("write a smaller `seed`");
        return None;
    };
    Some((seed..=last).collect())
}

fn seed_list(reader: &mut FieldReader<'_>, node: &YamlNode) -> Option<Vec<u64>> {
    let YamlValue::List(items) = &node.value else {
        wrong_replicates(reader, node);
        return None;
    };
    if items.is_empty() {
        let help = "give at least one seed, or delete `replicates`";
        reader.report.error(node.span, "`seeds` is empty").about("replicates").help(help);
        return None;
    }
    let field = reader.schema.fields.at("seed")?;
    if items.len() as u64 > MAX_REPLICATES {
        let help = format!("give at most {MAX_REPLICATES}");
        reader.report.error(node.span, "too many seeds").about("replicates").help(help);
        return None;
    }
    let mut seeds: Vec<u64> = Vec::new();
    let mut is_right = true;
    for item in items {
        match reader.value("replicates.seeds", item, field).and_then(|value| value.as_u64()) {
            Some(seed) if seeds.contains(&seed) => {
                let help = "two trials with one seed are the same trial: delete one";
                reader
                    .report
                    .error(item.span, format!("the seed {seed} is given twice"))
                    .about("replicates")
                    .help(help);
                is_right = false;
            }
            Some(seed) => seeds.push(seed),
            None => is_right = false,
        }
    }
    is_right.then_some(seeds)
}
