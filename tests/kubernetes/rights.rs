//! Rights of the coordinator in the cluster, and its messages where a right is missing.

use rheo_tests::wait_for;

use crate::lab::{IMAGE, Lab};
use crate::{EPOCHS, SWEEP, TRIALS};

#[test]
fn without_its_rights_a_fleet_is_refused_and_says_which_are_missing() {
    let Some(lab) = Lab::bare("rights") else { return };
    let lab = lab.with_coordinator();
    let file = lab.bench.file("sweep.yaml", SWEEP);
    let said = lab.launch(file, &["--max", "2"]).expect(2);
    let namespace = &lab.namespace;
    for expected in [
        "cannot create resource \"jobs\"",
        &format!("permission to `create` `jobs.batch` in namespace `{namespace}`"),
        "rbac.yaml",
    ] {
        assert!(said.err.contains(expected), "{expected}\n{}", said.err);
    }
    assert!(lab.rheo(&["launch", "list", "--output", "json"]).expect(0).json()[0].is_null());

    lab.grant();
    lab.launch(file, &["--max", "2"]).expect(0);
    lab.complete("sweep", TRIALS, EPOCHS);
}

#[test]
fn rights_that_are_taken_away_are_told_and_nothing_is_forgotten() {
    let Some(lab) = Lab::open("revoked") else { return };
    let file = lab.bench.file("sweep.yaml", SWEEP);
    lab.launch(file, &["--max", "2"]).expect(0);
    wait_for("pods", || (lab.pods("Running").len() == 2).then_some(()));
    lab.kubectl(&["delete", "rolebinding", "rheo"]).expect(0);
    wait_for("it to be told", || {
        lab.fleet()["trouble"].as_str()?.contains("permission to `list` `pods`").then_some(())
    });
    lab.grant();
    lab.complete("sweep", TRIALS, EPOCHS);
    assert_eq!(lab.attempts("completed"), TRIALS);
}

#[test]
fn impossible_launch_options_are_refused_at_once() {
    let Some(lab) = Lab::open("wrong") else { return };
    let file = lab.bench.file("sweep.yaml", SWEEP);
    let refused = |more: &[&str], expected: &str| {
        let said = lab.launch(file, more).expect(2);
        assert!(said.err.contains(expected), "{expected}\n{}", said.err);
    };
    refused(&["--max", "1", "--namespace", "nowhere"], "namespace `nowhere`");
    refused(&["--max", "1", "--node-selector", "a/b/c=d"], "a/b/c");
    refused(&["--max", "1", "--context", "elsewhere"], "elsewhere");
    refused(&["--max", "1", "--kubeconfig", "no-such-file"], "no-such-file");
}

#[test]
fn the_objects_of_a_dry_run_are_taken_by_the_server() {
    let Some(lab) = Lab::open("dry") else { return };
    let said = lab.rheo(&[
        "launch",
        "kubernetes",
        "--max",
        "5",
        "--image",
        IMAGE,
        "--cpus",
        "4",
        "--gpus",
        "1",
        "--node-selector",
        "disk=fast",
        "--toleration",
        "spot=true:NoSchedule",
        "--toleration",
        "nvidia.com/gpu",
        "--image-pull-secret",
        "pull",
        "--service-account",
        "rheo-worker",
        "--data-claim",
        "mnist",
        "--grace",
        "300",
        "--dry-run",
    ]);
    let said = said.expect(0);
    let path = lab.bench.path().join("dry.yaml");
    std::fs::write(&path, &said.out).unwrap();
    let path = path.to_str().unwrap();
    let taken =
        lab.kubectl(&["apply", "--dry-run=server", "--validate=true", "-f", path, "-o", "name"]);
    let taken = taken.expect(0);
    assert_eq!(
        taken.out, "secret/rheo-kubernetes-0000000000\njob.batch/rheo-kubernetes-0000000000-1\n",
        "{}",
        said.out
    );
    assert!(lab.objects("jobs").is_empty());
}
