//! The tokens that authenticate calls. Only their hashes are kept, so the time of a comparison does
//! not depend on the guess.

use std::path::Path;

use blake3::Hash;
use rheo_proto::access::{Role, parse_token};
use rheo_proto::file;
use tokio_rustls::rustls::crypto::ring;

use super::{Error, UserCredentials, files};

/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;

/// The valid tokens, as hashes.
#[derive(Debug)]
pub(crate) struct Tokens {
    admin: Hash,
    worker: Hash,
}

impl Tokens {
    /// Reads the tokens from the given files, or from `directory`, where missing ones are created.
    pub(super) fn read_or_make(
        credentials: &UserCredentials,
        directory: &Path,
    ) -> Result<Self, Error> {
        let admin = read(credentials.admin.as_deref(), directory, Role::Admin)?;
        let worker = read(credentials.worker.as_deref(), directory, Role::Worker)?;
        if admin == worker {
            return Err(Error::SameTokens);
        }
        Ok(Self { admin, worker })
    }

    /// Returns the role of a token.
    pub(super) fn role(&self, token: &str) -> Option<Role> {
        let hash = blake3::hash(token.as_bytes());
        // Both are always compared, each in constant time.
        match (hash == self.admin, hash == self.worker) {
            (true, _) => Some(Role::Admin),
            (_, true) => Some(Role::Worker),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn of(admin: &str, worker: &str) -> Self {
        let hash = |token: &str| blake3::hash(token.as_bytes());
        Self { admin: hash(admin), worker: hash(worker) }
    }
}

fn read(named: Option<&Path>, directory: &Path, role: Role) -> Result<Hash, Error> {
    let default = directory.join(role.token_file());
    let path = named.unwrap_or(&default);
    if named.is_none() && files::read_if_present(path, file::TOKEN)?.is_none() {
        files::write(path, format!("{}\n", make(role)?).as_bytes())?;
    }
    let bytes = file::read(path, file::TOKEN);
    let bytes = bytes.map_err(|source| Error::File { path: path.to_owned(), source })?;
    match named {
        Some(path) => files::warn_if_readable(path),
        None => files::restrict(path, 0o600),
    }
    match parse_token(&bytes) {
        Ok(token) => Ok(blake3::hash(token.as_bytes())),
        Err(reason) => Err(Error::Token { path: path.to_owned(), reason }),
    }
}

/// Generates a token. Its prefix lets scanners find it in a log or a repository.
fn make(role: Role) -> Result<String, Error> {
    let mut bytes = [0; TOKEN_BYTES];
    let random = ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| Error::Random)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = match role {
        Role::Admin => "admin",
        Role::Worker => "worker",
    };
    Ok(format!("rheo_{name}_{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_created_once_with_their_roles() {
        let directory = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        let tokens = Tokens::read_or_make(&UserCredentials::default(), directory.path()).unwrap();
        let (admin, worker) = (read("admin.token"), read("worker.token"));
        assert_eq!(tokens.role(admin.trim()), Some(Role::Admin));
        assert_eq!(tokens.role(worker.trim()), Some(Role::Worker));
        assert_eq!(tokens.role(&admin), None, "the line break is no part of it");
        assert_eq!(tokens.role(""), None);
        Tokens::read_or_make(&UserCredentials::default(), directory.path()).unwrap();
        assert_eq!((read("admin.token"), read("worker.token")), (admin, worker));
    }

    #[test]
    fn given_tokens_must_be_long_and_different() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine");
        let credentials =
            UserCredentials { admin: Some(path.clone()), ..UserCredentials::default() };
        assert!(matches!(
            Tokens::read_or_make(&credentials, directory.path()),
            Err(Error::File { .. })
        ));
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(
            Tokens::read_or_make(&credentials, directory.path()),
            Err(Error::Token { .. })
        ));
        std::fs::write(&path, "long-long-long-long-long-long-long").unwrap();
        let tokens = Tokens::read_or_make(&credentials, directory.path()).unwrap();
        assert_eq!(tokens.role("long-long-long-long-long-long-long"), Some(Role::Admin));
        assert!(!directory.path().join("admin.token").exists());
        let credentials = UserCredentials { worker: Some(path), ..credentials };
        assert!(matches!(
            Tokens::read_or_make(&credentials, directory.path()),
            Err(Error::SameTokens)
        ));
    }
}
