//! Stray files: files that look like parts but that the journal does not name.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::disk::DatasetDisk;
use super::{Error, RecoveryReport};

/// Removes and sets aside the stray files of one recovery.
pub(super) struct StrayFiles<'a> {
    disk: &'a DatasetDisk,
    /// The suffix of the name of the directory for files set aside.
    ending: &'a str,
    pub(super) recovered: RecoveryReport,
    /// The directory for files set aside, created for the first one.
    aside: Option<PathBuf>,
}

impl<'a> StrayFiles<'a> {
    pub(super) fn new(disk: &'a DatasetDisk, ending: &'a str) -> Self {
        Self { disk, ending, recovered: RecoveryReport::default(), aside: None }
    }

    /// Removes a file whose rows are elsewhere.
    pub(super) fn remove(&mut self, path: String) -> Result<(), Error> {
        self.disk.remove(&path)?;
        self.recovered.removed.push(path);
        Ok(())
    }

    /// Moves a file out of the dataset, to `name` in the directory for files set aside.
    pub(super) fn set_aside(&mut self, path: &str, name: &str) -> Result<(), Error> {
        let directory =
            self.aside.get_or_insert_with(|| directory(&self.disk.path(""), self.ending));
        self.disk.move_out(path, &directory.join(name))?;
        self.recovered.aside = Some(directory.display().to_string());
        self.recovered.set_aside.push(path.to_owned());
        Ok(())
    }
}

/// A new directory beside the dataset, or hidden inside it, if the one beside would be on another file
/// system or cannot be created.
fn directory(root: &Path, ending: &str) -> PathBuf {
    // If the dataset is a symbolic link, beside its target.
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let beside = root.parent().zip(root.file_name()).and_then(|(parent, name)| {
        let is_one_file_system =
            fs::metadata(parent).ok()?.dev() == fs::metadata(&root).ok()?.dev();
        let path = free(&parent.join(format!("{}.{ending}", name.to_string_lossy())));
        (is_one_file_system && fs::create_dir(&path).is_ok()).then_some(path)
    });
    beside.unwrap_or_else(|| free(&root.join(format!(".{ending}"))))
}

/// `path`, or the first of `path-2`, `path-3` and so on that does not exist.
fn free(path: &Path) -> PathBuf {
    let numbered = |number: u32| PathBuf::from(format!("{}-{number}", path.display()));
    let names = std::iter::once(path.to_owned()).chain((2..1000).map(numbered));
    names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| numbered(1000))
}
