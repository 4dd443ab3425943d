//! Decoded samples in files that all workers of a machine map.
//!
//! ```text
//! <directory>/<name>.samples        decoded samples, named by all that determines them
//! <directory>/<name>.samples.part   the same while they are written
//! <directory>/lock                  held by who decodes
//! ```
//!
//! A file gets its final name only when it is complete and flushed, and is never written again. A
//! reader checks the header, the length and the digest of the contents; a file that fails is
//! decoded again. If the directory cannot be used, samples are decoded into memory; results do not
//! change. The directory may be removed at any time.

mod layout;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memmap2::Mmap;
use rustix::fs::{FlockOperation, flock};

use crate::Error;
use layout::SampleHeader;

/// Version of the decoding, part of the digest; to be raised when decoded samples change.
const VERSION: u32 = 1;
/// Suffix of finished files.
const ENDING: &str = ".samples";
/// Suffix of files that are being written.
const UNFINISHED: &str = ".samples.part";
/// Lock file, held while decoding.
const LOCK: &str = "lock";

/// Contents of a file: arrays and one number.
pub(super) trait SampleArrays: Sized {
    /// Returns the arrays as bytes, and the number.
    fn parts(&self) -> (Vec<&[u8]>, u64);

    /// Opens the contents from the positions of the arrays in a file; none if they do not fit.
    fn open(map: &Arc<Mmap>, arrays: &[std::ops::Range<usize>], number: u64) -> Option<Self>;
}

/// Identity of decoded samples.
pub(super) struct SampleRecipe<'a> {
    /// Name of the samples and of the decoding.
    pub(super) name: String,
    /// Source files.
    pub(super) files: &'a [PathBuf],
}

impl SampleRecipe<'_> {
    /// Returns a digest of everything that determines the samples.
    fn digest(&self) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&VERSION.to_le_bytes());
        hasher.update(blake3::hash(self.name.as_bytes()).as_bytes());
        for path in self.files {
            let content = blake3::Hasher::new().update_reader(File::open(path)?)?.finalize();
            hasher.update(content.as_bytes());
        }
        Ok(hasher.finalize())
    }
}

/// A directory of decoded samples, if one is configured.
#[derive(Debug, Default)]
pub(super) struct SampleStore {
    directory: Option<PathBuf>,
    /// Whether the warning about an unusable directory was logged.
    has_warned: AtomicBool,
}

impl SampleStore {
    /// Returns a store in `directory`, or one that stores nothing.
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, has_warned: AtomicBool::new(false) }
    }

    /// Returns the samples of `recipe` from a file; decodes and writes them first if needed.
    pub(super) fn get_or_decode<T: SampleArrays>(
        &self,
        recipe: &SampleRecipe<'_>,
        decode: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(directory) = &self.directory else { return decode() };
        // Decoding reports a more precise error for a file that cannot be read.
        let Ok(digest) = recipe.digest() else { return decode() };
        let file = match SampleFile::new(directory, digest) {
            Ok(file) => file,
            Err(error) => {
                self.warn_once(directory, &error);
                return decode();
            }
        };
        if let Some(found) = file.open() {
            return Ok(found);
        }
        // Without a lock several processes may decode the same samples, which is wasteful but
        // harmless.
        let lock = lock(directory).ok();
        if let Some(found) = lock.as_ref().and_then(|_| file.open()) {
            return Ok(found);
        }
        let made = decode()?;
        if recipe.digest().ok() != Some(digest) {
            return Ok(made);
        }
        if lock.is_some() {
            remove_unfinished(directory);
        }
        match file.write(&made) {
            Ok(()) => Ok(file.open().unwrap_or(made)),
            Err(error) => {
                self.warn_once(directory, &error);
                Ok(made)
            }
        }
    }

    /// Logs once that samples stay in memory.
    fn warn_once(&self, directory: &Path, error: &io::Error) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let directory = directory.display();
            tracing::warn!(
                "cannot store decoded samples in `{directory}`, so each worker decodes its own: {error}"
            );
        }
    }
}

/// Number of files that this process has started to write.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// File of the samples of one recipe.
struct SampleFile {
    digest: blake3::Hash,
    path: PathBuf,
    unfinished: PathBuf,
}

impl SampleFile {
    /// Names the file in `directory`, which is created if missing and refused if others can write
    /// to it.
    fn new(directory: &Path, digest: blake3::Hash) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let there = fs::symlink_metadata(directory)?;
        let is_own = there.uid() == rustix::process::geteuid().as_raw();
        if !there.is_dir() || !is_own || there.mode() & 0o022 != 0 {
            let text = "it is not a directory that only this user can write to";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let name = digest.to_hex();
        let at = |ending: &str| directory.join(format!("{}{ending}", &name[..32]));
        // Two writers without a lock must not write to the same file.
        let count = BEGUN.fetch_add(1, Ordering::Relaxed);
        let unfinished = at(&format!(".{}.{count}{UNFINISHED}", std::process::id()));
        Ok(Self { digest, path: at(ENDING), unfinished })
    }

    /// Opens the samples, if they exist and are intact.
    fn open<T: SampleArrays>(&self) -> Option<T> {
        let file = File::open(&self.path).ok()?;
        let found = layout::open(&file, &self.digest).and_then(|(map, header)| {
            let map = Arc::new(map);
            T::open(&map, &header.ranges()?, header.number)
        });
        if found.is_none() {
            let path = self.path.display();
            tracing::info!("`{path}` is damaged or of another version; decoding it again");
        }
        found
    }

    /// Writes samples for [`SampleFile::open`].
    fn write<T: SampleArrays>(&self, samples: &T) -> io::Result<()> {
        let (arrays, number) = samples.parts();
        let mut options = OpenOptions::new();
        let _ = fs::remove_file(&self.unfinished);
        let file = options.write(true).create_new(true).mode(0o600).open(&self.unfinished)?;
        let result =
            layout::write(&file, &SampleHeader::new(&self.digest, &arrays, number)?, &arrays)
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&self.unfinished, &self.path));
        if result.is_err() {
            let _ = fs::remove_file(&self.unfinished);
        }
        result
    }
}

/// Waits until no other process decodes. The lock ends with the file handle or the process.
fn lock(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let path = directory.join(LOCK);
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Removes unfinished files of dead processes; only the holder of the lock writes.
fn remove_unfinished(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
