//! The nearest valid spelling of a mistyped name. Apart, because keys, values, paths and names in
//! constraints all want the same notion of near.
//!
//! Whoever follows a wrong suggestion sweeps another quantity, so the order is: a path that ends
//! in what was written, a word of another tool, and only then what is spelt alike. Where several
//! names are equally near, the general field comes before those of special groups.

mod alias;

pub use alias::Aliases;
pub(crate) use alias::path as alias;

/// The name among `known` that `text` was probably meant to be; `aliases` are words of other tools.
pub fn nearest<'a>(
    aliases: Aliases,
    text: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let wanted = text.to_lowercase();
    let ending = || {
        let ends =
            |name: &&&str| name.strip_suffix(&wanted).is_some_and(|rest| rest.ends_with('.'));
        known.iter().filter(ends).min_by_key(|name| segments(name)).copied()
    };
    // A word alone may end the paths of several groups; `lr` means the one of the optimizer.
    let exact = if wanted.contains('.') { ending() } else { None };
    exact
        .or_else(|| foreign(aliases, text, &known))
        .or_else(ending)
        .or_else(|| alike(&wanted, &known))
}

/// The name that a word of another tool stands for.
fn foreign<'a>(aliases: Aliases, text: &str, known: &[&'a str]) -> Option<&'a str> {
    let find = |path: &str| known.iter().find(|name| **name == path).copied();
    if let Some(found) = alias::all(aliases, text).find_map(find) {
        return Some(found);
    }
    let (within, word) = text.rsplit_once('.')?;
    let meant = alias(aliases, word)?;
    let last = meant.rsplit('.').next().unwrap_or(meant);
    // The group that was written, if it has such a field.
    find(&format!("{within}.{last}")).or_else(|| find(meant))
}

/// The name with the fewest letters inserted, deleted, replaced or swapped, if those are few.
fn alike<'a>(wanted: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().filter_map(|name| Some((distance(wanted, name)?, *name)));
    distances.min_by_key(|(distance, name)| (*distance, segments(name))).map(|(_, name)| name)
}

/// The distance of `wanted` from `name`; none if that is too far.
fn distance(wanted: &str, name: &str) -> Option<usize> {
    let lowercase = name.to_lowercase();
    // Groups that both have say nothing about the rest.
    let (wanted, name) = without_common_groups(wanted, &lowercase);
    if wanted.chars().count() >= 3 && name.starts_with(wanted) {
        return Some(1);
    }
    let whole = letters(wanted, name, 3);
    // The last names of the path, if the groups were left out.
    let tail = tail(name, segments(wanted)).filter(|tail| *tail != name);
    let tail = tail.and_then(|tail| Some(letters(wanted, tail, 4)? + 1));
    match (whole, tail) {
        (Some(whole), Some(tail)) => Some(whole.min(tail)),
        (whole, tail) => whole.or(tail),
    }
}

/// The letters in which two words differ, if those are at most one in `few` of the longer one.
fn letters(one: &str, other: &str, few: usize) -> Option<usize> {
    let lengths = (one.chars().count(), other.chars().count());
    // Words of one letter resemble everything.
    let limit =
        if lengths.0.min(lengths.1) < 2 { 0 } else { (lengths.0.max(lengths.1) / few).max(1) };
    let distance = strsim::damerau_levenshtein(one, other);
    (distance <= limit).then_some(distance)
}

/// The number of names in a path.
fn segments(path: &str) -> usize {
    path.split('.').count()
}

/// The last `count` names of a path.
fn tail(path: &str, count: usize) -> Option<&str> {
    let start = path.rmatch_indices('.').nth(count.checked_sub(1)?).map_or(0, |(at, _)| at + 1);
    path.get(start..)
}

/// Both paths without the groups with which both begin; at least one name is left of each.
fn without_common_groups<'t>(one: &'t str, other: &'t str) -> (&'t str, &'t str) {
    let (mut one, mut other) = (one, other);
    while let (Some((a, rest)), Some((b, others))) = (one.split_once('.'), other.split_once('.')) {
        if a != b {
            break;
        }
        (one, other) = (rest, others);
    }
    (one, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_name_and_other_words_find_none() {
        let known = ["hidden", "kind", "n0", "model.kind", "training.optimizer.lr"];
        let cases = [
            ("hiden", Some("hidden")),
            ("Hidden", Some("hidden")),
            ("hdiden", Some("hidden")),
            ("model.knd", Some("model.kind")),
            ("lr", Some("training.optimizer.lr")),
            ("optimizer.lr", Some("training.optimizer.lr")),
            ("n1", Some("n0")),
            ("opti", None),
            ("hid", Some("hidden")),
            ("k", None),
            ("colour", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(nearest(&[], text, known), expected, "{text}");
        }
    }

    #[test]
    fn values_of_other_tools_are_not_their_opposites() {
        const ALIASES: Aliases = &[(&["gpu"], "device"), (&["gpu"], "cuda")];
        assert_eq!(nearest(ALIASES, "gpu", ["cpu", "cuda"]), Some("cuda"));
        assert_eq!(nearest(ALIASES, "gpu", ["device", "cpu"]), Some("device"));
    }
}
