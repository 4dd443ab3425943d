//! Sets of samples in memory, each made once and kept for the next trial up to a bound.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// Bytes that are kept for later trials, of images and of texts each; all of MNIST takes a quarter. Sets in use live
/// on whatever this says.
pub(super) const CAPACITY: usize = 1 << 30;

/// What a shelf can hold.
pub(super) trait ByteSize {
    /// Bytes of memory.
    fn bytes(&self) -> usize;
}

/// The sets of one type with what determines each, the most recently used first.
pub(super) struct LruCache<K, T>(Mutex<Vec<(K, Arc<CacheSlot<T>>)>>);

/// One set: empty while it is being made. Who comes meanwhile waits for it.
type CacheSlot<T> = Mutex<Option<Arc<T>>>;

// By hand: a derived one would ask for defaults of the types.
impl<K, T> Default for LruCache<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, T: ByteSize> LruCache<K, T> {
    /// The set of `key`, made by `make` if it is not there.
    pub(super) fn get(
        &self,
        key: K,
        make: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let slot = self.slot(key);
        // A panic while a set was made leaves it empty, hence poison means nothing here.
        let mut content = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = &*content {
            return Ok(Arc::clone(set));
        }
        let set = Arc::new(make()?);
        *content = Some(Arc::clone(&set));
        drop(content);
        drop(slot);
        self.evict();
        Ok(set)
    }

    fn slot(&self, key: K) -> Arc<CacheSlot<T>> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cache.iter().position(|(other, _)| *other == key);
        let entry = match found {
            Some(position) => cache.remove(position),
            None => (key, Arc::default()),
        };
        let slot = Arc::clone(&entry.1);
        cache.insert(0, entry);
        slot
    }

    /// Forgets the sets that were not used for longest, beyond the bound, and those that could not
    /// be made.
    fn evict(&self) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = 0;
        cache.retain(|(_, slot)| {
            if Arc::strong_count(slot) > 1 {
                return true;
            }
            let content = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(set) = &*content else { return false };
            total += set.bytes();
            total <= CAPACITY
        });
    }
}
