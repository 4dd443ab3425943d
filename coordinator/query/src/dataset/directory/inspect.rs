//! Integrity checks of the files of a directory.

use std::fs::File;
use std::io::Seek as _;
use std::path::PathBuf;

use rheo_core::part::Part;

use super::super::{DamagedPart, Defect, Error, STAGING, aside, defect_of_rows, integrity};
use super::{DirectoryDataset, DiskError};

impl DirectoryDataset {
    /// The file of a part and its size: in the tree or, around a compaction, in `.staging`. Tries the
    /// tree twice, because the two may be exchanged in between.
    fn locate(&self, part: &Part) -> Result<Option<(PathBuf, u64)>, Error> {
        let tree = part.path();
        for place in [tree.clone(), format!("{STAGING}/{tree}"), tree] {
            if let Some(size) = self.disk.size(&place)? {
                return Ok(Some((self.disk.path(&place), size)));
            }
        }
        Ok(None)
    }

    pub(super) fn damage(&self, part: &Part, defect: Defect) -> DamagedPart {
        let file = self.disk.path(&part.path()).display().to_string();
        DamagedPart { part: part.clone(), file, defect }
    }

    /// See [`super::super::Dataset::find_absent`].
    pub(in crate::dataset) fn find_absent(
        &self,
        parts: &[Part],
    ) -> Result<Vec<DamagedPart>, Error> {
        let mut absent = Vec::new();
        for part in parts {
            let defect = match self.locate(part)? {
                None => Defect::Missing,
                Some((_, size)) if size == part.bytes => continue,
                Some((_, size)) => Defect::Size { found: size },
            };
            absent.push(self.damage(part, defect));
        }
        Ok(absent)
    }

    /// See [`super::super::Dataset::is_gone`].
    pub(in crate::dataset) fn is_gone(&self) -> bool {
        std::fs::read_dir(self.root()).map_or(true, |mut entries| entries.next().is_none())
    }

    /// See [`super::super::Dataset::inspect`].
    pub(in crate::dataset) fn inspect(&self, part: &Part) -> Result<(), Error> {
        let file = self.open(part)?;
        if part.digest.is_some() {
            return Ok(());
        }
        match defect_of_rows(part, file) {
            None => Ok(()),
            Some(defect) => Err(self.damage(part, defect).into()),
        }
    }

    /// Opens the file of a part after checking its digest.
    pub(super) fn open(&self, part: &Part) -> Result<File, Error> {
        let Some((path, _)) = self.locate(part)? else {
            return Err(self.damage(part, Defect::Missing).into());
        };
        let failed = |source| DiskError { action: "open", path: path.clone(), source };
        let mut file = File::open(&path).map_err(failed)?;
        let (digest, length) = match integrity::digest_of(&file) {
            Ok(found) => found,
            // An unreadable file counts as damaged.
            Err(error) => {
                let defect = Defect::Unreadable(error.to_string());
                return Err(self.damage(part, defect).into());
            }
        };
        if let Some(defect) = integrity::defect_of(part, digest, length) {
            return Err(self.damage(part, defect).into());
        }
        file.rewind().map_err(failed)?;
        Ok(file)
    }

    /// See [`super::super::Dataset::set_aside`].
    pub(in crate::dataset) fn set_aside(
        &self,
        part: &Part,
        suffix: &str,
    ) -> Result<Option<String>, Error> {
        let mut moved = None;
        for place in [part.path(), format!("{STAGING}/{}", part.path())] {
            if self.disk.exists(&place) {
                let aside = aside(&place, suffix);
                let directory = aside.rsplit_once('/').map_or("", |(directory, _)| directory);
                self.disk.create_directory(directory)?;
                self.disk.rename(&place, &aside)?;
                moved = Some(self.disk.path(&aside).display().to_string());
            }
        }
        Ok(moved)
    }
}
