//! Moves committed rows from the journal into Parquet parts, exactly once.
//!
//! A part is written first; then one transaction of the journal names it and removes its rows. A
//! crash in between leaves a part that the journal does not name and whose rows are all pending;
//! the next start removes it. While parts cannot be written (full disk, unavailable bucket), rows
//! stay in the journal and queries still see them. When too many are pending, commits are refused,
//! and workers keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction};
use rheo_query::dataset::{self, Compaction, Dataset};
use rheo_store::{Journal, PartChange, PartIndex, PendingBlob, PendingFilter, owner};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claim::{self, StorageClaim};
use crate::engine;
use crate::report::report;
use crate::throttle::Throttle;

/// Pending bytes that trigger an early flush.
const EARLY_FLUSH_BYTES: usize = 32 << 20;

/// Pending bytes that are read at once during a flush.
const FLUSH_BYTES: usize = 2 * EARLY_FLUSH_BYTES;

/// Pending bytes at which commits are refused.
const FULL_BYTES: usize = 1 << 30;

/// The pause before a failed flush is retried.
const RETRY_PAUSE: Duration = Duration::from_secs(15);

/// The time that the deletion of a sweep waits for queries that read its files.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of parts per table and sweep that triggers a merge while the sweep runs.
const MANY_PARTS: usize = 32;

/// Counter of the pending bytes in the journal.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicUsize,
    /// Notified when a flush is due early.
    wake: Notify,
}

impl Backlog {
    /// Adds the bytes of rows that became durable in the journal.
    pub(crate) fn add(&self, bytes: usize) {
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waiting >= EARLY_FLUSH_BYTES {
            self.wake.notify_one();
        }
    }

    fn remove(&self, bytes: usize) {
        let less = |waiting: usize| Some(waiting.saturating_sub(bytes));
        // The closure never returns none.
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Whether commits must be refused.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= FULL_BYTES
    }
}

/// Parts could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] rheo_store::Error),
    /// The results cannot be written.
    #[error("cannot write the results")]
    Dataset(#[from] dataset::Error),
    /// The results directory belongs to another state, or cannot be claimed.
    #[error(transparent)]
    Owner(#[from] owner::Error),
    /// The writer's thread is gone.
    #[error("the writer of parts stopped")]
    Stopped,
}

/// The writer of parts; clones share it.
#[derive(Clone)]
pub(crate) struct Sink {
    shared: Arc<SinkState>,
}

struct SinkState {
    journal: Arc<dyn Journal>,
    dataset: Arc<Dataset>,
    backlog: Arc<Backlog>,
    /// Lock held while parts are written.
    writing: tokio::sync::Mutex<()>,
    /// Ended sweeps whose parts are to be merged.
    ended: Mutex<BTreeSet<SweepName>>,
    last_error: Mutex<Option<String>>,
    /// Limits the log of write errors, whose text differs every time.
    throttle: Mutex<Throttle>,
    /// Whether files and journal may differ, because a change failed.
    needs_reconcile: Mutex<bool>,
    /// Claim of the results directory, taken before the first write.
    claim: OnceLock<StorageClaim>,
}

impl Sink {
    /// Creates a sink from `journal` to `dataset`.
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        dataset: Arc<Dataset>,
        backlog: Arc<Backlog>,
    ) -> Self {
        let shared = SinkState {
            journal,
            dataset,
            backlog,
            writing: tokio::sync::Mutex::new(()),
            ended: Mutex::default(),
            last_error: Mutex::default(),
            throttle: Mutex::default(),
            needs_reconcile: Mutex::default(),
            claim: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Stores the claim of the results directory.
    pub(crate) fn set_claim(&self, claim: StorageClaim) {
        // This is called once per process.
        let _ = self.shared.claim.set(claim);
    }

    /// Whether the results directory is claimed, or will be before the first write.
    pub(crate) fn has_claim(&self) -> bool {
        self.shared.claim.get().is_some()
    }

    /// Makes the first write claim and reconcile the results directory, which could not be claimed
    /// at
    /// the start.
    pub(crate) fn claim_before_write(&self, claim: StorageClaim) {
        *self.shared.needs_reconcile.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.set_claim(claim);
    }

    /// Whether the claim of the results directory is still pending.
    pub(crate) fn is_claim_pending(&self) -> bool {
        *self.shared.needs_reconcile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes parts every `interval`, and earlier if many bytes are pending, until `stop`; then
    /// once
    /// more.
    pub(crate) async fn run(self, interval: Duration, stop: CancellationToken) {
        loop {
            let pause =
                if self.last_error().is_some() { interval.min(RETRY_PAUSE) } else { interval };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.backlog.wake.notified() => {}
                () = stop.cancelled() => {
                    self.try_flush().await;
                    return;
                }
            }
            self.try_flush().await;
        }
    }

    /// Schedules the last flush and the merge of an ended sweep.
    pub(crate) fn finish(&self, sweep: SweepName) {
        self.shared.ended().insert(sweep);
        self.shared.backlog.wake.notify_one();
    }

    /// Returns the last write error, until a write succeeds.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pauses writes and merges until the guard is dropped.
    pub(crate) async fn pause(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.writing.lock().await
    }

    /// Makes the next flush reconcile the files with the journal first.
    pub(crate) fn require_reconcile(&self) {
        *self.shared.needs_reconcile.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Deletes a sweep: `forget` journals the deletion while no part is being written, and then the
    /// files are removed. False if queries still read some files, which are removed later.
    pub(crate) async fn delete<T>(
        &self,
        sweep: &SweepName,
        forget: impl Future<Output = Result<T, engine::Error>>,
    ) -> Result<(T, bool), engine::Error> {
        let _one_at_a_time = self.shared.writing.lock().await;
        let waiting = self.pending_bytes(sweep).await?;
        let forgotten = forget.await?;
        self.shared.backlog.remove(waiting);
        self.shared.ended().remove(sweep);
        let deadline = Instant::now() + QUERY_TIMEOUT;
        loop {
            let shared = Arc::clone(&self.shared);
            let cleared = tokio::task::spawn_blocking(move || shared.clear_removed()).await;
            match cleared.unwrap_or(Err(Error::Stopped)) {
                Ok(true) => return Ok((forgotten, true)),
                Ok(false) if Instant::now() < deadline => {
                    tokio::time::sleep(QUERY_TIMEOUT / 50).await;
                }
                Ok(false) => return Ok((forgotten, false)),
                Err(error) => {
                    tracing::warn!(error = report(&error), %sweep, "cannot remove the files of a deleted sweep");
                    return Ok((forgotten, false));
                }
            }
        }
    }

    /// Returns the pending bytes of a sweep.
    async fn pending_bytes(&self, sweep: &SweepName) -> Result<usize, engine::Error> {
        let (shared, sweep) = (Arc::clone(&self.shared), Some(sweep.clone()));
        let counted = tokio::task::spawn_blocking(move || {
            let mut bytes = 0;
            shared.journal.pending(&PendingFilter { from: 0, sweep }, &mut |rows| {
                bytes += rows.ipc.len();
                ControlFlow::Continue(())
            })?;
            Ok::<usize, rheo_store::Error>(bytes)
        });
        let counted = counted.await.map_err(|_| engine::Error::Stopping)?;
        counted.map_err(|error| engine::Error::Storage(report(&error)))
    }

    async fn try_flush(&self) {
        if let Err(error) = self.flush().await {
            tracing::debug!(error = report(&error), "cannot write parts");
        }
    }

    /// Writes all pending rows. When this returns, every row that was committed before is in a
    /// part.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let _one_at_a_time = self.shared.writing.lock().await;
        let shared = Arc::clone(&self.shared);
        let flushed = tokio::task::spawn_blocking(move || shared.flush()).await;
        let flushed = flushed.unwrap_or(Err(Error::Stopped));
        let mut last_error = self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        let now = flushed.as_ref().err().map(|error| report(error));
        match &now {
            Some(error) if self.shared.throttle().is_due(Instant::now()) => {
                tracing::error!(error, "cannot write parts: rows stay in the journal");
            }
            None if last_error.is_some() => tracing::info!("parts can be written again"),
            _ => {}
        }
        *last_error = now;
        flushed
    }
}

impl SinkState {
    fn flush(&self) -> Result<(), Error> {
        // Without the journal, its files must not be touched.
        self.journal.check_location()?;
        if let Some(claim) = self.claim.get() {
            claim.take()?;
        }
        let mut needs_reconcile =
            self.needs_reconcile.lock().unwrap_or_else(PoisonError::into_inner);
        if *needs_reconcile {
            // Parts of deleted sweeps are in no list and would be set aside.
            if !self.clear_removed()? {
                let path = self.dataset.location().into();
                return Err(dataset::Error::Busy { path }.into());
            }
            let known = claim::read_journal_contents(&*self.journal.view()?)?;
            claim::log_recovery(&self.dataset.reconcile(&known, &claim::orphan_suffix())?);
        }
        // A failure half-way leaves files that the journal may or may not name.
        *needs_reconcile = true;
        self.write_and_merge()?;
        *needs_reconcile = false;
        Ok(())
    }

    fn write_and_merge(&self) -> Result<(), Error> {
        self.write_parts()?;
        let mut ended = std::mem::take(&mut *self.ended());
        let merged = self.merge_parts(&mut ended);
        // Sweeps that are still read or that failed are merged next time.
        self.ended().append(&mut ended);
        merged
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, BTreeSet<SweepName>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_parts(&self) -> Result<(), Error> {
        let mut from = 0;
        loop {
            // After a long failure the pending rows may not fit into memory.
            let (pending, is_more) = self.journal.pending_batch(from, FLUSH_BYTES)?;
            from = pending.last().map_or(from, |last| last.key.position + 1);
            for ((table, sweep), rows) in by_destination(&pending) {
                let ipc = rows.iter().map(|pending| pending.blob.batch.ipc.clone());
                let part = self.dataset.write_part(table, sweep, positions(&rows), ipc)?;
                let flushed = rows.iter().map(|pending| pending.key).collect();
                self.journal.install(&PartChange {
                    add: vec![part],
                    flushed,
                    ..PartChange::default()
                })?;
                let bytes = rows.iter().map(|pending| pending.blob.batch.ipc.len()).sum();
                self.backlog.remove(bytes);
            }
            if !is_more {
                return Ok(());
            }
        }
    }

    /// Removes the files of deleted sweeps; false if queries may still read some.
    fn clear_removed(&self) -> Result<bool, Error> {
        let removed = self.journal.index()?.removed;
        if removed.is_empty() {
            return Ok(true);
        }
        match self.dataset.remove_parts(&removed) {
            Ok(()) => {}
            Err(dataset::Error::Busy { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.journal.install(&PartChange { cleared: removed, ..PartChange::default() })?;
        Ok(true)
    }

    /// Merges the parts of sweeps that have ended, have many parts, or have retracted rows. Removes
    /// merged sweeps from `ended`.
    fn merge_parts(&self, ended: &mut BTreeSet<SweepName>) -> Result<(), Error> {
        let mut index = self.journal.index()?;
        if !index.removed.is_empty() && self.clear_removed()? {
            index = self.journal.index()?;
        }
        let mut parts: BTreeMap<(&SweepName, &TableName), Vec<Part>> = BTreeMap::new();
        // Files of a deleted sweep of the same name may occupy the names of merged parts.
        let is_clear = |part: &&Part| index.removed.iter().all(|old| old.sweep != part.sweep);
        for part in index.parts.iter().filter(is_clear) {
            parts.entry((&part.sweep, &part.table)).or_default().push(part.clone());
        }
        let (mut busy, mut holding) = (BTreeSet::new(), BTreeSet::new());
        for ((sweep, table), parts) in parts {
            let retracted = retractions(&index, table, sweep);
            let many = parts.len() >= MANY_PARTS || (parts.len() > 1 && ended.contains(sweep));
            if !many && retracted.is_empty() {
                continue;
            }
            let merged = self.merge(table, sweep, &parts, retracted)?;
            if merged == MergeOutcome::Later {
                busy.insert(sweep.clone());
            }
            if merged != MergeOutcome::Done {
                holding.insert(sweep.clone());
            }
        }
        *ended = ended.intersection(&busy).cloned().collect();
        let is_done = |one: &&Retraction| one.every_table && !holding.contains(&one.trial.sweep);
        let retracted: Vec<Retraction> =
            index.retractions.iter().filter(is_done).cloned().collect();
        if !retracted.is_empty() {
            self.journal.install(&PartChange { retracted, ..PartChange::default() })?;
        }
        self.dataset.clear_retired()?;
        Ok(())
    }

    /// Merges the parts of a sweep in one table.
    fn merge(
        &self,
        table: &TableName,
        sweep: &SweepName,
        parts: &[Part],
        mut retracted: Vec<Retraction>,
    ) -> Result<MergeOutcome, Error> {
        let damaged = self.dataset.damaged();
        if damaged.iter().any(|damaged| parts.contains(&damaged.part)) {
            return Ok(MergeOutcome::Later);
        }
        let compacted = self.dataset.compact(table, sweep, parts, &retracted);
        // Retractions of every table are done when every table is merged.
        retracted.retain(|retraction| !retraction.every_table);
        let compaction = match compacted {
            Ok(Some(compaction)) => compaction,
            Ok(None) => {
                // No part holds retracted rows.
                if !retracted.is_empty() {
                    self.journal.install(&PartChange { retracted, ..PartChange::default() })?;
                }
                return Ok(MergeOutcome::Done);
            }
            Err(dataset::Error::Busy { .. }) => return Ok(MergeOutcome::Later),
            // Other sweeps continue; queries and the status report the damage.
            Err(error @ dataset::Error::Damaged(_)) => {
                tracing::error!(error = report(&error), "cannot merge parts");
                return Ok(MergeOutcome::Later);
            }
            // Small parts are slower to read but correct; queries skip retracted rows.
            Err(error @ dataset::Error::NoExchange(_)) => {
                tracing::debug!(error = report(&error), "parts cannot be merged here");
                return Ok(MergeOutcome::Never);
            }
            Err(error) => return Err(error.into()),
        };
        let Compaction { old, new, .. } = &compaction;
        let change = PartChange {
            remove: old.iter().filter(|part| !new.contains(part)).cloned().collect(),
            add: new.iter().filter(|part| !old.contains(part)).cloned().collect(),
            retracted,
            ..PartChange::default()
        };
        self.journal.install(&change)?;
        self.dataset.publish(&compaction)?;
        Ok(MergeOutcome::Done)
    }
}

/// The outcome of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MergeOutcome {
    /// The parts are merged, or there was nothing to merge.
    Done,
    /// The merge is delayed: a query reads a part, or a part is damaged.
    Later,
    /// The parts cannot be merged in this storage.
    Never,
}

/// Returns the retractions that concern the parts of `sweep` in `table`.
fn retractions(index: &PartIndex, table: &TableName, sweep: &SweepName) -> Vec<Retraction> {
    let ours = |one: &&Retraction| one.concerns(table, sweep);
    index.retractions.iter().filter(ours).cloned().collect()
}

/// Groups pending rows by table and sweep.
fn by_destination(
    pending: &[PendingBlob],
) -> BTreeMap<(&TableName, &SweepName), Vec<&PendingBlob>> {
    let mut groups: BTreeMap<_, Vec<&PendingBlob>> = BTreeMap::new();
    for one in pending {
        groups.entry((&one.blob.batch.table, &one.blob.trial.sweep)).or_default().push(one);
    }
    groups
}

/// Returns the first and the last position.
fn positions(rows: &[&PendingBlob]) -> RangeInclusive<u64> {
    let positions = rows.iter().map(|pending| pending.key.position);
    let (first, last) =
        positions.fold((u64::MAX, 0), |(first, last), at| (first.min(at), last.max(at)));
    first..=last
}
