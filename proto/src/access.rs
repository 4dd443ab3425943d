//! Address, CA and token of a connection to a coordinator. CA and token are named by file path,
//! never by value.
//!
//! All three are read anew for each connection, so that clients find a coordinator that restarted
//! elsewhere or with other secrets. A token leaves this machine only over TLS. Both programs connect
//! through this file, so that both trust the same certificates and explain the same errors.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rheo_core::excerpt::excerpt;
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::file::{self, SizeLimit};
use crate::loopback;
use crate::refusal::{Reason, Refusal};
use crate::server_file::{ProcessStatus, ServerFile};

/// The server file in a state directory.
pub const SERVER_FILE: &str = "server";

/// The journal file in a state directory.
pub const JOURNAL_FILE: &str = "journal.redb";

/// The directory in a state directory that holds certificates and tokens.
pub const TLS_DIRECTORY: &str = "tls";

/// The certificate of the coordinator's own CA, in [`TLS_DIRECTORY`].
pub const CA_FILE: &str = "ca.pem";

/// The shortest token, in characters.
pub const TOKEN_LENGTH: usize = 32;

/// The timeout of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A channel that adds the token to every call.
pub type AuthorizedChannel = InterceptedService<Channel, BearerToken>;

/// The role of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May call every method.
    Admin,
    /// May call the methods of workers.
    Worker,
}

impl Role {
    /// The file with the token of this role, in [`TLS_DIRECTORY`].
    pub const fn token_file(self) -> &'static str {
        match self {
            Self::Admin => "admin.token",
            Self::Worker => "worker.token",
        }
    }
}

/// The sources of address, CA and token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessConfig {
    /// The URL of a coordinator, if the user named one; otherwise the server file has it.
    pub server: Option<String>,
    /// The state directory, or a directory with copies of its client files.
    pub state: PathBuf,
    /// A file with certificates to trust, if the user named one.
    pub ca_file: Option<PathBuf>,
    /// A file with a token, if the user named one.
    pub token_file: Option<PathBuf>,
    /// The role whose token is read from the state directory.
    pub role: Role,
}

/// The URL, CA and token for one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedAccess {
    /// The URL of the coordinator.
    pub url: String,
    /// The file with the trusted certificates, and its bytes; none trusts the system's.
    ca: Option<(PathBuf, Vec<u8>)>,
    /// The token.
    pub bearer: BearerToken,
}

impl AccessConfig {
    /// Reads address, CA and token.
    pub fn read(&self) -> Result<ResolvedAccess, Refusal> {
        let url = self.url()?;
        let directory = self.state.join(TLS_DIRECTORY);
        if let Some(rest) = url.strip_prefix("http://") {
            let bearer = match loopback::addresses(rest) {
                Some((addresses, port)) => {
                    self.check_listener(&url, &addresses, port)?;
                    self.token(&directory)?
                }
                // Anyone on the network path could read a token.
                None => BearerToken::default(),
            };
            return Ok(ResolvedAccess { url, ca: None, bearer });
        }
        if !url.starts_with("https://") {
            let text = format!(
                "not an address: `{}`: an address begins with `https://` or `http://`",
                excerpt(&url)
            );
            return Err(Refusal::new(Reason::InvalidAddress, text));
        }
        let own = directory.join(CA_FILE);
        let ca = read_optional(self.ca_file.as_deref(), &own, "RHEO_CA_FILE", file::CERTIFICATES)?;
        if let Some((path, pem)) = &ca
            && !matches!(CertificateDer::pem_slice_iter(pem).next(), Some(Ok(_)))
        {
            let text = format!("`{}` holds no certificate in PEM", path.display());
            return Err(Refusal::new(Reason::AccessFile, text));
        }
        let bearer = self.token(&directory)?;
        Ok(ResolvedAccess { url, ca, bearer })
    }

    /// Checks that no program of another user listens at the address: it may have taken the port
    /// of a coordinator that ended, and would receive the token of the state directory. A token
    /// file that the user names is sent without this check.
    fn check_listener(&self, url: &str, at: &[IpAddr], port: u16) -> Result<(), Refusal> {
        let token = self.state.join(TLS_DIRECTORY).join(self.role.token_file());
        if self.token_file.is_some() || !token.exists() {
            return Ok(());
        }
        let Some(user) = loopback::foreign_listener(at, port, &token) else { return Ok(()) };
        let text = format!(
            "the program at `{url}` belongs to another user of this machine (uid {user}), not to the owner of `{}`, so that token was not sent: restart the coordinator or, if that user runs it for you, name the token file by RHEO_TOKEN_FILE",
            token.display()
        );
        Err(Refusal::new(Reason::Untrusted, text))
    }

    fn token(&self, directory: &Path) -> Result<BearerToken, Refusal> {
        let own = directory.join(self.role.token_file());
        let token =
            read_optional(self.token_file.as_deref(), &own, "RHEO_TOKEN_FILE", file::TOKEN)?;
        let bearer = token.map(|(path, bytes)| BearerToken::read(&path, &bytes)).transpose()?;
        Ok(bearer.unwrap_or_default())
    }

    fn url(&self) -> Result<String, Refusal> {
        if let Some(url) = &self.server {
            return Ok(url.clone());
        }
        let path = self.state.join(SERVER_FILE);
        let shown = path.display();
        let away = |why: String| Refusal::unavailable(format!("no coordinator runs there: {why}"));
        let file = ServerFile::read(&path).map_err(|error| away(format!("`{shown}`: {error}")))?;
        let file = file.ok_or_else(|| away(format!("`{shown}` is empty")))?;
        match &file.process {
            // Another program may listen there by now. A file without a journal beside it is a copy
            // of a client, whose coordinator may restart at the same address.
            Some(process)
                if self.state.join(JOURNAL_FILE).exists()
                    && file.status(&path) == ProcessStatus::Ended =>
            {
                Err(away(format!("`{shown}` is left from one that died ({process})")))
            }
            _ => Ok(file.url),
        }
    }
}

/// Reads the file `named`, which must exist, or else the file at `own`, if it exists.
fn read_optional(
    named: Option<&Path>,
    own: &Path,
    variable: &str,
    bound: SizeLimit,
) -> Result<Option<(PathBuf, Vec<u8>)>, Refusal> {
    let path = named.unwrap_or(own);
    let error = match file::read(path, bound) {
        Ok(bytes) => return Ok(Some((path.to_owned(), bytes))),
        Err(error) => error,
    };
    let text = format!("`{}` cannot be read: {error}", path.display());
    match (named, error.kind()) {
        (None, io::ErrorKind::NotFound) => Ok(None),
        (None, io::ErrorKind::PermissionDenied) => {
            let remedy = format!("ask its owner for a copy and name it by {variable}");
            Err(Refusal::new(Reason::AccessFile, format!("{text}: {remedy}")))
        }
        // A network file system may be unavailable for a while.
        (None, _) => Err(Refusal::unavailable(text)),
        (Some(_), _) => Err(Refusal::new(Reason::AccessFile, format!("{variable}: {text}"))),
    }
}

/// The error for a text that is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no token: its first line must have at least {TOKEN_LENGTH} characters, printable ASCII without spaces (`openssl rand -hex 32` makes one)"
)]
pub struct InvalidToken;

/// Parses the token in a file: its first line.
pub fn parse_token(bytes: &[u8]) -> Result<&str, InvalidToken> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let is_token = line.len() >= TOKEN_LENGTH && line.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(line).ok().filter(|_| is_token).ok_or(InvalidToken)
}

/// The token that authenticates a client, if there is one; added to every call.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BearerToken(Option<AsciiMetadataValue>);

impl BearerToken {
    fn read(path: &Path, bytes: &[u8]) -> Result<Self, Refusal> {
        let wrong = |error: &dyn fmt::Display| {
            Refusal::new(Reason::AccessFile, format!("`{}` holds {error}", path.display()))
        };
        let token = parse_token(bytes).map_err(|error| wrong(&error))?;
        let value = AsciiMetadataValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| wrong(&InvalidToken))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Bearer(..)" } else { "Bearer(none)" })
    }
}

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl ResolvedAccess {
    /// The endpoint to connect to.
    pub fn endpoint(&self) -> Result<Endpoint, Refusal> {
        let invalid = |error: &(dyn Error + 'static)| {
            let text = format!("not an address: `{}`: {}", excerpt(&self.url), root_cause(error));
            Refusal::new(Reason::InvalidAddress, text)
        };
        let endpoint = Endpoint::from_shared(self.url.clone()).map_err(|error| invalid(&error))?;
        if !self.is_https() {
            return Ok(endpoint);
        }
        let trust = ClientTlsConfig::new().timeout(HANDSHAKE);
        let Some((_, ca)) = &self.ca else {
            // Some systems have no trusted certificates, such as small containers.
            let endpoint = endpoint.tls_config(trust.with_native_roots());
            return endpoint.map_err(|_| self.untrusted());
        };
        let trust = trust.ca_certificate(Certificate::from_pem(ca));
        endpoint.tls_config(trust).map_err(|error| invalid(&error))
    }

    fn is_https(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// The refusal for an error of a connection or a call; none if a retry may help.
    pub fn explain(&self, error: &(dyn Error + 'static)) -> Option<Refusal> {
        let url = &self.url;
        match tls_error(error)? {
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => Some(self.untrusted()),
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Some(Refusal::new(
                Reason::Untrusted,
                format!(
                    "the certificate of the coordinator at `{url}` is not for that name: use one that it is for, or start the coordinator with `--advertise NAME`"
                ),
            )),
            rustls::Error::InvalidCertificate(error) => {
                let mut text =
                    format!("the certificate of the coordinator at `{url}` is not valid: {error}");
                // The default of `openssl req -x509`. Only the text names this error.
                if text.contains("CaUsedAsEndEntity") {
                    text += ": it is one of a CA, and one of a server is made with `openssl req -x509 -addext basicConstraints=critical,CA:FALSE`";
                }
                Some(Refusal::new(Reason::Untrusted, text))
            }
            rustls::Error::InvalidMessage(_) => {
                let plain = url.replacen("https://", "http://", 1);
                let text = format!("the coordinator at `{url}` speaks no TLS: use `{plain}`");
                Some(Refusal::new(Reason::NoTls, text))
            }
            _ => None,
        }
    }

    fn untrusted(&self) -> Refusal {
        let by = match &self.ca {
            Some((path, _)) => format!("the CA in `{}`", path.display()),
            None => "any CA that this machine trusts".to_owned(),
        };
        let text = format!(
            "the coordinator at `{}` cannot be trusted: its certificate is not signed by {by}. Its own CA is in `{TLS_DIRECTORY}/{CA_FILE}` of its state directory: name that file by RHEO_CA_FILE, or the directory by --state",
            self.url
        );
        Refusal::new(Reason::Untrusted, text)
    }
}

/// The TLS error in the chain of `error`, if there is one.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = source_of(error);
    }
    None
}

fn root_cause(mut error: &(dyn Error + 'static)) -> String {
    while let Some(source_of) = source_of(error) {
        error = source_of;
    }
    error.to_string()
}

/// The next error in the chain. `source` of an I/O error skips the error that it wraps, so that one
/// is taken first.
fn source_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(state: &Path) -> AccessConfig {
        AccessConfig {
            server: None,
            state: state.to_owned(),
            ca_file: None,
            token_file: None,
            role: Role::Worker,
        }
    }

    #[test]
    fn a_token_is_a_long_printable_first_line() {
        let token = "0123456789abcdef0123456789abcdef";
        assert_eq!(parse_token(format!("  {token}\r\nsecond line\n").as_bytes()), Ok(token));
        assert_eq!(parse_token(token.as_bytes()), Ok(token));
        for wrong in [
            &token[1..],
            "",
            "\n0123456789abcdef0123456789abcdef",
            "0123456789abcdef 0123456789abcdef",
            "0123456789abcdef0123456789abcdefü",
        ] {
            assert_eq!(parse_token(wrong.as_bytes()), Err(InvalidToken), "{wrong:?}");
        }
        assert!(parse_token(&[0xff; 40]).is_err());
    }

    #[test]
    fn a_token_is_neither_printed_nor_sent_in_plaintext() {
        let state = tempfile::tempdir().unwrap();
        let tls = state.path().join("tls");
        std::fs::create_dir(&tls).unwrap();
        std::fs::write(tls.join("worker.token"), "secret-secret-secret-secret-secret").unwrap();
        let https = AccessConfig { server: Some("https://h:1".to_owned()), ..access(state.path()) };
        let mut route = https.read().unwrap();
        assert!(!format!("{route:?}").contains("secret"));
        assert!(
            route.bearer.call(Request::new(())).unwrap().metadata().contains_key("authorization")
        );
        for (url, is_sent) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1/", true),
            ("http://localhost:1", true),
            ("http://h:1", false),
        ] {
            let http = AccessConfig { server: Some(url.to_owned()), ..https.clone() };
            let mut route = http.read().unwrap();
            let request = route.bearer.call(Request::new(())).unwrap();
            assert_eq!(request.metadata().contains_key("authorization"), is_sent, "{url}");
        }
    }

    #[test]
    fn the_server_file_of_a_dead_coordinator_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let mut file = ServerFile::of_this_process("http://127.0.0.1:1");
        let write = |file: &ServerFile| {
            std::fs::write(state.path().join(SERVER_FILE), file.to_string()).unwrap();
        };
        write(&file);
        assert_eq!(access(state.path()).read().unwrap().url, "http://127.0.0.1:1");
        file.process.as_mut().unwrap().started += 1;
        write(&file);
        assert!(access(state.path()).read().is_ok(), "a copy of the file elsewhere");
        std::fs::write(state.path().join(JOURNAL_FILE), "").unwrap();
        let refusal = access(state.path()).read().unwrap_err();
        assert!(refusal.transient && refusal.text.contains("left from one that died"), "{refusal}");
    }

    #[test]
    fn only_files_that_the_user_names_must_exist() {
        let state = tempfile::tempdir().unwrap();
        let refusal = access(state.path()).read().unwrap_err();
        assert!(refusal.transient && refusal.text.contains("no coordinator runs there"));
        std::fs::write(state.path().join("server"), "https://h:1\n").unwrap();
        let route = access(state.path()).read().unwrap();
        assert_eq!((route.url.as_str(), &route.ca), ("https://h:1", &None));
        let nowhere = Some(state.path().join("nowhere"));
        for (access, variable) in [
            (AccessConfig { ca_file: nowhere.clone(), ..access(state.path()) }, "RHEO_CA_FILE"),
            (AccessConfig { token_file: nowhere, ..access(state.path()) }, "RHEO_TOKEN_FILE"),
        ] {
            let refusal = access.read().unwrap_err();
            assert!(refusal.is_access() && !refusal.transient, "{refusal}");
            assert!(refusal.text.starts_with(variable), "{refusal}");
        }
        let plain = AccessConfig { server: Some("h:1".to_owned()), ..access(state.path()) };
        assert_eq!(plain.read().unwrap_err().reason, Some(Reason::InvalidAddress));
    }
}
