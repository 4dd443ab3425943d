//! The worker's side of one running trial, as its trainer sees it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rheo_core::id::Digest;
use rheo_core::machine::{AttemptEnd, CommitManifest};
use rheo_core::progress::Progress;
use rheo_core::pruner::CommitEpochs;
use rheo_core::rows::RowCounts;
use rheo_model::config::TrialConfig;
use rheo_model::trainer::{Commit, Gpu, NextAction, Session};
use rheo_query::TrialKeys;
use tokio::time::Instant;

use crate::control::{Control, Directive};
use crate::inventory;
use crate::link::Assignment;
use crate::outbox::Outbox;
use crate::spooled_commit::CommitPayload;
use crate::step_timer::StepTimer;

/// Minimum time between two log lines about epochs.
const EPOCH_LINES: Duration = Duration::from_secs(10);

/// Minimum time between two commits of a trial that is judged after every epoch. The last epoch of
/// several short ones decides about all of them.
const JUDGED_PAUSE: Duration = Duration::from_secs(1);

/// One running trial.
pub(crate) struct TrialSession {
    control: Arc<Control>,
    outbox: Arc<Outbox>,
    keys: TrialKeys,
    began: Instant,
    step_timer: Arc<StepTimer>,
    /// GPUs of the attempt.
    gpus: Vec<Gpu>,
    /// Time of the last question of the trainer, when it could have committed.
    asked_at: Option<Instant>,
    timeout: Option<Duration>,
    /// Time between commits; zero commits after every epoch.
    interval: Duration,
    committed: Instant,
    committed_epoch: u32,
    epoch: u32,
    /// Epochs after which a commit is due, besides the usual ones.
    commit_epochs: CommitEpochs,
    /// Rows produced since the beginning of the trial.
    produced: RowCounts,
    /// Rows that are durable or in delivery.
    durable: RowCounts,
    /// Last logged epoch, and its time.
    logged: Option<(u32, Instant)>,
    /// End of the attempt because of a failed commit.
    pub(crate) failure: Option<AttemptEnd>,
}

impl TrialSession {
    pub(crate) fn new(
        assignment: &Assignment,
        control: Arc<Control>,
        outbox: Arc<Outbox>,
        step_timer: Arc<StepTimer>,
        gpus: Vec<Gpu>,
    ) -> Self {
        let TrialConfig { checkpoint, resources, .. } = &assignment.config;
        // These types always serialize to JSON.
        let config = serde_json::to_value(&assignment.config).unwrap_or_default();
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let now = Instant::now();
        Self {
            control,
            outbox,
            keys: TrialKeys::new(assignment.attempt.trial.index, &config),
            began: now,
            step_timer,
            gpus,
            asked_at: None,
            timeout: resources.timeout.map(seconds),
            interval: seconds(checkpoint.interval),
            committed: now,
            committed_epoch: 0,
            epoch: 0,
            commit_epochs: assignment.commit_epochs.clone(),
            produced: assignment.covered.clone(),
            durable: assignment.durable.clone(),
            logged: None,
            failure: None,
        }
    }

    /// Packs a commit, without rows that are already durable; a trial that starts over produces
    /// those again.
    pub(crate) fn pack(&mut self, commit: Commit) -> Result<CommitPayload, rheo_query::Error> {
        let Commit { mut rows, reports, checkpoint, progress } = commit;
        let produced = self.produced.plus(&rows.counts());
        rows.skip(&self.durable.beyond(&self.produced));
        let batches = rheo_query::encode(&self.keys, &rows)?;
        self.produced.clone_from(&produced);
        self.durable = self.durable.max(&produced);
        self.committed = Instant::now();
        self.committed_epoch = self.epoch;
        let digest = Digest::from_bytes(*blake3::hash(&checkpoint).as_bytes());
        let work = CommitManifest {
            checkpoint: digest,
            produced,
            rows: rows.counts(),
            reports,
            fraction: progress.fraction,
        };
        Ok(CommitPayload { work, batches, checkpoint: Bytes::from(checkpoint) })
    }

    /// Records the time since the last question.
    fn record_question(&mut self) {
        let now = Instant::now();
        match self.asked_at.replace(now) {
            None => self.step_timer.record_start(now - self.began),
            Some(before) => self.step_timer.record_step(now - before),
        }
    }

    /// Logs the first epoch, the last one, and some in between.
    fn log_epoch(&mut self, progress: &Progress) {
        let Progress { epoch, epochs, metrics, .. } = progress;
        let due = match self.logged {
            None => *epoch > 0,
            Some((last, at)) => *epoch > last && (epoch == epochs || at.elapsed() >= EPOCH_LINES),
        };
        if !due {
            return;
        }
        self.logged = Some((*epoch, Instant::now()));
        let metrics: String =
            metrics.iter().map(|(metric, value)| format!(", {metric} {value:.4}")).collect();
        tracing::info!("epoch {epoch} of {epochs}{metrics}");
    }

    fn is_due(&self) -> bool {
        if self.interval.is_zero() {
            return self.epoch > self.committed_epoch;
        }
        self.committed.elapsed() >= self.interval || self.is_judged()
    }

    /// Whether the epochs since the last commit include one after which the trial is judged.
    fn is_judged(&self) -> bool {
        let since = |epoch: u32| self.committed_epoch < epoch && epoch <= self.epoch;
        match &self.commit_epochs {
            CommitEpochs::None => false,
            CommitEpochs::At(epochs) => epochs.iter().any(|epoch| since(*epoch)),
            CommitEpochs::Each { after } => {
                let is_new = self.epoch > self.committed_epoch.max(*after);
                is_new && self.committed.elapsed() >= JUDGED_PAUSE
            }
        }
    }
}

impl Session for TrialSession {
    fn next(&mut self) -> NextAction {
        self.record_question();
        if self.failure.is_some() {
            return NextAction::Abandon;
        }
        if self.timeout.is_some_and(|timeout| self.began.elapsed() > timeout) {
            if self.control.directive() < Directive::TimeOut {
                let limit = self.timeout.unwrap_or_default().as_secs_f64();
                tracing::warn!(
                    "the attempt exceeded its limit of `resources.timeout: {limit}` seconds"
                );
            }
            self.control.issue(Directive::TimeOut);
        }
        match self.control.directive() {
            Directive::Abandon => NextAction::Abandon,
            Directive::Drain | Directive::TimeOut | Directive::Stop => NextAction::Stop,
            Directive::Run if self.is_due() => NextAction::Commit,
            Directive::Run => NextAction::Continue,
        }
    }

    fn progress(&mut self, progress: Progress) {
        self.epoch = progress.epoch;
        self.log_epoch(&progress);
        self.control.set_progress(progress);
    }

    fn commit(&mut self, commit: Commit) {
        self.failure = match self.pack(commit) {
            Ok(payload) => {
                let pushed = self.outbox.push(Some(payload), None, self.control.log().take());
                pushed.err().map(|error| AttemptEnd::Unfit {
                    need: inventory::unmet_spool_need(&error),
                    message: inventory::spool_error_text(&error),
                })
            }
            Err(error) => {
                let message = format!("a commit cannot be encoded: {}", inventory::chain(&error));
                Some(AttemptEnd::Error { message })
            }
        };
    }

    fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}
