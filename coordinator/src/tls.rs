//! Who may connect, over what, and with which token.
//!
//! No call is answered without a token, on loopback neither, because many people share a login node;
//! and beyond loopback nothing is served but TLS. A person who says `--insecure` gets neither.
//! [`protection`] alone decides it. What that needs is made on first use in `<state>/tls`, where
//! workers and people on the same file system find it:
//!
//! ```text
//! tls/ca.pem, ca.key           the CA of this coordinator; stays
//! tls/server.pem, server.key   signed by it at every start, for the names of this machine
//! tls/admin.token              may do everything; stays
//! tls/worker.token             may do what workers do; stays
//! ```

mod auth;
mod authority;
mod files;
mod names;
pub(crate) mod plaintext;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rheo_core::time::Timestamp;
use tokio_rustls::rustls::{self, ServerConfig};

use authority::ServerIdentity;

pub(crate) use auth::{AuthLayer, AuthPolicy};
pub(crate) use names::{HostNames, host, parse_host};
pub(crate) use token::Tokens;

/// How connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// A token for every call. Nothing is encrypted, for it does not leave this machine.
    Loopback,
    /// Not at all. Said loudly.
    Insecure,
    /// TLS, and a token for every call.
    Tls,
}

/// Decides how an address is served.
pub(crate) fn protection(
    is_loopback: bool,
    insecure: bool,
    has_certificate: bool,
) -> Result<Protection, Error> {
    match (is_loopback, insecure, has_certificate) {
        (_, true, true) => Err(Error::Contradiction),
        (_, false, true) | (false, false, false) => Ok(Protection::Tls),
        (true, false, false) => Ok(Protection::Loopback),
        (_, true, false) => Ok(Protection::Insecure),
    }
}

/// What a listener lets in.
pub(crate) struct ListenMode {
    /// How TLS is spoken, if it is.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Which calls are admitted.
    pub(crate) auth: AuthPolicy,
}

/// What a person brings instead of what is made here.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserCredentials {
    /// Files with a chain of certificates and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// A file with the token of people.
    pub(crate) admin: Option<PathBuf>,
    /// A file with the token of workers.
    pub(crate) worker: Option<PathBuf>,
}

/// The door of those who want none.
pub(crate) fn without_auth() -> ListenMode {
    ListenMode { tls: None, auth: AuthPolicy::Open }
}

/// Makes or reads the tokens in `directory`, for calls that do not leave this machine.
pub(crate) fn loopback(
    credentials: &UserCredentials,
    directory: &Path,
) -> Result<ListenMode, Error> {
    files::create_private_directory(directory)?;
    let tokens = Tokens::read_or_make(credentials, directory)?;
    Ok(ListenMode { tls: None, auth: AuthPolicy::Tokens(Arc::new(tokens)) })
}

/// Makes or reads everything that TLS and tokens need, in `directory`.
pub(crate) fn secured(
    credentials: &UserCredentials,
    directory: &Path,
    names: &HostNames,
    now: Timestamp,
) -> Result<ListenMode, Error> {
    files::create_private_directory(directory)?;
    let identity = match &credentials.certificate {
        Some((certificate, key)) => {
            let identity = ServerIdentity::read(certificate, key)?;
            // Clients would trust the other CA alone. Its key stays, and makes it again.
            files::remove(&directory.join(rheo_proto::access::CA_FILE))?;
            identity
        }
        None => ServerIdentity::issue(directory, names, now)?,
    };
    let tokens = Tokens::read_or_make(credentials, directory)?;
    Ok(ListenMode { tls: Some(identity.config()?), auth: AuthPolicy::Tokens(Arc::new(tokens)) })
}

/// Why an address cannot be served safely.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Both at once.
    #[error("`--insecure` serves plaintext, and `--tls-cert` TLS: leave one of them out")]
    Contradiction,
    /// Somebody else made the directory, and may know what is in it.
    #[error(
        "`{}` belongs to another user (uid {owner}), who may read or exchange the tokens in it: remove it, or choose another state directory",
        path.display()
    )]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose.
        owner: u32,
    },
    /// A file.
    #[error("`{}` cannot be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file without what should be in it.
    #[error("`{}` holds no {what} in PEM", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// A certificate or a private key.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A key that this program made is damaged.
    #[error("the key `{}` is damaged: remove it, and a new CA is made", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate cannot be made.
    #[error("a certificate for {names} cannot be made")]
    Issue {
        /// For which names.
        names: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// Certificate and key do not fit, or are of no use.
    #[error("the certificate cannot be served with its key")]
    Identity(#[source] rustls::Error),
    /// A file without a token.
    #[error("`{}` holds {reason}", path.display())]
    Token {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: rheo_proto::access::InvalidToken,
    },
    /// Workers could do everything.
    #[error(
        "the tokens of people and of workers are the same, so that workers might do everything: make another one"
    )]
    SameTokens,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers to make a token of")]
    Random,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_tokens_and_everything_else_tls_unless_somebody_insists() {
        use Protection::{Insecure, Loopback, Tls};
        for (is_loopback, insecure, has_certificate, expected) in [
            (true, false, false, Some(Loopback)),
            (true, true, false, Some(Insecure)),
            (true, false, true, Some(Tls)),
            (true, true, true, None),
            (false, false, false, Some(Tls)),
            (false, true, false, Some(Insecure)),
            (false, false, true, Some(Tls)),
            (false, true, true, None),
        ] {
            let found = protection(is_loopback, insecure, has_certificate).ok();
            assert_eq!(found, expected, "{is_loopback} {insecure} {has_certificate}");
        }
    }
}
