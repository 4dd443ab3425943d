//! The server certificate: a person's own, or one that the coordinator's CA signs at every start,
//! so that it also covers the names of a new machine.
//!
//! The CA's name and identifier are functions of its key, so its certificate can be recreated.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rheo_core::time::Timestamp;
use rheo_proto::access::CA_FILE;
use rheo_proto::file;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::{Error, HostNames, files};

/// The validity of certificates. It is long for the server's too: its key lies beside the CA's, and
/// the certificate must not expire while a coordinator runs.
const VALIDITY: Duration = Duration::from_hours(10 * 365 * 24);

/// The largest difference between clocks.
const SKEW: Duration = Duration::from_hours(24);

/// A certificate chain and the key of its first certificate.
pub(crate) struct ServerIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ServerIdentity {
    /// Reads a person's own certificate and key.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let text = |path: &Path, bound| {
            let error = |source| Error::File { path: path.to_owned(), source };
            file::read(path, bound).map_err(error)
        };
        let wrong = |path: &Path, what, source| Error::Pem { path: path.to_owned(), what, source };
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&text(certificate, file::CERTIFICATES)?).collect();
        let chain = chain.map_err(|source| wrong(certificate, "certificate", source))?;
        if chain.is_empty() {
            let source = rustls::pki_types::pem::Error::NoItemsFound;
            return Err(wrong(certificate, "certificate", source));
        }
        files::warn_if_readable(key);
        let parsed = PrivateKeyDer::from_pem_slice(&text(key, file::KEY)?);
        let key = parsed.map_err(|source| wrong(key, "private key", source))?;
        Ok(Self { chain, key })
    }

    /// Issues a certificate by the CA in `directory`, which is created if missing.
    pub(crate) fn issue(
        directory: &Path,
        names: &HostNames,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let all = names.all();
        let issue = |source| Error::Issue { names: all.join(", "), source };
        let (ca, ca_key) = certificate_authority(directory, now)?;
        let mut params = CertificateParams::new(all.clone()).map_err(issue)?;
        set_validity(&mut params, now);
        params.distinguished_name = common_name(names.first());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(issue)?;
        let issuer = Issuer::from_params(&ca, &ca_key);
        let certificate = params.signed_by(&key, &issuer).map_err(issue)?;
        files::write(&directory.join("server.pem"), certificate.pem().as_bytes())?;
        files::write(&directory.join("server.key"), key.serialize_pem().as_bytes())?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Self { chain: vec![certificate.der().clone()], key })
    }

    /// Returns the TLS configuration with this certificate.
    pub(crate) fn config(self) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Identity)?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key);
        let mut config = config.map_err(Error::Identity)?;
        config.alpn_protocols.push(b"h2".to_vec());
        Ok(Arc::new(config))
    }
}

/// Creates or reads the CA in `directory`: its parameters and its key.
fn certificate_authority(
    directory: &Path,
    now: Timestamp,
) -> Result<(CertificateParams, KeyPair), Error> {
    let path = directory.join("ca.key");
    let damaged = |source| Error::Key { path: path.clone(), source };
    let certificate = directory.join(CA_FILE);
    let (key, is_new) = match files::read_if_present(&path, file::KEY)? {
        Some(pem) => (KeyPair::from_pem(&String::from_utf8_lossy(&pem)).map_err(damaged)?, false),
        None => (KeyPair::generate().map_err(damaged)?, true),
    };
    let mut params = CertificateParams::default();
    set_validity(&mut params, now);
    // Named for its key, so that a client can tell it from a CA that it trusts.
    let number = blake3::hash(key.public_key_raw()).to_hex();
    params.distinguished_name = common_name(&format!("Rheobase CA {}", &number[..16]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    if is_new {
        // A certificate of an earlier key is useless.
        files::remove(&certificate)?;
        files::write(&path, key.serialize_pem().as_bytes())?;
    }
    if is_new || files::read_if_present(&certificate, file::CERTIFICATES)?.is_none() {
        let signed = params.self_signed(&key).map_err(damaged)?;
        files::write(&certificate, signed.pem().as_bytes())?;
    }
    Ok((params, key))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_validity(params: &mut CertificateParams, now: Timestamp) {
    let now = date_time_ymd(1970, 1, 1) + Duration::from_millis(now.0);
    params.not_before = now - SKEW;
    params.not_after = now + VALIDITY;
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn names() -> HostNames {
        HostNames::of_this_machine(&["gateway".to_owned()], Ipv4Addr::UNSPECIFIED.into())
    }

    #[test]
    fn the_ca_certificate_is_recreated_from_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
        ServerIdentity::issue(directory.path(), &names(), NOW).unwrap();
        let (ca, key, server) = (read("ca.pem"), read("ca.key"), read("server.pem"));
        ServerIdentity::issue(directory.path(), &names(), NOW + SKEW).unwrap();
        assert_eq!((read("ca.pem"), read("ca.key")), (ca, key.clone()));
        assert_ne!(read("server.pem"), server, "issued anew");
        std::fs::remove_file(directory.path().join("ca.pem")).unwrap();
        ServerIdentity::issue(directory.path(), &names(), NOW).unwrap();
        assert_eq!(read("ca.key"), key);
        // A new key makes a new CA with a new certificate.
        let old = read("ca.pem");
        std::fs::remove_file(directory.path().join("ca.key")).unwrap();
        ServerIdentity::issue(directory.path(), &names(), NOW).unwrap();
        assert_ne!(read("ca.pem"), old);
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn errors_name_files_with_invalid_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        ServerIdentity::issue(directory.path(), &names(), NOW).unwrap();
        let (certificate, key) = (path("server.pem"), path("server.key"));
        ServerIdentity::read(&certificate, &key).and_then(ServerIdentity::config).unwrap();
        for (certificate, key, expected) in [
            (&path("nothing"), &key, "nothing"),
            (&key, &key, "holds no certificate"),
            (&certificate, &certificate, "holds no private key"),
            (&certificate, &path("ca.key"), "cannot be served with its key"),
        ] {
            let error = ServerIdentity::read(certificate, key)
                .and_then(ServerIdentity::config)
                .err()
                .unwrap();
            assert!(error.to_string().contains(expected), "{error}");
        }
        std::fs::write(path("ca.key"), "damaged").unwrap();
        let error = ServerIdentity::issue(directory.path(), &names(), NOW).err().unwrap();
        assert!(error.to_string().contains("ca.key` is damaged: remove it"), "{error}");
    }
}
