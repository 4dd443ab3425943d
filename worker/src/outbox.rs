//! Delivery of the commits of one attempt: in the background, in order, with retries.
//!
//! At most two commits wait: one in delivery, and one that grows. If a trial commits faster than
//! the coordinator accepts, its rows are merged into the second, so the disk use is bounded by the
//! rows plus one extra checkpoint.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rheo_core::log::LogLine;
use rheo_core::machine::{AttemptClaim, AttemptEnd};
use rheo_proto::refusal::{Reason, Refusal};
use rheo_proto::worker::Verdict;
use tokio::sync::Notify;

use crate::control::{Control, Directive};
use crate::link::{Link, pauses};
use crate::spool::{Error, Spool};
use crate::spooled_commit::{CommitPayload, SpooledCommit};

/// Commits of one attempt.
#[derive(Debug)]
pub(crate) struct Outbox {
    spool: Arc<Spool>,
    claim: AttemptClaim,
    queue: Mutex<CommitQueue>,
    filled: Notify,
}

/// Bytes of rows at which a waiting commit stops growing; well below the maximum message.
const MERGE_LIMIT: usize = 16 << 20;

#[derive(Debug, Default)]
struct CommitQueue {
    commits: VecDeque<SpooledCommit>,
    /// Whether the first commit is in delivery and must not change.
    sending: bool,
    next: u64,
    /// Whether no more commits follow.
    closed: bool,
}

impl Outbox {
    /// Creates the outbox of the attempt of `claim`; its sequence is ignored.
    pub(crate) fn new(spool: Arc<Spool>, claim: AttemptClaim) -> Self {
        let queue = Mutex::new(CommitQueue { next: 1, ..CommitQueue::default() });
        Self { spool, claim, queue, filled: Notify::new() }
    }

    fn queue(&self) -> MutexGuard<'_, CommitQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a commit or the end of the attempt. It survives a crash of this process once this
    /// returns.
    pub(crate) fn push(
        &self,
        payload: Option<CommitPayload>,
        ending: Option<AttemptEnd>,
        log: Vec<LogLine>,
    ) -> Result<(), Error> {
        let mut queue = self.queue();
        let fixed = usize::from(queue.sending);
        let claim = AttemptClaim { sequence: queue.next, ..self.claim.clone() };
        let commit = SpooledCommit { claim, payload, ending, log };
        if queue.commits.len() > fixed
            && let Some(last) = queue.commits.back_mut()
            && last.rows_bytes() < MERGE_LIMIT
        {
            last.merge(commit);
        } else {
            queue.commits.push_back(commit);
            queue.next += 1;
        }
        if let Some(last) = queue.commits.back() {
            self.spool.write(last)?;
        }
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Ends the attempt of a worker that cannot write to its spool. The commits in memory are
    /// delivered from there; they are lost if this process dies first.
    pub(crate) fn end_unspooled(&self, ending: AttemptEnd, log: Vec<LogLine>) {
        let mut queue = self.queue();
        let fixed = usize::from(queue.sending);
        if queue.commits.len() > fixed
            && let Some(last) = queue.commits.back_mut()
        {
            last.ending = Some(ending);
            last.add_log(log);
        } else {
            let claim = AttemptClaim { sequence: queue.next, ..self.claim.clone() };
            queue.commits.push_back(SpooledCommit {
                claim,
                payload: None,
                ending: Some(ending),
                log,
            });
            queue.next += 1;
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Marks that no more commits follow.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.filled.notify_one();
    }

    /// Delivers until the end of the attempt is delivered, the attempt is superseded, or a closed
    /// outbox is empty. Commits of another state or history stay on disk.
    pub(crate) async fn deliver(&self, link: &Link, control: &Control) {
        while let Some(commit) = self.first().await {
            match send_with_retry(link, &commit).await {
                Ok(verdict) => {
                    self.spool.remove(&commit.claim);
                    if commit.ending.is_some() {
                        break;
                    }
                    apply_verdict(control, verdict);
                    let mut queue = self.queue();
                    queue.commits.pop_front();
                    queue.sending = false;
                }
                Err(refusal) if refusal.is_foreign() => {
                    let (attempt, directory) = (&commit.claim.attempt, self.spool.directory());
                    tracing::error!(
                        %attempt, %refusal, directory = %directory.display(),
                        "the coordinator refused a commit of another state; it stays on disk, and the attempt ends"
                    );
                    // Later commits of the attempt stay on disk beside it.
                    control.issue(Directive::Drain);
                    return;
                }
                Err(refusal) => {
                    give_up(link, &commit, &refusal).await;
                    control.issue(Directive::Abandon);
                    break;
                }
            }
        }
        self.spool.forget(&self.claim);
    }

    async fn first(&self) -> Option<SpooledCommit> {
        loop {
            {
                let mut queue = self.queue();
                if let Some(commit) = queue.commits.front().cloned() {
                    queue.sending = true;
                    return Some(commit);
                }
                if queue.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }
}

/// Applies the coordinator's verdict.
pub(crate) fn apply_verdict(control: &Control, verdict: Verdict) {
    match verdict {
        Verdict::Continue => {}
        Verdict::Stop => control.issue(Directive::Stop),
        Verdict::Abandon => control.issue(Directive::Abandon),
    }
}

/// Sends a commit until it is accepted or permanently refused.
pub(crate) async fn send_with_retry(
    link: &Link,
    commit: &SpooledCommit,
) -> Result<Verdict, Refusal> {
    for pause in pauses() {
        match link.deliver(commit).await {
            // The store may have lost the checkpoint between its upload and the commit. If access
            // is denied, the heartbeat ends the worker, and the commit waits on disk for another.
            Err(refusal)
                if refusal.transient
                    || refusal.is_access()
                    || refusal.has_reason(&Reason::CheckpointMissing) =>
            {
                tracing::debug!(%refusal, attempt = %commit.claim.attempt, "delivery waits");
                tokio::time::sleep(pause).await;
            }
            settled => return settled,
        }
    }
    link.deliver(commit).await
}

/// Handles a refused commit. If the trial belongs to another attempt, nothing is left to do;
/// otherwise the attempt ends with the refusal, so that nobody waits for its lease.
async fn give_up(link: &Link, commit: &SpooledCommit, refusal: &Refusal) {
    let attempt = &commit.claim.attempt;
    if matches!(
        refusal.reason,
        Some(Reason::StaleAttempt | Reason::UnknownSweep | Reason::UnknownTrial)
    ) {
        tracing::info!(%attempt, "the trial belongs to another attempt now");
        return;
    }
    tracing::error!(%attempt, %refusal, "the coordinator refused a commit");
    let message = format!("the coordinator refused a commit: {refusal}");
    let ending = Some(AttemptEnd::Error { message });
    let log = commit.log.clone();
    let commit = SpooledCommit { claim: commit.claim.clone(), payload: None, ending, log };
    if let Err(refusal) = send_with_retry(link, &commit).await {
        tracing::error!(%attempt, %refusal, "the coordinator also refused the end of the attempt");
    }
}
