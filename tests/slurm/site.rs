//! A cluster of its own for each test, with a coordinator on the login node, which is this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};
use serde_json::Value;

/// The script that starts clusters.
const CLUSTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/slurm/cluster.sh");

/// A cluster, a state directory, and a coordinator.
pub(crate) struct Site {
    pub(crate) bench: TestBench,
    home: PathBuf,
    coordinator: Option<RunningProgram>,
}

fn output(command: &mut Command) -> ProgramOutput {
    command.stdin(Stdio::null()).output().unwrap().into()
}

impl Site {
    /// A cluster, if there is a Slurm on this machine; says loudly that the test is skipped if not.
    pub(crate) fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[])
    }

    /// A cluster that is different from the usual.
    pub(crate) fn start_with(test: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let sbin = "/usr/sbin/slurmctld";
        if !Path::new(sbin).exists() {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: {test}: no Slurm here (apt-get install slurm-wlm munge)");
            }
            return None;
        }
        let bench = TestBench::default();
        let home = bench.path().join("cluster");
        let site = Self { bench, home, coordinator: None };
        // Below the ports that the system gives away; tests run one after the other.
        let port = 20_000 + std::process::id() % 1000 * 10;
        let mut command = Command::new(CLUSTER);
        command.arg("start").arg(&site.home).arg(port.to_string()).envs(settings.iter().copied());
        output(&mut command).expect(0);
        Some(site)
    }

    /// Something about the cluster: `["controller", "stop"]`, `["node", "kill", "n1"]`.
    pub(crate) fn cluster(&self, words: &[&str]) {
        let mut command = Command::new(CLUSTER);
        command.arg(words[0]).arg(&self.home);
        match words {
            ["node", verb, name] => command.args([name, verb]),
            [_, verb] => command.arg(verb),
            _ => panic!("not understood: {words:?}"),
        };
        output(&mut command).expect(0);
    }

    fn with_cluster(&self, mut command: Command) -> Command {
        command.env("SLURM_CONF", self.home.join("slurm.conf"));
        command
    }

    /// A program of Slurm, run in the directory of the state directory.
    pub(crate) fn slurm(&self, program: &str, args: &[&str]) -> ProgramOutput {
        let mut command = self.with_cluster(Command::new(program));
        let worker = rheo_tests::program("rheo-worker");
        output(
            command
                .args(args)
                .current_dir(self.bench.path())
                .env("RHEO_WORKER", worker)
                .env("RHEO", rheo_tests::program("rheo")),
        )
    }

    /// `rheo`, where the commands of the cluster are.
    pub(crate) fn rheo(&self, args: &[&str]) -> ProgramOutput {
        output(&mut self.with_cluster(self.bench.rheo(args)))
    }

    /// A shell script.
    pub(crate) fn shell(&self, script: &str) {
        let mut command = self.with_cluster(Command::new("bash"));
        output(command.args(["-c", script]).current_dir(self.bench.path())).expect(0);
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        let said: ProgramOutput =
            output(Command::new("date").arg("+%s").current_dir(self.bench.path()));
        said.out.trim().parse().unwrap()
    }

    /// Starts a coordinator.
    pub(crate) fn serve(&mut self) {
        // The address of one that was killed must not be mistaken for that of this one.
        let _ = std::fs::remove_file(self.bench.state().join("server"));
        let command =
            self.with_cluster(self.bench.rheo(&["serve", "--listen", "0.0.0.0:0", "--poll", "1"]));
        self.coordinator = Some(RunningProgram::start(command));
        wait_for("the coordinator", || self.bench.state().join("server").exists().then_some(()));
    }

    /// Ends the coordinator as a power cut would.
    pub(crate) fn kill_coordinator(&mut self) {
        self.coordinator.take().unwrap().kill();
    }

    /// Launches the fleet `slurm`.
    pub(crate) fn launch(&self, args: &[&str], sbatch: &[&str]) {
        let mut all = vec!["launch", "slurm"];
        all.extend(args);
        if !sbatch.is_empty() {
            all.push("--");
            all.extend(sbatch);
        }
        self.rheo(&all).expect(0);
    }

    /// The fleet, as `rheo launch list` tells it.
    pub(crate) fn fleet(&self) -> Value {
        let fleets = self.rheo(&["launch", "list", "slurm", "--output", "json"]).expect(0).json();
        fleets[0].clone()
    }

    fn queue(&self, states: &str, format: &str) -> Vec<String> {
        let said = self.slurm("squeue", &["-h", "-t", states, "-o", format]).expect(0);
        said.out.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// Jobs of pilots that have not ended.
    pub(crate) fn pilots(&self) -> Vec<String> {
        let live = self.queue("PENDING,RUNNING,COMPLETING,CONFIGURING,SUSPENDED", "%i %j");
        let ours = live.into_iter().filter(|line| line.contains(" slurm-"));
        ours.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    /// Returns the number of all jobs of pilots, ended ones included; clusters of tests forget none.
    pub(crate) fn jobs_ever(&self) -> usize {
        self.queue("all", "%j").iter().filter(|name| name.starts_with("slurm-")).count()
    }

    /// Names of pilots that more than one job has.
    pub(crate) fn tags_twice(&self) -> Vec<String> {
        let mut names = self.queue("all", "%j");
        names.retain(|name| name.starts_with("slurm-"));
        names.sort();
        let twice = names.windows(2).filter(|pair| pair[0] == pair[1]);
        twice.map(|pair| pair[0].clone()).collect()
    }

    /// A job whose workers have a trial now.
    pub(crate) fn running_job(&self) -> String {
        wait_for("a pilot with a trial", || {
            let fleet = self.fleet();
            let pilots = fleet["pilots"].as_array()?;
            let busy = pilots.iter().find(|pilot| pilot["trials"].as_u64() > Some(0))?;
            Some(busy["job"].as_str()?.to_owned())
        })
    }

    /// The node of such a job.
    pub(crate) fn running_node(&self) -> String {
        let job = self.running_job();
        let said = self.slurm("squeue", &["-h", "-j", &job, "-o", "%N"]).expect(0);
        said.out.trim().to_owned()
    }

    /// Waits until more epochs are durable.
    pub(crate) fn wait_for_epochs(&self, count: u64) {
        wait_for("commits", || {
            let sql = "select count(*) as n from epochs";
            let said = self.bench.run(&["query", sql, "--output", "json"]);
            let epochs = said.status.success().then(|| said.json()[0]["n"].as_u64())??;
            (epochs >= count).then_some(())
        });
    }

    /// Waits until so many trials run.
    pub(crate) fn wait_for_running(&self, count: u64) {
        wait_for("trials to run", || {
            let said = self.bench.run(&["status", "--output", "json"]).json();
            (said["sweeps"][0]["counts"]["running"].as_u64()? >= count).then_some(())
        });
    }

    /// Processes of workers of this cluster.
    fn workers(&self) -> Vec<PathBuf> {
        let conf = format!("SLURM_CONF={}", self.home.join("slurm.conf").display());
        let ours = |process: &PathBuf| {
            let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
            let environment = std::fs::read(process.join("environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            name.trim() == "rheo-worker" && environment.split('\0').any(|line| line == conf)
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        all.filter(ours).collect()
    }

    /// Sockets of workers on which they listen.
    pub(crate) fn listening_workers(&self) -> Vec<String> {
        let workers = self.workers();
        assert!(!workers.is_empty(), "there are workers");
        let sockets = |process: &PathBuf| -> Vec<String> {
            let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
            let links = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
            links.map(|link| link.display().to_string()).collect()
        };
        let owned: Vec<String> = workers.iter().flat_map(sockets).collect();
        let mut listening = Vec::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            for line in std::fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                // State 0A is LISTEN, field 9 the inode of the socket.
                if fields[3] == "0A" && owned.contains(&format!("socket:[{}]", fields[9])) {
                    listening.push(fields[1].to_owned());
                }
            }
        }
        listening
    }

    /// The GPUs that each worker sees.
    pub(crate) fn visible_gpus(&self) -> Vec<String> {
        let gpus = |process: PathBuf| {
            let environment = std::fs::read(process.join("environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let seen =
                environment.split('\0').find_map(|line| line.strip_prefix("CUDA_VISIBLE_DEVICES="));
            seen.unwrap_or("none").to_owned()
        };
        let mut all: Vec<String> = self.workers().into_iter().map(gpus).collect();
        all.sort();
        all
    }

    /// Returns the logs of all pilots.
    pub(crate) fn log_of_pilots(&self) -> String {
        let logs = std::fs::read_dir(self.bench.state().join("logs"));
        logs.into_iter()
            .flatten()
            .flatten()
            .map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default())
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What helps to understand a failure, before it is gone.
            #[expect(clippy::print_stderr, reason = "a failed test says what it can")]
            {
                let queue = self.slurm("squeue", &["-t", "all"]);
                eprintln!("{}{}\n{}", queue.out, queue.err, self.log_of_pilots());
                let fleets = self.rheo(&["launch", "list", "slurm"]);
                eprintln!("{}{}", fleets.out, fleets.err);
            }
        }
        drop(self.coordinator.take());
        let _ = Command::new(CLUSTER).arg("stop").arg(&self.home).output();
    }
}
