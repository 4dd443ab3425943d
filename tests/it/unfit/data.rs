//! Data sets that are missing, incomplete, not what they should be, or come late.

use std::fs;

use rheo_tests::{RunningProgram, TestBench, wait_for};

use super::{
    HOLE, all_completed, outcomes, serve, wait_until_told, worker, write_mnist, write_short_texts,
};

#[test]
fn u42_running_without_data_is_refused_at_once_and_works_once_they_are_there() {
    let bench = TestBench::default();
    let file = bench.file("hole.yaml", HOLE);
    let said = bench.run(&["run", file]).expect(2);
    for part in ["`hole`", "no data directory for mnist", "--data DIR", "rheo data fetch mnist"] {
        assert!(said.err.contains(part), "{part}\n{}", said.err);
    }
    assert!(!bench.state().exists(), "nothing was begun");
    fs::create_dir(bench.path().join("mnist")).unwrap();
    let said = bench.run(&["run", file, "--data", "mnist"]).expect(2);
    assert!(said.err.contains("no file `train-images-idx3-ubyte`"), "{}", said.err);
    write_mnist(&bench.path().join("mnist"), 240, 40);
    bench.run(&["run", file, "--data", "mnist"]).expect(0);
    assert_eq!(outcomes(&bench), all_completed());
    // What is finished needs no data any more.
    let again = bench.run(&["run", file]).expect(0);
    assert!(again.err.contains("hole has ended already"), "{}", again.err);
}

#[test]
fn u42_data_that_are_damaged_too_few_or_not_the_published_ones_are_refused() {
    type Damage = fn(&std::path::Path);
    let cases: [(Damage, &str); 5] = [
        (
            |data| fs::write(data.join("t10k-labels-idx1-ubyte"), "short").unwrap(),
            "its header is truncated: `5` bytes",
        ),
        (
            |data| {
                let path = data.join("train-images-idx3-ubyte");
                let bytes = fs::read(&path).unwrap();
                fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
            },
            "it should hold `188176` bytes and holds `188175`",
        ),
        (
            |data| fs::remove_file(data.join("train-labels-idx1-ubyte")).unwrap(),
            "no file `train-labels-idx1-ubyte`",
        ),
        (|data| write_mnist(data, 100, 40), "task.train_size: `100`, but the data have only 84"),
        // As many test images as were published.
        (|data| write_mnist(data, 240, 10_000), "differs from the published mnist: its SHA-256 is"),
    ];
    for (damage, says) in cases {
        let bench = TestBench::default();
        let data = bench.path().join("mnist");
        write_mnist(&data, 240, 40);
        damage(&data);
        let file = bench.file("hole.yaml", HOLE);
        let said = bench.run(&["run", file, "--data", "mnist"]).expect(2);
        assert!(said.err.contains(says), "{says}\n{}", said.err);
        assert!(!bench.state().exists(), "nothing was begun");
    }
}

#[test]
fn another_data_set_is_read_from_the_directory_in_the_sweep_file() {
    let bench = TestBench::default();
    write_mnist(&bench.path().join("fashion"), 240, 10_000);
    let named = HOLE.replace("pool: 4", "data: fashion, pool: 4").replace("epochs: 2", "epochs: 1");
    let said = bench.run(&["run", bench.file("hole.yaml", &named)]).expect(0);
    assert!(said.err.contains("differs from the published mnist"), "{}", said.err);
}

#[test]
fn u42_a_preview_and_a_submission_say_that_data_are_missing() {
    let bench = TestBench::default();
    let file = bench.file("hole.yaml", HOLE);
    let said = bench.run(&["preview", file]).expect(0);
    assert!(said.out.contains("hole: 6 trials"), "{}", said.out);
    for part in ["warning: trials of `hole`", "no data directory for mnist", "`--data DIR`"] {
        assert!(said.err.contains(part), "{part}\n{}", said.err);
    }
    let json = bench.run(&["preview", file, "--output", "json"]).expect(0).json();
    assert_eq!(json["missing_data"].as_array().unwrap().len(), 1, "{json}");
    let said = bench.run(&["submit", file]).expect(0);
    assert!(said.err.contains("no data directory for mnist"), "{}", said.err);
    // Who names a directory wants it checked.
    for command in ["preview", "submit"] {
        let said = bench.run(&[command, file, "--data", "none"]).expect(2);
        assert!(said.err.contains("in `none` or `none/mnist`"), "{}", said.err);
    }
    write_mnist(&bench.path().join("mnist"), 240, 40);
    let said = bench.run(&["preview", file, "--data", "mnist"]).expect(0);
    assert_eq!(said.err, "");
}

#[test]
fn u42_a_worker_notices_that_the_data_have_come_and_no_trial_has_failed() {
    let bench = TestBench::default();
    let named = HOLE.replace("pool: 4", "data: late, pool: 4");
    let _serve = serve(&bench);
    bench.run(&["submit", bench.file("hole.yaml", &named)]).expect(0);
    let _worker = RunningProgram::start(worker(&bench, "a", &[]));
    wait_until_told(&bench, "no file `train-images-idx3-ubyte`");
    wait_for("the attempt", || {
        let unfit = "select count(*) from attempts where outcome = 'unfit'";
        (bench.number(unfit) == 1).then_some(())
    });
    let failed = "select count(*) from trials where status = 'failed'";
    assert_eq!(bench.number(failed), 0);
    // All at once, so that none is missing when they are seen.
    write_mnist(&bench.path().join("aside"), 240, 40);
    fs::rename(bench.path().join("aside"), bench.path().join("late")).unwrap();
    bench.run(&["wait", "hole"]).expect(0);
    let expected = [("completed".to_owned(), 6), ("unfit".to_owned(), 1)];
    assert_eq!(outcomes(&bench), expected);
    assert_eq!(bench.run(&["status"]).err, "", "it is fit now");
}

#[test]
fn u42_data_that_vanish_under_a_worker_cost_no_trial_a_budget() {
    let bench = TestBench::default();
    let data = bench.path().join("mnist");
    write_mnist(&data, 240, 40);
    let _serve = serve(&bench);
    let one = HOLE.replace("1.0e-4, 2.0e-4, 3.0e-4, 4.0e-4, 5.0e-4, ", "");
    bench.run(&["submit", bench.file("one.yaml", &one.replace("hole", "one"))]).expect(0);
    bench.run(&["submit", bench.file("hole.yaml", &HOLE.replace("pool: 4", "pool: 2"))]).expect(0);
    bench.run(&["pause", "hole"]).expect(0);
    let _worker = RunningProgram::start(worker(&bench, "a", &["--data", "mnist"]));
    bench.run(&["wait", "one"]).expect(0);
    // It has joined and said that it has them. Nothing that is pooled otherwise is in its memory.
    fs::rename(&data, bench.path().join("aside")).unwrap();
    bench.run(&["resume", "hole"]).expect(0);
    wait_until_told(&bench, "no file `train-images-idx3-ubyte`");
    fs::rename(bench.path().join("aside"), &data).unwrap();
    bench.run(&["wait", "hole"]).expect(0);
    let failed = "select count(*) from trials where status <> 'completed'";
    assert_eq!(bench.number(failed), 0);
}

#[test]
fn failed_trials_are_tried_again_as_the_summary_says() {
    let bench = TestBench::default();
    // The texts are too short for so many columns: that is the trial's own fault.
    write_short_texts(&bench);
    let file = bench.file(
        "short.yaml",
        "
name: short
network: {hidden: 8}
task: {kind: char_lm, source: bytes, data: texts, eval_batch: 5000}
training: {epochs: 1, batch: 10}
retry: {error: 0}
parameters:
  training.optimizer.lr: {values: [1.0e-3, 2.0e-3]}
",
    );
    let said = bench.run(&["run", file]).expect(1);
    let hint = said.out.lines().find(|line| line.contains("retry short")).unwrap();
    let command = hint.split('`').nth(1).unwrap();
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let retried = bench.run(&words).expect(0);
    assert!(retried.err.contains("2 trials are queued again"), "{}", retried.err);
    bench.run(&["run", file]).expect(1);
    assert_eq!(bench.number("select max(attempt) from attempts"), 2);
}

#[test]
fn u37_the_first_sweep_of_the_readme_runs_without_any_download() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```yaml\n").unwrap();
    let (sweep, _) = rest.split_once("```").unwrap();
    for size in ["train_size", "validation_size", "test_size"] {
        assert!(sweep.contains(size), "every size is stated");
    }
    let bench = TestBench::default();
    let said = bench.run(&["preview", bench.file("sweep.yaml", sweep)]).expect(0);
    assert_eq!(said.err, "", "nothing is missing");
    // The same in a fraction of the time.
    let short =
        sweep.replace("epochs: 8", "epochs: 1").replace("train_size: 1500", "train_size: 100");
    assert_ne!(short, sweep);
    let said = bench.run(&["run", bench.file("short.yaml", &short), "--workers", "2"]).expect(0);
    assert!(said.out.contains("9 of 9 trials completed"), "{}", said.out);
}
