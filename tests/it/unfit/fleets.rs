//! Fleets whose pilots lack what trials need.

use rheo_tests::TestBench;

use super::{HOLE, large, serve, wait_until_told, write_mnist};

#[test]
fn u42_a_fleet_whose_pilots_are_all_unfit_pauses_and_says_why() {
    let bench = TestBench::default();
    let _serve = serve(&bench);
    // Of the memory of a machine a fleet knows nothing before a worker has looked at it.
    let file = format!("{}resources: {{memory_mb: 1048576}}\n", large());
    let file = bench.file("hole.yaml", &file);
    bench.run(&["launch", "local", file, "--max", "1", "--idle-timeout", "1"]).expect(0);
    let told =
        wait_until_told(&bench, "was unfit: resources.memory_mb: `1048576`, but there are only");
    assert!(told.err.contains("fleet local: pilot local/1"), "{}", told.err);
    let listed = bench.run(&["launch", "list"]).expect(0);
    assert!(listed.err.contains("resources.memory_mb: `1048576`"), "{}", listed.err);
    assert!(bench.worker_pids().is_empty(), "it pauses");
}

#[test]
fn u42_workers_of_this_machine_are_not_launched_without_data() {
    let bench = TestBench::default();
    let file = bench.file("hole.yaml", HOLE);
    let said = bench.run(&["launch", "local", file, "--max", "1"]).expect(2);
    assert!(said.err.contains("no data directory for mnist"), "{}", said.err);
    assert!(!bench.state().exists(), "nothing was begun");
    write_mnist(&bench.path().join("mnist"), 240, 40);
    let _serve = serve(&bench);
    let launch = ["launch", "local", file, "--max", "1", "--data", "mnist"];
    bench.run(&launch).expect(0);
    bench.run(&["wait", "hole"]).expect(0);
}
