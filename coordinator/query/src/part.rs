//! Parts: the immutable Parquet files of the dataset, and their names.
//!
//! A part is named for the journal positions of its rows, `part-<first>-<last>.parquet`, so that
//! names sort by age and two parts of a sweep never share one. What compaction writes has a
//! generation more than what it read, so it never has the name of a file it replaces.

use rheo_core::id::SweepName;
use rheo_core::row::Table;
use serde::{Deserialize, Serialize};

/// One part: a file of rows of one table and sweep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Part {
    /// The table.
    pub table: Table,
    /// The sweep.
    pub sweep: SweepName,
    /// Journal position of its oldest row.
    pub first: u64,
    /// Journal position of its newest row. Parts of one table and sweep do not overlap.
    pub last: u64,
    /// How often its rows have been compacted.
    pub generation: u32,
    /// Number of rows.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
}

impl Part {
    /// The name of the file.
    pub fn name(&self) -> String {
        let (first, last) = (self.first, self.last);
        match self.generation {
            0 => format!("part-{first:012}-{last:012}.parquet"),
            generation => format!("part-{first:012}-{last:012}.c{generation}.parquet"),
        }
    }

    /// The path of the file in the dataset.
    pub fn path(&self) -> String {
        format!("{}/{}", directory(self.table, &self.sweep), self.name())
    }
}

/// The directory of the parts of `sweep` in `table`, in the form that Hive readers know.
pub(crate) fn directory(table: Table, sweep: &SweepName) -> String {
    format!("{}/sweep={sweep}", table.name())
}

/// Whether `name` is one that [`Part::name`] gives; nobody else's files are ever removed.
pub(crate) fn is_name(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
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

#[cfg(test)]
mod tests {
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
        assert!(is_name(&part.name()));
        part.generation = 12;
        assert_eq!(part.name(), "part-000000000007-1234567890123.c12.parquet");
        assert!(is_name(&part.name()));
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
            assert!(!is_name(foreign), "{foreign}");
        }
    }
}
