//! Arrays in their own memory or in a mapped file, with the same interface.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

/// A read-only array of numbers.
pub(super) enum NumberArray<T> {
    /// In memory of its own.
    Owned(Vec<T>),
    /// In a mapped file.
    Mapped(MappedSection<T>),
}

/// A section of a mapped file that holds numbers of one type.
pub(super) struct MappedSection<T> {
    map: Arc<Mmap>,
    bytes: Range<usize>,
    of: PhantomData<T>,
}

impl<T: Pod> NumberArray<T> {
    /// Returns the numbers in some bytes of a file; none if the bytes are out of range, misaligned,
    /// or not a whole number of elements.
    pub(super) fn mapped(map: &Arc<Mmap>, bytes: Range<usize>) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, T>(map.get(bytes.clone())?).ok()?;
        Some(Self::Mapped(MappedSection { map: Arc::clone(map), bytes, of: PhantomData }))
    }

    /// Returns the bytes of memory that only this array uses.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Owned(values) => size_of_val(values.as_slice()),
            Self::Mapped(_) => 0,
        }
    }
}

impl<T: Pod> Deref for NumberArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(values) => values,
            // Both were checked on creation, and a mapping does not change.
            Self::Mapped(MappedSection { map, bytes, .. }) => {
                let bytes = map.get(bytes.clone()).unwrap_or_default();
                bytemuck::try_cast_slice(bytes).unwrap_or_default()
            }
        }
    }
}

impl<T> From<Vec<T>> for NumberArray<T> {
    fn from(values: Vec<T>) -> Self {
        Self::Owned(values)
    }
}

impl<T: Pod> fmt::Debug for NumberArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = if matches!(self, Self::Owned(_)) { "memory" } else { "a file" };
        write!(f, "{} numbers in {file}", self.len())
    }
}
