//! Rows that the journal knows, and the decision whether to remove or keep an unnamed file.
//!
//! A file may be removed only if no row is lost: every row is pending in the journal or in a part
//! that the journal names. Any other file that looks like a part may hold results: of a newer journal,
//! where this one was restored from a backup, of another state, or of a user. Such a file is set aside
//! and reported.

use std::collections::BTreeMap;

use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::Part;

use super::DamagedPart;
use crate::names::PartName;

/// The parts and the pending rows of a journal.
#[derive(Debug, Clone, Default)]
pub struct JournalContents {
    /// The valid parts.
    pub parts: Vec<Part>,
    /// The numbers of pending rows, by position.
    pending: BTreeMap<(TableName, SweepName), BTreeMap<u64, u64>>,
}

/// A sweep in a table: the content of one directory of parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SweepTable<'a> {
    pub(crate) table: &'a TableName,
    pub(crate) sweep: &'a SweepName,
}

impl SweepTable<'_> {
    /// Whether `part` belongs to this sweep and table.
    pub(crate) fn has(&self, part: &Part) -> bool {
        part.table == *self.table && part.sweep == *self.sweep
    }
}

impl JournalContents {
    /// The contents of a journal with `parts` and no pending rows.
    pub fn new(parts: Vec<Part>) -> Self {
        Self { parts, pending: BTreeMap::new() }
    }

    /// Adds `rows` pending rows at `position`.
    pub fn add_pending(&mut self, table: TableName, sweep: SweepName, position: u64, rows: u64) {
        *self.pending.entry((table, sweep)).or_default().entry(position).or_default() += rows;
    }

    /// Whether a file with `rows` rows holds only pending rows, as an interrupted write leaves it.
    /// `first` and, in a directory, `last` are the positions in its name.
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

    /// Whether the rows of a staged file are in valid parts: a compaction has replaced the file, or
    /// has prepared it as a replacement.
    pub(crate) fn is_covered(&self, of: SweepTable<'_>, name: PartName) -> bool {
        let parts = || self.parts.iter().filter(|part| of.has(part));
        let within = |part: &Part| part.first <= name.first && name.last <= part.last;
        let begins = parts().any(|part| part.first == name.first);
        let ends = parts().any(|part| part.last == name.last);
        parts().any(within) || (begins && ends)
    }
}

/// The changes of a recovery, as paths in the dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Removed files, whose rows are elsewhere.
    pub removed: Vec<String>,
    /// Files with unknown rows, which were set aside.
    pub set_aside: Vec<String>,
    /// The folder of the files that were set aside.
    pub aside: Option<String>,
    /// Missing or damaged parts. Nothing was changed in their sweep and table.
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
    fn a_file_is_pending_if_its_rows_match_its_positions() {
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
    fn a_staged_file_is_covered_by_its_sources_or_its_merge() {
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
