//! Output of the command line: transcripts, and the errors of wrong sweep files.

#![expect(clippy::unwrap_used, reason = "tests")]

mod environment;
mod files;
mod pages;
mod words;

use std::fs;
use std::path::Path;

use rheo_tests::{ProgramOutput, TestBench};

const DEMO: &str = include_str!("../../sweeps/demo.yaml");

/// Returns the output of a command, with the parts that differ from run to run replaced.
fn transcript(bench: &TestBench, args: &[&str], code: i32) -> String {
    let ProgramOutput { out, err, .. } = bench.run(args).expect(code);
    let text = format!("$ rheo {}\n--- out\n{out}--- err\n{err}", args.join(" "));
    let program = rheo_tests::program("rheo").display().to_string();
    text.replace(&bench.path().display().to_string(), "[dir]").replace(&program, "rheo")
}

macro_rules! assert_transcript {
    ($name:expr, $bench:expr, $args:expr, $code:expr) => {
        insta::with_settings!({ filters => vec![(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(Z| [+-]\d\d:\d\d)", "[time]")] }, {
            insta::assert_snapshot!($name, transcript($bench, $args, $code));
        });
    };
}

#[test]
fn the_commands_explain_themselves() {
    let bench = TestBench::default();
    assert_transcript!("help", &bench, &["--help"], 0);
    for command in [
        "run",
        "preview",
        "serve",
        "submit",
        "status",
        "trials",
        "best",
        "show",
        "watch",
        "wait",
        "pause",
        "resume",
        "cancel",
        "retry",
        "logs",
        "workers",
        "delete",
        "du",
        "stop",
        "query",
        "importance",
        "verify",
        "analyze",
        "checkpoint",
        "schema",
        "config",
        "completions",
        "man",
        "data",
    ] {
        let said = bench.run(&[command, "--help"]).expect(0);
        assert!(said.out.lines().next().unwrap().len() > 20, "{command} says what it does");
    }
}

#[test]
fn a_sweep_is_previewed() {
    let bench = TestBench::default();
    let file = bench.file("demo.yaml", DEMO);
    assert_transcript!("preview", &bench, &["preview", file, "--trials", "3"], 0);
    let json = bench.run(&["preview", file, "--output", "json"]).expect(0).json();
    assert_eq!(json["name"], "demo");
    assert_eq!(json["first"][0]["index"], 0);
    assert!(!bench.state().exists(), "a preview leaves nothing behind");
}

#[test]
fn the_sweep_of_the_readme_is_one() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```yaml\n").unwrap();
    let (sweep, _) = rest.split_once("```").unwrap();
    let bench = TestBench::default();
    bench.run(&["preview", bench.file("readme.yaml", sweep)]).expect(0);
}

#[test]
fn sweeps_and_trials_are_listed() {
    let bench = TestBench::default();
    let file = bench.file("demo.yaml", DEMO);
    assert_transcript!("submit", &bench, &["submit", file], 0);
    assert_transcript!("status", &bench, &["status"], 0);
    assert_transcript!("trials", &bench, &["trials", "demo", "--limit", "3"], 0);
}

#[test]
fn mistakes_on_the_command_line_are_explained() {
    let bench = TestBench::default();
    for (name, args, code) in [
        ("no_such_file", &["run", "nothing.yaml"][..], 2),
        ("no_such_command", &["runn"], 2),
        ("not_a_sweep", &["status", "De mo"], 2),
        ("format_for_queries", &["status", "--output", "csv"], 2),
    ] {
        assert_transcript!(name, &bench, args, code);
    }
    bench.run(&["submit", bench.file("demo.yaml", DEMO)]).expect(0);
    for (name, sql) in [
        ("unknown_table", "select * from trails"),
        ("unknown_column", "select acuracy from evaluations"),
        ("not_a_query", "drop table trials"),
        ("not_sql", "selekt 1"),
    ] {
        assert_transcript!(name, &bench, &["query", sql], 2);
    }
}

#[test]
fn u35_every_wrong_sweep_file_is_refused_with_places_and_nothing_is_journaled() {
    let mistakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/model/tests/mistakes");
    let mut files: Vec<_> =
        fs::read_dir(mistakes).unwrap().flatten().map(|one| one.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    assert!(files.len() >= 25, "{} wrong files", files.len());
    let bench = TestBench::default();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let file = bench.file("wrong.yaml", &text);
        for command in ["run", "submit", "preview"] {
            let said = bench.run(&[command, file]).expect(2);
            let place = said.err.contains("wrong.yaml:");
            assert!(place && said.err.contains("error: "), "{}\n{}", path.display(), said.err);
            assert!(!said.err.contains("panicked"), "{}", said.err);
        }
    }
    assert!(!bench.state().exists(), "nothing was journaled");
}

#[test]
fn completions_and_the_schema_come_out_whole() {
    let bench = TestBench::default();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = bench.run(&["completions", shell]).expect(0);
        assert!(said.out.contains("preview"), "{shell}");
    }
    let schema = bench.run(&["schema"]).expect(0).json();
    let committed = include_str!("../../sweeps/schema.json");
    assert_eq!(schema, serde_json::from_str::<serde_json::Value>(committed).unwrap());
    let config = bench.run(&["config", "--output", "json"]).expect(0).json();
    assert!(config["journal"].as_str().unwrap().ends_with(".rheo/journal.redb"));
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let bench = TestBench::default();
    let rheo = bench.rheo(&["schema"]);
    let script =
        format!("{} schema | head -1; test ${{PIPESTATUS[0]}} = 0", rheo.get_program().display());
    let status = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(status.status.success());
    assert_eq!(String::from_utf8(status.stdout).unwrap(), "{\n");
    assert_eq!(String::from_utf8(status.stderr).unwrap(), "");
}

#[test]
fn data_sets_are_fetched_from_a_mirror_and_verified() {
    let bench = TestBench::default();
    // A mirror that sends something else is found out, and nothing is kept.
    let mirror = serve(vec![b"not what it should be".to_vec(); 8]);
    let args = ["data", "fetch", "mnist", "--dir", "mnist", "--mirror", &mirror];
    let said = bench.run(&args).expect(1);
    assert!(said.err.contains("train-images-idx3-ubyte"), "{}", said.err);
    assert!(said.err.contains("no mirror has an intact copy"), "{}", said.err);
    assert_eq!(fs::read_dir(bench.path().join("mnist")).unwrap().count(), 0);
    // No mirror answers.
    let args = ["data", "fetch", "mnist", "--dir", "mnist", "--mirror", "http://127.0.0.1:1"];
    bench.run(&args).expect(1);

    let Some(data) = rheo_tests::mnist("data_sets_are_fetched_from_a_mirror_and_verified") else {
        return;
    };
    let names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
    let files = names.map(|name| fs::read(data.join(format!("{name}-ubyte.gz"))).unwrap());
    let mirror = serve(files.to_vec());
    let args = ["data", "fetch", "mnist", "--dir", "mnist", "--mirror", &mirror];
    let said = bench.run(&args).expect(0);
    assert!(said.out.trim().ends_with("mnist"), "{}", said.out);
    // Fetched again, it is there already: the mirror has nothing left to send.
    let again = bench.run(&args).expect(0);
    assert_eq!(again.err.matches("is present").count(), 4, "{}", again.err);
}

/// A server that answers one request after the other with these bodies; its address.
fn serve(bodies: Vec<Vec<u8>>) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/mnist", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut bodies = bodies.into_iter();
        for connection in listener.incoming().flatten() {
            let Some(body) = bodies.next() else { return };
            let mut reader = BufReader::new(&connection);
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let mut out = &connection;
            // The client may have read enough.
            let _ = out.write_all(head.as_bytes()).and_then(|()| out.write_all(&body));
        }
    });
    address
}
