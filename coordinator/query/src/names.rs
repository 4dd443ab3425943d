//! Tells our files from those of others.

/// Whether `name` is one that [`rheo_core::part::Part::name`] gives; nobody else's files are ever removed.
pub(crate) fn is_part(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("part-").and_then(|rest| rest.strip_suffix(".parquet"))
    else {
        return false;
    };
    let (range, generation) = rest.split_once(".c").unwrap_or((rest, "1"));
    let Some((first, last)) = range.split_once('-') else {
        return false;
    };
    number(generation) && [first, last].iter().all(|part| part.len() >= 12 && number(part))
}

fn number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The name of the object that holds a part in a bucket, given what the journal calls it: what
/// comes after its first position is left out, see `dataset::bucket` for why.
pub(crate) fn object(part: &str) -> String {
    match part.rsplit_once('-') {
        Some((start, _)) => format!("{start}.parquet"),
        None => part.to_owned(),
    }
}

/// Whether `name` is one that [`object`] gives; nobody else's objects are ever removed.
pub(crate) fn is_object(name: &str) -> bool {
    let first = name.strip_prefix("part-").and_then(|rest| rest.strip_suffix(".parquet"));
    first.is_some_and(|first| first.len() >= 12 && number(first))
}

#[cfg(test)]
mod tests {
    use rheo_core::id::SweepName;
    use rheo_core::part::Part;
    use rheo_core::row::Table;

    use super::*;

    #[test]
    fn only_our_own_names_are_recognised() {
        let mut part = Part {
            table: Table::Epochs,
            sweep: SweepName::parse("demo").unwrap(),
            first: 7,
            last: 1_234_567_890_123,
            generation: 0,
            rows: 1,
            bytes: 1,
        };
        assert_eq!(part.path(), "epochs/sweep=demo/part-000000000007-1234567890123.parquet");
        assert!(is_part(&part.name()));
        part.generation = 12;
        assert_eq!(part.name(), "part-000000000007-1234567890123.c12.parquet");
        assert!(is_part(&part.name()));
        assert_eq!(object(&part.path()), "epochs/sweep=demo/part-000000000007.parquet");
        assert!(is_object(&object(&part.name())) && !is_part(&object(&part.name())));
        assert!(!is_object(&part.name()));
        for foreign in [
            "",
            "notes.txt",
            "part-1-2.parquet",
            "part-000000000007.parquet",
            "part-000000000007-000000000009.csv",
            "part-000000000007-000000000009.c.parquet",
            "part-000000000007-000000000009.copy.parquet",
            "my-part-000000000007-000000000009.parquet",
            "part-000000000007-00000000000x.parquet",
        ] {
            assert!(!is_part(foreign), "{foreign}");
            assert!(!is_object(foreign) || foreign == "part-000000000007.parquet", "{foreign}");
        }
    }
}
