//! File names of parts, which tell our files from others.

/// The parsed file name of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartName {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) generation: u64,
}

/// Parses a name made by [`rheo_core::part::Part::name`]; none for any other, which is never removed.
pub(crate) fn parse_part(name: &str) -> Option<PartName> {
    let rest = name.strip_prefix("part-")?.strip_suffix(".parquet")?;
    let (range, generation) = match rest.split_once(".c") {
        Some((range, generation)) => (range, number(generation)?),
        None => (rest, 0),
    };
    let (first, last) = range.split_once('-')?;
    Some(PartName { first: position(first)?, last: position(last)?, generation })
}

/// Whether `name` is the name of a part.
pub(crate) fn is_part(name: &str) -> bool {
    parse_part(name).is_some()
}

fn position(text: &str) -> Option<u64> {
    number(text).filter(|_| text.len() >= 12)
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The name of a part's object in a bucket: the path of the part up to its first position. See
/// `dataset::bucket` for the reason.
pub(crate) fn object_name(part: &str) -> String {
    match part.rsplit_once('-') {
        Some((start, _)) => format!("{start}.parquet"),
        None => part.to_owned(),
    }
}

/// Parses the first position in a name made by [`object_name`]; none for any other, which is never
/// removed.
pub(crate) fn object_position(name: &str) -> Option<u64> {
    position(name.strip_prefix("part-")?.strip_suffix(".parquet")?)
}

/// Whether `name` is the name of a part's object.
pub(crate) fn is_object(name: &str) -> bool {
    object_position(name).is_some()
}

#[cfg(test)]
mod tests {
    use rheo_core::id::SweepName;
    use rheo_core::name::TableName;
    use rheo_core::part::{Part, TrialRanges};

    use super::*;

    #[test]
    fn only_our_own_names_are_recognised() {
        let mut part = Part {
            table: TableName::of("epochs"),
            sweep: SweepName::parse("demo").unwrap(),
            first: 7,
            last: 1_234_567_890_123,
            generation: 0,
            rows: 1,
            bytes: 1,
            digest: None,
            trials: TrialRanges::default(),
        };
        assert_eq!(part.path(), "epochs/sweep=demo/part-000000000007-1234567890123.parquet");
        assert!(is_part(&part.name()));
        part.generation = 12;
        assert_eq!(part.name(), "part-000000000007-1234567890123.c12.parquet");
        assert!(is_part(&part.name()));
        assert_eq!(object_name(&part.path()), "epochs/sweep=demo/part-000000000007.parquet");
        assert!(is_object(&object_name(&part.name())) && !is_part(&object_name(&part.name())));
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
