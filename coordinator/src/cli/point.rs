//! Formats points for people, with short parameter names where they are unambiguous.

use std::collections::BTreeMap;

use rheo_core::space::Point;
use rheo_query::output::number;
use serde_json::Value;

/// Formats a point like `kind=relu hidden=64`: each path by its last word, or more words where two
/// paths end alike.
pub(super) fn short(point: &Point) -> String {
    let names = short_names(point.iter().map(|(path, _)| path));
    let values = point.iter().map(|(path, value)| format!("{}={}", names[path], plain(value)));
    values.collect::<Vec<_>>().join(" ")
}

/// Formats a value without quotes, and numbers with few digits.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map_or_else(|| number.to_string(), number::short)
        }
        other => other.to_string(),
    }
}

fn short_names<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, &'a str> {
    let paths: Vec<&str> = paths.collect();
    let tail = |path: &'a str, words: usize| {
        let start = path.rmatch_indices('.').nth(words - 1).map_or(0, |(at, _)| at + 1);
        &path[start..]
    };
    let name = |path: &&'a str| {
        let unique = |words: &usize| {
            let mine = tail(path, *words);
            paths.iter().filter(|other| tail(other, *words) == mine).count() == 1
        };
        let words = (1..=path.split('.').count()).find(unique).unwrap_or(usize::MAX);
        (*path, tail(path, words))
    };
    paths.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_as_short_as_it_can_be() {
        let point = |pairs: &[(&str, Value)]| -> Point {
            pairs.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect()
        };
        let one =
            point(&[("network.kind", json!("relu")), ("training.optimizer.lr", json!(0.001))]);
        assert_eq!(short(&one), "kind=relu lr=0.001");
        let two = point(&[("network.kind", json!("relu")), ("task.kind", json!("copy"))]);
        assert_eq!(short(&two), "network.kind=relu task.kind=copy");
        let three = point(&[("seed", json!(1)), ("task.seed", json!(2))]);
        assert_eq!(short(&three), "seed=1 task.seed=2");
    }
}
