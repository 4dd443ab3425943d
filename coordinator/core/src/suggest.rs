//! The nearest valid spelling of a mistyped name. Apart, because keys, values, paths and names in
//! constraints all want the same notion of near.

/// The name among `known` that `text` was probably meant to be: the one with the fewest letters
/// inserted, deleted, replaced or swapped, if those are at most a third of its length; also one that
/// begins with `text`, and a dotted path whose last names are `text`.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = text.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let lengths = (wanted.chars().count(), name.chars().count());
        let distance = if name.strip_suffix(text).is_some_and(|path| path.ends_with('.')) {
            0
        } else if lengths.0 >= 3 && name.starts_with(&wanted) {
            1
        } else {
            strsim::damerau_levenshtein(&wanted, &name.to_lowercase())
        };
        // Words of one letter resemble everything.
        let limit =
            if lengths.0.min(lengths.1) < 2 { 0 } else { (lengths.0.max(lengths.1) / 3).max(1) };
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_name_and_other_words_find_none() {
        let known = ["hidden", "kind", "n0", "network.kind", "training.optimizer.lr"];
        let cases = [
            ("hiden", Some("hidden")),
            ("Hidden", Some("hidden")),
            ("hdiden", Some("hidden")),
            ("network.knd", Some("network.kind")),
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
            assert_eq!(nearest(text, known), expected, "{text}");
        }
    }
}
