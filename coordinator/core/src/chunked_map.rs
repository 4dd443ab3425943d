//! A map by index that is stored in chunks. A chunk is written again only after it changes.
//!
//! Everything that grows with the number of trials is kept in such maps, so that a snapshot of a
//! million trials writes only those that ended since the last one.

use std::collections::BTreeSet;
use std::collections::btree_map::{self, BTreeMap};
use std::ops::Deref;

/// The number of indices per chunk. Larger chunks would be no faster if trials end in order, and
/// slower if changes are spread over the sweep.
pub const CHUNK_INDICES: u64 = 8;

/// A map by index. It dereferences to the inner map; every change marks its chunk as changed.
#[derive(Debug, Clone)]
pub struct ChunkedMap<T> {
    entries: BTreeMap<u64, T>,
    /// The chunks that differ from the journal.
    changed: BTreeSet<u64>,
}

impl<T> ChunkedMap<T> {
    /// Sets the value of `index`.
    pub(crate) fn insert(&mut self, index: u64, value: T) {
        self.changed.insert(index / CHUNK_INDICES);
        self.entries.insert(index, value);
    }

    /// Removes the value of `index`.
    pub(crate) fn remove(&mut self, index: u64) -> Option<T> {
        let removed = self.entries.remove(&index)?;
        self.changed.insert(index / CHUNK_INDICES);
        Some(removed)
    }

    /// Returns the value of `index` for modification; inserts the default if there is none.
    pub(crate) fn entry(&mut self, index: u64) -> &mut T
    where
        T: Default,
    {
        self.changed.insert(index / CHUNK_INDICES);
        self.entries.entry(index).or_default()
    }

    /// Returns the numbers of the changed chunks.
    pub(crate) fn changed(&self) -> impl Iterator<Item = u64> {
        self.changed.iter().copied()
    }

    /// Returns the entries of chunk `number`.
    pub(crate) fn chunk(&self, number: u64) -> Vec<(u64, &T)> {
        let first = number * CHUNK_INDICES;
        let entries = self.entries.range(first..first + CHUNK_INDICES);
        entries.map(|(index, value)| (*index, value)).collect()
    }

    /// Restores the entries of a stored chunk.
    pub(crate) fn restore(&mut self, entries: Vec<(u64, T)>) {
        self.entries.extend(entries);
    }

    /// Records that every chunk is stored as it is now.
    pub(crate) fn mark_stored(&mut self) {
        self.changed.clear();
    }
}

impl<T> Deref for ChunkedMap<T> {
    type Target = BTreeMap<u64, T>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<T> Default for ChunkedMap<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

/// Maps are equal if their entries are, whatever is stored of them.
impl<T: PartialEq> PartialEq for ChunkedMap<T> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<'m, T> IntoIterator for &'m ChunkedMap<T> {
    type Item = (&'m u64, &'m T);
    type IntoIter = btree_map::Iter<'m, u64, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_marks_its_chunk_and_no_other() {
        let mut map = ChunkedMap::default();
        for index in [0, CHUNK_INDICES - 1, 3 * CHUNK_INDICES] {
            map.insert(index, 'a');
        }
        let changed = |map: &ChunkedMap<char>| map.changed().collect::<Vec<u64>>();
        assert_eq!(changed(&map), [0, 3]);
        assert_eq!(map.chunk(0), [(0, &'a'), (CHUNK_INDICES - 1, &'a')]);
        map.mark_stored();
        assert!(changed(&map).is_empty());
        assert_eq!(map.remove(5), None);
        assert!(changed(&map).is_empty());
        assert_eq!(map.remove(3 * CHUNK_INDICES), Some('a'));
        *map.entry(2 * CHUNK_INDICES) = 'b';
        assert_eq!(changed(&map), [2, 3]);
        assert_eq!(map.chunk(3), []);
    }
}
