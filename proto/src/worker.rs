//! Conversions of `WorkerService`.

use std::time::Duration;

use rheo_core::fleet::WorkerLocation;
use rheo_core::id::{AttemptId, Digest, StateId, WorkerId};
use rheo_core::machine;
use rheo_core::machine::{AttemptClaim, AttemptEnd, HeldAttempt, Origin, WorkerInfo};
use rheo_core::name::WorkloadName;
use rheo_core::needs::Inventory;
use rheo_core::pruner::CommitEpochs;
use rheo_core::resources::{FreeResources, GrantedGpus, GrantedResources, ResourceOffer};
use rheo_core::rows::{RowBatch, RowCounts};
use serde::de::DeserializeOwned;

use serde_json::Value as Json;

use crate::bounds::{CAUSE_LENGTH, ERROR_LENGTH, LABEL_LENGTH};
use crate::convert::{
    attempt, gpus, metric_values, metrics, optional_digest, parsed, required, worker_id,
};
use crate::{InvalidMessage, v1};

/// The coordinator's instruction to a worker about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Continue.
    Continue,
    /// Commit and finish.
    Stop,
    /// Drop the attempt and its rows: the lease is gone.
    Abandon,
}

impl From<Verdict> for v1::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Continue => Self::Continue,
            Verdict::Stop => Self::Stop,
            Verdict::Abandon => Self::Abandon,
        }
    }
}

impl From<v1::Verdict> for Verdict {
    fn from(wire: v1::Verdict) -> Self {
        match wire {
            // The verdict of a newer coordinator cannot be obeyed; the lease decides.
            v1::Verdict::Unspecified | v1::Verdict::Continue => Self::Continue,
            v1::Verdict::Stop => Self::Stop,
            v1::Verdict::Abandon => Self::Abandon,
        }
    }
}

/// Parses a request to join: the worker, its description, and the state that it works for, if any.
pub fn parse_join(
    wire: v1::JoinRequest,
) -> Result<(WorkerId, WorkerInfo, Option<StateId>), InvalidMessage> {
    let worker = worker_id(&wire.worker)?;
    let state = wire.state.map(|state| parsed(&state, "state")).transpose()?;
    let place = wire.place.map(WorkerLocation::try_from).transpose()?.unwrap_or_default();
    let inventory = wire.inventory.map(Inventory::try_from).transpose()?;
    let workloads = wire.workloads.iter().map(|name| WorkloadName::parse(name));
    let workloads = workloads.collect::<Result<_, _>>();
    let info = WorkerInfo {
        host: wire.host,
        pid: wire.pid,
        offer: offer(wire.slots, &wire.gpus, wire.memory_mb)?,
        gpu_names: wire.gpus,
        shortfalls: wire.shortfalls,
        version: wire.version,
        workloads: workloads.map_err(|error| InvalidMessage::value("workloads", error))?,
        place,
        inventory,
    };
    Ok((worker, info, state))
}

/// The offer of a worker, with one GPU for each name.
pub(crate) fn offer(
    cpus: u32,
    gpus: &[String],
    memory_mb: Option<u64>,
) -> Result<ResourceOffer, InvalidMessage> {
    let gpus = u32::try_from(gpus.len()).map_err(|error| InvalidMessage::value("gpus", error))?;
    Ok(ResourceOffer { cpus, gpus, memory_mb })
}

/// Parses the free resources of a worker that acquires trials.
pub fn parse_free(wire: &v1::AcquireRequest) -> Result<FreeResources, InvalidMessage> {
    let gpus = wire.free_gpus.iter().map(|thousandths| gpus(*thousandths));
    Ok(FreeResources {
        cpus: wire.slots,
        gpus: gpus.collect::<Result<_, _>>()?,
        memory_mb: wire.free_memory_mb,
    })
}

impl TryFrom<v1::Granted> for GrantedResources {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Granted) -> Result<Self, InvalidMessage> {
        let gpus = GrantedGpus { ordinals: wire.gpus, share: gpus(wire.gpu_thousandths)? };
        Ok(Self { cpus: wire.slots, gpus, memory_mb: wire.memory_mb })
    }
}

impl From<GrantedResources> for v1::Granted {
    fn from(granted: GrantedResources) -> Self {
        Self {
            slots: granted.cpus,
            gpu_thousandths: granted.gpus.share.thousandths(),
            gpus: granted.gpus.ordinals,
            memory_mb: granted.memory_mb,
        }
    }
}

/// The request with which a worker joins.
pub fn join_request(worker: WorkerId, info: WorkerInfo, state: Option<StateId>) -> v1::JoinRequest {
    let state = state.map(|state| state.to_string());
    let WorkerInfo { offer, gpu_names, shortfalls, .. } = info;
    let WorkerInfo { host, pid, version, workloads, place, inventory, .. } = info;
    let gpus = gpu_names.iter().map(|name| label(name)).collect();
    let shortfalls =
        shortfalls.iter().map(|text| truncate(text, CAUSE_LENGTH).to_owned()).collect();
    let workloads = workloads.into_iter().map(String::from).collect();
    let (host, version) = (label(&host), label(&version));
    let (worker, place) = (worker.to_string(), Some(place.into()));
    let inventory = inventory.map(Into::into);
    let ResourceOffer { cpus: slots, memory_mb, .. } = offer;
    v1::JoinRequest {
        worker,
        host,
        pid,
        slots,
        version,
        workloads,
        place,
        state,
        inventory,
        gpus,
        memory_mb,
        shortfalls,
    }
}

/// The reply to a worker that joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinReply {
    /// The duration of a lease.
    pub lease: Duration,
    /// The state that the worker now works for.
    pub state: StateId,
}

impl TryFrom<v1::JoinResponse> for JoinReply {
    type Error = InvalidMessage;

    fn try_from(wire: v1::JoinResponse) -> Result<Self, InvalidMessage> {
        let lease = Duration::from_millis(wire.lease_ms.max(1));
        Ok(Self { lease, state: parsed(&wire.state, "state")? })
    }
}

impl TryFrom<v1::WorkerLocation> for WorkerLocation {
    type Error = InvalidMessage;

    fn try_from(wire: v1::WorkerLocation) -> Result<Self, InvalidMessage> {
        let pilot = wire.pilot.map(|pilot| pilot.parse());
        Ok(Self {
            pilot: pilot.transpose().map_err(|error| InvalidMessage::value("pilot", error))?,
            task: wire.task,
            restarts: wire.restarts,
            job: wire.job,
            node: wire.node,
            partition: wire.partition,
        })
    }
}

impl From<WorkerLocation> for v1::WorkerLocation {
    fn from(place: WorkerLocation) -> Self {
        Self {
            pilot: place.pilot.map(|pilot| pilot.to_string()),
            task: place.task,
            restarts: place.restarts,
            job: place.job.as_deref().map(label),
            node: place.node.as_deref().map(label),
            partition: place.partition.as_deref().map(label),
        }
    }
}

/// A label that a coordinator accepts: shortened and without control characters, so that no host
/// name keeps a worker from joining.
fn label(text: &str) -> String {
    let plain = text.chars().map(|char| if char.is_control() { '?' } else { char });
    let plain: String = plain.collect();
    truncate(&plain, LABEL_LENGTH).to_owned()
}

/// The first `most` bytes of a text, cut at a character boundary.
pub(crate) fn truncate(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The request with which a worker leaves. `lost` reports a dead worker; `unfit` is the reason for
/// which a worker was of no use.
pub fn leave_request(worker: WorkerId, lost: bool, unfit: Option<&str>) -> v1::LeaveRequest {
    let unfit = unfit.map(|reason| truncate(reason, CAUSE_LENGTH).to_owned());
    v1::LeaveRequest { worker: worker.to_string(), lost, unfit }
}

/// Parses the worker id of a request.
pub fn parse_worker_id(worker: &str) -> Result<WorkerId, InvalidMessage> {
    worker_id(worker)
}

/// Parses the attempts that a worker reports to hold.
pub fn parse_held(wire: Vec<v1::Attempt>) -> Result<Vec<HeldAttempt>, InvalidMessage> {
    wire.into_iter().map(HeldAttempt::try_from).collect()
}

/// An assignment for a worker; `C` is the configuration type of its workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment<C> {
    /// The attempt.
    pub attempt: AttemptId,
    /// The origin of the attempt, repeated in every message about it.
    pub origin: Origin,
    /// The full configuration of the trial.
    pub config: C,
    /// The checkpoint to resume from.
    pub checkpoint: Option<Digest>,
    /// The number of rows produced before the checkpoint.
    pub covered: RowCounts,
    /// The number of durable rows, which must not be sent again.
    pub durable: RowCounts,
    /// The resources that the attempt may use.
    pub granted: GrantedResources,
    /// The epochs after which the trial commits, besides its usual commits.
    pub commit_epochs: CommitEpochs,
}

impl<C: DeserializeOwned> TryFrom<v1::Assignment> for Assignment<C> {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Assignment) -> Result<Self, InvalidMessage> {
        let HeldAttempt { attempt, origin } = required(wire.attempt, "attempt")?.try_into()?;
        let origin = required(origin, "origin")?;
        if Digest::of(wire.config.as_bytes()) != origin.configuration {
            return Err(InvalidMessage::value("config", "it does not match its digest"));
        }
        let config = serde_json::from_str(&wire.config);
        Ok(Self {
            attempt,
            origin,
            config: config.map_err(|error| InvalidMessage::value("config", error))?,
            checkpoint: optional_digest(&wire.checkpoint)?,
            covered: wire.covered.unwrap_or_default().into(),
            durable: wire.durable.unwrap_or_default().into(),
            granted: required(wire.granted, "granted")?.try_into()?,
            commit_epochs: wire.commit_epochs.map(CommitEpochs::from).unwrap_or_default(),
        })
    }
}

impl From<machine::Assignment> for v1::Assignment {
    fn from(assignment: machine::Assignment) -> Self {
        Self {
            attempt: Some(attempt(&assignment.attempt, Some(assignment.origin))),
            config: assignment.trial.text().to_string(),
            checkpoint: assignment.checkpoint.map(|digest| digest.to_string()).unwrap_or_default(),
            covered: Some(assignment.covered.into()),
            durable: Some(assignment.durable.into()),
            granted: Some(assignment.granted.into()),
            commit_epochs: commit_epochs(assignment.commit_epochs),
        }
    }
}

impl From<v1::CommitEpochs> for CommitEpochs {
    fn from(wire: v1::CommitEpochs) -> Self {
        use v1::commit_epochs::Epochs;
        match wire.epochs {
            Some(Epochs::At(list)) => Self::At(list.epochs),
            Some(Epochs::EachAfter(after)) => Self::Each { after },
            None => Self::None,
        }
    }
}

fn commit_epochs(epochs: CommitEpochs) -> Option<v1::CommitEpochs> {
    use v1::commit_epochs::{EpochList, Epochs};
    let epochs = match epochs {
        CommitEpochs::None => return None,
        CommitEpochs::At(epochs) => Epochs::At(EpochList { epochs }),
        CommitEpochs::Each { after } => Epochs::EachAfter(after),
    };
    Some(v1::CommitEpochs { epochs: Some(epochs) })
}

impl TryFrom<v1::Claim> for AttemptClaim {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Claim) -> Result<Self, InvalidMessage> {
        let HeldAttempt { attempt, origin } = required(wire.attempt, "attempt")?.try_into()?;
        let (worker, sequence) = (worker_id(&wire.worker)?, wire.sequence);
        Ok(Self { attempt, worker, sequence, origin })
    }
}

impl From<&AttemptClaim> for v1::Claim {
    fn from(claim: &AttemptClaim) -> Self {
        Self {
            worker: claim.worker.to_string(),
            attempt: Some(attempt(&claim.attempt, claim.origin)),
            sequence: claim.sequence,
        }
    }
}

/// The work of a commit, with its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkWithRows {
    /// The part that the state machine records.
    pub work: machine::CommitManifest,
    /// The rows.
    pub batches: Vec<RowBatch>,
}

impl TryFrom<v1::Work> for WorkWithRows {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Work) -> Result<Self, InvalidMessage> {
        let batches: Vec<RowBatch> =
            wire.rows.into_iter().map(RowBatch::try_from).collect::<Result<_, _>>()?;
        let work = machine::CommitManifest {
            checkpoint: parsed(&wire.checkpoint, "checkpoint")?,
            produced: wire.produced.unwrap_or_default().into(),
            rows: RowCounts::of(&batches),
            reports: wire.reports.into_iter().map(Into::into).collect(),
            fraction: wire.fraction,
        };
        Ok(Self { work, batches })
    }
}

impl From<WorkWithRows> for v1::Work {
    fn from(WorkWithRows { work, batches }: WorkWithRows) -> Self {
        Self {
            checkpoint: work.checkpoint.to_string(),
            produced: Some(work.produced.into()),
            rows: batches.into_iter().map(Into::into).collect(),
            reports: work.reports.iter().map(Into::into).collect(),
            fraction: work.fraction,
        }
    }
}

/// Parses the summary of an ended trial, the remaining columns of its row in `trials`.
fn summary(text: &str) -> Result<Box<Json>, InvalidMessage> {
    let summary: Json =
        serde_json::from_str(text).map_err(|error| InvalidMessage::value("summary", error))?;
    if summary.is_object() {
        Ok(Box::new(summary))
    } else {
        Err(InvalidMessage::value("summary", "it is not a JSON object"))
    }
}

impl TryFrom<v1::finish_request::Ending> for AttemptEnd {
    type Error = InvalidMessage;

    fn try_from(wire: v1::finish_request::Ending) -> Result<Self, InvalidMessage> {
        use v1::finish_request::Ending as Wire;
        Ok(match wire {
            Wire::Completed(result) => Self::Completed {
                metrics: metrics(result.metrics),
                summary: summary(&result.summary)?,
            },
            Wire::Diverged(result) => Self::Diverged {
                metrics: metrics(result.metrics),
                summary: summary(&result.summary)?,
                detail: result.detail,
            },
            Wire::Stopped(_) => Self::Stopped,
            Wire::Preempted(_) => Self::Preempted,
            Wire::TimedOut(_) => Self::TimedOut,
            Wire::OutOfMemory(failure) => Self::OutOfMemory { message: failure.message },
            Wire::Error(failure) => Self::Error { message: failure.message },
            Wire::CheckpointUnusable(failure) => {
                Self::CheckpointUnusable { message: failure.message }
            }
            Wire::Unfit(unfit) => Self::Unfit {
                need: required(unfit.need, "need")?.try_into()?,
                message: unfit.message,
            },
        })
    }
}

impl From<AttemptEnd> for v1::finish_request::Ending {
    fn from(ending: AttemptEnd) -> Self {
        use v1::finish_request::{Empty, Failure, Result, Unfit};
        let result = |metrics, summary: Box<Json>, detail: String| Result {
            metrics: metric_values(&metrics),
            summary: summary.to_string(),
            detail: truncate(&detail, ERROR_LENGTH).to_owned(),
        };
        let failure =
            |message: String| Failure { message: truncate(&message, ERROR_LENGTH).to_owned() };
        match ending {
            AttemptEnd::Completed { metrics, summary } => {
                Self::Completed(result(metrics, summary, String::new()))
            }
            AttemptEnd::Diverged { metrics, summary, detail } => {
                Self::Diverged(result(metrics, summary, detail))
            }
            AttemptEnd::Stopped => Self::Stopped(Empty {}),
            AttemptEnd::Preempted => Self::Preempted(Empty {}),
            AttemptEnd::TimedOut => Self::TimedOut(Empty {}),
            AttemptEnd::OutOfMemory { message } => Self::OutOfMemory(failure(message)),
            AttemptEnd::Error { message } => Self::Error(failure(message)),
            AttemptEnd::CheckpointUnusable { message } => {
                Self::CheckpointUnusable(failure(message))
            }
            AttemptEnd::Unfit { need, message } => {
                let message = truncate(&message, CAUSE_LENGTH).to_owned();
                Self::Unfit(Unfit { need: Some(need.into()), message })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_free_and_granted_resources_round_trip() {
        let half = rheo_core::resources::GpuAmount::from_thousandths(500).unwrap();
        let info = WorkerInfo {
            offer: ResourceOffer { cpus: 3, gpus: 2, memory_mb: Some(7) },
            gpu_names: vec!["GPU-a".to_owned(), "MIG-b".to_owned()],
            shortfalls: vec!["sees 2".to_owned()],
            ..WorkerInfo::default()
        };
        let request = join_request(WorkerId(uuid::Uuid::nil()), info.clone(), None);
        assert_eq!(parse_join(request).unwrap().1, info);

        let granted = GrantedResources {
            cpus: 2,
            gpus: GrantedGpus { ordinals: vec![1], share: half },
            memory_mb: 5,
        };
        let wire = v1::Granted::from(granted.clone());
        assert_eq!(GrantedResources::try_from(wire.clone()).unwrap(), granted);
        // One and a half GPUs.
        let odd = v1::Granted { gpu_thousandths: 1500, ..wire };
        assert!(
            GrantedResources::try_from(odd).unwrap_err().to_string().contains("gpu_thousandths")
        );

        let free_gpus = vec![500, 1000, 0];
        let acquire = v1::AcquireRequest { slots: 4, free_gpus, ..v1::AcquireRequest::default() };
        let free = parse_free(&acquire).unwrap();
        let amounts: Vec<u32> = free.gpus.iter().map(|gpu| gpu.thousandths()).collect();
        assert_eq!((free.cpus, amounts, free.memory_mb), (4, vec![500, 1000, 0], None));
    }

    #[test]
    fn labels_and_messages_are_cut_to_their_bounds() {
        let info = WorkerInfo { host: format!("a\n{}", "ü".repeat(300)), ..WorkerInfo::default() };
        let host = join_request(WorkerId(uuid::Uuid::nil()), info, None).host;
        assert!(host.starts_with("a?ü") && host.len() <= LABEL_LENGTH, "{host}");
        let message = "x".repeat(ERROR_LENGTH + 1);
        let wire = v1::finish_request::Ending::from(AttemptEnd::Error { message });
        let v1::finish_request::Ending::Error(failure) = wire else { panic!("{wire:?}") };
        assert_eq!(failure.message.len(), ERROR_LENGTH);
    }
}
