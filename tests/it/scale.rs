//! A sweep of a million trials costs nothing until it runs.

use rheo_tests::{RunningProgram, TestBench, peak_memory, wait_for};

const MILLION: &str = "
name: million
network: {hidden: 8}
parameters:
  training.optimizer.lr: {values: [1.0e-4, 2.0e-4, 3.0e-4, 4.0e-4, 5.0e-4, 6.0e-4, 7.0e-4, 8.0e-4, 9.0e-4, 1.0e-3]}
  training.batch: {distribution: int_uniform, min: 1, max: 1000}
  task.seed: {distribution: int_uniform, min: 1, max: 100}
";

#[test]
fn u26_a_grid_of_a_million_points_is_planned_submitted_and_listed_in_little_memory() {
    let bench = TestBench::default();
    let file = bench.file("million.yaml", MILLION);
    let preview = bench.run(&["preview", file]).expect(0);
    assert!(preview.out.contains("1000000 trials"), "{}", preview.out);
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    bench.run(&["submit", file]).expect(0);
    let page = bench.run(&["trials", "million", "--limit", "1000", "-o", "json"]).expect(0).json();
    assert_eq!(page.as_array().unwrap().len(), 1000);
    let last = bench.run(&["show", "million/999999", "-o", "json"]).expect(0).json();
    assert_eq!(last["config"]["training"]["batch"], 1000);
    assert_eq!(last["config"]["task"]["seed"], 100);
    let memory = peak_memory(serve.pid());
    assert!(memory < 300, "the coordinator took {memory} MiB");
}
