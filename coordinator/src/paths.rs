//! Paths given by people, checked and resolved where they are read.
//!
//! The object store of the query engine parses paths like URLs: it refuses `..` and silently drops
//! line breaks and tabs. A path that it cannot represent is refused at the start, before anything
//! is trained.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// A path is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Empty path.
    #[error("a path cannot be empty")]
    Empty,
    /// Path that is not UTF-8.
    #[error("the path is not UTF-8 text: choose another name")]
    NotText,
    /// Path with a control character, such as a line break or a tab.
    #[error("the path holds the control character {0:?}: choose another name")]
    Control(char),
}

/// Parses a path that results, logs and messages will contain.
pub fn parse(text: OsString) -> Result<PathBuf, Error> {
    check(Path::new(&text))?;
    Ok(text.into())
}

/// Checks that results, logs and messages can contain a path.
pub fn check(path: &Path) -> Result<(), Error> {
    let text = path.to_str().ok_or(Error::NotText)?;
    if text.is_empty() {
        return Err(Error::Empty);
    }
    text.chars().find(|c| c.is_control()).map_or(Ok(()), |c| Err(Error::Control(c)))
}

/// Returns the absolute path without `.` and `..`. Links are kept, because other machines may know
/// a directory only by that name; but `..` after a link is the parent of the link's target.
pub fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        if component == Component::ParentDir {
            if let Ok(real) = std::fs::canonicalize(&resolved) {
                resolved = real;
            }
            resolved.pop();
        } else {
            resolved.push(component);
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn paths_that_the_object_store_cannot_represent_are_refused() {
        for (text, expected) in [
            (b"".to_vec(), Err(Error::Empty)),
            (b"a\nb".to_vec(), Err(Error::Control('\n'))),
            (b"a\tb".to_vec(), Err(Error::Control('\t'))),
            (vec![b'a', 0xff], Err(Error::NotText)),
            (b"a b %20 #?*='\"\\".to_vec(), Ok(PathBuf::from("a b %20 #?*='\"\\"))),
            (b"../a".to_vec(), Ok(PathBuf::from("../a"))),
        ] {
            assert_eq!(parse(OsString::from_vec(text.clone())), expected, "{text:?}");
        }
    }

    #[test]
    fn the_parent_of_a_link_is_the_parent_of_its_target() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("far/away")).unwrap();
        std::os::unix::fs::symlink(root.join("far/away"), root.join("link")).unwrap();
        for (path, expected) in [
            ("link/../x", "far/x"),
            ("link/x", "link/x"),
            ("far/../far/./x", "far/x"),
            ("nowhere/../x", "x"),
        ] {
            assert_eq!(resolve(&root.join(path)), root.join(expected), "{path}");
        }
        assert_eq!(resolve(Path::new("/../x")), Path::new("/x"));
    }
}
