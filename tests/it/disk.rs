//! A disk that stays full is said, by its path, and not again and again.

use std::fs;

use rheo_tests::{RunningProgram, TestBench, wait_for};
use rustix::process::Signal;

use crate::damage::Mount;

const SWEEP: &str = "
task: {kind: digits, pool: 2, train_size: 40, validation_size: 20, test_size: 20}
network: {hidden: 4}
";

#[test]
fn a_disk_that_stays_full_is_logged_once_a_minute() {
    let bench = TestBench::default();
    fs::create_dir_all(bench.state()).unwrap();
    let Some(_mount) = Mount::new(&bench.state(), "size=4m") else { return };
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    let announced = wait_for("the coordinator", || {
        fs::read_to_string(bench.state().join("server")).ok().filter(|text| text.contains("http"))
    });
    let url = announced.split_whitespace().find(|word| word.starts_with("http")).unwrap();
    // Whatever is left.
    let filled = fs::write(bench.state().join("ballast"), vec![0; 8 << 20]);
    assert!(filled.is_err());
    let mut refused = 0;
    for number in 0..12 {
        // Long enough to need another page.
        let description = "x".repeat(30_000);
        let text = format!("name: s{number}\ndescription: {description}\n{SWEEP}");
        let file = bench.file("sweep.yaml", &text);
        let said = bench.run(&["--server", url, "submit", file]);
        // Whoever only reads changes nothing about that.
        bench.run(&["--server", url, "status"]);
        if said.code() != 0 {
            refused += 1;
            assert!(said.err.contains("No space left on device"), "{}", said.err);
            assert!(said.err.contains("journal.redb`"), "{}", said.err);
        }
    }
    assert!(refused >= 3, "{refused} were refused");
    serve.signal(Signal::TERM);
    let said = serve.end();
    assert_eq!(said.err.matches("cannot write to the journal").count(), 1, "{}", said.err);
}
