//! Results and checkpoints in a bucket of a real server that speaks the protocol of S3 (moto).

use std::process::Command;

use rheo_tests::object_store::ObjectServer;
use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::readers::readers;
use crate::sweeps::{LONG, LONG_EPOCHS, SMALL, SMALL_EPOCHS, SMALL_EVALUATIONS, SMALL_SHAPES};

/// Rows of every table in the bucket as another program sees them, and the names of all objects.
const READ: &str = r#"
import json, sys
import pyarrow.dataset, pyarrow.fs

endpoint, key, secret, prefix = sys.argv[1:]
s3 = pyarrow.fs.S3FileSystem(endpoint_override=endpoint, access_key=key, secret_key=secret, region="us-east-1")
files = s3.get_file_info(pyarrow.fs.FileSelector(prefix, recursive=True, allow_not_found=True))
seen = {"objects": sorted(file.path for file in files if file.is_file)}
for table in ["trials", "epochs", "evaluations", "shapes"]:
    try:
        rows = pyarrow.dataset.dataset(f"{prefix}/results/{table}", filesystem=s3, partitioning="hive").to_table()
        seen[table] = rows.num_rows
    except FileNotFoundError:
        seen[table] = 0
print(json.dumps(seen))
"#;

/// Puts an object under every name that the first parts of `epochs` may get.
const OBSTRUCT: &str = r#"
import boto3, sys

endpoint, key, secret = sys.argv[1:]
s3 = boto3.Session(key, secret, region_name="us-east-1").client("s3", endpoint_url=endpoint)
for position in range(1, 200):
    s3.put_object(Bucket="bucket", Key=f"a/results/epochs/sweep=small/part-{position:012}.parquet", Body=b"of somebody else")
"#;

/// Returns the contents of `bucket/a` as another program reads them.
#[track_caller]
fn read(server: &ObjectServer) -> Option<Value> {
    let mut python = Command::new("python3");
    python.args(["-c", READ, &server.url, &server.key, &server.secret, "bucket/a"]);
    python.env("PYTHONPATH", readers()?);
    Some(end(python).expect(0).json())
}

/// Options that put results and checkpoints into the bucket.
const PLACES: [&str; 4] =
    ["--results", "s3://bucket/a/results", "--checkpoints", "s3://bucket/a/checkpoints"];

fn bench_of(server: &ObjectServer) -> TestBench {
    TestBench::with(server.environment())
}

fn run(bench: &TestBench, file: &str, more: &[&str]) -> Command {
    let mut run = bench.rheo(&["run", file, "--workers", "2"]);
    run.args(more);
    run
}

fn end(command: Command) -> ProgramOutput {
    RunningProgram::start(command).end()
}

/// The objects that are no parts, checkpoints or marks of ownership.
fn strays(seen: &Value) -> Vec<&str> {
    let objects = seen["objects"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let is_known = |name: &&str| {
        let is_part = name.contains("/sweep=") && !name.contains("/.staging/");
        is_part || name.starts_with("bucket/a/checkpoints/") || name.ends_with("/_rheobase")
    };
    objects.filter(|name| !is_known(name)).collect()
}

#[test]
fn object_store_a_coordinator_that_is_killed_leaves_every_row_once_in_the_bucket() {
    let Some(server) = ObjectServer::start(&[]) else { return };
    let bench = bench_of(&server);
    let file = bench.file("long.yaml", LONG);
    let mut killed = 0;
    for _ in 0..2 {
        let places: &[&str] = if killed == 0 { &PLACES } else { &[] };
        let running = run(&bench, file, &[places, &["--flush-interval", "0.2"]].concat());
        let running = RunningProgram::start(running);
        killed = wait_for("more commits", || {
            let said = bench.run(&["query", "select count(*) as n from epochs", "-o", "json"]);
            let epochs = said.status.success().then(|| said.json()[0]["n"].as_u64())??;
            (epochs > killed).then_some(epochs)
        });
        running.kill();
        wait_for("workers to leave", || bench.worker_pids().is_empty().then_some(()));
    }
    // At rest, from the journal and the bucket.
    assert!(bench.number("select count(*) from epochs") >= killed);
    let said = end(run(&bench, file, &[])).expect(0);
    assert!(said.out.contains("Parquet files in s3://bucket/a/results"), "{}", said.out);
    assert_eq!(bench.number("select count(*) from epochs"), LONG_EPOCHS);
    assert_eq!(bench.number("select count(distinct trial * 100 + epoch) from epochs"), LONG_EPOCHS);
    assert_eq!(bench.number("select count(distinct trial) from trials"), 4);
    for name in ["results", "checkpoints"] {
        assert!(!bench.state().join(name).exists(), "`{name}` lie in the bucket alone");
    }
    let Some(seen) = read(&server) else { return };
    assert_eq!(seen["epochs"], json!(LONG_EPOCHS), "{seen}");
    assert_eq!(seen["trials"], json!(4), "{seen}");
    assert_eq!(strays(&seen), [""; 0]);
    let checkpoints = seen["objects"].as_array().unwrap().iter();
    let checkpoints = checkpoints.filter(|name| name.as_str().unwrap().contains("checkpoints/"));
    assert!(checkpoints.count() > 1, "{seen}");
}

#[test]
fn object_store_rows_wait_in_the_journal_while_the_bucket_does_not_answer() {
    let Some(server) = ObjectServer::start(&[]) else { return };
    let bench = bench_of(&server);
    let serve = bench.rheo(&["serve", "--flush-interval", "0.2", PLACES[0], PLACES[1]]);
    let serve = RunningProgram::start(serve);
    let address = bench.state().join("server");
    wait_for("the coordinator", || address.exists().then_some(()));
    server.signal(Signal::STOP);
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    let state = bench.state().display().to_string();
    let worker = RunningProgram::start(bench.worker(&["--state", &state, "--slots", "2"]));
    // Commits flow, and queries see what is in no part.
    bench.run(&["wait", "small"]).expect(0);
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    let trouble = wait_for("the trouble to be told", || {
        let status = bench.run(&["status", "--output", "json"]).expect(0).json();
        status["trouble"].as_str().map(str::to_owned)
    });
    assert!(trouble.contains("s3://bucket/a/results"), "{trouble}");
    server.signal(Signal::CONT);
    wait_for("the trouble to end", || {
        let status = bench.run(&["status", "--output", "json"]).expect(0).json();
        status["trouble"].is_null().then_some(())
    });
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    assert_eq!(bench.number("select count(*) from evaluations"), SMALL_EVALUATIONS);
    worker.end().expect(0);
    serve.signal(Signal::TERM);
    serve.end().expect(0);
    let Some(seen) = read(&server) else { return };
    let rows = json!([SMALL_EPOCHS, SMALL_EVALUATIONS, SMALL_SHAPES, 6]);
    assert_eq!(json!([seen["epochs"], seen["evaluations"], seen["shapes"], seen["trials"]]), rows);
    assert_eq!(strays(&seen), [""; 0]);
}

#[test]
fn object_store_a_foreign_object_in_place_of_a_part_is_kept() {
    let Some(server) = ObjectServer::start(&[]) else { return };
    let bench = bench_of(&server);
    let serve = bench.rheo(&["serve", "--flush-interval", "0.2", PLACES[0], PLACES[1]]);
    let serve = RunningProgram::start(serve);
    let address = bench.state().join("server");
    wait_for("the coordinator", || address.exists().then_some(()));
    let mut python = Command::new("python3");
    python.args(["-c", OBSTRUCT, &server.url, &server.key, &server.secret]);
    python.env("PYTHONPATH", &server.packages);
    end(python).expect(0);
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    let state = bench.state().display().to_string();
    RunningProgram::start(bench.worker(&["--state", &state, "--slots", "2"])).end().expect(0);
    serve.signal(Signal::TERM);
    let said = serve.end().expect(0);
    let log = [said.out, said.err].concat();
    assert!(log.contains("exists with other content"), "{log}");
    // The journal does not name it, so it went, and the rows took its place.
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    let Some(seen) = read(&server) else { return };
    assert_eq!(seen["epochs"], json!(SMALL_EPOCHS));
}

#[test]
fn object_store_unusable_settings_are_refused_at_the_start() {
    let Some(server) = ObjectServer::start(&["keys"]) else { return };
    let refused = |bench: &TestBench, places: &[&str]| {
        let file = bench.file("small.yaml", SMALL);
        end(run(bench, file, places)).expect(2).err
    };
    let with_setting = |name: &str, value: &str| {
        let mut environment = server.environment();
        environment.push((name.to_owned(), value.to_owned()));
        TestBench::with(environment)
    };
    let bench = with_setting("AWS_SECRET_ACCESS_KEY", "wrong");
    let said = refused(&bench, &PLACES);
    assert!(said.contains("the credentials in the environment may not"), "{said}");
    let bench = bench_of(&server);
    let said = refused(&bench, &["--results", "s3://nowhere/a"]);
    assert!(said.contains("`s3://nowhere/a` cannot be used: there is no such bucket"), "{said}");
    let said = refused(&bench, &["--results", "gs://bucket/a"]);
    assert!(said.contains("--features rheo-coordinator/gcs"), "{said}");
    let said = refused(&bench, &["--results", "s3://"]);
    assert!(said.contains("is not a storage URL"), "{said}");
    // Nothing of that is remembered against who corrects it.
    let file = bench.file("small.yaml", SMALL);
    end(run(&bench, file, &PLACES)).expect(0);
    let said = refused(&bench, &["--results", "s3://bucket/b"]);
    assert!(said.contains("lie in `s3://bucket/a/results`, not in `s3://bucket/b`"), "{said}");
    let said = refused(&bench_of(&server), &PLACES);
    assert!(said.contains("belongs to another state directory"), "{said}");
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    let Some(old) = ObjectServer::start(&["unconditional"]) else { return };
    let said = refused(&bench_of(&old), &PLACES);
    assert!(said.contains("ignores the condition of a conditional write"), "{said}");
    // A journal that was lost does not take the results with it.
    std::fs::remove_file(bench.state().join("journal.redb")).unwrap();
    let said = end(run(&bench, file, &[])).expect(2).err;
    assert!(said.contains("put the journal back"), "{said}");
}

#[test]
fn object_store_a_copied_state_is_refused_or_warned_of() {
    const NOTICE: &str = "used this bucket after the last event of this journal";
    let Some(server) = ObjectServer::start(&[]) else { return };
    let bench = bench_of(&server);
    let file = bench.file("small.yaml", SMALL);
    end(run(&bench, file, &PLACES)).expect(0);
    let mut copy = Command::new("cp");
    copy.args(["-r", ".rheo", "copy"]).current_dir(bench.path());
    end(copy).expect(0);
    let said = bench.run(&["--state", "copy", "run", file]).expect(2).err;
    assert!(said.contains("is a copy") && said.contains(PLACES[1]), "{said}");
    let said = bench.run(&["run", file]).expect(0).err;
    assert!(!said.contains(NOTICE), "{said}");

    // Elsewhere nobody sees the original, but its last start is in the bucket.
    let mv = |from: &str, to: &str| {
        std::fs::rename(bench.path().join(from), bench.path().join(to)).unwrap();
    };
    mv(".rheo", "original");
    let said = bench.run(&["--state", "copy", "run", file]).expect(0).err;
    assert!(said.contains(NOTICE), "{said}");
    let said = bench.run(&["--state", "copy", "run", file]).expect(0).err;
    assert!(!said.contains(NOTICE), "said once: {said}");
    mv("copy", "gone");
    let said = bench.run(&["--state", "original", "run", file]).expect(0).err;
    assert!(said.contains(NOTICE), "{said}");
    let epochs = bench.run(&["--state", "original", "query", "select count(*) as n from epochs"]);
    assert!(epochs.expect(0).out.contains(&SMALL_EPOCHS.to_string()));
}
