//! The samples that the trials of a process share: each set is read or generated once and kept for
//! the next trial, up to a bound on memory.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rheo_core::config;

use super::digits;
use super::images::Samples;
use super::mnist::Half;
use crate::Error;

/// Bytes of samples that are kept for later trials; all of MNIST takes a quarter. Sets in use live
/// on whatever this says.
const KEPT: usize = 1 << 30;

/// Where samples come from, for all trials of a process.
#[derive(Default)]
pub struct Library {
    directory: Option<PathBuf>,
    /// The most recently used first.
    shelf: Mutex<Vec<(Key, Arc<Book>)>>,
}

/// One set: empty while it is being made. Who comes meanwhile waits for it.
type Book = Mutex<Option<Arc<Samples>>>;

/// What determines a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// Generated digits.
    Digits(digits::Set),
    /// A pair of MNIST files.
    Mnist {
        /// The directory that was asked for.
        directory: PathBuf,
        /// Side of the squares that are averaged.
        pool: u32,
        /// Which pair.
        half: Half,
    },
}

impl Library {
    /// A library that finds data files in `directory` unless a task says otherwise.
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self {
            directory,
            shelf: Mutex::default(),
        }
    }

    /// Where the files of `task` are.
    pub(super) fn directory(&self, task: &config::Task) -> Option<PathBuf> {
        task.data
            .as_ref()
            .map(PathBuf::from)
            .or_else(|| self.directory.clone())
    }

    /// The set of `key`, made by `make` if no earlier trial did.
    pub(super) fn get(
        &self,
        key: Key,
        make: impl FnOnce() -> Result<Samples, Error>,
    ) -> Result<Arc<Samples>, Error> {
        let book = self.book(key);
        // A panic while a set was made leaves it empty, hence poison means nothing here.
        let mut page = book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(samples) = &*page {
            return Ok(Arc::clone(samples));
        }
        let samples = Arc::new(make()?);
        *page = Some(Arc::clone(&samples));
        drop(page);
        self.tidy();
        Ok(samples)
    }

    fn book(&self, key: Key) -> Arc<Book> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shelf.iter().position(|(other, _)| *other == key);
        let entry = match found {
            Some(place) => shelf.remove(place),
            None => (key, Arc::default()),
        };
        let book = Arc::clone(&entry.1);
        shelf.insert(0, entry);
        book
    }

    /// Forgets the sets that were not used for longest, beyond the bound.
    fn tidy(&self) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = 0;
        shelf.retain(|(_, book)| {
            // A set that is being made right now has a place, whatever its size will be.
            let bytes = book
                .try_lock()
                .map_or(0, |page| page.as_ref().map_or(0, |s| s.bytes()));
            total += bytes;
            total <= KEPT || bytes == 0
        });
    }
}
