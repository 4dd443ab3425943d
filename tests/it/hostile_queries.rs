//! Queries of somebody who is careless or hostile: each ends alone, soon and with a reason, and the
//! coordinator has other things to do.

use std::fs::{self, File};
use std::process::Command;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, peak_memory, wait_for, within};
use rustix::process::Signal;

use crate::sweeps::SMALL;

/// The most bytes of an error.
const SAID: usize = 4 << 10;

/// A query without end that gives no row.
const ENDLESS: &str = "select count(*) from generate_series(1, 1000000000000) where value < 0";

/// A bench with a directory of its own for temporary files, and these settings.
fn bench(settings: &[(&str, &str)]) -> TestBench {
    let all = settings.iter().chain(&[("TMPDIR", "tmp")]);
    let bench = TestBench::with(all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    fs::create_dir(bench.path().join("tmp")).unwrap();
    bench
}

/// Returns the temporary files that queries have left behind.
fn leftovers(bench: &TestBench) -> Vec<String> {
    let entries = fs::read_dir(bench.path().join("tmp")).unwrap().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

fn serve(bench: &TestBench) -> RunningProgram {
    serve_by(bench, bench.rheo(&["serve"]))
}

fn serve_by(bench: &TestBench, command: Command) -> RunningProgram {
    let serve = RunningProgram::start(command);
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    serve
}

/// The answer to SQL that may be too long for an argument.
fn ask(bench: &TestBench, sql: &str) -> ProgramOutput {
    let file = bench.path().join("query.sql");
    fs::write(&file, sql).unwrap();
    let mut command = bench.rheo(&["query", "-", "--output", "csv"]);
    command.stdin(File::open(file).unwrap());
    RunningProgram::start(command).end()
}

/// The processes that a process has started and that live.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit(") ").next().unwrap_or_default();
        let mut fields = rest.split(' ');
        let state = fields.next();
        state != Some("Z") && fields.next().and_then(|it| it.parse().ok()) == Some(parent)
    };
    processes.filter_map(pid).filter(is_child).collect()
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn chain(term: &str, operator: &str, count: usize) -> String {
    vec![term; count].join(operator)
}

fn nest(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

/// Common table expressions of which each uses the one before twice.
fn doubling(count: usize) -> String {
    let mut sql = "with t0 as (select 1 as a)".to_owned();
    for level in 1..=count {
        let below = level - 1;
        sql += &format!(", t{level} as (select x.a from t{below} x cross join t{below} y)");
    }
    format!("{sql} select count(*) from t{count}")
}

/// Subqueries of which each filters by a column that doubles the one below.
fn doubling_filter(count: usize) -> String {
    let mut sql = "select trial as a from trials".to_owned();
    for _ in 0..count {
        sql = format!("select a + a as a from ({sql}) where a > 0");
    }
    sql
}

fn chained_tables(count: usize) -> String {
    let mut sql = "with t0 as (select 1 as a)".to_owned();
    for level in 1..=count {
        let below = level - 1;
        sql += &format!(", t{level} as (select a + 1 as a from t{below} where a > {below})");
    }
    format!("{sql} select a from t{count}")
}

/// Queries and a part of what is said about each; `None` for those that have an answer.
fn monsters() -> Vec<(String, Option<&'static str>)> {
    let deep = Some("`300` levels");
    let nested = Some("`50` levels of nested brackets");
    let numbers: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let joins: String = (0..250).map(|n| format!(" join trials t{n} using (trial)")).collect();
    vec![
        (format!("select {}", chain("1", "+", 1_570)), deep),
        (format!("select {}", chain("1", "+", 100_000)), deep),
        (format!("select {}", chain("1", "+", 250)), None),
        (format!("select {}", chain("'a'", "||", 20_000)), deep),
        (format!("select trial from trials where {}", chain("trial = 1", " or ", 10_000)), deep),
        (format!("select trial from trials where {}", chain("trial = 1", " or ", 280)), None),
        (format!("select {}", nest("(", "1", ")", 20_000)), nested),
        (format!("select {}1", "- ".repeat(20_000)), nested),
        (format!("select {}true", "not ".repeat(20_000)), Some("")),
        (format!("select {}", nest("abs(", "1", ")", 20_000)), nested),
        (format!("select {}", nest("case when true then ", "1", " end", 5_000)), Some("")),
        (nest("select * from (", "select 1", ")", 5_000), nested),
        (format!("select {}", nest("[", "1", "]", 20_000)), nested),
        (
            format!("select cast(1 as {})", nest("array<", "int", ">", 5_000)),
            Some("`32` levels of nested types"),
        ),
        (chain("select 1", " union all ", 8_000), Some("`500` SELECTs")),
        (chain("select 1", " union all ", 280), None),
        (format!("select 1 from trials{joins}"), Some("`200` tables")),
        (doubling(40), Some("`1000` tables, with every use")),
        (doubling(5), None),
        (chained_tables(2_000), Some("`200` tables")),
        (chained_tables(190), Some("`300` levels of operators")),
        (format!("select 1 where 1 in ({})", numbers.join(",")), None),
        (format!("values {}", chain("(1)", ",", 20_000)), None),
        (format!("select '{}'", "x".repeat(300_000)), Some("`262144` bytes")),
        ("select * from trials where trial = $1".to_owned(), Some("`$1` is a parameter")),
    ]
}

#[test]
fn a_query_that_is_too_large_is_refused_by_the_limit_that_it_exceeds() {
    let bench = bench(&[]);
    for live in [false, true] {
        if !live {
            bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
        }
        let mut serving = live.then(|| serve(&bench));
        for (sql, expected) in monsters() {
            let start: String = sql.chars().take(60).collect();
            let said = ask(&bench, &sql);
            let code = if expected.is_some() { 2 } else { 0 };
            assert_eq!(said.code(), code, "{start}\n{}", said.err);
            assert!(said.err.contains(expected.unwrap_or_default()), "{start}\n{}", said.err);
            assert!(said.err.len() <= SAID, "{start}\n{}", said.err);
        }
        if let Some(serving) = &mut serving {
            assert!(serving.is_running());
            let memory = peak_memory(serving.pid());
            assert!(memory < 300, "the coordinator took {memory} MiB");
        }
    }
    assert_eq!(leftovers(&bench), Vec::<String>::new());
}

#[test]
fn a_query_whose_plan_explodes_ends_alone_and_soon() {
    let bench = bench(&[("RHEO_QUERY_TIME", "15"), ("RHEO_QUERY_MEMORY", "512")]);
    let mut serving = serve(&bench);
    for sql in [doubling_filter(20), doubling_filter(40)] {
        let said = ask(&bench, &sql);
        assert!([0, 2].contains(&said.code()), "{}", said.err);
        assert!(said.err.len() <= SAID, "{}", said.err);
    }
    assert_eq!(ask(&bench, "select 1 as one").expect(0).out, "one\n1\n");
    assert!(serving.is_running());
}

#[test]
fn a_query_that_wants_gigabytes_ends_alone_and_names_its_limit() {
    let bench = bench(&[("RHEO_QUERY_MEMORY", "256")]);
    let memory = "RHEO_QUERY_MEMORY";
    let gluttons = [
        ("select lpad('x', 2147483647, 'y')", memory),
        ("select rpad('x', 2147483647, 'y')", memory),
        ("select repeat('x', 2000000000)", memory),
        ("select length(repeat(repeat('x', 100000), 100000))", "string size overflow"),
        ("select replace(repeat('x', 1000000), 'x', repeat('y', 1000))", memory),
        ("select array_repeat(1, 2000000000)", memory),
        ("select range(1, 2000000000)", memory),
        ("select array_agg(value) from generate_series(1, 1000000000)", memory),
        ("select string_agg(repeat('x', 1000), ',') from generate_series(1, 100000000)", memory),
    ];
    for live in [true, false] {
        if !live {
            bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
        }
        // What a coordinator has for itself, and what each of its queries has, is far below this.
        let serving =
            live.then(|| serve_by(&bench, within(&["--as=3221225472"], &bench.rheo(&["serve"]))));
        for (sql, expected) in gluttons {
            let said = ask(&bench, sql);
            assert_eq!(said.code(), 2, "{sql}\n{}", said.err);
            assert!(said.err.contains(expected), "{sql}\n{}", said.err);
            assert!(said.err.len() <= SAID, "{sql}\n{}", said.err);
        }
        if let Some(mut serving) = serving {
            assert_eq!(ask(&bench, "select 1 as one").expect(0).out, "one\n1\n");
            assert!(serving.is_running());
            let memory = peak_memory(serving.pid());
            assert!(memory < 300, "the coordinator took {memory} MiB");
        }
    }
    assert_eq!(leftovers(&bench), Vec::<String>::new());
}

#[test]
fn a_query_ends_when_its_client_is_killed() {
    let bench = bench(&[]);
    let serving = serve(&bench);
    for sql in [
        ENDLESS,
        "select max(value) from generate_series(1, 1000000000000)",
        "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
        "select count(*) from generate_series(1, 10000000) a, generate_series(1, 10000000) b where a.value + b.value = 0",
        "select * from generate_series(1, 1000000000000)",
    ] {
        let client = RunningProgram::start(bench.rheo(&["query", sql, "--output", "csv"]));
        wait_for("the query to run", || (!children(serving.pid()).is_empty()).then_some(()));
        client.kill();
        wait_for("the query to end", || children(serving.pid()).is_empty().then_some(()));
    }
    wait_for("its files to go", || leftovers(&bench).is_empty().then_some(()));
}

#[test]
fn a_query_that_computes_too_long_is_stopped_and_told_why() {
    let bench = bench(&[("RHEO_QUERY_TIME", "2")]);
    for live in [true, false] {
        if !live {
            bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
        }
        let _serving = live.then(|| serve(&bench));
        let said = ask(&bench, ENDLESS).expect(2);
        assert!(said.err.contains("after `2` seconds"), "{}", said.err);
        assert!(said.err.contains("RHEO_QUERY_TIME"), "{}", said.err);
    }
    assert_eq!(leftovers(&bench), Vec::<String>::new());
}

#[test]
fn a_sweep_runs_to_its_end_while_hostile_queries_run() {
    let bench = bench(&[("RHEO_QUERIES", "2")]);
    let serving = serve(&bench);
    let hostile: Vec<RunningProgram> =
        (0..3).map(|_| RunningProgram::start(bench.rheo(&["query", ENDLESS]))).collect();
    wait_for("two queries to run", || (children(serving.pid()).len() == 2).then_some(()));
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "1"]));
    bench.run(&["wait", "small"]).expect(0);
    worker.end().expect(0);
    assert_eq!(children(serving.pid()).len(), 2, "they still run");
    drop(hostile);
    assert_eq!(bench.number("select count(*) from trials"), 6);
}

#[test]
fn more_queries_than_may_wait_are_refused() {
    let bench = bench(&[("RHEO_QUERIES", "1")]);
    let serving = serve(&bench);
    let mut waiting: Vec<RunningProgram> =
        (0..34).map(|_| RunningProgram::start(bench.rheo(&["query", ENDLESS]))).collect();
    let one =
        wait_for("a query too many", || waiting.iter_mut().position(|query| !query.is_running()));
    let refused = waiting.remove(one).end().expect(3);
    assert!(refused.err.contains("`1` queries run and `32` wait"), "{}", refused.err);
    assert!(refused.err.contains("RHEO_QUERIES"), "{}", refused.err);
    assert_eq!(children(serving.pid()).len(), 1);
    assert!(waiting.iter_mut().all(RunningProgram::is_running), "those that wait are not refused");
    drop(waiting);
    assert_eq!(ask(&bench, "select 1 as one").expect(0).out, "one\n1\n");
}

#[test]
fn a_client_that_reads_nothing_takes_little_memory_and_delays_nobody() {
    let bench = bench(&[("RHEO_QUERIES", "1")]);
    let serving = serve(&bench);
    let client = RunningProgram::start(bench.rheo(&[
        "query",
        "select * from generate_series(1, 1000000000000)",
        "-o",
        "csv",
    ]));
    wait_for("the query to run", || (!children(serving.pid()).is_empty()).then_some(()));
    // Nobody reads what it prints, so that it takes nothing any more and another gets its turn.
    assert_eq!(ask(&bench, "select 1 as one").expect(0).out, "one\n1\n");
    let memory = peak_memory(serving.pid());
    assert!(memory < 300, "the coordinator took {memory} MiB");
    let said = client.end().expect(2);
    assert!(said.err.contains("did not read its rows while other queries waited"), "{}", said.err);
}

#[test]
fn queries_end_with_the_coordinator_and_leave_nothing() {
    let bench = bench(&[]);
    let serving = serve(&bench);
    let _client = RunningProgram::start(bench.rheo(&["query", ENDLESS]));
    let query = wait_for("the query to run", || children(serving.pid()).first().copied());
    serving.kill();
    wait_for("the query to end", || (!is_alive(query)).then_some(()));
    wait_for("its files to go", || leftovers(&bench).is_empty().then_some(()));
}

#[test]
fn an_interrupted_query_at_rest_leaves_nothing() {
    let bench = bench(&[]);
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    let asking = RunningProgram::start(bench.rheo(&["query", ENDLESS]));
    let query = wait_for("the query to run", || children(asking.pid()).first().copied());
    asking.signal(Signal::INT);
    asking.end();
    wait_for("the query to end", || (!is_alive(query)).then_some(()));
    wait_for("its files to go", || leftovers(&bench).is_empty().then_some(()));
}

#[test]
fn settings_of_queries_that_make_no_sense_are_refused() {
    for (name, value) in [
        ("RHEO_QUERY_TIME", "0"),
        ("RHEO_QUERY_TIME", "soon"),
        ("RHEO_QUERY_MEMORY", "1"),
        ("RHEO_QUERIES", "-1"),
    ] {
        let bench = bench(&[(name, value)]);
        for arguments in [&["serve"][..], &["query", "select 1"]] {
            let said = bench.run(arguments).expect(2);
            assert!(said.err.contains(name) && said.err.contains(value), "{}", said.err);
        }
    }
}

#[test]
fn a_coordinator_stops_at_once_although_a_query_runs() {
    let bench = bench(&[]);
    let serving = serve(&bench);
    let client = RunningProgram::start(bench.rheo(&["query", ENDLESS]));
    let query = wait_for("the query to run", || children(serving.pid()).first().copied());
    serving.signal(Signal::TERM);
    serving.end().expect(0);
    wait_for("the query to end", || (!is_alive(query)).then_some(()));
    client.end().expect(3);
}
