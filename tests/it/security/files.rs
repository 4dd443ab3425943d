//! Certificates and tokens on disk: those that are made, and those that a person brings.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rheo_tests::TestBench;

use super::{ANY, said, serve, url};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn u39_made_secrets_are_readable_by_their_owner_alone() {
    let bench = TestBench::default();
    let (_serve, _) = serve(&bench, ANY);
    let tls = bench.state().join("tls");
    assert_eq!(mode(&tls), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&tls).unwrap().flatten() {
        assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let expected = ["admin.token", "ca.key", "ca.pem", "server.key", "server.pem", "worker.token"];
    assert_eq!(names, expected);
}

/// Files with a CA of a person, a certificate for 127.0.0.1 that it signed, and its key.
fn own_certificate(bench: &TestBench) -> [PathBuf; 3] {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).unwrap();
    let texts = [("ca", ca_pem), ("cert", leaf.pem()), ("key", key.serialize_pem())];
    texts.map(|(name, text)| bench.path().join(bench.file(name, &text)))
}

#[test]
fn own_certificates_and_tokens_are_used_and_make_loopback_ask_for_a_token_too() {
    let bench = TestBench::default();
    let [ca, _, _] = own_certificate(&bench);
    let token = bench.file("token", "a-token-of-a-person-who-made-it-up\n");
    let args = ["--tls-cert", "cert", "--tls-key", "key", "--token-file", token];
    let (_serve, _) = serve(&bench, &args);
    let url = url(&bench).unwrap();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let ask = |ca: Option<&Path>, token: Option<&str>| {
        let mut command = bench.rheo(&["status"]);
        command.env("RHEO_SERVER", url.trim());
        command.envs(ca.map(|ca| ("RHEO_CA_FILE", ca)));
        command.envs(token.map(|token| ("RHEO_TOKEN_FILE", token)));
        said(command)
    };
    ask(Some(&ca), Some(token)).expect(0);
    let untrusted = ask(None, Some(token)).expect(2);
    assert!(untrusted.err.contains("not signed by any CA that this machine"), "{}", untrusted.err);
    let nobody = ask(Some(&ca), None).expect(2);
    assert!(nobody.err.contains("answers nobody without its token"), "{}", nobody.err);
    // The token of workers was made, for there is none of a person.
    let tls = bench.state().join("tls");
    assert!(tls.join("worker.token").exists() && !tls.join("admin.token").exists());
    let mut worker = bench.worker(&["--idle-timeout", "0.1"]);
    worker.env("RHEO_CA_FILE", &ca);
    said(worker).expect(0);
}

#[test]
fn unsafe_settings_of_the_listener_are_refused() {
    let bench = TestBench::default();
    own_certificate(&bench);
    bench.file("short", "secret\n");
    bench.file("same", "a-token-of-a-person-who-made-it-up\n");
    for (args, expected) in [
        (&["--tls-cert", "cert"][..], "--tls-key <FILE>"),
        (&["--tls-cert", "cert", "--tls-key", "nothing"], "`nothing` cannot be used"),
        (&["--tls-cert", "key", "--tls-key", "key"], "`key` holds no certificate"),
        (&["--tls-cert", "ca", "--tls-key", "key"], "cannot be served with its key"),
        (&["--tls-cert", "cert", "--tls-key", "key", "--insecure"], "leave one of them out"),
        (&["--listen", "0.0.0.0:0", "--token-file", "short"], "at least 32 characters"),
        (
            &["--listen", "0.0.0.0:0", "--token-file", "same", "--worker-token-file", "same"],
            "are the same",
        ),
        (&["--listen", "0.0.0.0:0", "--advertise", "host:7070"], "without a port"),
    ] {
        let said = bench.run(&[&["serve"], args].concat()).expect(2);
        assert!(said.err.contains(expected), "{args:?}\n{}", said.err);
        assert!(url(&bench).is_none(), "nobody is told to come");
    }
}

#[test]
fn the_first_name_that_is_advertised_is_in_the_address() {
    let bench = TestBench::default();
    let args = [ANY, &["--advertise", "127.0.0.3", "--advertise", "127.0.0.4"]].concat();
    let (_serve, port) = serve(&bench, &args);
    assert_eq!(url(&bench).unwrap().trim(), format!("https://127.0.0.3:{port}"));
    bench.run(&["status"]).expect(0);
    let other = format!("https://127.0.0.4:{port}");
    bench.run(&["--server", &other, "status"]).expect(0);
}
