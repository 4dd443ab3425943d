//! Messages to callers without access: `rheo` and `rheo-worker` both exit with 2 and name the remedy.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use rheo_tests::TestBench;

use super::{ANY, said, serve};

/// The variables that a case sets, beside the address.
type Variables<'v> = &'v [(&'v str, &'v Path)];

/// Returns the errors of both programs in these circumstances.
fn transcript(server: &str, variables: Variables<'_>) -> String {
    // Neither a state directory nor a spool of the coordinator's.
    let elsewhere = TestBench::default();
    let mut text = String::new();
    for (name, mut command) in
        [("rheo status", elsewhere.rheo(&["status"])), ("rheo-worker", elsewhere.worker(&[]))]
    {
        command.env("RHEO_SERVER", server).envs(variables.iter().copied());
        let said = said(command).expect(2);
        let error = said.err.lines().find(|line| line.starts_with("error: "));
        writeln!(text, "$ {name}\n{}", error.unwrap_or_else(|| panic!("{}", said.err))).unwrap();
    }
    text
}

#[test]
fn u39_callers_without_access_are_told_the_remedy() {
    let (bench, other) = (TestBench::default(), TestBench::default());
    let (_serve, port) = serve(&bench, ANY);
    let (_other, _) = serve(&other, ANY);
    let unencrypted = TestBench::default();
    let (_plain, plain) = serve(&unencrypted, &[]);
    let tls = bench.state().join("tls");
    let ca = ("RHEO_CA_FILE", &*tls.join("ca.pem"));
    let https = format!("https://127.0.0.1:{port}");
    let token = bench.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    let short = bench.path().join("short");
    std::fs::write(&short, "secret\n").unwrap();
    let wrong_ca = other.state().join("tls/ca.pem");
    let cases: &[(&str, &str, Variables<'_>)] = &[
        ("plaintext", &format!("http://127.0.0.1:{port}"), &[]),
        ("no CA", &https, &[]),
        ("the CA of another coordinator", &https, &[("RHEO_CA_FILE", &wrong_ca)]),
        ("a CA that is none", &https, &[("RHEO_CA_FILE", &token)]),
        ("a CA that is not there", &https, &[("RHEO_CA_FILE", Path::new("/nowhere/ca.pem"))]),
        ("another name", &format!("https://127.0.0.2:{port}"), &[ca]),
        ("no token", &https, &[ca]),
        ("a wrong token", &https, &[ca, ("RHEO_TOKEN_FILE", &token)]),
        ("a token that is none", &https, &[ca, ("RHEO_TOKEN_FILE", &short)]),
        ("TLS to plaintext", &format!("https://127.0.0.1:{plain}"), &[]),
        ("no scheme", "127.0.0.1:7070", &[]),
    ];
    let mut text = String::new();
    for (name, server, variables) in cases {
        writeln!(text, "--- {name}\n{}", transcript(server, variables)).unwrap();
    }
    for (found, stable) in [
        (bench.path().display().to_string(), "[dir]"),
        (other.path().display().to_string(), "[other]"),
        (format!(":{port}"), ":[port]"),
        (format!(":{plain}"), ":[plain]"),
    ] {
        text = text.replace(&found, stable);
    }
    insta::assert_snapshot!("refused", text);
}

#[test]
fn u39_the_token_of_workers_is_for_workers() {
    let bench = TestBench::default();
    let (_serve, _) = serve(&bench, ANY);
    let worker_token = bench.state().join("tls/worker.token");
    let with_token = |mut command: Command| {
        command.env("RHEO_TOKEN_FILE", &worker_token);
        said(command)
    };
    for args in [&["status"][..], &["query", "select 1"], &["cancel", "small"]] {
        let said = with_token(bench.rheo(args)).expect(2);
        assert!(said.err.contains("good for the calls of workers only"), "{}", said.err);
    }
    // It leaves because there is nothing to do, not because it is refused.
    with_token(bench.worker(&["--idle-timeout", "0.1"])).expect(0);
}
