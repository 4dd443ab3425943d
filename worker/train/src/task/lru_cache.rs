//! A least-recently-used cache of sample sets in memory; each set is made once.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// Limit of cached bytes, for images and texts each; MNIST takes a quarter. Sets in use stay in
/// memory beyond it.
pub(super) const CAPACITY: usize = 1 << 30;

/// Type whose memory use the cache can measure.
pub(super) trait ByteSize {
    /// Returns the bytes of memory.
    fn bytes(&self) -> usize;
}

/// Sets of one type by key, most recently used first.
pub(super) struct LruCache<K, T>(Mutex<Vec<(K, Arc<CacheSlot<T>>)>>);

/// Slot of one set; empty while the set is being made, when other callers wait for it.
type CacheSlot<T> = Mutex<Option<Arc<T>>>;

// By hand: the derived one would require `K: Default` and `T: Default`.
impl<K, T> Default for LruCache<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, T: ByteSize> LruCache<K, T> {
    /// Returns the set of `key`; calls `make` if it is not cached.
    pub(super) fn get(
        &self,
        key: K,
        make: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let slot = self.slot(key);
        // A panic in `make` leaves the slot empty, so poisoning can be ignored.
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

    /// Removes the least recently used sets beyond the limit, and empty slots.
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
