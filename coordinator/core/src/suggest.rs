//! Suggestions for mistyped names. Keys, values, paths and names in constraints share this
//! definition of "nearest".
//!
//! A user who follows a wrong suggestion sweeps another quantity. So the order is: a path that ends
//! in the text, then a word of another tool, and only then a similar spelling. Between equally near
//! names, general fields come before those of special groups.

mod alias;

pub use alias::Aliases;
pub(crate) use alias::path as alias;

/// Returns the name among `known` that `text` probably means; `aliases` are words of other tools.
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
    // A single word may end the paths of several groups; `lr` means that of the optimizer.
    let exact = if wanted.contains('.') { ending() } else { None };
    exact
        .or_else(|| foreign(aliases, text, &known))
        .or_else(ending)
        .or_else(|| alike(&wanted, &known))
}

/// Returns the name that a word of another tool stands for.
fn foreign<'a>(aliases: Aliases, text: &str, known: &[&'a str]) -> Option<&'a str> {
    let find = |path: &str| known.iter().find(|name| **name == path).copied();
    if let Some(found) = alias::all(aliases, text).find_map(find) {
        return Some(found);
    }
    let (within, word) = text.rsplit_once('.')?;
    let meant = alias(aliases, word)?;
    let last = meant.rsplit('.').next().unwrap_or(meant);
    // Prefer the written group, if it has such a field.
    find(&format!("{within}.{last}")).or_else(|| find(meant))
}

/// Returns the name with the fewest letters inserted, deleted, replaced or swapped, if there are
/// few.
fn alike<'a>(wanted: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().filter_map(|name| Some((distance(wanted, name)?, *name)));
    distances.min_by_key(|(distance, name)| (*distance, segments(name))).map(|(_, name)| name)
}

/// Returns the distance of `wanted` from `name`; none if it is too large.
fn distance(wanted: &str, name: &str) -> Option<usize> {
    let lowercase = name.to_lowercase();
    // Common groups say nothing about the rest.
    let (wanted, name) = without_common_groups(wanted, &lowercase);
    if wanted.chars().count() >= 3 && name.starts_with(wanted) {
        return Some(1);
    }
    let whole = letters(wanted, name, 3);
    // The end of the path, in case the groups were left out.
    let tail = tail(name, segments(wanted)).filter(|tail| *tail != name);
    let tail = tail.and_then(|tail| Some(letters(wanted, tail, 4)? + 1));
    match (whole, tail) {
        (Some(whole), Some(tail)) => Some(whole.min(tail)),
        (whole, tail) => whole.or(tail),
    }
}

/// Returns the number of differing letters, if it is at most one in `few` of the longer word.
fn letters(one: &str, other: &str, few: usize) -> Option<usize> {
    let lengths = (one.chars().count(), other.chars().count());
    // Words of one letter resemble every word.
    let limit =
        if lengths.0.min(lengths.1) < 2 { 0 } else { (lengths.0.max(lengths.1) / few).max(1) };
    let distance = strsim::damerau_levenshtein(one, other);
    (distance <= limit).then_some(distance)
}

/// Returns the number of names in a path.
fn segments(path: &str) -> usize {
    path.split('.').count()
}

/// Returns the last `count` names of a path.
fn tail(path: &str, count: usize) -> Option<&str> {
    let start = path.rmatch_indices('.').nth(count.checked_sub(1)?).map_or(0, |(at, _)| at + 1);
    path.get(start..)
}

/// Strips the groups that both paths begin with; at least one name of each is left.
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
