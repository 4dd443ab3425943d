//! Files that commands write. A regular file appears complete or not at all; pipes and devices get
//! the bytes as they come.
//!
//! A file is written under a temporary name in its directory and renamed at the end. A command that
//! ends earlier, for example by an interrupt, leaves no file behind. Links are followed, and a
//! replaced file keeps its permissions.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

use tempfile::TempPath;

use super::failure::Failure;
use crate::signals;

/// Writer to the file or stream that a command was given.
#[derive(Debug)]
pub(super) struct Destination {
    /// The name used in messages.
    name: String,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// Standard output.
    Stdout(io::Stdout),
    /// An existing pipe or device.
    Direct(File),
    /// A regular file.
    PendingFile(Box<PendingFile>),
}

/// A file that still has its temporary name.
#[derive(Debug)]
struct PendingFile {
    out: BufWriter<File>,
    /// The temporary path; removed on drop.
    path: TempPath,
    /// The final path.
    target: PathBuf,
    /// Metadata of the existing file at the final path.
    replaced: Option<Metadata>,
}

/// The longest chain of links that is followed.
const MAX_LINKS: u32 = 40;

/// The temporary paths to remove on an interrupt.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{name} cannot be written")]
pub(super) struct Error {
    name: String,
    source: io::Error,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error.into())
    }
}

impl Destination {
    /// Opens the file `path`, or standard output for `-`.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            let name = "standard output".to_owned();
            return Ok(Self { name, target: Target::Stdout(io::stdout()) });
        }
        let name = format!("`{}`", path.display());
        match open_target(path) {
            Ok(target) => Ok(Self { name, target }),
            Err(source) => Err(Failure::Usage(Error { name, source }.into())),
        }
    }

    /// Whether the bytes go to a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        match &self.target {
            Target::Stdout(out) => out.is_terminal(),
            Target::Direct(file) => file.is_terminal(),
            Target::PendingFile(_) => false,
        }
    }

    /// Flushes and reopens the file for reading from its beginning, so that it can be verified.
    pub(super) fn reread(&mut self) -> Result<File, Error> {
        let read = match &mut self.target {
            Target::PendingFile(file) => file.out.flush().and_then(|()| File::open(&file.path)),
            Target::Stdout(_) | Target::Direct(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        read.map_err(|source| Error { name: self.name.clone(), source })
    }

    /// Syncs the file and renames it to its final path.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let finished = match self.target {
            Target::Stdout(ref mut out) => out.flush(),
            Target::Direct(ref mut file) => file.flush(),
            Target::PendingFile(file) => file.finish(),
        };
        finished.map_err(|source| Error { name: self.name, source })
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.target {
            Target::Stdout(out) => out.write(bytes),
            Target::Direct(file) => file.write(bytes),
            Target::PendingFile(file) => file.out.write(bytes),
        };
        // The encoder of rows cannot name the file in its errors.
        written.map_err(|source| name_error(&self.name, source))
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = match &mut self.target {
            Target::Stdout(out) => out.flush(),
            Target::Direct(file) => file.flush(),
            Target::PendingFile(file) => file.out.flush(),
        };
        flushed.map_err(|source| name_error(&self.name, source))
    }
}

fn name_error(name: &str, source: io::Error) -> io::Error {
    if source.kind() == io::ErrorKind::Interrupted {
        // The caller retries the write.
        return source;
    }
    io::Error::new(source.kind(), Error { name: name.to_owned(), source })
}

fn open_target(path: &Path) -> io::Result<Target> {
    let found = match std::fs::metadata(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if found.as_ref().is_some_and(Metadata::is_dir) {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let is_regular = found.as_ref().is_none_or(Metadata::is_file);
    match resolve_links(path)? {
        Some(target) if is_regular => {
            Ok(Target::PendingFile(Box::new(PendingFile::new(target, found)?)))
        }
        _ => Ok(Target::Direct(OpenOptions::new().append(true).open(path)?)),
    }
}

/// Follows links to the final path; none for a file that a process has open, such as `/dev/stdout`,
/// which a rename would not reach.
fn resolve_links(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let parent = parent(&path);
        if parent.canonicalize().is_ok_and(|parent| parent.starts_with("/proc")) {
            return Ok(None);
        }
        match std::fs::read_link(&path) {
            Ok(next) => path = parent.join(next),
            // Not a link, or no such file.
            Err(_) => return Ok(Some(path)),
        }
    }
    Err(io::Error::other("too many links"))
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl PendingFile {
    fn new(target: PathBuf, replaced: Option<Metadata>) -> io::Result<Self> {
        remove_when_interrupted()?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".new")
            // The permissions of a newly created file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(parent(&target))
            // The error text of `tempfile` names the temporary file.
            .map_err(|error| match error.kind() {
                io::ErrorKind::Other => error,
                kind => kind.into(),
            })?;
        let (file, path) = file.into_parts();
        with_unfinished(|all| all.insert(path.to_path_buf()));
        Ok(Self { out: BufWriter::new(file), path, target, replaced })
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()?;
        let file = self.out.get_ref();
        if let Some(replaced) = &self.replaced {
            // Only root may change the owner; anybody else already owns the file.
            let _ = fchown(file, Some(replaced.uid()), Some(replaced.gid()));
            file.set_permissions(Permissions::from_mode(replaced.mode() & 0o7777))?;
        }
        file.sync_all()?;
        std::fs::rename(&self.path, &self.target)?;
        File::open(parent(&self.target))?.sync_all()
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        with_unfinished(|all| all.remove(&self.path.to_path_buf()));
    }
}

fn with_unfinished<T>(change: impl FnOnce(&mut BTreeSet<PathBuf>) -> T) -> T {
    change(&mut UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Installs a handler that removes unfinished files on an interrupt and ends this process.
fn remove_when_interrupted() -> io::Result<()> {
    static ONCE: Once = Once::new();
    if ONCE.is_completed() {
        return Ok(());
    }
    let asked = signals::stop_signal()?;
    ONCE.call_once(|| {
        tokio::spawn(async move {
            asked.await;
            with_unfinished(|all| {
                for path in all.iter() {
                    // The file may have been renamed just now.
                    let _ = std::fs::remove_file(path);
                }
            });
            #[expect(clippy::exit, reason = "interrupted after cleaning up")]
            std::process::exit(130);
        });
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) {
        let mut out = Destination::open(path).unwrap();
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap();
    }

    #[tokio::test]
    async fn a_file_appears_complete_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.csv");
        fs::write(directory.path().join("x.part"), "precious").unwrap();
        drop(Destination::open(&path).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        write(&path, "one");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(fs::read_to_string(directory.path().join("x.part")).unwrap(), "precious");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn links_are_followed_and_permissions_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("real"), "old").unwrap();
        fs::set_permissions(at("real"), Permissions::from_mode(0o640)).unwrap();
        symlink("real", at("link")).unwrap();
        symlink(at("link"), at("far")).unwrap();
        write(&at("far"), "new");
        assert_eq!(fs::read_to_string(at("real")).unwrap(), "new");
        assert!(fs::symlink_metadata(at("far")).unwrap().is_symlink());
        assert_eq!(fs::metadata(at("real")).unwrap().mode() & 0o777, 0o640);
        symlink("not yet", at("dangling")).unwrap();
        write(&at("dangling"), "there");
        assert_eq!(fs::read_to_string(at("not yet")).unwrap(), "there");
        symlink("loop", at("loop")).unwrap();
        assert!(Destination::open(&at("loop")).is_err());
        assert!(Destination::open(directory.path()).is_err());
    }

    #[tokio::test]
    async fn devices_are_written_in_place() {
        write(Path::new("/dev/null"), "gone");
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let mut full = Destination::open(Path::new("/dev/full")).unwrap();
        let error = full.write_all(b"x").unwrap_err().to_string();
        assert!(error.contains("`/dev/full` cannot be written"), "{error}");
    }
}
