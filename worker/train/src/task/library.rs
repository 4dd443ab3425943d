//! The samples that the trials of a process share: each set is read or generated once and kept for
//! the next trial, up to a bound on memory. What is read from files is shared with other processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rheo_model::config;

use super::corpus::{self, Corpus};
use super::images::{DigitSet, FileHalf, ImageSamples};
use super::lru_cache::LruCache;
use super::store::{SampleArrays, SampleRecipe, SampleStore};
use crate::Error;

/// Where samples come from, for all trials of a process.
#[derive(Default)]
pub struct SampleLibrary {
    data: Option<PathBuf>,
    store: SampleStore,
    images: LruCache<ImageKey, ImageSamples>,
    texts: LruCache<corpus::CorpusKey, Corpus>,
}

/// The directories of a worker.
#[derive(Debug, Clone, Default)]
pub struct DataDirs {
    /// Where data files are, for tasks that do not say it.
    pub data: Option<PathBuf>,
    /// Where samples are kept once they are decoded, to be mapped by all workers of a machine;
    /// without it each decodes them into its own memory.
    pub samples: Option<PathBuf>,
}

/// What determines a set of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImageKey {
    /// Generated digits.
    Digits(DigitSet),
    /// Files of a set.
    Files {
        /// The set.
        set: &'static str,
        /// The directory that was asked for.
        directory: PathBuf,
        /// Side of the squares that are averaged.
        pool: u32,
        /// Which files.
        half: FileHalf,
    },
}

impl SampleLibrary {
    /// A library in these directories.
    pub fn new(places: DataDirs) -> Self {
        Self { data: places.data, store: SampleStore::new(places.samples), ..Self::default() }
    }

    /// Where data files are, for tasks that do not say it.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// Where the files of `task` are.
    pub(super) fn directory(&self, task: &config::Task) -> Option<PathBuf> {
        task.data.as_ref().map(PathBuf::from).or_else(|| self.data.clone())
    }

    /// The images of `key`, made by `make` if no earlier trial did.
    pub(super) fn get(
        &self,
        key: ImageKey,
        make: impl FnOnce() -> Result<ImageSamples, Error>,
    ) -> Result<Arc<ImageSamples>, Error> {
        self.images.get(key, make)
    }

    /// The samples of `recipe`, decoded by `decode` if no worker of the machine did.
    pub(super) fn get_or_decode<T: SampleArrays>(
        &self,
        recipe: &SampleRecipe<'_>,
        decode: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.store.get_or_decode(recipe, decode)
    }

    /// The texts of `key`, made by `make` if no earlier trial did.
    pub(super) fn text(
        &self,
        key: corpus::CorpusKey,
        make: impl FnOnce() -> Result<Corpus, Error>,
    ) -> Result<Arc<Corpus>, Error> {
        self.texts.get(key, make)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;
    use crate::task::lru_cache::CAPACITY;

    fn key(pool: u32) -> ImageKey {
        ImageKey::Files { set: "mnist", directory: PathBuf::new(), pool, half: FileHalf::Test }
    }

    fn samples(pixels: usize) -> ImageSamples {
        ImageSamples { pixels: vec![0.0; pixels].into(), scale: 1.0, labels: Vec::new().into() }
    }

    #[test]
    fn a_set_is_made_once_even_by_trials_side_by_side() {
        let library = SampleLibrary::default();
        let made = std::sync::atomic::AtomicU32::new(0);
        let get = || {
            let make = || {
                made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Ok(samples(8))
            };
            library.get(key(1), make).map(|samples| Arc::as_ptr(&samples) as usize)
        };
        let places: Vec<usize> = thread::scope(|scope| {
            let running: Vec<_> = (0..4).map(|_| scope.spawn(get)).collect();
            running.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        assert!(places.iter().all(|file| *file == places[0]));
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn what_was_not_used_for_longest_is_forgotten_beyond_the_bound() {
        let library = SampleLibrary::default();
        let made = Cell::new(0);
        let get = |pool| {
            let make = || {
                made.set(made.get() + 1);
                Ok(samples(CAPACITY / 4 / 5 * 2))
            };
            library.get(key(pool), make).unwrap();
            made.get()
        };
        // Two sets fit, a third does not; set 1 is used again before the third comes.
        assert_eq!([get(1), get(2), get(1), get(3), get(1), get(3)], [1, 2, 2, 3, 3, 3]);
        assert_eq!(get(2), 4);
    }

    #[test]
    fn a_set_that_could_not_be_made_is_tried_again() {
        let library = SampleLibrary::default();
        let failed = library.get(key(1), || Err(Error::Memory { what: "a test", bytes: 1 }));
        assert!(failed.is_err());
        assert!(library.get(key(1), || Ok(samples(1))).is_ok());
    }
}
