//! Parts: the immutable Parquet files of the results. A part counts if and only if the journal
//! names it.
//!
//! A part is named for the journal positions of its rows, `part-<first>-<last>.parquet`. So names
//! sort by age, and no two parts of a sweep share one. Compaction writes a higher generation than
//! it reads, so it never reuses the name of a file that it replaces.

use serde::{Deserialize, Serialize};

use crate::id::{Digest, SweepName, TrialId};
use crate::name::TableName;

/// A part: a file of rows of one table and one sweep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Part {
    /// The table.
    pub table: TableName,
    /// The sweep.
    pub sweep: SweepName,
    /// The journal position of its oldest row.
    pub first: u64,
    /// The journal position of its newest row. Parts of one table and sweep do not overlap.
    pub last: u64,
    /// The number of times that its rows have been compacted.
    pub generation: u32,
    /// The number of rows.
    pub rows: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The BLAKE3 digest of the file; none in parts of older versions.
    ///
    /// The journal finds a part by its encoded form, so a field that older versions did not record
    /// must not be encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The trials that may have rows in the part; empty in parts of older versions.
    #[serde(default, skip_serializing_if = "TrialRanges::is_empty")]
    pub trials: TrialRanges,
}

impl Part {
    /// Returns the directory of the parts of `sweep` in `table`, in Hive's naming.
    pub fn directory(table: &TableName, sweep: &SweepName) -> String {
        format!("{table}/sweep={sweep}")
    }

    /// Returns the file name.
    pub fn name(&self) -> String {
        let (first, last) = (self.first, self.last);
        match self.generation {
            0 => format!("part-{first:012}-{last:012}.parquet"),
            generation => format!("part-{first:012}-{last:012}.c{generation}.parquet"),
        }
    }

    /// Returns the path of the file in the results.
    pub fn path(&self) -> String {
        format!("{}/{}", Self::directory(&self.table, &self.sweep), self.name())
    }
}

impl Part {
    /// Whether the part may hold rows of trial `index`.
    pub fn may_hold(&self, index: u64) -> bool {
        self.trials.is_empty() || self.trials.contains(index)
    }
}

/// A set of trials as ranges. It is exact while there are few ranges; then the closest ranges are
/// joined, so the set stays small and never lacks a trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrialRanges(Vec<(u64, u64)>);

impl TrialRanges {
    /// The largest number of ranges.
    pub const MOST: usize = 64;

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether trial `index` is in the set or in a joined gap.
    pub fn contains(&self, index: u64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&index))
    }

    /// Adds trial `index`. Trials must be added in ascending order, as they are in a part.
    pub fn insert(&mut self, index: u64) {
        match self.0.last_mut() {
            Some((first, last)) if index <= last.saturating_add(1) => {
                *first = index.min(*first);
                *last = index.max(*last);
            }
            _ => self.0.push((index, index)),
        }
        if self.0.len() > Self::MOST {
            self.join_closest();
        }
    }

    fn join_closest(&mut self) {
        let gap = |pair: &[(u64, u64)]| pair[1].0.saturating_sub(pair[0].1);
        let gaps = self.0.windows(2).map(gap);
        if let Some((at, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) {
            let (_, last) = self.0.remove(at + 1);
            self.0[at].1 = last;
        }
    }
}

/// A retraction of rows of a trial that were journaled before the position `before`: its row in
/// `trials`, because the trial is retried, or all its rows, because it starts over.
///
/// Parts and batches at later positions are not affected. A part with positions on both sides was
/// written after the retraction, and its writer left the row out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Retraction {
    /// The trial.
    pub trial: TrialId,
    /// The journal position of the retraction.
    pub before: u64,
    /// Whether the rows of every table are retracted, and not only the one in `trials`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub every_table: bool,
}

impl Retraction {
    /// Whether the retraction concerns rows of `sweep` in `table`.
    pub fn concerns(&self, table: &TableName, sweep: &SweepName) -> bool {
        (self.every_table || *table == TableName::TRIALS) && self.trial.sweep == *sweep
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_exact_while_they_are_few() {
        let mut ranges = TrialRanges::default();
        for index in [3, 3, 4, 5, 9, 11] {
            ranges.insert(index);
        }
        assert_eq!(ranges.0, [(3, 5), (9, 9), (11, 11)]);
        let held: Vec<u64> = (0..20).filter(|index| ranges.contains(*index)).collect();
        assert_eq!(held, [3, 4, 5, 9, 11]);
    }

    #[test]
    fn many_ranges_stay_bounded_and_lack_no_trial() {
        let mut ranges = TrialRanges::default();
        let indices: Vec<u64> = (0..1000).map(|n| n * n).collect();
        for index in &indices {
            ranges.insert(*index);
        }
        assert_eq!(ranges.0.len(), TrialRanges::MOST);
        assert!(indices.iter().all(|index| ranges.contains(*index)));
        assert!(!ranges.contains(999 * 999 - 1), "wide gaps stay open");
    }

    #[test]
    fn what_an_older_version_wrote_is_encoded_as_it_was() {
        let old = r#"{"table":"epochs","sweep":"demo","first":1,"last":2,"generation":0,"rows":3,"bytes":4}"#;
        let part: Part = serde_json::from_str(old).unwrap();
        assert_eq!((part.digest, part.may_hold(7)), (None, true));
        assert_eq!(serde_json::to_string(&part).unwrap(), old);
        let old = r#"{"trial":{"sweep":"demo","index":1},"before":2}"#;
        let retraction: Retraction = serde_json::from_str(old).unwrap();
        assert!(retraction.concerns(&TableName::TRIALS, &part.sweep));
        assert!(!retraction.concerns(&TableName::of("epochs"), &part.sweep));
        assert_eq!(serde_json::to_string(&retraction).unwrap(), old);
    }
}
