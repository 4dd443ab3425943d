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

    /// Returns the value of `index` for modification.
    pub(crate) fn get_mut(&mut self, index: u64) -> Option<&mut T> {
        let value = self.entries.get_mut(&index)?;
        self.changed.insert(index / CHUNK_INDICES);
        Some(value)
    }

    /// Returns the value of `index` for modification; inserts that of `make` if there is none.
    pub(crate) fn get_or_insert_with(&mut self, index: u64, make: impl FnOnce() -> T) -> &mut T {
        self.changed.insert(index / CHUNK_INDICES);
        self.entries.entry(index).or_insert_with(make)
    }

    /// Changes every value that is `wanted`.
    pub(crate) fn change_each(
        &mut self,
        wanted: impl Fn(&T) -> bool,
        mut change: impl FnMut(u64, &mut T),
    ) {
        for (index, value) in self.entries.iter_mut().filter(|(_, value)| wanted(value)) {
            self.changed.insert(index / CHUNK_INDICES);
            change(*index, value);
        }
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

    /// Records that chunk `number` is stored as it is now.
    pub(crate) fn mark_stored(&mut self, number: u64) {
        self.changed.remove(&number);
    }

    /// Records that every chunk is stored as it is now.
    pub(crate) fn mark_all_stored(&mut self) {
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
        map.mark_stored(3);
        assert_eq!(changed(&map), [0]);
        map.mark_all_stored();
        assert!(changed(&map).is_empty());
        assert_eq!(map.remove(5), None);
        assert!(changed(&map).is_empty());
        assert_eq!(map.remove(3 * CHUNK_INDICES), Some('a'));
        *map.get_or_insert_with(2 * CHUNK_INDICES, || 'a') = 'b';
        assert_eq!(changed(&map), [2, 3]);
        map.mark_all_stored();
        assert_eq!(map.get_mut(5), None);
        map.change_each(|value| *value == 'b', |_, value| *value = 'c');
        assert_eq!(changed(&map), [2]);
        assert_eq!(map.chunk(2), [(2 * CHUNK_INDICES, &'c')]);
        assert_eq!(map.chunk(3), []);
    }
}
