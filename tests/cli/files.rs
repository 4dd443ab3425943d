//! Files that commands write: whole or not at all, and nothing beside them is touched.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};
use rustix::process::Signal;

/// A bench with a state directory in it.
fn bench() -> TestBench {
    let bench = TestBench::default();
    bench.run(&["submit", bench.file("demo.yaml", super::DEMO)]).expect(0);
    bench
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writes the answer of a query to a file.
fn write(bench: &TestBench, file: &str) -> ProgramOutput {
    bench.run(&["query", "select 1 as x, 'a' as y", "--file", file])
}

#[test]
fn an_answer_touches_no_neighbour_and_a_failed_one_leaves_nothing() {
    let bench = bench();
    let out = bench.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("trials.part"), "precious").unwrap();
    write(&bench, "out/trials.csv").expect(0);
    assert_eq!(fs::read_to_string(out.join("trials.csv")).unwrap(), "x,y\n1,a\n");
    bench.run(&["query", "select nope from trials", "-f", "out/b.csv"]).expect(2);
    bench.run(&["query", "select nope from trials", "-f", "out/trials.csv"]).expect(2);
    // It fails after its first rows.
    let sql = "select 1 / (3 - v) as x from generate_series(0, 3) as t(v)";
    bench.run(&["query", sql, "-f", "out/c.csv"]).expect(2);
    assert_eq!(names(&out), ["trials.csv", "trials.part"]);
    assert_eq!(fs::read_to_string(out.join("trials.part")).unwrap(), "precious");
    assert_eq!(fs::read_to_string(out.join("trials.csv")).unwrap(), "x,y\n1,a\n");
}

#[test]
fn an_interrupted_answer_leaves_nothing() {
    let bench = bench();
    let out = bench.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("x.csv"), "before").unwrap();
    let sql =
        "select a.v from generate_series(1, 100000) as a(v), generate_series(1, 100000) as b(v)";
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let query = RunningProgram::start(bench.rheo(&["query", sql, "-f", "out/x.csv"]));
        wait_for("the file aside", || (names(&out).len() == 2).then_some(()));
        query.signal(signal);
        query.end().expect(130);
        assert_eq!(names(&out), ["x.csv"]);
    }
    assert_eq!(fs::read_to_string(out.join("x.csv")).unwrap(), "before");
}

#[test]
fn links_are_followed_and_permissions_stay() {
    let bench = bench();
    let real = bench.path().join("real.csv");
    fs::write(&real, "old").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.csv", bench.path().join("link.csv")).unwrap();
    write(&bench, "link.csv").expect(0);
    assert!(fs::symlink_metadata(bench.path().join("link.csv")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), "x,y\n1,a\n");
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn pipes_devices_and_standard_output_get_the_rows_and_stay() {
    let bench = bench();
    let csv = ["query", "select 1 as x", "-o", "csv", "-f"];
    for file in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let said = bench.run(&[&csv[..], &[file]].concat()).expect(0);
        assert_eq!(said.out, "x\n1\n", "{file}");
    }
    bench.run(&[&csv[..], &["/dev/null"]].concat()).expect(0);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    let said = bench.run(&[&csv[..], &["/dev/full"]].concat()).expect(1);
    assert!(said.err.contains("`/dev/full` cannot be written: No space left"), "{}", said.err);
    // A named pipe, and the file behind standard output of a shell.
    let rheo = rheo_tests::program("rheo").display().to_string();
    let script = format!(
        "mkfifo p; cat p > read & {rheo} query 'select 1 as x' -o csv -f p; wait; test -p p
         {{ echo first; {rheo} query 'select 1 as x' -o csv -f /dev/stdout; }} > both"
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-ec", &script]).current_dir(bench.path());
    assert!(shell.status().unwrap().success());
    let read = |name: &str| fs::read_to_string(bench.path().join(name)).unwrap();
    assert_eq!(read("read"), "x\n1\n");
    assert_eq!(read("both"), "first\nx\n1\n");
}

#[test]
fn the_ending_of_a_file_decides_its_format() {
    let bench = bench();
    for (file, begin) in [
        ("a.csv", "x,y"),
        ("a.json", "[{"),
        ("a.jsonl", "{\""),
        ("a.parquet", "PAR1"),
        ("a.arrow", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        ("a.txt", "x  y"),
    ] {
        write(&bench, file).expect(0);
        let bytes = fs::read(bench.path().join(file)).unwrap();
        let text = String::from_utf8_lossy(&bytes[..4]).into_owned();
        assert!(text.starts_with(begin) || begin.starts_with(&text), "{file}: {text:?}");
    }
    let said = bench.run(&["query", "select 1", "-o", "csv", "-f", "b.parquet"]).expect(2);
    assert!(said.err.contains("leave --output out"), "{}", said.err);
    assert!(!bench.path().join("b.parquet").exists());
}

#[test]
fn files_that_cannot_be_written_are_named() {
    let bench = bench();
    for file in ["nowhere/x.csv", "demo.yaml/x.csv", ".", ".rheo"] {
        let said = write(&bench, file).expect(2);
        assert!(said.err.contains(&format!("`{file}` cannot be written: ")), "{}", said.err);
    }
    // Data sets and checkpoints go the same way.
    let said = bench.run(&["data", "fetch", "mnist", "--dir", "demo.yaml/x"]).expect(2);
    assert!(said.err.contains("`demo.yaml/x`"), "{}", said.err);
}

#[test]
fn json_ends_with_a_line_break() {
    let bench = bench();
    for args in [
        &["query", "select 1"][..],
        &["query", "select 1 where false"],
        &["status"],
        &["trials", "demo"],
        &["best", "demo"],
        &["show", "demo/0"],
        &["config"],
        &["preview", "demo.yaml"],
        &["launch", "list"],
    ] {
        let said = bench.run(&[args, &["--output", "json"]].concat()).expect(0);
        assert!(said.out.ends_with('\n') && !said.out.ends_with("\n\n"), "{args:?} {:?}", said.out);
    }
}
