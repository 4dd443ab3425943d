//! A worker that trains nothing.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rheo_proto::access::AuthorizedChannel;
use rheo_proto::v1;
use rheo_proto::v1::finish_request::{Ending, Result as Completed};
use rheo_proto::v1::put_checkpoint_request::{Header, Part};
use rheo_proto::v1::worker_service_client::WorkerServiceClient;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::call_durations::{CallDurations, CallKind};
use crate::rows::RowTemplate;

/// Time for which one call waits for work.
const WAIT: Duration = Duration::from_secs(20);

/// Time between heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Checkpoint of every commit; stored once.
const CHECKPOINT: &[u8] = b"weights";

/// A worker that has joined. Clones are the same worker.
#[derive(Clone)]
pub(crate) struct LoadWorker {
    client: WorkerServiceClient<AuthorizedChannel>,
    shared: Arc<WorkerState>,
}

struct WorkerState {
    id: String,
    commits: u32,
    hold: Duration,
    /// Running attempts.
    held: Mutex<Vec<v1::Attempt>>,
    free: Arc<Semaphore>,
    durations: Arc<CallDurations>,
}

impl LoadWorker {
    /// Joins a worker with `slots` slots, whose trials make `commits` commits and take `hold`.
    pub(crate) async fn join(
        mut client: WorkerServiceClient<AuthorizedChannel>,
        slots: u32,
        commits: u32,
        hold: Duration,
        durations: Arc<CallDurations>,
    ) -> anyhow::Result<Self> {
        let id = Uuid::now_v7().to_string();
        let workloads = vec!["networks".to_owned()];
        let worker = id.clone();
        let request = v1::JoinRequest { worker, slots, workloads, ..v1::JoinRequest::default() };
        client.join(request).await?;
        let free = Arc::new(Semaphore::new(usize::try_from(slots)?));
        let held = Mutex::default();
        let shared = Arc::new(WorkerState { id, commits, hold, held, free, durations });
        Ok(Self { client, shared })
    }

    /// Works until no work is left.
    pub(crate) async fn work(self) -> anyhow::Result<()> {
        tokio::select! {
            done = self.clone().acquire() => done,
            failed = self.clone().heartbeat() => failed,
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<v1::Attempt>> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the slots busy.
    async fn acquire(mut self) -> anyhow::Result<()> {
        let mut running: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let mut call = CallKind::FirstAcquire;
        loop {
            while let Some(ended) = running.try_join_next() {
                ended??;
            }
            let mut slots = Arc::clone(&self.shared.free).acquire_owned().await?;
            // The remaining free slots.
            let free = u32::try_from(self.shared.free.available_permits())?;
            if let Ok(more) = Arc::clone(&self.shared.free).try_acquire_many_owned(free) {
                slots.merge(more);
            }
            let held = self.held().clone();
            let request = v1::AcquireRequest {
                worker: self.shared.id.clone(),
                slots: u32::try_from(slots.num_permits())?,
                held,
                wait_ms: u64::try_from(WAIT.as_millis())?,
                sweep: None,
                ..v1::AcquireRequest::default()
            };
            let began = Instant::now();
            let reply = self.client.acquire(request).await?.into_inner();
            if reply.nothing_left {
                break;
            }
            if !reply.assignments.is_empty() {
                self.shared.durations.record(call, began);
                call = CallKind::Acquire;
            }
            for assignment in reply.assignments {
                let slot = slots.split(1).context("more trials than slots")?;
                self.held().extend(assignment.attempt.clone());
                let worker = self.clone();
                running.spawn(async move {
                    worker.run(assignment).await?;
                    drop(slot);
                    Ok(())
                });
            }
        }
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Renews leases; returns only on failure.
    async fn heartbeat(mut self) -> anyhow::Result<()> {
        let mut interval = tokio::time::interval(HEARTBEAT);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let held = self.held().clone().into_iter().map(|attempt| v1::renew_request::Held {
                attempt: Some(attempt),
                ..v1::renew_request::Held::default()
            });
            let held: Vec<_> = held.collect();
            if !held.is_empty() {
                let worker = self.shared.id.clone();
                self.client.renew(v1::RenewRequest { worker, held }).await?;
            }
        }
    }

    /// Sends the commits of a trial and ends it.
    async fn run(mut self, assignment: v1::Assignment) -> anyhow::Result<()> {
        let attempt = assignment.attempt.context("an assignment without an attempt")?;
        tokio::time::sleep(self.shared.hold.mul_f64(0.5 + spread(attempt.trial))).await;
        for epoch in 0..self.shared.commits {
            let work = work(&assignment.config, attempt.trial, epoch)?;
            if epoch == 0 {
                self.put_checkpoint(&attempt).await?;
            }
            let claim = Some(self.claim(&attempt, u64::from(epoch) + 1));
            let request = v1::CommitRequest { claim, work: Some(work), log: Vec::new() };
            let began = Instant::now();
            self.client.commit(request).await?;
            self.shared.durations.record(CallKind::Commit, began);
        }
        let claim = Some(self.claim(&attempt, u64::from(self.shared.commits) + 1));
        let metrics = metrics();
        let result = Completed { metrics, summary: SUMMARY.to_owned(), detail: String::new() };
        let ending = Some(Ending::Completed(result));
        let request = v1::FinishRequest { claim, work: None, log: Vec::new(), ending };
        let began = Instant::now();
        self.client.finish(request).await?;
        self.shared.durations.record(CallKind::Finish, began);
        self.held().retain(|held| *held != attempt);
        Ok(())
    }

    fn claim(&self, attempt: &v1::Attempt, sequence: u64) -> v1::Claim {
        let (worker, attempt) = (self.shared.id.clone(), Some(attempt.clone()));
        v1::Claim { worker, attempt, sequence }
    }

    /// Stores the checkpoint of all commits, once per process.
    async fn put_checkpoint(&mut self, attempt: &v1::Attempt) -> anyhow::Result<()> {
        static STORED: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
        let put = async || {
            let length = CHECKPOINT.len() as u64;
            let claim = Some(self.claim(attempt, 1));
            let header = Part::Header(Header { digest: digest(), length, claim });
            let parts = [header, Part::Chunk(CHECKPOINT.into())];
            let parts = parts.map(|part| v1::PutCheckpointRequest { part: Some(part) });
            self.client.clone().put_checkpoint(tokio_stream::iter(parts)).await?;
            anyhow::Ok(())
        };
        STORED.get_or_try_init(put).await?;
        Ok(())
    }
}

/// Returns a number in [0, 1) for each trial, evenly spread over any run of trials: multiples of
/// the golden ratio modulo 1. With equal durations, trials would end, and workers ask, in waves.
fn spread(trial: u64) -> f64 {
    (trial as f64 * 0.618_033_988_749_894_9).fract()
}

fn digest() -> String {
    blake3::hash(CHECKPOINT).to_hex().to_string()
}

/// Returns the manifest of one epoch: one row.
fn work(config: &str, trial: u64, epoch: u32) -> anyhow::Result<v1::Work> {
    static TEMPLATE: OnceLock<RowTemplate> = OnceLock::new();
    let template = if let Some(template) = TEMPLATE.get() {
        template
    } else {
        let made = RowTemplate::new(config)?;
        TEMPLATE.get_or_init(|| made)
    };
    let tables = [("epochs".to_owned(), u64::from(epoch) + 1)].into();
    Ok(v1::Work {
        checkpoint: digest(),
        fraction: 0.0,
        produced: Some(v1::RowCounts { tables }),
        rows: vec![template.row(trial, epoch)],
        reports: vec![v1::Report { epoch, metrics: metrics() }],
    })
}

fn metrics() -> Vec<v1::MetricValue> {
    let metric = |name: &str, value| v1::MetricValue { name: name.to_owned(), value };
    vec![metric("validation.accuracy", 0.75), metric("validation.loss", 0.6)]
}

/// Summary of a trial of networks.
const SUMMARY: &str = r#"{"parameters":1000,"inputs":1,"hidden":8,"steps":196,"n0":null,"epochs":10,"best_val_epoch":null,"best_val_accuracy":null,"device":"cpu","kernel":"avx2","wall_s":1.0}"#;
