//! Pods, nodes, the API server and the coordinator go, and the sweep does not mind.

use std::collections::BTreeSet;

use rheo_tests::wait_for;

use crate::lab::Lab;
use crate::{EPOCHS, SWEEP, TRIALS};

/// A fleet of three whose workers are in the middle of trials.
fn busy(name: &str) -> Option<Lab> {
    let lab = Lab::open(name)?;
    let file = lab.bench.file("sweep.yaml", SWEEP);
    lab.launch(file, &["--max", "3"]).expect(0);
    wait_for("pods", || (lab.pods("Running").len() == 3).then_some(()));
    lab.wait_for_epochs(3);
    Some(lab)
}

#[test]
fn u13_pods_that_are_deleted_or_evicted_commit_first_and_count_as_preempted() {
    let Some(lab) = busy("evict") else { return };
    let pods = lab.pods("Running");
    lab.kubectl(&["delete", "pod", &pods[0], "--wait=false"]).expect(0);
    let eviction = format!(
        r#"{{"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {{"name": "{}"}}}}"#,
        pods[1]
    );
    let path = lab.bench.path().join("eviction.json");
    std::fs::write(&path, eviction).unwrap();
    let url = format!("/api/v1/namespaces/{}/pods/{}/eviction", lab.namespace, pods[1]);
    lab.kubectl(&["create", "--raw", &url, "-f", path.to_str().unwrap()]).expect(0);
    lab.complete("sweep", TRIALS, EPOCHS);
    assert!(lab.attempts("preempted") >= 2, "both had trials");
    assert_eq!(lab.attempts("lost"), 0, "nothing was lost that a grace period could save");
    let jobs = lab.bench.number("select count(distinct job) from attempts");
    assert!(jobs > 3, "others took their places");
}

#[test]
fn a_pod_that_is_killed_without_grace_is_found_out_before_its_lease_ends() {
    let Some(lab) = busy("kill") else { return };
    let pod = lab.pods("Running").remove(0);
    lab.kubectl(&["delete", "pod", &pod, "--force", "--grace-period=0"]).expect(0);
    lab.complete("sweep", TRIALS, EPOCHS);
    let outcome = lab.bench.query(&format!(
        "select outcome from attempts where job = '{pod}' and outcome <> 'completed'"
    ));
    assert_eq!(outcome.len(), 1, "it had a trial");
    assert_eq!(
        outcome[0]["outcome"], "preempted",
        "the cluster said so; nobody waited for the lease"
    );
}

#[test]
fn a_node_that_fails_costs_no_row() {
    let Some(lab) = busy("node") else { return };
    let pods = lab.objects("pods");
    let node = pods[0]["spec"]["nodeName"].as_str().unwrap();
    lab.set_dead(node, true);
    lab.complete("sweep", TRIALS, EPOCHS);
    lab.set_dead(node, false);
    let died = lab.attempts("lost") + lab.attempts("preempted");
    assert!(died >= 1, "a trial was on it");
    wait_for("the node", || {
        let ready = lab.kubectl(&["get", "node", node]).expect(0).out;
        ready.contains(" Ready ").then_some(())
    });
}

#[test]
fn an_api_server_that_is_away_for_a_while_stops_nothing() {
    let Some(lab) = busy("api") else { return };
    let before: BTreeSet<String> = lab.pods("Running").into_iter().collect();
    lab.order("stop-kube-apiserver");
    // Has it look at the cluster now.
    lab.rheo(&["launch", "scale", "kubernetes", "--max", "2"]).expect(0);
    wait_for("it to be told", || {
        lab.fleet()["trouble"].as_str()?.contains("cluster cannot be reached").then_some(())
    });
    lab.rheo(&["launch", "scale", "kubernetes", "--max", "3"]).expect(0);
    lab.order("start-kube-apiserver");
    lab.complete("sweep", TRIALS, EPOCHS);
    let jobs = lab.bench.query("select distinct job from attempts");
    let known = |job: &serde_json::Value| before.contains(job["job"].as_str().unwrap());
    assert!(jobs.iter().all(known), "no pilot was replaced: {jobs:?}");
    assert_eq!(lab.attempts("completed"), TRIALS);
}

#[test]
fn a_coordinator_that_is_killed_finds_its_pilots_again_and_doubles_none() {
    let Some(mut lab) = busy("coordinator") else { return };
    let before: BTreeSet<String> = lab.pods("Running").into_iter().collect();
    lab.kill_coordinator();
    // On another port: pods learn it from their Secret.
    lab.start_coordinator();
    lab.complete("sweep", TRIALS, EPOCHS);
    let jobs = lab.bench.query("select distinct job from attempts");
    let known = |job: &serde_json::Value| before.contains(job["job"].as_str().unwrap());
    assert!(jobs.iter().all(known), "{jobs:?} of {before:?}");
    assert_eq!(lab.attempts("completed"), TRIALS);
    assert_eq!(lab.attempts("lost"), 0);
}
