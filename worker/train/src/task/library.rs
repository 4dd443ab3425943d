//! Samples shared by the trials of a process: each set is read or generated once and kept for later
//! trials, up to a memory limit. Samples read from files are shared with other processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rheo_model::config;

use super::corpus::{self, Corpus};
use super::images::{DigitSet, FileHalf, ImageSamples};
use super::lru_cache::LruCache;
use super::store::{SampleArrays, SampleRecipe, SampleStore};
use crate::Error;

/// Source of samples for all trials of a process.
#[derive(Default)]
pub struct SampleLibrary {
    data: Option<PathBuf>,
    store: SampleStore,
    images: LruCache<ImageKey, ImageSamples>,
    texts: LruCache<corpus::CorpusKey, Corpus>,
}

/// Data directories of a worker.
#[derive(Debug, Clone, Default)]
pub struct DataDirs {
    /// Directory of data files, for tasks that name none.
    pub data: Option<PathBuf>,
    /// Directory of decoded samples that all workers of a machine map; without it each worker
    /// decodes them into its own memory.
    pub samples: Option<PathBuf>,
}

/// Key of a set of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImageKey {
    /// Generated digits.
    Digits(DigitSet),
    /// Files of a data set.
    Files {
        /// Name of the data set.
        set: &'static str,
        /// Configured directory.
        directory: PathBuf,
        /// Side of the squares that are averaged, in pixels.
        pool: u32,
        /// Training or test files.
        half: FileHalf,
    },
}

impl SampleLibrary {
    /// Returns an empty library with these directories.
    pub fn new(places: DataDirs) -> Self {
        Self { data: places.data, store: SampleStore::new(places.samples), ..Self::default() }
    }

    /// Returns the directory of data files for tasks that name none.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// Returns the data directory of `task`.
    pub(super) fn directory(&self, task: &config::Task) -> Option<PathBuf> {
        task.data.as_ref().map(PathBuf::from).or_else(|| self.data.clone())
    }

    /// Returns the images of `key`; calls `make` if they are not cached.
    pub(super) fn get(
        &self,
        key: ImageKey,
        make: impl FnOnce() -> Result<ImageSamples, Error>,
    ) -> Result<Arc<ImageSamples>, Error> {
        self.images.get(key, make)
    }

    /// Returns the samples of `recipe`; calls `decode` if no worker of the machine has decoded
    /// them.
    pub(super) fn get_or_decode<T: SampleArrays>(
        &self,
        recipe: &SampleRecipe<'_>,
        decode: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.store.get_or_decode(recipe, decode)
    }

    /// Returns the texts of `key`; calls `make` if they are not cached.
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
    fn concurrent_trials_make_a_set_once() {
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
    fn the_least_recently_used_set_is_evicted_beyond_the_limit() {
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
        // Two sets fit, a third does not; set 1 is used again before the third is made.
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
