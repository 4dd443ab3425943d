//! Fake Slurm commands, for answers that a real Slurm does not give on demand: limits of queued
//! jobs, replies that are late, lost or make no sense, jobs that are held or forgotten.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};

use crate::sweeps::SMALL;

/// A coordinator in whose path these programs come first. Each fake writes down how it was called.
struct Fakes {
    bench: TestBench,
    _coordinator: Option<RunningProgram>,
}

/// As many trials as the promise speaks of.
const LARGE: &str = "
name: large
task: {kind: digits}
method: random
run_cap: 100000
parameters:
  training.optimizer.lr: {min: 1.0e-4, max: 1.0e-2}
";

/// A queue that is a directory of files, one for each job, which hold its line of `squeue`.
const SQUEUE: &str = r#"cat "$JOBS"/* 2>/dev/null; exit 0"#;

/// Takes every job, and has it wait.
const SBATCH: &str = r#"
case "$*" in *--test-only*) exit 0 ;; esac
id=$(($(cat "$FAKES/last" 2>/dev/null || echo 100) + 1)); echo $id >"$FAKES/last"
for word; do case $word in --job-name=*) name=${word#--job-name=} ;; esac; done
cat >/dev/null
echo "$id|PENDING|Resources|$name" >"$JOBS/$id"
echo $id"#;

/// Starts every job at once, on the first node that it does not exclude; its state follows the script.
/// Writes down when it was called, in seconds.
const SBATCH_THAT_RUNS: &str = r#"
case "$*" in *--test-only*) exit 0 ;; esac
id=$(($(cat "$FAKES/last" 2>/dev/null || echo 100) + 1)); echo $id >"$FAKES/last"
for word; do case $word in --job-name=*) name=${word#--job-name=} ;; esac; done
case "$*" in *--exclude=n1*) node=n2 ;; *) node=n1 ;; esac
date +%s >>"$FAKES/times"
cat >"$FAKES/script.$id"
echo "$id|RUNNING|None|$name" >"$JOBS/$id"
export SLURM_JOB_ID=$id SLURM_JOB_PARTITION=main SLURMD_NODENAME=$node SLURM_CPUS_PER_TASK=1
export RHEO_SPOOL=$FAKES/spool.$id RHEO_SAMPLES=$FAKES/samples
(bash "$FAKES/script.$id" </dev/null >"$FAKES/log.$id" 2>&1
echo "$id|FAILED|NonZeroExitCode|$name" >"$JOBS/$id") >/dev/null 2>&1 &
echo $id"#;

/// Forgets a job.
const SCANCEL: &str = r#"for id; do rm -f "$JOBS/$id"; done"#;

impl Fakes {
    fn new(programs: &[(&str, &str)]) -> Self {
        let bench = TestBench::default();
        fs::create_dir_all(bench.path().join("bin")).unwrap();
        fs::create_dir_all(bench.path().join("jobs")).unwrap();
        let fakes = Self { bench, _coordinator: None };
        for (name, script) in
            [("squeue", SQUEUE), ("sbatch", SBATCH), ("scancel", SCANCEL), ("sacct", "exit 1")]
        {
            fakes.answer(name, script);
        }
        for (name, script) in programs {
            fakes.answer(name, script);
        }
        let command = fakes.with_path(fakes.bench.rheo(&["serve", "--poll", "0.2"]));
        let fakes = Self { _coordinator: Some(RunningProgram::start(command)), ..fakes };
        wait_for("the coordinator", || fakes.bench.state().join("server").exists().then_some(()));
        fakes
    }

    /// Has a program answer differently from now on.
    fn answer(&self, name: &str, script: &str) {
        let directory = self.bench.path().join("bin");
        let log = self.bench.path().join("calls");
        let text = format!(
            "#!/bin/bash\nFAKES={0} JOBS={0}/jobs\necho \"{name} $*\" >>{1}\n{script}\n",
            self.bench.path().display(),
            log.display()
        );
        // Exchanged in one step: the old one may be running.
        let aside = directory.join(format!(".{name}"));
        fs::write(&aside, text).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(aside, directory.join(name)).unwrap();
    }

    fn with_path(&self, mut command: Command) -> Command {
        let bin = self.bench.path().join("bin");
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        command
    }

    fn rheo(&self, args: &[&str]) -> ProgramOutput {
        self.with_path(self.bench.rheo(args)).stdin(Stdio::null()).output().unwrap().into()
    }

    fn launch(&self, max: &str) {
        self.bench.file("small.yaml", SMALL);
        self.rheo(&["launch", "slurm", "small.yaml", "--max", max]).expect(0);
    }

    fn jobs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.bench.path().join("jobs")).unwrap().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    fn calls(&self, program: &str) -> usize {
        let calls = fs::read_to_string(self.bench.path().join("calls")).unwrap_or_default();
        calls
            .lines()
            .filter(|line| line.starts_with(program) && !line.contains("--test-only"))
            .count()
    }

    /// When jobs were submitted, in seconds, if the program that took them wrote that down.
    fn times(&self) -> Vec<u64> {
        let times = fs::read_to_string(self.bench.path().join("times")).unwrap_or_default();
        times.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Waits until `rheo status` says this.
    fn wait_until_told(&self, text: &str) {
        wait_for(text, || self.rheo(&["status"]).err.contains(text).then_some(()));
    }
}

#[test]
fn u15_a_limit_of_queued_jobs_is_respected_told_and_waited_for() {
    let limited = format!(
        r#"if [ "$(ls "$JOBS" | wc -l)" -ge 2 ] && [[ "$*" != *--test-only* ]]; then
echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)" >&2
exit 1
fi{SBATCH}"#
    );
    let fakes = Fakes::new(&[("sbatch", &limited)]);
    fakes.launch("6");
    fakes.wait_until_told("no more jobs are accepted at present");
    assert_eq!(fakes.jobs().len(), 2);
    let list = fakes.rheo(&["launch", "list"]).expect(0);
    assert!(list.out.contains("refused"), "{}", list.out);
    // Nothing but a few tries: one pause is a minute.
    assert!(fakes.calls("sbatch") <= 4, "{} submissions", fakes.calls("sbatch"));
}

#[test]
fn the_queue_shows_fleet_and_number_of_each_job_in_eight_characters() {
    let fakes = Fakes::new(&[]);
    fakes.bench.file("small.yaml", SMALL);
    for name in ["slurm", "a-fleet-with-a-long-name"] {
        fakes.rheo(&["launch", "slurm", "small.yaml", "--max", "2", "--name", name]).expect(0);
    }
    wait_for("four jobs", || (fakes.jobs().len() == 4).then_some(()));
    let names = fakes.jobs().into_iter().map(|job| {
        let line = fs::read_to_string(job).unwrap();
        let name = line.trim().rsplit('|').next().unwrap();
        name.chars().take(8).collect::<String>()
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, ["a-flee-1", "a-flee-2", "slurm-1-", "slurm-2-"]);
    fakes.wait_until_told("wait in the queue: Resources");
    let pilots = fakes.rheo(&["launch", "list", "slurm", "--output", "json"]).expect(0).json();
    assert_eq!(pilots[0]["pilots"].as_array().unwrap().len(), 2, "found again by their names");
}

#[test]
fn u16_while_squeue_fails_no_pilot_is_submitted_or_forgotten() {
    let fakes = Fakes::new(&[]);
    fakes.launch("2");
    wait_for("two jobs", || (fakes.jobs().len() == 2).then_some(()));
    for nonsense in [
        "echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 1",
        "echo 101",
        r#"sed s/PENDING/MELTING/ "$JOBS"/*"#,
    ] {
        fakes.answer("squeue", nonsense);
        fakes.wait_until_told("squeue");
        let pilots = fakes.rheo(&["launch", "list", "slurm", "--output", "json"]).expect(0).json();
        assert_eq!(pilots[0]["pilots"].as_array().unwrap().len(), 2, "{nonsense}");
        assert_eq!(fakes.calls("sbatch"), 2, "{nonsense}");
        fakes.answer("squeue", SQUEUE);
        wait_for("sight", || {
            let said = fakes.rheo(&["status"]);
            said.err.contains("wait in the queue: Resources").then_some(())
        });
    }
    assert_eq!(fakes.jobs().len(), 2);
}

#[test]
fn u16_a_slow_squeue_delays_nobody_for_long() {
    let fakes = Fakes::new(&[]);
    fakes.launch("1");
    wait_for("a job", || (fakes.jobs().len() == 1).then_some(()));
    fakes.answer("squeue", "exec sleep 300");
    fakes.wait_until_told("`squeue` did not answer within 20 s");
    // Meanwhile everything else goes on.
    fakes.rheo(&["pause", "small"]).expect(0);
    fakes.rheo(&["resume", "small"]).expect(0);
    fakes.answer("squeue", SQUEUE);
    fakes.wait_until_told("wait in the queue: Resources");
    assert_eq!((fakes.jobs().len(), fakes.calls("sbatch")), (1, 1));
}

#[test]
fn u16_a_job_that_the_cluster_no_longer_knows_has_ended() {
    let fakes = Fakes::new(&[]);
    fakes.launch("1");
    let job = wait_for("a job", || fakes.jobs().first().cloned());
    fs::remove_file(&job).unwrap();
    // It is not looked for again; after a pause another takes its place.
    fakes.wait_until_told("ended (unknown) before a worker joined");
    let list = fakes.rheo(&["launch", "list"]).expect(0);
    assert!(list.out.contains("1 unknown"), "{}", list.out);
}

#[test]
fn u16_a_job_that_is_held_says_so() {
    let fakes = Fakes::new(&[]);
    fakes.launch("1");
    let job = wait_for("a job", || fakes.jobs().first().cloned());
    let line = fs::read_to_string(&job).unwrap();
    fs::write(&job, line.replace("Resources", "JobHeldUser")).unwrap();
    fakes.wait_until_told("JobHeldUser (a user held it: `scontrol release` releases it)");
    fs::write(&job, line).unwrap();
    fakes.wait_until_told("wait in the queue: Resources");
}

#[test]
fn u17_a_lost_reply_of_sbatch_submits_nothing_twice() {
    // The job is taken, and the answer never comes.
    let lost = format!(
        "{SBATCH} >/dev/null; echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1"
    );
    let fakes = Fakes::new(&[("sbatch", &lost)]);
    fakes.launch("1");
    wait_for("the job to be found by its name", || {
        let list = fakes.rheo(&["launch", "list", "slurm", "--output", "json"]).expect(0).json();
        (list[0]["pilots"][0]["phase"] == "waiting").then_some(())
    });
    assert_eq!((fakes.jobs().len(), fakes.calls("sbatch")), (1, 1));
}

#[test]
fn u15_a_large_sweep_has_no_more_jobs_than_pilots() {
    let fakes = Fakes::new(&[]);
    fakes.bench.file("large.yaml", LARGE);
    fakes.rheo(&["launch", "slurm", "large.yaml", "--max", "7"]).expect(0);
    wait_for("seven jobs", || (fakes.jobs().len() == 7).then_some(()));
    fakes.wait_until_told("wait in the queue: Resources");
    assert_eq!((fakes.jobs().len(), fakes.calls("sbatch")), (7, 7));
    let calls = fs::read_to_string(fakes.bench.path().join("calls")).unwrap();
    assert!(!calls.contains("--array"), "{calls}");
    fakes.rheo(&["launch", "stop", "slurm"]).expect(0);
    wait_for("no jobs", || fakes.jobs().is_empty().then_some(()));
}

#[test]
fn u42_a_node_with_two_unfit_pilots_is_excluded_and_the_fleet_pauses() {
    let fakes = Fakes::new(&[("sbatch", SBATCH_THAT_RUNS)]);
    // Of the memory of a machine a fleet knows nothing before a worker has looked at it.
    let sweep = format!("{SMALL}resources: {{memory_mb: 1048576}}\n");
    fakes.bench.file("large.yaml", &sweep);
    let launch = ["launch", "slurm", "large.yaml", "--max", "2", "--idle-timeout", "1"];
    fakes.rheo(&launch).expect(0);
    fakes.wait_until_told("fleet slurm: no pilots on n1, where two were of no use");
    let unfit = "on `n1` was unfit: resources.memory_mb: `1048576`, but there are only";
    let told = fakes.rheo(&["status"]).expect(0);
    assert!(told.err.contains(unfit), "{}", told.err);
    let list = fakes.rheo(&["launch", "list", "slurm", "--output", "json"]).expect(0).json();
    assert_eq!(list[0]["pilots"].as_array().unwrap().len(), 0, "the fleet pauses: {list}");
    assert_eq!(fakes.times().len(), 2, "nothing was submitted meanwhile");
    // The next ones go elsewhere, after a pause.
    let elsewhere = "on `n2` was unfit: resources.memory_mb: `1048576`, but there are only";
    fakes.wait_until_told(elsewhere);
    let times = fakes.times();
    assert!(times[2] >= times[1] + 14, "paused for 15 s: {times:?}");
    let calls = fs::read_to_string(fakes.bench.path().join("calls")).unwrap();
    let submitted = calls.lines().filter(|line| line.starts_with("sbatch --parsable"));
    let excluding: Vec<bool> =
        submitted.map(|line| line.ends_with(" --exclude=n1")).take(4).collect();
    assert_eq!(excluding[..2], [false, false], "{calls}");
    assert!(excluding[2..].iter().all(|excluding| *excluding), "{calls}");
}
