//! The worker service.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rheo_core::id::{AttemptId, Digest, SweepName, WorkerId};
use rheo_core::log::LogLine;
use rheo_core::machine::{
    Assignment, AttemptClaim, AttemptEnd, Caller, Command, HeldAttempt, State, WorkOutlook, limits,
};
use rheo_core::resources::{FreeResources, ResourceOffer};
use rheo_core::rows::RowBatch;
use rheo_model::row::Summary;
use rheo_proto::refusal::{self, Reason};
use rheo_proto::v1::put_checkpoint_request::Part;
use rheo_proto::v1::worker_service_server::WorkerService;
use rheo_proto::worker::{self as wire, Verdict, WorkWithRows};
use rheo_proto::{InvalidMessage, MAX_CHECKPOINT, log, v1};
use rheo_query::TrialKeys;
use rheo_store::{RowBlob, checkpoint};
use serde::Deserialize as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::caller_of;
use super::checkpoint::{checkpoint_status, chunks, digest, upload_status};
use crate::app::Coordinator;
use crate::attempt_keys::AttemptKeys;
use crate::report::report;

/// The longest wait for work in one call.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// The largest number of calls that wait for work: one per known worker.
const MAX_WAITING: usize = limits::MAX_WORKERS;

/// The time after a wait in which a silent worker still counts as active.
const PRESENCE_MARGIN: Duration = Duration::from_secs(10);
/// The longest wait in one call of a worker that lacks what the waiting trials need.
const UNFIT_WAIT: Duration = Duration::from_secs(5);

/// Handler of the worker service.
pub(crate) struct WorkerHandler {
    coordinator: Coordinator,
    stop: CancellationToken,
    waiting: Semaphore,
}

impl WorkerHandler {
    pub(crate) fn new(coordinator: Coordinator, stop: CancellationToken) -> Self {
        Self { coordinator, stop, waiting: Semaphore::new(MAX_WAITING) }
    }
}

type CheckpointStream =
    Pin<Box<dyn Stream<Item = Result<v1::GetCheckpointResponse, Status>> + Send>>;

#[tonic::async_trait]
impl WorkerService for WorkerHandler {
    async fn join(
        &self,
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        let caller = caller_of(&request);
        let (worker, info, state) = wire::parse_join(request.into_inner())?;
        let (host, offer) = (info.host.clone(), info.offer);
        let command = Command::Join { worker, info, state };
        let id = |state: &State, _: &[_]| state.id.map(|id| id.to_string());
        let id = self.coordinator.handle.execute(caller, command, Vec::new(), id).await?;
        let ResourceOffer { cpus: slots, gpus, .. } = offer;
        tracing::info!(%worker, host, slots, gpus, "worker joined");
        self.mark_seen(worker);
        let lease = self.coordinator.settings.lease.as_millis();
        Ok(Response::new(v1::JoinResponse {
            lease_ms: u64::try_from(lease).unwrap_or(u64::MAX),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: id.unwrap_or_default(),
        }))
    }

    async fn acquire(
        &self,
        request: Request<v1::AcquireRequest>,
    ) -> Result<Response<v1::AcquireResponse>, Status> {
        let caller = caller_of(&request);
        let request = request.into_inner();
        let only = request.sweep.as_deref().map(rheo_proto::sweep::parse_name).transpose()?;
        let free = wire::parse_free(&request)?;
        let (worker, held) =
            (wire::parse_worker_id(&request.worker)?, wire::parse_held(request.held)?);
        let work = WorkRequest { caller, worker, held, free, only };
        let wait = Duration::from_millis(request.wait_ms).min(MAX_WAIT);
        let _place = self.waiting.try_acquire().map_err(|_| {
            let text =
                format!("{MAX_WAITING} calls wait for work already, the most that are allowed");
            refusal::status(&Reason::Full, text, None)
        })?;
        let WorkReply { assignments, left, unfit, .. } = self.wait_for_work(work, wait).await?;
        Ok(Response::new(v1::AcquireResponse {
            assignments: assignments.into_iter().map(Into::into).collect(),
            nothing_left: left == WorkOutlook::None,
            unfit,
        }))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewResponse>, Status> {
        let caller = caller_of(&request);
        let request = request.into_inner();
        let worker = wire::parse_worker_id(&request.worker)?;
        let mut attempts: Vec<HeldAttempt> = Vec::with_capacity(request.held.len());
        let mut progress = Vec::with_capacity(request.held.len());
        for held in request.held {
            attempts.push(held.attempt.ok_or(InvalidMessage::Missing("attempt"))?.try_into()?);
            progress.push((held.progress, log::lines(held.log)));
        }
        let lease = self.coordinator.settings.lease;
        self.coordinator.live.worker_renewed(worker, Instant::now() + lease);
        let command = Command::Renew { worker, held: attempts.clone(), lease };
        let asked = attempts.clone();
        let view = move |state: &State, _: &[_]| -> Vec<Verdict> {
            let of = |held: &HeldAttempt| {
                let is_held = state.is_held(worker, held);
                if is_held { verdict(state, worker, &held.attempt) } else { Verdict::Abandon }
            };
            asked.iter().map(of).collect()
        };
        let verdicts = self.coordinator.handle.execute(caller, command, Vec::new(), view).await?;
        self.mark_seen(worker);
        let live = &self.coordinator.live;
        for ((held, (progress, lines)), verdict) in
            attempts.into_iter().zip(progress).zip(&verdicts)
        {
            if *verdict == Verdict::Abandon {
                continue;
            }
            live.add_log(held.attempt.clone(), lines);
            if let Some(progress) = progress {
                live.set_progress(
                    held.attempt.trial,
                    progress.into(),
                    self.coordinator.clock.now(),
                );
            }
        }
        let verdicts = verdicts.into_iter().map(|verdict| v1::Verdict::from(verdict).into());
        Ok(Response::new(v1::RenewResponse { verdicts: verdicts.collect() }))
    }

    async fn put_checkpoint(
        &self,
        request: Request<Streaming<v1::PutCheckpointRequest>>,
    ) -> Result<Response<v1::PutCheckpointResponse>, Status> {
        let mut parts = request.into_inner();
        let Some(v1::PutCheckpointRequest { part: Some(Part::Header(header)) }) =
            parts.message().await?
        else {
            return Err(InvalidMessage::Missing("header").into());
        };
        let claim: AttemptClaim =
            header.claim.ok_or(InvalidMessage::Missing("claim"))?.try_into()?;
        self.admit(claim.clone()).await?;
        let digest = digest(&header.digest)?;
        if header.length > MAX_CHECKPOINT {
            let detail = format!("{} bytes, at most {MAX_CHECKPOINT}", header.length);
            return Err(InvalidMessage::Value { field: "length", detail }.into());
        }
        // If the state directory is gone, its directories must not be recreated.
        let place = self.coordinator.journal.check_location();
        place.map_err(|error| refusal::status(&Reason::Storage, report(&error), None))?;
        let begun = self.coordinator.begin_upload(claim, digest, header.length).await;
        begun.map_err(upload_status)?;
        if !self.coordinator.checkpoints.confirm(digest).await.map_err(checkpoint_status)? {
            self.store(digest, header.length, parts).await?;
            self.coordinator.end_upload(digest).await.map_err(upload_status)?;
        }
        Ok(Response::new(v1::PutCheckpointResponse {}))
    }

    type GetCheckpointStream = CheckpointStream;

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<CheckpointStream>, Status> {
        let request = request.into_inner();
        if let Some(claim) = request.claim {
            self.admit(claim.try_into()?).await?;
        }
        let digest = digest(&request.digest)?;
        let bytes = self.coordinator.checkpoints.get(digest).await.map_err(checkpoint_status)?;
        let chunks = chunks(bytes).map(|chunk| Ok(v1::GetCheckpointResponse { chunk }));
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn commit(
        &self,
        request: Request<v1::CommitRequest>,
    ) -> Result<Response<v1::CommitResponse>, Status> {
        let caller = caller_of(&request);
        let request = request.into_inner();
        let claim: AttemptClaim =
            request.claim.ok_or(InvalidMessage::Missing("claim"))?.try_into()?;
        let work: WorkWithRows = request.work.ok_or(InvalidMessage::Missing("work"))?.try_into()?;
        let (worker, attempt) = (claim.worker, claim.attempt.clone());
        let blobs = self.row_blobs(&attempt, Some(&work), log::lines(request.log)).await?;
        let checkpoint = work.work.checkpoint;
        let command = Command::Commit { claim, work: work.work };
        let asked = attempt.clone();
        let view = move |state: &State, _: &[_]| verdict(state, worker, &asked);
        let verdict = self.coordinator.handle.execute(caller, command, blobs, view).await;
        if !matches!(verdict, Ok(Verdict::Continue | Verdict::Stop)) {
            self.coordinator.live.forget_log(&attempt);
        }
        let verdict = verdict?;
        self.coordinator.upload_committed(checkpoint).await;
        Ok(Response::new(v1::CommitResponse { verdict: v1::Verdict::from(verdict).into() }))
    }

    async fn finish(
        &self,
        request: Request<v1::FinishRequest>,
    ) -> Result<Response<v1::FinishResponse>, Status> {
        let caller = caller_of(&request);
        let request = request.into_inner();
        let claim: AttemptClaim =
            request.claim.ok_or(InvalidMessage::Missing("claim"))?.try_into()?;
        let ending: AttemptEnd =
            request.ending.ok_or(InvalidMessage::Missing("ending"))?.try_into()?;
        check_summary(&ending)?;
        let work: Option<WorkWithRows> = request.work.map(WorkWithRows::try_from).transpose()?;
        let attempt = claim.attempt.clone();
        let blobs = self.row_blobs(&attempt, work.as_ref(), log::lines(request.log)).await?;
        let work = work.map(|work| work.work);
        let checkpoint = work.as_ref().map(|work| work.checkpoint);
        let command = Command::Finish { claim, work, ending };
        let finished = self.coordinator.handle.execute(caller, command, blobs, |_, _| ()).await;
        self.coordinator.live.forget_log(&attempt);
        finished?;
        if let Some(checkpoint) = checkpoint {
            self.coordinator.upload_committed(checkpoint).await;
        }
        Ok(Response::new(v1::FinishResponse {}))
    }

    async fn leave(
        &self,
        request: Request<v1::LeaveRequest>,
    ) -> Result<Response<v1::LeaveResponse>, Status> {
        let caller = caller_of(&request);
        let request = request.into_inner();
        let worker = wire::parse_worker_id(&request.worker)?;
        tracing::info!(%worker, lost = request.lost, unfit = request.unfit, "worker left");
        self.coordinator.live.worker_left(worker);
        let command = match request.unfit {
            _ if request.lost => Command::ReportLost { worker },
            Some(reason) => Command::LeaveUnfit { worker, reason },
            None => Command::Leave { worker },
        };
        self.coordinator.handle.execute(caller, command, Vec::new(), |_, _| ()).await?;
        Ok(Response::new(v1::LeaveResponse {}))
    }
}

/// A worker's request for trials.
struct WorkRequest {
    caller: Caller,
    worker: WorkerId,
    held: Vec<HeldAttempt>,
    free: FreeResources,
    only: Option<SweepName>,
}

/// The trials leased for a request, or the reason for none.
struct WorkReply {
    assignments: Vec<Assignment>,
    /// Outlook on further work.
    left: WorkOutlook,
    /// Time until the next trial is ready.
    pause: Option<Duration>,
    /// Requirement of the waiting trials that the worker lacks.
    unfit: Option<String>,
}

impl WorkerHandler {
    /// Records the call of a known worker.
    fn mark_seen(&self, worker: WorkerId) {
        self.coordinator.live.worker_seen(worker, self.coordinator.clock.now());
    }

    /// Leases trials; waits until there are some, there can be none, or `wait` is over.
    async fn wait_for_work(&self, work: WorkRequest, wait: Duration) -> Result<WorkReply, Status> {
        let mut deadline = Instant::now() + wait;
        loop {
            let woken = self.coordinator.live.work_available().notified();
            tokio::pin!(woken);
            // From here on no notification is missed.
            woken.as_mut().enable();
            let answer = self.try_acquire(&work).await?;
            // The engine has accepted the worker as known.
            self.coordinator.live.worker_asked(
                work.worker,
                work.only.clone(),
                deadline + PRESENCE_MARGIN,
            );
            let nothing_to_wait_for =
                answer.left == WorkOutlook::None || Instant::now() >= deadline;
            if !answer.assignments.is_empty() || nothing_to_wait_for || self.stop.is_cancelled() {
                return Ok(answer);
            }
            if answer.unfit.is_some() {
                // The worker should check its own resources soon.
                deadline = deadline.min(Instant::now() + UNFIT_WAIT);
            }
            let until = answer.pause.map_or(deadline, |pause| deadline.min(Instant::now() + pause));
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(until) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Leases trials without waiting.
    async fn try_acquire(&self, work: &WorkRequest) -> Result<WorkReply, Status> {
        let WorkRequest { caller, worker, held, free, only } = work;
        let (worker, free) = (*worker, free.clone());
        let lease = self.coordinator.settings.lease;
        let (known, wanted) = (held.clone(), only.clone());
        let command =
            Command::Acquire { worker, held: held.clone(), free, only: only.clone(), lease };
        // Read before the decision, so that no trial becomes ready in between.
        let now = self.coordinator.clock.now();
        let attempt_keys = self.coordinator.attempt_keys.clone();
        let view = move |state: &State, _: &[_]| {
            let assignments = state.assignments(worker, &known);
            for assignment in &assignments {
                attempt_keys.insert_if_leased(state, &assignment.attempt);
            }
            let pause = state.next_ready(wanted.as_ref(), now).map(|at| at.since(now));
            let left = state.work_outlook(worker, wanted.as_ref());
            let unfit = assignments.is_empty();
            let unfit = unfit.then(|| state.unfit_for_waiting(worker, wanted.as_ref())).flatten();
            WorkReply { assignments, left, pause, unfit }
        };
        let found = self.coordinator.handle.execute(*caller, command, Vec::new(), view).await?;
        self.mark_seen(worker);
        Ok(found)
    }

    /// Refuses an upload or download for a claim that the engine would refuse.
    async fn admit(&self, claim: AttemptClaim) -> Result<(), Status> {
        let admitted = self.coordinator.handle.read(move |state| state.admits(&claim)).await?;
        admitted.map_err(|rejection| refusal::from_rejection(&rejection))
    }

    /// Validates the rows of a message and returns them as blobs.
    async fn row_blobs(
        &self,
        attempt: &AttemptId,
        work: Option<&WorkWithRows>,
        log: Vec<LogLine>,
    ) -> Result<Vec<RowBlob>, Status> {
        if let Some(work) = work {
            self.check_commit(work.work.checkpoint).await?;
        }
        if work.is_none() && log.is_empty() {
            return Ok(Vec::new());
        }
        // There is no such trial; the engine gives the better error.
        let Some(keys) = self.attempt_keys(attempt).await? else { return Ok(Vec::new()) };
        let mut blobs = Vec::new();
        for batch in work.into_iter().flat_map(|work| &work.batches) {
            let trial = attempt.trial.clone();
            blobs.push(RowBlob { trial, batch: parse_rows(batch, &keys.keys)? });
        }
        if !log.is_empty() {
            // These lines become durable with the commit.
            self.coordinator.live.record_log(attempt, &log);
        }
        let log = keys.encode_log(attempt, &log);
        blobs.extend(log.map_err(|error| invalid_rows(report(&error)))?);
        Ok(blobs)
    }

    /// Refuses a commit if too many rows are pending or its checkpoint is missing.
    async fn check_commit(&self, checkpoint: Digest) -> Result<(), Status> {
        if self.coordinator.backlog.is_full() {
            let last_error = self.coordinator.sink.last_error().unwrap_or_default();
            let text = format!("too many rows wait to be written into parts: {last_error}");
            return Err(refusal::status(&Reason::Storage, text, None));
        }
        let found = self.coordinator.checkpoints.contains(checkpoint).await;
        if found.map_err(checkpoint_status)? {
            return Ok(());
        }
        Err(checkpoint_status(checkpoint::Error::Missing(checkpoint)))
    }

    /// Returns the key columns of `attempt`; none if there is no such trial.
    async fn attempt_keys(&self, attempt: &AttemptId) -> Result<Option<Arc<AttemptKeys>>, Status> {
        if let Some(keys) = self.coordinator.attempt_keys.get(attempt) {
            return Ok(Some(keys));
        }
        let (attempt_keys, attempt) = (self.coordinator.attempt_keys.clone(), attempt.clone());
        Ok(self
            .coordinator
            .handle
            .read(move |state| attempt_keys.insert_if_leased(state, &attempt))
            .await?)
    }

    async fn store(
        &self,
        digest: Digest,
        length: u64,
        mut parts: Streaming<v1::PutCheckpointRequest>,
    ) -> Result<(), Status> {
        let upload = self.coordinator.checkpoints.upload(digest).await;
        let mut upload = upload.map_err(checkpoint_status)?;
        let mut received = 0;
        while let Some(part) = parts.next().await {
            let Some(Part::Chunk(chunk)) = part?.part else {
                return Err(InvalidMessage::Missing("chunk").into());
            };
            received += chunk.len() as u64;
            if received > length {
                let detail = format!("{length} bytes were announced, but more arrived");
                return Err(InvalidMessage::Value { field: "length", detail }.into());
            }
            upload.write(chunk).await.map_err(checkpoint_status)?;
        }
        upload.finish().await.map_err(checkpoint_status)
    }
}

/// Refuses an invalid summary.
fn check_summary(ending: &AttemptEnd) -> Result<(), Status> {
    let (AttemptEnd::Completed { summary, .. } | AttemptEnd::Diverged { summary, .. }) = ending
    else {
        return Ok(());
    };
    Summary::deserialize(&**summary).map(drop).map_err(|error| {
        refusal::status(&Reason::InvalidRows, format!("invalid summary of a trial: {error}"), None)
    })
}

/// Parses a batch and checks its schema, its keys and the number of its rows.
fn parse_rows(batch: &RowBatch, keys: &TrialKeys) -> Result<RowBatch, Status> {
    let checked = rheo_query::parse(&batch.table, keys, batch.ipc.clone());
    let checked = checked.map_err(|error| invalid_rows(report(&error)))?;
    if checked.rows == batch.rows {
        return Ok(checked);
    }
    let table = &batch.table;
    Err(invalid_rows(format!(
        "{} rows of `{table}` were announced, but {} arrived",
        batch.rows, checked.rows
    )))
}

fn invalid_rows(text: String) -> Status {
    refusal::status(&Reason::InvalidRows, text, None)
}

fn verdict(state: &State, worker: WorkerId, attempt: &AttemptId) -> Verdict {
    if !state.holds(worker, attempt) {
        return Verdict::Abandon;
    }
    match state.stop_reason(attempt) {
        Some(_) => Verdict::Stop,
        None => Verdict::Continue,
    }
}

#[cfg(test)]
mod tests;
