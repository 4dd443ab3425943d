//! TLS and tokens of the listener.
//!
//! Every call needs a token, on loopback too, because many people share a login node. Beyond
//! loopback only TLS is served. `--insecure` switches both off. [`protection`] alone decides this.
//! Certificates and tokens are created on first use in `<state>/tls`, where workers and people on
//! the same file system find them:
//!
//! ```text
//! tls/ca.pem, ca.key           the CA of this coordinator; permanent
//! tls/server.pem, server.key   signed by it at every start, for the names of this machine
//! tls/admin.token              allows every call; permanent
//! tls/worker.token             allows the calls of workers; permanent
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

/// Protection of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// A token for every call, without encryption, because traffic stays on this machine.
    Loopback,
    /// No protection; the start prints a warning.
    Insecure,
    /// TLS, and a token for every call.
    Tls,
}

/// Decides the protection of an address.
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

/// TLS and authentication of a listener.
pub(crate) struct ListenMode {
    /// The TLS configuration; none for plaintext.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// The policy that admits calls.
    pub(crate) auth: AuthPolicy,
}

/// Certificate and tokens that a person provides instead of generated ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserCredentials {
    /// Files with a certificate chain and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// File with the admin token.
    pub(crate) admin: Option<PathBuf>,
    /// File with the worker token.
    pub(crate) worker: Option<PathBuf>,
}

/// Returns a mode with neither TLS nor tokens.
pub(crate) fn without_auth() -> ListenMode {
    ListenMode { tls: None, auth: AuthPolicy::Open }
}

/// Creates or reads the tokens in `directory`; returns a mode without TLS.
pub(crate) fn loopback(
    credentials: &UserCredentials,
    directory: &Path,
) -> Result<ListenMode, Error> {
    files::create_private_directory(directory)?;
    let tokens = Tokens::read_or_make(credentials, directory)?;
    Ok(ListenMode { tls: None, auth: AuthPolicy::Tokens(Arc::new(tokens)) })
}

/// Creates or reads certificates and tokens in `directory`; returns a mode with TLS.
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
            // Clients that find this CA would trust no other. Its key stays and can recreate it.
            files::remove(&directory.join(rheo_proto::access::CA_FILE))?;
            identity
        }
        None => ServerIdentity::issue(directory, names, now)?,
    };
    let tokens = Tokens::read_or_make(credentials, directory)?;
    Ok(ListenMode { tls: Some(identity.config()?), auth: AuthPolicy::Tokens(Arc::new(tokens)) })
}

/// An address cannot be served safely.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// `--insecure` together with `--tls-cert`.
    #[error("`--insecure` serves plaintext, and `--tls-cert` TLS: leave one of them out")]
    Contradiction,
    /// The directory belongs to another user, who may know the tokens.
    #[error(
        "`{}` belongs to another user (uid {owner}), who may read or replace the tokens in it: remove it, or choose another state directory",
        path.display()
    )]
    Foreign {
        /// The path.
        path: PathBuf,
        /// The user id of the owner.
        owner: u32,
    },
    /// A file cannot be read or written.
    #[error("`{}` cannot be used", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file without the expected PEM item.
    #[error("`{}` holds no {what} in PEM", path.display())]
    Pem {
        /// The path.
        path: PathBuf,
        /// A certificate or a private key.
        what: &'static str,
        /// The cause.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A generated key is damaged.
    #[error("the key `{}` is damaged: remove it, and a new CA is made", path.display())]
    Key {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate cannot be issued.
    #[error("cannot issue a certificate for {names}")]
    Issue {
        /// The host names of the certificate.
        names: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// Certificate and key do not match, or cannot be used.
    #[error("the certificate cannot be served with its key")]
    Identity(#[source] rustls::Error),
    /// A file without a valid token.
    #[error("`{}` holds {reason}", path.display())]
    Token {
        /// The path.
        path: PathBuf,
        /// The defect.
        reason: rheo_proto::access::InvalidToken,
    },
    /// The worker token equals the admin token.
    #[error(
        "the admin token and the worker token are the same, so workers would have full access: use two different tokens"
    )]
    SameTokens,
    /// The system provides no random numbers.
    #[error("cannot generate a token: the system provides no random numbers")]
    Random,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_needs_tokens_and_other_addresses_need_tls() {
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
