//! A coordinator on a temporary state, and its resource usage.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rheo_proto::access::{AccessConfig, AuthorizedChannel, Role};
use rheo_proto::v1;
use rheo_proto::v1::sweep_service_client::SweepServiceClient;
use rheo_proto::v1::worker_service_client::WorkerServiceClient;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tonic::transport::Channel;

/// Timeout of the coordinator's start.
const START: Duration = Duration::from_secs(30);

/// Pause between two checks for its start.
const PAUSE: Duration = Duration::from_millis(20);

/// Kernel ticks of processor time per second; always 100 for programs on Linux.
const TICKS: f64 = 100.0;

/// A running coordinator. Dropping it kills the process and removes the state.
pub(crate) struct Coordinator {
    process: Child,
    state: TempDir,
}

/// Processor time and memory of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessUsage {
    /// Processor time so far.
    pub(crate) processor: Duration,
    /// Current memory.
    pub(crate) memory_mb: u64,
    /// Peak memory.
    pub(crate) peak_memory_mb: u64,
}

impl Coordinator {
    /// Starts `rheo serve`.
    pub(crate) async fn start(rheo: &Path) -> anyhow::Result<Self> {
        let state = TempDir::with_prefix("rheo-load-")?;
        let mut command = Command::new(rheo);
        command.arg("--state").arg(state.path()).arg("serve").kill_on_drop(true);
        command.env("RHEO_LOG", "warn").env_remove("RHEO_SERVER");
        let process = command.spawn().with_context(|| format!("`{}`", rheo.display()))?;
        let server = Self { process, state };
        let deadline = Instant::now() + START;
        while let Err(error) = server.connect(Role::Admin).await {
            if Instant::now() > deadline {
                return Err(error.context("the coordinator does not start"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(server)
    }

    async fn connect(&self, role: Role) -> anyhow::Result<AuthorizedChannel> {
        let state = self.state.path().to_owned();
        let access = AccessConfig { server: None, state, ca_file: None, token_file: None, role };
        let route = access.read()?;
        let channel: Channel = route.endpoint()?.tcp_nodelay(true).connect().await?;
        Ok(AuthorizedChannel::new(channel, route.bearer))
    }

    /// Opens a connection for a worker.
    pub(crate) async fn worker(&self) -> anyhow::Result<WorkerServiceClient<AuthorizedChannel>> {
        Ok(WorkerServiceClient::new(self.connect(Role::Worker).await?))
    }

    /// Submits a sweep of `trials` distinct trials.
    pub(crate) async fn submit(&self, trials: u64) -> anyhow::Result<()> {
        let text = format!(
            "name: load\n\
             network: {{hidden: 8}}\n\
             parameters:\n  \
               training.optimizer.lr: {{values: [1.0e-4, 2.0e-4, 3.0e-4, 4.0e-4, 5.0e-4, 6.0e-4, 7.0e-4, 8.0e-4, 9.0e-4, 1.0e-3]}}\n  \
               training.batch: {{distribution: int_uniform, min: 1, max: 1000}}\n  \
               task.seed: {{distribution: int_uniform, min: 1, max: 10}}\n\
             run_cap: {trials}\n"
        );
        let request = v1::SubmitRequest { file: "load.yaml".to_owned(), text };
        SweepServiceClient::new(self.connect(Role::Admin).await?).submit(request).await?;
        Ok(())
    }

    /// Returns the number of completed trials of the sweep.
    pub(crate) async fn completed(&self) -> anyhow::Result<u64> {
        let mut client = SweepServiceClient::new(self.connect(Role::Admin).await?);
        let reply = client.list_sweeps(v1::ListSweepsRequest::default()).await?.into_inner();
        let counts = reply.sweeps.into_iter().next().and_then(|sweep| sweep.counts);
        Ok(counts.context("no sweep")?.completed)
    }

    /// Returns the resource usage of the coordinator so far.
    pub(crate) fn usage(&self) -> anyhow::Result<ProcessUsage> {
        let process = self.process.id().context("the coordinator has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name is in parentheses and may contain any character; the numbers from the third on
        // follow it.
        let numbers = stat.rsplit(')').next().unwrap_or_default();
        let ticks = numbers.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        let ticks: f64 = ticks.sum::<Result<_, _>>()?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let megabytes = |name: &str| -> anyhow::Result<u64> {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)).context("no memory")?;
            let kilobytes = line.trim_start_matches(':').trim().trim_end_matches(" kB");
            Ok(kilobytes.parse::<u64>()? / 1024)
        };
        Ok(ProcessUsage {
            processor: Duration::from_secs_f64(ticks / TICKS),
            memory_mb: megabytes("VmRSS")?,
            peak_memory_mb: megabytes("VmHWM")?,
        })
    }
}
