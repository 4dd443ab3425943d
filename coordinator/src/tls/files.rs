//! Private files: written under a temporary name, synced and renamed, so that no incomplete or
//! readable file ever has the final name.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

use rheo_proto::file::{self, SizeLimit};

use super::Error;
use crate::shell;

/// Creates a private directory, or restricts an existing one to its owner.
pub(super) fn create_private_directory(directory: &Path) -> Result<(), Error> {
    let error = |source| Error::File { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(error)?;
    let owner = std::fs::metadata(directory).map_err(error)?.uid();
    let me = rustix::process::geteuid();
    if owner != me.as_raw() && owner != 0 && !me.is_root() {
        return Err(Error::Foreign { path: directory.to_owned(), owner });
    }
    restrict(directory, 0o700);
    warn_if_writable(directory.parent().unwrap_or(Path::new(".")));
    Ok(())
}

/// Warns if other users could replace the directory of the tokens.
fn warn_if_writable(state: &Path) {
    let mode = std::fs::metadata(state).map_or(0, |metadata| metadata.permissions().mode());
    // With the sticky bit only owners can rename or remove their files.
    if mode & 0o1002 == 0o002 {
        let (state, word) = (state.display(), shell::path(state));
        tracing::warn!(
            "every user can change `{state}` and replace the tokens in it: run `chmod o-w {word}`"
        );
    }
}

/// Removes the permissions of others on a file or directory, and logs it.
pub(super) fn restrict(path: &Path, mode: u32) {
    let now = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if now & !mode == 0 {
        return;
    }
    let (shown, word) = (path.display(), shell::path(path));
    match std::fs::set_permissions(path, Permissions::from_mode(mode)) {
        Ok(()) => tracing::warn!(
            "`{shown}` had permissions {now:o} and has {mode:o} now: if others may have read a token there, remove it and restart"
        ),
        Err(error) => tracing::warn!(
            %error, "`{shown}` has permissions {now:o}, so others may read tokens: run `chmod {mode:o} {word}`"
        ),
    }
}

/// Writes a private file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let error = |source| Error::File { path: path.to_owned(), source };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    // A crash may have left a temporary file.
    remove(temporary)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary);
    let mut file = file.map_err(error)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(error)?;
    std::fs::rename(temporary, path).map_err(error)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(error)
}

/// Removes a file if it exists.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Reads a file if it exists.
pub(super) fn read_if_present(path: &Path, bound: SizeLimit) -> Result<Option<Vec<u8>>, Error> {
    match file::read(path, bound) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}

/// Warns if others can read a secret.
pub(super) fn warn_if_readable(path: &Path) {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o044 != 0 {
        let path = path.display();
        tracing::warn!("others can read the secret `{path}`: run `chmod 600 {path}`");
    }
}
