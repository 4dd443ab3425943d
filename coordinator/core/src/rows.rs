//! Rows of results as the state machine sees them: counted by table, and opaque otherwise.
//!
//! A trial produces each row once, in a fixed order. Therefore a trial that starts over can skip
//! the rows that are already durable.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::name::TableName;

/// Rows of one table, as a self-describing Arrow IPC stream that is opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowBatch {
    /// The table.
    pub table: TableName,
    /// The number of rows.
    pub rows: u64,
    /// The rows.
    pub ipc: Bytes,
}

/// The numbers of rows of a trial in the tables that its trainer fills. Tables without rows are
/// absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowCounts(BTreeMap<TableName, u64>);

impl RowCounts {
    /// Counts the rows of `batches`.
    pub fn of(batches: &[RowBatch]) -> Self {
        batches.iter().map(|batch| (batch.table.clone(), batch.rows)).collect()
    }

    /// Returns the number of rows in `table`.
    pub fn get(&self, table: &TableName) -> u64 {
        self.0.get(table).copied().unwrap_or(0)
    }

    /// Returns the number of rows of each table that has any.
    pub fn by_table(&self) -> impl Iterator<Item = (&TableName, u64)> {
        self.0.iter().map(|(table, count)| (table, *count))
    }

    /// Returns the number of rows in all tables together.
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds `other` table by table.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.joined(other, u64::saturating_add)
    }

    /// Subtracts `other` table by table, down to zero.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        self.joined(other, u64::saturating_sub)
    }

    /// Returns the larger number for each table.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        self.joined(other, u64::max)
    }

    fn joined(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let tables = self.0.keys().chain(other.0.keys());
        let counts = tables.map(|table| (table.clone(), join(self.get(table), other.get(table))));
        Self(counts.filter(|(_, count)| *count > 0).collect())
    }
}

/// Sums the counts of each table; tables filled by the coordinator do not count.
impl FromIterator<(TableName, u64)> for RowCounts {
    fn from_iter<I: IntoIterator<Item = (TableName, u64)>>(counts: I) -> Self {
        let mut all = BTreeMap::<TableName, u64>::new();
        for (table, count) in counts {
            if count > 0 && !table.is_of_coordinator() {
                let sum = all.entry(table).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&'static str, u64)]) -> RowCounts {
        counts.iter().map(|(table, count)| (TableName::of(table), *count)).collect()
    }

    #[test]
    fn counts_are_compared_table_by_table() {
        let (one, other) = (counts(&[("a", 3), ("b", 1)]), counts(&[("a", 1), ("c", 2)]));
        assert_eq!(one.plus(&other), counts(&[("a", 4), ("b", 1), ("c", 2)]));
        assert_eq!(one.beyond(&other), counts(&[("a", 2), ("b", 1)]));
        assert_eq!(one.max(&other), counts(&[("a", 3), ("b", 1), ("c", 2)]));
        assert_eq!(one.total(), 4);
        assert_eq!(one.beyond(&one), RowCounts::default());
    }

    #[test]
    fn tables_of_the_coordinator_do_not_count() {
        assert_eq!(counts(&[("trials", 5), ("logs", 1), ("a", 0)]), RowCounts::default());
    }
}
