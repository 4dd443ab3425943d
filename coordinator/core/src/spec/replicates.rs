//! `replicates`: the seeds of every point.

use super::field_reader::{FieldReader, KeyScope, describe};
use super::tree::{YamlEntry, YamlNode, YamlValue};

/// The largest number of replicates.
const MAX_REPLICATES: u64 = 10_000;

/// Reads the seeds of every point.
pub(super) fn replicates(
    reader: &mut FieldReader<'_>,
    entry: &YamlEntry,
    seed: u64,
) -> Option<Vec<u64>> {
    match &entry.node.value {
        YamlValue::Integer(count) => count_from(reader, &entry.node, *count, seed),
        YamlValue::Mapping(entries) => {
            let keys = reader.keys(entries, &["seeds"], KeyScope::fields("replicates"));
            let Some((_, seeds)) = keys.first() else {
                if entries.is_empty() {
                    wrong_replicates(reader, &entry.node);
                }
                return None;
            };
            seed_list(reader, &seeds.node)
        }
        _ => {
            wrong_replicates(reader, &entry.node);
            None
        }
    }
}

fn wrong_replicates(reader: &mut FieldReader<'_>, node: &YamlNode) {
    let found = describe(&node.value, reader.report.snippet(node.span));
    reader
        .report
        .error(
            node.span,
            format!("`replicates` must be a number or a mapping with `seeds`, not {found}"),
        )
        .about("replicates")
        .help("write `replicates: 3` or `replicates: {seeds: [1, 2, 3]}`");
}

fn count_from(
    reader: &mut FieldReader<'_>,
    node: &YamlNode,
    count: i128,
    seed: u64,
) -> Option<Vec<u64>> {
    let count = u64::try_from(count).ok().filter(|count| (1..=MAX_REPLICATES).contains(count));
    let Some(count) = count else {
        let message = format!("`replicates` must be a whole number from 1 to {MAX_REPLICATES}");
        reader.report.error(node.span, message).about("replicates").help("such as 3");
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
