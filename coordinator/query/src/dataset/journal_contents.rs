//! What the journal knows of the rows of a dataset, and what follows for a file that it does not
//! name.
//!
//! A file may be removed only if that loses nothing: every row of it is pending in the journal, or
//! in a part that the journal names. Any other file that looks like a part may be somebody's
//! results: of a newer journal than this one, which was restored from a backup, of another state, or
//! of a person who put it there. Such a file is set aside, and people are told.

use std::collections::BTreeMap;

use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::Part;

use super::DamagedPart;
use crate::names::PartName;

/// What the journal knows.
#[derive(Debug, Clone, Default)]
pub struct JournalContents {
    /// The parts that count.
    pub parts: Vec<Part>,
    /// The rows that are in no part, by position: how many there are at each.
    pending: BTreeMap<(TableName, SweepName), BTreeMap<u64, u64>>,
}

/// The rows of a sweep in a table: what one directory of parts holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SweepTable<'a> {
    pub(crate) table: &'a TableName,
    pub(crate) sweep: &'a SweepName,
}

impl SweepTable<'_> {
    /// Whether `part` is one of them.
    pub(crate) fn has(&self, part: &Part) -> bool {
        part.table == *self.table && part.sweep == *self.sweep
    }
}

impl JournalContents {
    /// Knows these parts, and no pending rows yet.
    pub fn new(parts: Vec<Part>) -> Self {
        Self { parts, pending: BTreeMap::new() }
    }

    /// Notes that `rows` rows at `position` are in no part.
    pub fn add_pending(&mut self, table: TableName, sweep: SweepName, position: u64, rows: u64) {
        *self.pending.entry((table, sweep)).or_default().entry(position).or_default() += rows;
    }

    /// Whether a file with so many rows holds pending rows and nothing else: an interrupted write
    /// left it. Its name says the first and, in a directory, the last position of its rows.
    pub(crate) fn is_pending(
        &self,
        of: SweepTable<'_>,
        first: u64,
        last: Option<u64>,
        rows: u64,
    ) -> bool {
        let Some(pending) = self.pending.get(&(of.table.clone(), of.sweep.clone())) else {
            return false;
        };
        if !pending.contains_key(&first) {
            return false;
        }
        let mut sum = 0;
        let mut ends = pending.range(first..).filter_map(|(position, count)| {
            sum += count;
            (sum == rows).then_some(*position)
        });
        match last {
            None => ends.next().is_some(),
            Some(last) => ends.any(|end| end == last),
        }
    }

    /// Whether the rows of a staged file are in parts that the journal names: the file is what a
    /// compaction has replaced, or was going to replace them with.
    pub(crate) fn is_covered(&self, of: SweepTable<'_>, name: PartName) -> bool {
        let parts = || self.parts.iter().filter(|part| of.has(part));
        let within = |part: &Part| part.first <= name.first && name.last <= part.last;
        let begins = parts().any(|part| part.first == name.first);
        let ends = parts().any(|part| part.last == name.last);
        parts().any(within) || (begins && ends)
    }
}

/// What was done to bring the files in step with the journal, by their paths in the dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Files whose rows are elsewhere; they were removed.
    pub removed: Vec<String>,
    /// Files with rows that the journal does not know.
    pub set_aside: Vec<String>,
    /// The place to which those were moved.
    pub aside: Option<String>,
    /// Parts that are not whole. Nothing of their sweep and table was changed.
    pub damaged: Vec<DamagedPart>,
}

#[cfg(test)]
mod tests {
    use rheo_core::part::TrialRanges;

    use super::*;

    fn demo() -> SweepName {
        SweepName::parse("demo").unwrap()
    }

    #[test]
    fn a_file_is_pending_only_if_its_rows_are_exactly_those_of_its_positions() {
        let mut known = JournalContents::default();
        for (position, rows) in [(3, 2), (5, 0), (7, 4)] {
            known.add_pending(TableName::of("epochs"), demo(), position, rows);
        }
        let (epochs, sweep) = (TableName::of("epochs"), demo());
        let of = SweepTable { table: &epochs, sweep: &sweep };
        let check = |(first, last), rows| known.is_pending(of, first, last, rows);
        assert!(check((3, Some(7)), 6) && check((3, None), 6) && check((3, Some(5)), 2));
        assert!(check((3, Some(3)), 2) && check((7, None), 4));
        for (range, rows) in [
            ((3, Some(7)), 5),
            ((3, Some(8)), 6),
            ((2, Some(7)), 6),
            ((4, None), 4),
            ((3, None), 3),
            ((3, None), 7),
        ] {
            assert!(!check(range, rows), "{range:?} {rows}");
        }
        let other = SweepTable { table: &TableName::TRIALS, sweep: &sweep };
        assert!(!known.is_pending(other, 3, Some(7), 6), "another table");
    }

    #[test]
    fn a_staged_file_is_covered_by_what_it_was_made_of_or_has_become() {
        let part = |first, last, generation| {
            let (table, sweep) = (TableName::of("epochs"), demo());
            let (digest, trials) = (None, TrialRanges::default());
            Part { table, sweep, first, last, generation, rows: 1, bytes: 1, digest, trials }
        };
        let known = JournalContents::new(vec![part(1, 4, 0), part(5, 9, 1)]);
        let check = |first, last| {
            let (table, sweep) = (&TableName::of("epochs"), &demo());
            known.is_covered(SweepTable { table, sweep }, PartName { first, last, generation: 1 })
        };
        assert!(check(1, 9), "both merged");
        assert!(check(5, 6), "merged into the second");
        assert!(!check(1, 12) && !check(10, 12) && !check(0, 4));
    }
}
