//! Leaving loopback safely: who may connect, over what, and with which token.
//!
//! Beyond loopback nothing is served but TLS, and no call is answered without a token, unless a
//! person says `--insecure`. [`protection`] alone decides it. What that needs is made on first use in
//! `<state>/tls`, where workers and people on the same file system find it:
//!
//! ```text
//! tls/ca.pem, ca.key           the CA of this coordinator; stays
//! tls/server.pem, server.key   signed by it at every start, for the names of this machine
//! tls/admin.token              may do everything; stays
//! tls/worker.token             may do what workers do; stays
//! ```

mod accept;
mod authority;
mod files;
mod gate;
mod names;
mod plaintext;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rheo_core::time::Timestamp;
use tokio_rustls::rustls::{self, ServerConfig};

use authority::Identity;

pub(crate) use accept::incoming;
pub(crate) use gate::Gate;
pub(crate) use names::{Names, host, parse_host};
pub(crate) use token::Tokens;

/// How connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Not at all: only processes on this machine can connect.
    Loopback,
    /// Not at all, although others can connect. Said loudly.
    Insecure,
    /// TLS, and a token for every call.
    Tls,
}

/// Decides how an address is served.
pub(crate) fn protection(
    is_loopback: bool,
    insecure: bool,
    own_certificate: bool,
) -> Result<Protection, Error> {
    match (is_loopback, insecure, own_certificate) {
        (_, true, true) => Err(Error::Contradiction),
        (_, false, true) | (false, false, false) => Ok(Protection::Tls),
        (true, _, false) => Ok(Protection::Loopback),
        (false, true, false) => Ok(Protection::Insecure),
    }
}

/// What a listener lets in.
pub(crate) enum Door {
    /// Everybody who can connect.
    Open,
    /// Who speaks TLS and has a token.
    Guarded {
        /// How TLS is spoken.
        config: Arc<ServerConfig>,
        /// The tokens.
        tokens: Tokens,
    },
}

/// What a person brings instead of what is made here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Own {
    /// Files with a chain of certificates and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// A file with the token of people.
    pub(crate) admin: Option<PathBuf>,
    /// A file with the token of workers.
    pub(crate) worker: Option<PathBuf>,
}

/// Makes or reads everything that a guarded door needs, in `directory`.
pub(crate) fn guarded(
    own: &Own,
    directory: &Path,
    names: &Names,
    now: Timestamp,
) -> Result<Door, Error> {
    files::make(directory)?;
    let identity = match &own.certificate {
        Some((certificate, key)) => {
            let identity = Identity::read(certificate, key)?;
            // Clients would trust the other CA alone. Its key stays, and makes it again.
            files::remove(&directory.join(rheo_proto::access::CA_FILE))?;
            identity
        }
        None => Identity::issue(directory, names, now)?,
    };
    let tokens = Tokens::read_or_make(own, directory)?;
    Ok(Door::Guarded { config: identity.config()?, tokens })
}

/// Why an address cannot be served safely.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Both at once.
    #[error("`--insecure` serves plaintext, and `--tls-cert` TLS: leave one of them out")]
    Contradiction,
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
        reason: rheo_proto::access::NoToken,
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
    fn beyond_loopback_there_is_tls_unless_somebody_insists() {
        use Protection::{Insecure, Loopback, Tls};
        for (is_loopback, insecure, own_certificate, expected) in [
            (true, false, false, Some(Loopback)),
            (true, true, false, Some(Loopback)),
            (true, false, true, Some(Tls)),
            (true, true, true, None),
            (false, false, false, Some(Tls)),
            (false, true, false, Some(Insecure)),
            (false, false, true, Some(Tls)),
            (false, true, true, None),
        ] {
            let found = protection(is_loopback, insecure, own_certificate).ok();
            assert_eq!(found, expected, "{is_loopback} {insecure} {own_certificate}");
        }
    }
}
