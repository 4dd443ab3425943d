//! As many pods as there is work for, and no object for a trial.

use std::collections::BTreeSet;

use rheo_tests::wait_for;

use crate::lab::Lab;
use crate::{EPOCHS, SWEEP, TRIALS};

#[test]
fn u20_a_sweep_runs_on_pods_of_several_nodes_and_leaves_nothing_behind() {
    let Some(lab) = Lab::open("sweep") else { return };
    let file = lab.bench.file("sweep.yaml", SWEEP);
    lab.launch(file, &["--max", "3"]).expect(0);
    let mut seen = BTreeSet::new();
    wait_for("pods", || {
        seen.extend(lab.objects("jobs").iter().map(|job| job["metadata"]["name"].to_string()));
        (lab.pods("Running").len() == 3).then_some(())
    });
    lab.complete("sweep", TRIALS, EPOCHS);
    seen.extend(lab.objects("jobs").iter().map(|job| job["metadata"]["name"].to_string()));
    assert_eq!(seen.len(), 3, "{seen:?}: pilots only, whatever the number of trials");
    let nodes = lab.bench.number("select count(distinct node) from attempts");
    assert_eq!(nodes, 3, "the scheduler spreads them");
    let places = lab.bench.query("select distinct pilot, job, partition from attempts");
    for place in places {
        assert!(place["pilot"].as_str().unwrap().starts_with("kubernetes/"), "{place}");
        assert!(place["job"].as_str().unwrap().starts_with("rheo-kubernetes-"), "{place}");
        assert_eq!(place["partition"], lab.namespace.as_str());
    }
    // Workers left by themselves, with exit code 0, so their Jobs are complete and cleared away.
    wait_for("the pilots to end", || {
        (lab.fleet()["ended"]["completed"] == 3 && lab.objects("jobs").is_empty()).then_some(())
    });
    wait_for("the pods to be gone", || lab.objects("pods").is_empty().then_some(()));
    lab.rheo(&["launch", "stop", "kubernetes"]).expect(0);
    wait_for("the Secret to be gone", || {
        let secrets = lab.objects("secrets");
        let ours = |secret: &serde_json::Value| secret["type"] == "Opaque";
        (!secrets.iter().any(ours)).then_some(())
    });
}

#[test]
fn a_fleet_grows_and_shrinks_when_asked_to() {
    let Some(lab) = Lab::open("scale") else { return };
    let file = lab.bench.file("sweep.yaml", SWEEP);
    lab.launch(file, &["--max", "1"]).expect(0);
    wait_for("one pod", || (lab.pods("Running").len() == 1).then_some(()));
    lab.rheo(&["launch", "scale", "kubernetes", "--max", "3"]).expect(0);
    wait_for("three pods", || (lab.pods("Running").len() == 3).then_some(()));
    lab.wait_for_epochs(3);
    lab.rheo(&["launch", "scale", "kubernetes", "--max", "1"]).expect(0);
    wait_for("one pod to be left", || (lab.objects("pods").len() == 1).then_some(()));
    wait_for("it to be noticed", || (lab.fleet()["ended"]["cancelled"] == 2).then_some(()));
    lab.complete("sweep", TRIALS, EPOCHS);
    assert_eq!(lab.attempts("lost"), 0, "all were given back in order");
}

#[test]
fn a_quota_is_told_and_when_it_is_raised_the_fleet_grows() {
    let Some(lab) = Lab::open("quota") else { return };
    let quota = |jobs: u32| {
        format!(
            "apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: few}}\nspec: {{hard: {{count/jobs.batch: {jobs}}}}}\n"
        )
    };
    lab.apply(&quota(1));
    wait_for("the quota to count", || {
        (lab.objects("resourcequotas")[0]["status"]["hard"]["count/jobs.batch"] == "1")
            .then_some(())
    });
    let file = lab.bench.file("sweep.yaml", SWEEP);
    lab.launch(file, &["--max", "3"]).expect(0);
    let told = wait_for("the quota to be told", || {
        let trouble = lab.fleet()["trouble"].as_str().map(str::to_owned)?;
        trouble.contains("exceeded quota").then_some(trouble)
    });
    assert!(told.contains("rheo launch scale"), "{told}");
    let status = lab.rheo(&["status"]).expect(0);
    assert!((status.out + &status.err).contains("exceeded quota"), "U16: `rheo status` says why");
    assert_eq!(lab.objects("jobs").len(), 1);
    lab.apply(&quota(5));
    // Whoever asks again wants it tried now.
    lab.rheo(&["launch", "scale", "kubernetes", "--max", "3"]).expect(0);
    wait_for("more pilots", || (lab.objects("jobs").len() == 3).then_some(()));
    lab.complete("sweep", TRIALS, EPOCHS);
}

#[test]
fn the_reason_of_waiting_pods_is_reported() {
    let Some(lab) = Lab::open("stuck") else { return };
    let file = lab.bench.file("sweep.yaml", SWEEP);
    let cases = [
        ("large", "--cpus", "64", "Insufficient cpu"),
        ("typo", "--image", "elsewhere.test/typo", "cannot get the image `elsewhere.test/typo`"),
        ("vip", "--priority-class", "imaginary", "no PriorityClass with name imaginary"),
        // What it said last is told, although the pod is gone.
        ("empty", "--image", "registry.test/empty", "exit code 127: [Errno 2] No such file"),
    ];
    for (name, flag, value, _) in cases {
        lab.launch(file, &["--max", "1", "--name", name, flag, value]).expect(0);
    }
    for (name, _, _, expected) in cases {
        wait_for(expected, || {
            lab.fleet_called(name)["trouble"].as_str()?.contains(expected).then_some(())
        });
        lab.rheo(&["launch", "stop", name]).expect(0);
    }
    wait_for("them to be gone", || lab.objects("jobs").is_empty().then_some(()));
}
