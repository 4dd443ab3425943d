//! Sweeps on a real Slurm of four virtual nodes, and what clusters do to jobs: each time the sweep
//! completes, and leaves to the bit what an undisturbed run leaves.
//!
//! `cluster.sh` starts the cluster; what a real one does not do on demand is in `fakes`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fakes;
mod site;
#[path = "../it/sweeps.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod sweeps;
#[path = "../it/traces.rs"]
mod traces;

use std::sync::OnceLock;

use rheo_tests::{TestBench, wait_for};

use crate::site::Site;
use crate::traces::{Traces, assert_same, traces};

/// Four trials of several seconds each, on one slot.
fn long() -> String {
    sweeps::LONG.replace("epochs: 12", "epochs: 24").replace("retry: {lost: 100}", "")
}

/// Returns the traces of an undisturbed run.
fn untouched() -> &'static Traces {
    static TRACES: OnceLock<Traces> = OnceLock::new();
    TRACES.get_or_init(|| {
        let bench = TestBench::default();
        let file = bench.file("long.yaml", &long());
        bench.run(&["run", file, "--workers", "2"]).expect(0);
        traces(&bench, "long")
    })
}

/// A coordinator and a sweep on pilots of one slot, each with a node of its own.
fn launched(test: &str, max: &str) -> Option<Site> {
    Some(Site::start(test)?.with_sweep(max))
}

impl Site {
    fn with_sweep(mut self, max: &str) -> Self {
        self.serve();
        self.bench.file("long.yaml", &long());
        self.launch(&["long.yaml", "--max", max, "--time", "30"], &["--exclusive"]);
        self
    }
}

/// Waits for the end of the sweep, and checks it.
fn check(site: &Site, allowed: &[&str]) {
    site.bench.run(&["wait", "long"]).expect(0);
    check_results(site, allowed);
}

/// Checks the sweep, which has ended: every trial completed, every row is there once and equal to the
/// bit, and no attempt ended in a way that is not listed.
fn check_results(site: &Site, allowed: &[&str]) {
    assert_same(&traces(&site.bench, "long"), untouched());
    let rows = "select count(*) from trials where status = 'completed'";
    assert_eq!(site.bench.number(rows), 4, "trials");
    let twice = "select count(*) - count(distinct (trial * 1000 + attempt)) from attempts";
    assert_eq!(site.bench.number(twice), 0, "attempts that are listed twice");
    let allowed: Vec<String> = allowed.iter().map(|outcome| format!("'{outcome}'")).collect();
    let others = format!(
        "select trial, attempt, outcome, error from attempts where outcome not in ('completed', {})",
        allowed.join(", ")
    );
    assert_eq!(site.bench.query(&others), Vec::<serde_json::Value>::new());
    wait_for("pilots to leave", || site.pilots().is_empty().then_some(()));
}

fn preempted(site: &Site) -> u64 {
    site.bench.number("select count(*) from attempts where outcome = 'preempted'")
}

#[test]
fn u18_a_sweep_runs_on_several_nodes_whose_workers_listen_on_nothing() {
    let Some(site) = launched("slurm", "4") else { return };
    site.wait_for_epochs(1);
    let listening = site.listening_workers();
    assert_eq!(listening, Vec::<String>::new(), "workers that listen");
    check(&site, &["preempted"]);
    let nodes = site.bench.number("select count(distinct node) from attempts");
    assert!(nodes >= 3, "{nodes} nodes");
    let told =
        "select count(*) from attempts where job is null or partition <> 'main' or pilot is null";
    assert_eq!(site.bench.number(told), 0, "attempts that do not say where they ran");
    // U15: no more jobs than pilots were ever submitted.
    assert!(site.jobs_ever() <= 8, "{} jobs", site.jobs_ever());
}

#[test]
fn one_command_leads_from_a_sweep_file_to_workers_on_several_nodes() {
    let Some(site) = Site::start("nothing") else { return };
    site.bench.file("long.yaml", &long());
    let args = ["launch", "slurm", "long.yaml", "--max", "3", "--time", "30", "--", "--exclusive"];
    let said = site.rheo(&args).expect(0);
    assert!(said.err.contains("started a coordinator: process "), "{}", said.err);
    let pid = said.err.split("process ").nth(1).unwrap();
    let pid: u32 = pid.split(' ').next().unwrap().parse().unwrap();
    let url = std::fs::read_to_string(site.bench.state().join("server")).unwrap();
    assert!(url.starts_with("https://"), "{url}");
    // Again: nothing more.
    let again = site.rheo(&args).expect(0);
    assert!(!again.err.contains("started a coordinator"), "{}", again.err);
    check(&site, &["preempted"]);
    assert!(site.jobs_ever() <= 4, "{} jobs", site.jobs_ever());
    rheo_tests::send(pid, rustix::process::Signal::TERM);
    wait_for("the coordinator to leave", || {
        (!site.bench.state().join("server").exists()).then_some(())
    });
}

#[test]
fn the_coordinator_may_be_a_job_itself() {
    let Some(site) = Site::start("inside") else { return };
    site.bench.file("long.yaml", &long());
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/slurm/rheo-coordinator.sbatch");
    let args =
        ["--time=30", "--cpus-per-task=1", "--export=ALL,RHEO_POLL=1", template, "long.yaml"];
    let fleet = ["--max", "2", "--time", "20", "--cpus", "1"];
    site.slurm("sbatch", &[&args[..], &fleet].concat()).expect(0);
    wait_for("the sweep", || (site.bench.run(&["status", "long"]).code() == 0).then_some(()));
    site.bench.run(&["wait", "long"]).expect(0);
    // It leaves when its sweep has ended, and would take a query with it.
    wait_for("the coordinator to leave", || {
        (!site.bench.state().join("server").exists()).then_some(())
    });
    check_results(&site, &["preempted"]);
}

#[test]
fn u13_u17_a_job_that_is_requeued_goes_on_as_the_same_pilot() {
    let Some(site) = launched("requeue", "2") else { return };
    site.wait_for_epochs(3);
    let job = site.running_job();
    site.slurm("scontrol", &["requeue", &job]).expect(0);
    wait_for("the job to run again", || {
        let shown = site.slurm("scontrol", &["show", "job", &job]).out;
        (shown.contains("Restarts=1") && shown.contains("JobState=RUNNING")).then_some(())
    });
    assert!(site.pilots().len() <= 2, "no second pilot takes its place beyond the bound");
    check(&site, &["preempted"]);
    assert!(preempted(&site) > 0, "the requeued job held a trial");
}

#[test]
fn u13_u17_a_job_that_is_preempted_by_a_higher_partition_gives_its_trials_back() {
    let Some(site) = launched("preemption", "4") else { return };
    site.wait_for_epochs(3);
    // One that wants three nodes, for a moment.
    let other =
        ["--partition=high", "--exclusive", "--nodes=3", "--output=/dev/null", "--parsable"];
    let submitted = site.slurm("sbatch", &[&other[..], &["--wrap=sleep 3"]].concat()).expect(0);
    let other = submitted.out.trim().to_owned();
    wait_for("the other job to have run", || {
        let shown = site.slurm("scontrol", &["show", "job", &other]).out;
        shown.contains("JobState=COMPLETED").then_some(())
    });
    check(&site, &["preempted"]);
    assert!(preempted(&site) > 0, "preempted jobs held trials");
    let fleet = site.fleet();
    assert_eq!(fleet["ended"]["failed"], serde_json::Value::Null, "{fleet}");
}

#[test]
fn u13_walltime_that_ends_in_the_middle_of_a_trial_costs_nothing() {
    let Some(mut site) = Site::start("walltime") else { return };
    site.serve();
    // One trial, of half a minute or so.
    let one = long().replace("epochs: 24", "epochs: 170");
    let one = one.replace("[heterogeneous, adaptive]", "[adaptive]").replace("[1, 2]", "[1]");
    let undisturbed = TestBench::default();
    undisturbed.file("long.yaml", &one);
    undisturbed.run(&["run", "long.yaml"]).expect(0);
    site.bench.file("long.yaml", &one);
    // A minute, of which leaving may take 40 seconds: after 20 each pilot makes room for the next.
    let setup = site.bench.file("setup.sh", "export RHEO_GRACE=40\n");
    site.launch(&["long.yaml", "--max", "1", "--time", "1", "--setup", setup], &["--exclusive"]);
    site.bench.run(&["wait", "long"]).expect(0);
    assert_same(&traces(&site.bench, "long"), &traces(&undisturbed, "long"));
    let others = "select * from attempts where outcome not in ('completed', 'preempted')";
    assert_eq!(site.bench.query(others), Vec::<serde_json::Value>::new());
    assert!(preempted(&site) > 0, "the trial went on in the next job");
    assert!(site.jobs_ever() > 1, "more than one job took part");
}

#[test]
fn a_pilot_that_somebody_cancels_is_replaced() {
    let Some(site) = launched("scancel", "2") else { return };
    site.wait_for_epochs(3);
    let job = site.running_job();
    site.slurm("scancel", &[&job]).expect(0);
    check(&site, &["preempted"]);
    assert!(preempted(&site) > 0, "the cancelled job held a trial");
    let fleet = site.fleet();
    assert!(fleet["ended"]["cancelled"].as_u64() >= Some(1), "{fleet}");
}

#[test]
fn a_node_that_dies_takes_nothing_along() {
    let Some(site) = launched("node", "2") else { return };
    site.wait_for_epochs(3);
    let node = site.running_node();
    site.cluster(&["node", "kill", &node]);
    check(&site, &["preempted", "lost"]);
    let lost = site.bench.number("select count(*) from attempts where outcome <> 'completed'");
    assert!(lost > 0, "the node held a trial");
}

#[test]
fn u01_u16_a_coordinator_that_is_killed_neither_forgets_nor_doubles_pilots() {
    let Some(mut site) = launched("coordinator", "3") else { return };
    site.wait_for_epochs(3);
    let before = site.pilots();
    site.kill_coordinator();
    site.serve();
    site.wait_for_epochs(6);
    let after = site.pilots();
    assert!(after.iter().all(|job| before.contains(job)), "{before:?} became {after:?}");
    check(&site, &["preempted"]);
    assert_eq!(site.tags_twice(), Vec::<String>::new(), "pilots that were submitted twice");
}

#[test]
fn u16_the_controller_of_slurm_may_be_away_for_a_while() {
    // Long enough for nodes not to be down by the time it is back.
    let Some(site) = Site::start_with("controller", &[("TIMEOUT", "120")]) else { return };
    let site = site.with_sweep("2");
    site.wait_for_epochs(3);
    site.cluster(&["controller", "stop"]);
    wait_for("the trouble to be told", || {
        let said = site.bench.run(&["status"]);
        said.err.contains("squeue").then_some(())
    });
    site.cluster(&["controller", "start"]);
    check(&site, &["preempted"]);
    wait_for("the trouble to be over", || {
        let said = site.bench.run(&["status"]);
        (!said.err.contains("squeue")).then_some(())
    });
    assert_eq!(site.tags_twice(), Vec::<String>::new(), "pilots that were submitted twice");
}

#[test]
fn a_job_of_several_nodes_and_gpus_has_a_worker_for_each() {
    let Some(mut site) = Site::start_with("nodes", &[("GPUS", "2")]) else { return };
    site.serve();
    site.bench.file("long.yaml", &long());
    let args =
        ["long.yaml", "--max", "1", "--time", "30", "--nodes", "2", "--gpus", "2", "--cpus", "2"];
    site.launch(&args, &[]);
    site.wait_for_epochs(1);
    wait_for("four workers", || (site.fleet()["pilots"][0]["workers"] == 4).then_some(()));
    assert_eq!(site.visible_gpus(), ["0", "0", "1", "1"]);
    check(&site, &["preempted"]);
    assert_eq!(site.bench.number("select count(distinct node) from attempts"), 2);
}

#[test]
fn fleets_are_scaled_drained_and_stopped() {
    let Some(site) = launched("scale", "1") else { return };
    site.wait_for_epochs(1);
    assert_eq!(site.pilots().len(), 1);
    site.rheo(&["launch", "scale", "slurm", "--max", "3"]).expect(0);
    wait_for("more pilots", || (site.pilots().len() == 3).then_some(()));
    site.rheo(&["launch", "scale", "slurm", "--max", "2"]).expect(0);
    wait_for("fewer pilots", || (site.pilots().len() == 2).then_some(()));
    site.rheo(&["launch", "stop", "slurm"]).expect(0);
    wait_for("no pilots", || site.pilots().is_empty().then_some(()));
    assert_eq!(site.bench.number("select count(*) from attempts where outcome = 'lost'"), 0);
    // Wanted again, by the same command.
    site.launch(&["--max", "2", "--time", "30"], &["--exclusive"]);
    wait_for("pilots again", || (site.pilots().len() == 2).then_some(()));
    site.wait_for_running(2);
    site.rheo(&["launch", "drain", "slurm"]).expect(0);
    let left = wait_for("drained pilots to end their trials", || {
        site.pilots().is_empty().then(|| site.bench.run(&["status", "long", "--output", "json"]))
    });
    assert_eq!(left.json()["sweeps"][0]["counts"]["running"], 0);
    site.launch(&["--max", "4", "--time", "30"], &["--exclusive"]);
    check(&site, &["preempted"]);
}

#[test]
fn a_refusal_by_slurm_is_reported_before_anything_is_submitted() {
    let Some(mut site) = Site::start("refusals") else { return };
    site.serve();
    let said = site.rheo(&["launch", "slurm", "--max", "2", "--partition", "nowhere"]).expect(2);
    assert!(said.err.contains("nvalid partition"), "{}", said.err);
    let said = site.rheo(&["launch", "slurm", "--max", "2", "--cpus", "64"]).expect(2);
    assert!(said.err.contains("`sbatch` said"), "{}", said.err);
    let said = site.rheo(&["launch", "slurm", "--max", "2", "--", "--no-such-flag"]).expect(2);
    assert!(said.err.contains("no-such-flag"), "{}", said.err);
    assert_eq!(site.jobs_ever(), 0);
    // Walltime in which nothing can be done: said once, and not tried again and again.
    site.bench.file("long.yaml", &long());
    let setup = site.bench.file("setup.sh", "export RHEO_GRACE=100\n");
    site.launch(&["long.yaml", "--max", "1", "--time", "1", "--setup", setup], &[]);
    wait_for("the failure to be told", || {
        let said = site.rheo(&["launch", "list"]);
        said.err.contains("ended (failed) before a worker joined").then_some(())
    });
    assert!(site.jobs_ever() <= 2, "{} jobs", site.jobs_ever());
    let log = site.log_of_pilots();
    assert!(log.contains("request more walltime"), "{log}");
}

#[test]
fn a_job_passes_its_resources_to_its_workers() {
    let Some(site) = Site::start("given") else { return };
    let script =
        "#!/bin/bash\nenv | grep ^RHEO_ | sort >$RHEO_STATE/given-$SLURM_JOB_ID-$RHEO_TASK\n";
    site.bench.file("told", script);
    site.shell("chmod +x told; mkdir -p .rheo");
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/slurm/rheo-worker.sbatch");
    let submit = |args: &str| {
        let script = format!(
            "export RHEO_WORKER=$PWD/told; sbatch --parsable --wait {args} {template} | tail -1 >job"
        );
        site.shell(&script);
        let job = std::fs::read_to_string(site.bench.path().join("job")).unwrap();
        let given = |task: &str| {
            let path = site.bench.state().join(format!("given-{}-{task}", job.trim()));
            std::fs::read_to_string(path).unwrap_or_default()
        };
        (given("0"), given("1"))
    };
    let processors = std::thread::available_parallelism().unwrap().get();
    let (given, _) = submit("--time=10 --cpus-per-task=4");
    assert!(given.contains(&format!("RHEO_SLOTS={}\n", processors.min(4))), "{given}");
    assert!(given.contains("RHEO_NODE=n"), "{given}");
    assert!(given.contains("RHEO_PARTITION=main\n"), "{given}");
    assert!(given.contains("RHEO_RESTARTS=0\n"), "{given}");
    let deadline = given.split("RHEO_DEADLINE=").nth(1).unwrap().lines().next().unwrap();
    let now: u64 = site.now();
    let left = deadline.parse::<u64>().unwrap() - now;
    assert!((500..=600).contains(&left), "{left} s are left of ten minutes");
    // A set of processors that is smaller than what was asked for is what counts.
    site.shell("echo 'taskset -p -c 0 $$ >/dev/null' >setup");
    let (given, _) = submit("--time=10 --cpus-per-task=2 --export=ALL,BASH_ENV=$PWD/setup");
    assert!(given.contains("RHEO_SLOTS=1\n"), "{given}");
    let (first, second) = submit("--time=10 --nodes=2 --cpus-per-task=1");
    let node = |given: &str| {
        given.lines().find(|line| line.starts_with("RHEO_NODE=")).unwrap_or_default().to_owned()
    };
    assert!(
        node(&first).starts_with("RHEO_NODE=n") && node(&first) != node(&second),
        "{first}{second}"
    );
}

#[test]
fn a_dry_run_prints_what_would_be_submitted_and_the_template_works_by_hand() {
    let Some(mut site) = Site::start("template") else { return };
    site.serve();
    let dry = site.rheo(&[
        "launch",
        "slurm",
        "--max",
        "2",
        "--time",
        "30",
        "--dry-run",
        "--",
        "--mem=100",
    ]);
    let dry = dry.expect(0).out;
    assert!(dry.contains("--time=30 --mem=100 <<'SCRIPT'\n#!/bin/bash\n"), "{dry}");
    assert_eq!(site.jobs_ever(), 0);
    // What it prints is what a shell takes.
    site.bench.file("long.yaml", &long());
    site.rheo(&["submit", "long.yaml"]).expect(0);
    site.shell(&dry);
    wait_for("a worker of the job", || {
        let running = site.bench.run(&["status", "long", "--output", "json"]).json();
        (running["sweeps"][0]["counts"]["running"].as_u64() > Some(0)).then_some(())
    });
    // And so is the template itself.
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/slurm/rheo-worker.sbatch");
    site.slurm("sbatch", &["--time=30", "--exclusive", template]).expect(0);
    check(&site, &["preempted"]);
}
