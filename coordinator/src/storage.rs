//! Locations of the results and checkpoints of a state directory, chosen once and stored.
//!
//! Both are in the state directory unless the first start gives other locations, which are stored
//! in `places.json`. Later starts cannot change them, because the journal names files there.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rheo_core::id::StateId;
use rheo_proto::file;
use rheo_store::owner::StorageOwner;
use rheo_store::storage_url::{self, StorageUrl};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{directory_check, paths};

/// The locations of results and checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageLayout {
    /// Id of the state; `places.json` has it before the journal.
    pub id: StateId,
    /// Location of the results.
    pub results: StorageUrl,
    /// Location of the checkpoints.
    pub checkpoints: StorageUrl,
}

/// Requested locations; none means the stored location, or else the state directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageRequest {
    /// Requested location of the results.
    pub results: Option<StorageUrl>,
    /// Requested location of the checkpoints.
    pub checkpoints: Option<StorageUrl>,
}

/// The locations are unknown or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files are already somewhere else.
    #[error(
        "the {what} of `{state}` lie in `{remembered}`, not in `{wanted}`: leave `--{what}` out, or choose another `--state`",
        state = state.display()
    )]
    Elsewhere {
        /// `results` or `checkpoints`.
        what: &'static str,
        /// The state directory.
        state: PathBuf,
        /// The stored location.
        remembered: String,
        /// The requested location.
        wanted: String,
    },
    /// The location is invalid.
    #[error(transparent)]
    Place(#[from] storage_url::Error),
    /// A directory whose path the query engine or messages cannot contain.
    #[error("`{}` cannot be used: {reason}", path.display().to_string().escape_debug())]
    Unusable {
        /// The path.
        path: PathBuf,
        /// The cause.
        reason: paths::Error,
    },
    /// A directory that cannot be created or written.
    #[error(transparent)]
    Unwritable(#[from] Box<directory_check::Error>),
    /// The file with the locations cannot be read or written.
    #[error("`{}` cannot be used", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// The content of `places.json`; none means the state directory, wherever that is moved.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayoutFile {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    results: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoints: Option<String>,
}

impl StorageLayout {
    /// Returns the locations stored in the state directory `state`, or those in `wanted` if its
    /// journal `is_new`.
    pub fn resolve(
        state: &Path,
        wanted: &StorageRequest,
        is_new: impl Fn() -> bool,
    ) -> Result<Self, Error> {
        let LayoutFile { id, results, checkpoints } = read(state)?.unwrap_or_default();
        let choose = |what, remembered: Option<String>, wanted: &Option<StorageUrl>| {
            let known = match remembered {
                // An earlier version may have stored a relative path.
                Some(text) => absolute(&text.parse()?),
                None => default_location(state, what),
            };
            let wanted = wanted.as_ref().map(absolute);
            if let Some(StorageUrl::Directory(path)) = &wanted {
                let unusable = |reason| Error::Unusable { path: path.clone(), reason };
                paths::check(path).map_err(unusable)?;
            }
            match wanted {
                Some(wanted) if wanted != known && !is_new() => Err(Error::Elsewhere {
                    what,
                    state: state.to_owned(),
                    remembered: known.to_string(),
                    wanted: wanted.to_string(),
                }),
                Some(wanted) => Ok(wanted),
                None => Ok(known),
            }
        };
        Ok(Self {
            id: id.parse().unwrap_or_else(|_| StateId(Uuid::now_v7())),
            results: choose("results", results, &wanted.results)?,
            checkpoints: choose("checkpoints", checkpoints, &wanted.checkpoints)?,
        })
    }

    /// Checks that directories without an owner can be created and written. A directory with an
    /// owner
    /// is not tried: its disk may be full or read-only now, and writable later.
    pub(crate) fn check_directories(&self) -> Result<(), Error> {
        for (name, place) in [("results", &self.results), ("checkpoints", &self.checkpoints)] {
            let StorageUrl::Directory(path) = place else { continue };
            if !StorageOwner::of(path).is_ok_and(|owner| owner.is_some()) {
                directory_check::remove(&directory_check::probe(name, path)?);
            }
        }
        Ok(())
    }

    /// Returns the id of the state in `directory`, as recorded with its results or checkpoints,
    /// because
    /// the journal may be locked.
    pub fn known_id(&self, directory: &Path) -> Option<StateId> {
        let owner = |place: &StorageUrl| {
            let StorageUrl::Directory(root) = place else { return None };
            let owner = StorageOwner::of(root).ok()??;
            let is_ours = root.starts_with(directory) || owner.directory == directory;
            is_ours.then_some(owner.state)
        };
        let remembered = || read(directory).ok()??.id.parse().ok();
        owner(&self.results).or_else(|| owner(&self.checkpoints)).or_else(remembered)
    }

    /// Stores the locations durably, unless they are the defaults.
    pub fn remember(&self, state: &Path) -> Result<(), Error> {
        let text = |what, place: &StorageUrl| {
            (*place != default_location(state, what)).then(|| place.to_string())
        };
        let now = LayoutFile {
            id: self.id.to_string(),
            results: text("results", &self.results),
            checkpoints: text("checkpoints", &self.checkpoints),
        };
        let before = read(state)?;
        let is_usual = now.results.is_none() && now.checkpoints.is_none();
        if before.as_ref() == Some(&now) || (before.is_none() && is_usual) {
            return Ok(());
        }
        let path = layout_path(state);
        let write = || -> io::Result<()> {
            let aside = path.with_extension("new");
            let mut new = File::create(&aside)?;
            new.write_all(&serde_json::to_vec_pretty(&now)?)?;
            new.sync_all()?;
            std::fs::rename(&aside, &path)?;
            File::open(state)?.sync_all()
        };
        write().map_err(|source| Error::File { path: path.clone(), source })
    }
}

fn layout_path(state: &Path) -> PathBuf {
    state.join("places.json")
}

fn read(state: &Path) -> Result<Option<LayoutFile>, Error> {
    let path = layout_path(state);
    let text = match file::read(&path, file::STORAGE_LAYOUT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result,
    };
    let read = text.and_then(|text| Ok(serde_json::from_slice(&text)?));
    read.map(Some).map_err(|source| Error::File { path, source })
}

/// Returns the default location of `what`.
fn default_location(state: &Path, what: &str) -> StorageUrl {
    absolute(&StorageUrl::Directory(state.join(what)))
}

/// Makes a directory's path absolute.
fn absolute(place: &StorageUrl) -> StorageUrl {
    match place {
        StorageUrl::Directory(path) => StorageUrl::Directory(paths::resolve(path)),
        StorageUrl::Bucket(_) => place.clone(),
    }
}

#[cfg(test)]
#[cfg(feature = "s3")]
mod bucket;

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(results: &str) -> StorageRequest {
        StorageRequest { results: Some(results.parse().unwrap()), checkpoints: None }
    }

    #[test]
    fn a_location_is_chosen_once_and_stored() {
        let state = tempfile::tempdir().unwrap();
        let resolve = |wanted: &StorageRequest, is_new| {
            StorageLayout::resolve(state.path(), wanted, || is_new)
        };
        let first = resolve(&wanted("s3://wrong"), true).unwrap();
        first.remember(state.path()).unwrap();
        // A new state has no files yet, so its locations may change.
        let places = resolve(&wanted("s3://bucket/a"), true).unwrap();
        places.remember(state.path()).unwrap();
        assert_eq!(places.id, first.id);
        assert_eq!(places.checkpoints, default_location(state.path(), "checkpoints"));
        assert_eq!(resolve(&StorageRequest::default(), false).unwrap(), places);
        assert_eq!(resolve(&wanted("s3://bucket/a/"), false).unwrap(), places);
        let error = resolve(&wanted("s3://bucket/b"), false).unwrap_err().to_string();
        assert!(error.contains("lie in `s3://bucket/a`, not in `s3://bucket/b`"), "{error}");
    }

    #[test]
    fn a_location_is_resolved_before_it_is_stored() {
        let state = tempfile::tempdir().unwrap();
        let written = state.path().join("x/../y/./results");
        let resolved = StorageUrl::Directory(state.path().join("y/results"));
        let asked = wanted(written.to_str().unwrap());
        let places = StorageLayout::resolve(state.path(), &asked, || true).unwrap();
        assert_eq!(places.results, resolved);
        places.remember(state.path()).unwrap();
        assert_eq!(
            StorageLayout::resolve(state.path(), &asked, || false).unwrap().results,
            resolved
        );
        let above = state.path().join("a/../b");
        let places = StorageLayout::resolve(&above, &StorageRequest::default(), || false).unwrap();
        assert_eq!(places.results, StorageUrl::Directory(state.path().join("b/results")));
    }

    #[test]
    fn default_locations_need_no_file_and_cannot_change() {
        let state = tempfile::tempdir().unwrap();
        let resolve =
            |wanted: &StorageRequest| StorageLayout::resolve(state.path(), wanted, || false);
        resolve(&StorageRequest::default()).unwrap().remember(state.path()).unwrap();
        assert!(!layout_path(state.path()).exists());
        let usual = state.path().join("results");
        assert!(resolve(&wanted(usual.to_str().unwrap())).is_ok());
        assert!(matches!(resolve(&wanted("elsewhere")), Err(Error::Elsewhere { .. })));
    }
}
