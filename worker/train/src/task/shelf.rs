//! Sets of samples in memory, each made once and kept for the next trial up to a bound.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// Bytes that are kept for later trials, of images and of texts each; all of MNIST takes a quarter. Sets in use live
/// on whatever this says.
pub(super) const KEPT: usize = 1 << 30;

/// What a shelf can hold.
pub(super) trait Weigh {
    /// Bytes of memory.
    fn bytes(&self) -> usize;
}

/// The sets of one type with what determines each, the most recently used first.
pub(super) struct Shelf<K, T>(Mutex<Vec<(K, Arc<Book<T>>)>>);

/// One set: empty while it is being made. Who comes meanwhile waits for it.
type Book<T> = Mutex<Option<Arc<T>>>;

// By hand: a derived one would ask for defaults of the types.
impl<K, T> Default for Shelf<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, T: Weigh> Shelf<K, T> {
    /// The set of `key`, made by `make` if it is not there.
    pub(super) fn get(
        &self,
        key: K,
        make: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let book = self.book(key);
        // A panic while a set was made leaves it empty, hence poison means nothing here.
        let mut page = book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = &*page {
            return Ok(Arc::clone(set));
        }
        let set = Arc::new(make()?);
        *page = Some(Arc::clone(&set));
        drop(page);
        drop(book);
        self.tidy();
        Ok(set)
    }

    fn book(&self, key: K) -> Arc<Book<T>> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shelf.iter().position(|(other, _)| *other == key);
        let entry = match found {
            Some(place) => shelf.remove(place),
            None => (key, Arc::default()),
        };
        let book = Arc::clone(&entry.1);
        shelf.insert(0, entry);
        book
    }

    /// Forgets the sets that were not used for longest, beyond the bound, and those that could not
    /// be made.
    fn tidy(&self) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = 0;
        shelf.retain(|(_, book)| {
            if Arc::strong_count(book) > 1 {
                return true;
            }
            let page = book.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(set) = &*page else { return false };
            total += set.bytes();
            total <= KEPT
        });
    }
}
