//! Parts: the immutable Parquet files of the results, by name. A part counts if and only if the
//! journal names it.
//!
//! A part is named for the journal positions of its rows, `part-<first>-<last>.parquet`, so that
//! names sort by age and two parts of a sweep never share one. What compaction writes has a
//! generation more than what it read, so it never has the name of a file it replaces.

use serde::{Deserialize, Serialize};

use crate::id::{SweepName, TrialId};
use crate::row::Table;

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
    /// The directory of the parts of `sweep` in `table`, in the form that Hive readers know.
    pub fn directory(table: Table, sweep: &SweepName) -> String {
        format!("{}/sweep={sweep}", table.name())
    }

    /// The name of the file.
    pub fn name(&self) -> String {
        let (first, last) = (self.first, self.last);
        match self.generation {
            0 => format!("part-{first:012}-{last:012}.parquet"),
            generation => format!("part-{first:012}-{last:012}.c{generation}.parquet"),
        }
    }

    /// The path of the file in the results.
    pub fn path(&self) -> String {
        format!("{}/{}", Self::directory(self.table, &self.sweep), self.name())
    }
}

/// Says that a trial was tried again after it had ended: its row in `trials` no longer counts where
/// it was journaled before `before`.
///
/// A part or batch at later positions is not affected. A part that has positions on both sides was
/// written after the retraction, and its writer left the row out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Retraction {
    /// The trial.
    pub trial: TrialId,
    /// The journal position of the retraction.
    pub before: u64,
}
