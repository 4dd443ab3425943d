//! Delivers the commits of one attempt in the background, in order, however long it takes.
//!
//! At most two parcels wait: one on its way and one that grows. A trial that commits faster than
//! the coordinator takes it adds its rows to the second, so the disk it uses is bounded by its rows
//! and one checkpoint more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rheo_core::log::LogLine;
use rheo_core::machine::{AttemptClaim, AttemptEnd};
use rheo_proto::refusal::{Reason, Refusal};
use rheo_proto::worker::Verdict;
use tokio::sync::Notify;

use crate::control::{Control, Order};
use crate::link::{Link, pauses};
use crate::parcel::{Goods, Parcel};
use crate::spool::{Error, Spool};

/// The parcels of one attempt.
#[derive(Debug)]
pub(crate) struct Outbox {
    spool: Arc<Spool>,
    claim: AttemptClaim,
    queue: Mutex<Queue>,
    filled: Notify,
}

/// Bytes of rows at which nothing more is added to a parcel, well below the largest message.
const FULL: usize = 16 << 20;

#[derive(Debug, Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    /// Whether the first parcel is on its way, so that it must not change.
    sending: bool,
    next: u64,
    /// Whether nothing will be added.
    closed: bool,
}

impl Outbox {
    /// The outbox of the attempt of `claim`, whose sequence is not looked at.
    pub(crate) fn new(spool: Arc<Spool>, claim: AttemptClaim) -> Self {
        let queue = Mutex::new(Queue { next: 1, ..Queue::default() });
        Self { spool, claim, queue, filled: Notify::new() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message over. When this returns, it survives the death of this process.
    pub(crate) fn push(
        &self,
        goods: Option<Goods>,
        ending: Option<AttemptEnd>,
        log: Vec<LogLine>,
    ) -> Result<(), Error> {
        let mut queue = self.queue();
        let fixed = usize::from(queue.sending);
        let claim = AttemptClaim { sequence: queue.next, ..self.claim.clone() };
        let parcel = Parcel { claim, goods, ending, log };
        if queue.parcels.len() > fixed
            && let Some(last) = queue.parcels.back_mut()
            && last.rows_bytes() < FULL
        {
            last.merge(parcel);
        } else {
            queue.parcels.push_back(parcel);
            queue.next += 1;
        }
        if let Some(last) = queue.parcels.back() {
            self.spool.write(last)?;
        }
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Ends the attempt of a worker that cannot keep anything on disk: what it has in memory is
    /// delivered from there, and is lost if this process dies before.
    pub(crate) fn end_unkept(&self, ending: AttemptEnd, log: Vec<LogLine>) {
        let mut queue = self.queue();
        let fixed = usize::from(queue.sending);
        if queue.parcels.len() > fixed
            && let Some(last) = queue.parcels.back_mut()
        {
            last.ending = Some(ending);
            last.add_log(log);
        } else {
            let claim = AttemptClaim { sequence: queue.next, ..self.claim.clone() };
            queue.parcels.push_back(Parcel { claim, goods: None, ending: Some(ending), log });
            queue.next += 1;
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Says that nothing will be added.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.filled.notify_one();
    }

    /// Delivers until the end of the attempt is delivered, the attempt is no longer ours, or nothing
    /// is left in a closed outbox. What belongs to another state or history stays on disk.
    pub(crate) async fn deliver(&self, link: &Link, control: &Control) {
        while let Some(parcel) = self.first().await {
            match send(link, &parcel).await {
                Ok(verdict) => {
                    self.spool.remove(&parcel.claim);
                    if parcel.ending.is_some() {
                        break;
                    }
                    obey(control, verdict);
                    let mut queue = self.queue();
                    queue.parcels.pop_front();
                    queue.sending = false;
                }
                Err(refusal) if refusal.is_foreign() => {
                    let (attempt, directory) = (&parcel.claim.attempt, self.spool.directory());
                    tracing::error!(
                        %attempt, %refusal, directory = %directory.display(),
                        "a commit was refused; it stays on disk, and the trial ends here"
                    );
                    // What it makes until it ends is kept beside.
                    control.give(Order::Drain);
                    return;
                }
                Err(refusal) => {
                    give_up(link, &parcel, &refusal).await;
                    control.give(Order::Abandon);
                    break;
                }
            }
        }
        self.spool.forget(&self.claim);
    }

    async fn first(&self) -> Option<Parcel> {
        loop {
            {
                let mut queue = self.queue();
                if let Some(parcel) = queue.parcels.front().cloned() {
                    queue.sending = true;
                    return Some(parcel);
                }
                if queue.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }
}

/// Does what the coordinator says.
pub(crate) fn obey(control: &Control, verdict: Verdict) {
    match verdict {
        Verdict::Continue => {}
        Verdict::Stop => control.give(Order::Stop),
        Verdict::Abandon => control.give(Order::Abandon),
    }
}

/// Sends a parcel until it is taken or refused for good.
pub(crate) async fn send(link: &Link, parcel: &Parcel) -> Result<Verdict, Refusal> {
    for pause in pauses() {
        match link.deliver(parcel).await {
            // The store may have lost the checkpoint between its delivery and the commit. A worker that
            // is not let in any more is ended by its heartbeat; what it made waits on disk for another.
            Err(refusal)
                if refusal.transient
                    || refusal.is_access()
                    || refusal.has_reason(&Reason::CheckpointMissing) =>
            {
                tracing::debug!(%refusal, attempt = %parcel.claim.attempt, "delivery waits");
                tokio::time::sleep(pause).await;
            }
            settled => return settled,
        }
    }
    link.deliver(parcel).await
}

/// A parcel was refused. If the trial belongs to somebody else that is all right; anything else
/// ends the attempt with what was said, so that nobody waits for its lease.
async fn give_up(link: &Link, parcel: &Parcel, refusal: &Refusal) {
    let attempt = &parcel.claim.attempt;
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
    let log = parcel.log.clone();
    let parcel = Parcel { claim: parcel.claim.clone(), goods: None, ending, log };
    if let Err(refusal) = send(link, &parcel).await {
        tracing::error!(%attempt, %refusal, "the coordinator refused the end of the attempt too");
    }
}
