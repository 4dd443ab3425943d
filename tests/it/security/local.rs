//! On loopback, where everybody on a login node can connect: nobody gets in without the token, and
//! whoever owns the state directory needs to type nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rheo_proto::refusal::{Reason, Refusal};
use rheo_proto::v1;
use rheo_proto::v1::fleet_service_client::FleetServiceClient;
use rheo_proto::v1::sweep_service_client::SweepServiceClient;
use rheo_proto::v1::worker_service_client::WorkerServiceClient;
use rheo_tests::{RunningProgram, TestBench, program, wait_for};
use tonic::Status;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{said, serve, url};
use crate::sweeps::SMALL;

/// The permissions of a file or directory.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// `rheo` as the user `nobody`; nothing if this test may not do that.
fn as_nobody(bench: &TestBench, args: &[&str]) -> Option<Command> {
    let may = Command::new("setpriv").args(["--reuid=65534", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: u50: only root can be another user, by `setpriv` (util-linux)");
        }
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    command.arg(program("rheo")).args(args).current_dir("/").env_clear();
    // Everybody may look into the directory; what is secret must be so by itself.
    set_mode(bench.path(), 0o755);
    Some(command)
}

#[test]
fn u50_another_user_is_refused_on_loopback_and_the_owner_types_nothing() {
    let bench = TestBench::default();
    let (_serve, _) = serve(&bench, &[]);
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    let state = bench.state().display().to_string();
    let server = url(&bench).unwrap();
    assert!(server.starts_with("http://127.0.0.1:"), "{server}");
    fs::write(bench.path().join("other.yaml"), SMALL.replace("name: small", "name: other"))
        .unwrap();
    let other = bench.path().join("other.yaml").display().to_string();
    for args in [
        &["status"][..],
        &["query", "select 1"],
        &["cancel", "small"],
        &["pause", "small"],
        &["submit", &other],
        &["launch", "list"],
    ] {
        // By the directory, which everybody can read, and by the address alone.
        let Some(by_state) = as_nobody(&bench, &[args, &["--state", &state]].concat()) else {
            return;
        };
        let by_state = said(by_state).expect(2);
        assert!(by_state.err.contains("admin.token` cannot be read"), "{}", by_state.err);
        assert!(by_state.err.contains("Permission denied"), "{}", by_state.err);
        assert!(by_state.err.contains("RHEO_TOKEN_FILE"), "{}", by_state.err);
        let by_address = as_nobody(&bench, &[args, &["--server", &server]].concat()).unwrap();
        let by_address = said(by_address).expect(2);
        assert!(by_address.err.contains("answers nobody without its token"), "{}", by_address.err);
        assert!(by_address.err.contains("--state"), "{}", by_address.err);
    }
    let status = bench.run(&["status", "-o", "json"]).expect(0).json();
    assert_eq!(status["sweeps"].as_array().unwrap().len(), 1);
    assert_eq!(status["sweeps"][0]["phase"], "running");
    let elsewhere = ["--server", &server, "--state", &state, "status"];
    bench.run(&elsewhere).expect(0);
}

#[test]
fn u50_a_token_is_not_shown_to_a_program_of_another_user() {
    let (bench, theirs) = (TestBench::default(), TestBench::default());
    // This user's state, with tokens; its coordinator has ended.
    let (running, _) = serve(&bench, &[]);
    running.signal(rustix::process::Signal::TERM);
    running.end().expect(0);
    let state = theirs.state();
    fs::create_dir(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(65534), Some(65534)).unwrap();
    let args = ["serve", "--state", &state.display().to_string()];
    let Some(command) = as_nobody(&theirs, &args) else { return };
    let _theirs = RunningProgram::start(command);
    let server = wait_for("the other coordinator", || url(&theirs));
    for mut command in [bench.rheo(&["status"]), bench.worker(&[])] {
        command.env("RHEO_SERVER", &server);
        let said = said(command).expect(2);
        assert!(said.err.contains("belongs to another user"), "{}", said.err);
        assert!(said.err.contains("uid 65534"), "{}", said.err);
    }
}

#[tokio::test]
async fn u50_no_service_answers_on_loopback_without_a_token() {
    let bench = TestBench::default();
    let (_serve, _) = serve(&bench, &[]);
    let channel = Endpoint::from_shared(url(&bench).unwrap()).unwrap().connect().await.unwrap();
    let reason = |status: &Status| Refusal::from(status).reason;
    let mut sweeps = SweepServiceClient::new(channel.clone());
    let status = sweeps.list_sweeps(v1::ListSweepsRequest::default()).await.unwrap_err();
    assert_eq!(reason(&status), Some(Reason::Unauthenticated));
    let status = sweeps.query(v1::QueryRequest { sql: "select 1".to_owned() }).await.unwrap_err();
    assert_eq!(reason(&status), Some(Reason::Unauthenticated));
    let mut workers = WorkerServiceClient::new(channel.clone());
    let status = workers.join(v1::JoinRequest::default()).await.unwrap_err();
    assert_eq!(reason(&status), Some(Reason::Unauthenticated));
    let mut fleets = FleetServiceClient::new(channel.clone());
    let status = fleets.list_fleets(v1::ListFleetsRequest {}).await.unwrap_err();
    assert_eq!(reason(&status), Some(Reason::Unauthenticated));
    let status = HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(reason(&status), Some(Reason::Unauthenticated));
}

#[test]
fn u50_tokens_are_private_whatever_the_umask_and_are_made_private_again() {
    let bench = TestBench::default();
    let program = program("rheo").display().to_string();
    let plain = bench.rheo(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask 0; exec {program} serve")]).current_dir(bench.path());
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let running = RunningProgram::start(shell);
    wait_for("the coordinator", || url(&bench));
    let tls = bench.state().join("tls");
    let tokens = ["admin.token", "worker.token"].map(|name| tls.join(name));
    assert_eq!((mode(&bench.state()), mode(&tls)), (0o755, 0o700));
    for token in &tokens {
        assert_eq!(mode(token), 0o600, "{}", token.display());
    }
    running.signal(rustix::process::Signal::TERM);
    running.end().expect(0);
    set_mode(&bench.state(), 0o777);
    set_mode(&tls, 0o755);
    set_mode(&tokens[0], 0o644);
    let (running, _) = serve(&bench, &[]);
    running.signal(rustix::process::Signal::TERM);
    let said = running.end().expect(0);
    assert!(said.err.contains("had permissions 644 and has 600 now"), "{}", said.err);
    assert!(said.err.contains("had permissions 755 and has 700 now"), "{}", said.err);
    assert!(said.err.contains("every user can change"), "{}", said.err);
    assert_eq!((mode(&tls), mode(&tokens[0])), (0o700, 0o600));
}

#[test]
fn u50_insecure_says_so_on_loopback_too() {
    let bench = TestBench::default();
    let (running, _) = serve(&bench, &["--insecure"]);
    let server = url(&bench).unwrap();
    let elsewhere = TestBench::default();
    said(elsewhere.rheo(&["--server", &server, "status"])).expect(0);
    running.signal(rustix::process::Signal::TERM);
    let said = running.end().expect(0);
    assert!(said.err.contains("other users of this machine included"), "{}", said.err);
}
