//! Events, as the journal stores them. Fields are only ever added, with a default, and an event
//! carries all the data needed to apply it.

use serde::{Deserialize, Serialize};

use super::worker::WorkerInfo;
use crate::fleet;
use crate::id::{AttemptId, IncarnationId, RequestId, StateId, SweepName, WorkerId};
use crate::needs::UnmetNeed;
use crate::sweep::{
    AttemptEnded, PointChosen, PointRequested, StopRequested, SweepClosed, SweepDeleted,
    SweepEnded, SweepPaused, SweepResumed, SweepSubmitted, TrialCommitted, TrialDeferred,
    TrialEnded, TrialLeased, TrialParked, TrialsRetried, TrialsStartedOver,
};
use crate::time::Timestamp;

/// An event of the coordinator, a sweep, a trial, a worker or a fleet, as the journal stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// See [`CoordinatorStarted`].
    CoordinatorStarted(CoordinatorStarted),
    /// See [`SweepSubmitted`].
    SweepSubmitted(SweepSubmitted),
    /// See [`SweepPaused`].
    SweepPaused(SweepPaused),
    /// See [`SweepResumed`].
    SweepResumed(SweepResumed),
    /// See [`RequestNoted`].
    RequestNoted(RequestNoted),
    /// See [`SweepClosed`].
    SweepClosed(SweepClosed),
    /// See [`SweepEnded`].
    SweepEnded(SweepEnded),
    /// See [`TrialsRetried`].
    TrialsRetried(TrialsRetried),
    /// See [`SweepDeleted`].
    SweepDeleted(SweepDeleted),
    /// See [`TrialsStartedOver`].
    TrialsStartedOver(TrialsStartedOver),
    /// See [`WorkerJoined`].
    WorkerJoined(WorkerJoined),
    /// See [`WorkerUnfit`].
    WorkerUnfit(WorkerUnfit),
    /// See [`WorkerDeparted`].
    WorkerDeparted(WorkerDeparted),
    /// See [`PointRequested`].
    PointRequested(PointRequested),
    /// See [`PointChosen`].
    PointChosen(PointChosen),
    /// See [`TrialDeferred`].
    TrialDeferred(TrialDeferred),
    /// See [`WorkerLeft`].
    WorkerLeft(WorkerLeft),
    /// See [`TrialLeased`].
    TrialLeased(TrialLeased),
    /// See [`LeasesRenewed`].
    LeasesRenewed(LeasesRenewed),
    /// See [`TrialCommitted`].
    TrialCommitted(TrialCommitted),
    /// See [`StopRequested`].
    StopRequested(StopRequested),
    /// See [`AttemptEnded`].
    AttemptEnded(AttemptEnded),
    /// See [`TrialParked`].
    TrialParked(TrialParked),
    /// See [`fleet::FleetEvent`].
    Fleet(fleet::FleetEvent),
    /// See [`TrialEnded`].
    TrialEnded(TrialEnded),
}

/// The coordinator started; every lease lasts at least until `leases_until`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoordinatorStarted {
    /// The time of the event.
    pub at: Timestamp,
    /// The earliest end of every lease.
    pub leases_until: Timestamp,
    /// The id of the state, created at its first start.
    pub state: StateId,
    /// The id of this start, carried by every lease granted under it.
    pub incarnation: IncarnationId,
}

/// A request was handled and changed nothing. If it is repeated later, it must still change
/// nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestNoted {
    /// The request.
    pub request: RequestId,
}

/// A worker joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerJoined {
    /// The worker.
    pub worker: WorkerId,
    /// The worker's description of itself.
    pub info: WorkerInfo,
    /// The time of the event.
    pub at: Timestamp,
}

/// A worker was refused waiting trials, because it does not meet their needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerUnfit {
    /// The worker.
    pub worker: WorkerId,
    /// The unmet need and its cause.
    pub lack: UnmetNeed,
}

/// A worker left or died. It is forgotten later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerDeparted {
    /// The worker.
    pub worker: WorkerId,
    /// Whether the worker died.
    pub lost: bool,
    /// The reason, if the worker left because it was unfit.
    pub reason: Option<String>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A departed worker was forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerLeft {
    /// The worker.
    pub worker: WorkerId,
}

/// The leases of a worker were renewed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeasesRenewed {
    /// The worker.
    pub worker: WorkerId,
    /// The attempts.
    pub attempts: Vec<AttemptId>,
    /// The time of the event.
    pub at: Timestamp,
    /// The new end of the leases.
    pub until: Timestamp,
}

impl Event {
    /// Returns the sweep that the event is about, if any.
    pub fn sweep(&self) -> Option<&SweepName> {
        match self {
            Self::SweepSubmitted(submitted) => Some(&submitted.definition.name),
            Self::SweepPaused(paused) => Some(&paused.sweep),
            Self::SweepResumed(resumed) => Some(&resumed.sweep),
            Self::SweepClosed(closed) => Some(&closed.sweep),
            Self::SweepEnded(ended) => Some(&ended.sweep),
            Self::SweepDeleted(deleted) => Some(&deleted.sweep),
            Self::TrialsRetried(retried) => Some(&retried.sweep),
            Self::TrialsStartedOver(started_over) => Some(&started_over.sweep),
            Self::TrialLeased(leased) => Some(&leased.attempt.trial.sweep),
            Self::TrialCommitted(committed) => Some(&committed.attempt.trial.sweep),
            Self::AttemptEnded(ended) => Some(&ended.attempt.trial.sweep),
            Self::StopRequested(stop) => Some(&stop.trial.sweep),
            Self::TrialEnded(ended) => Some(&ended.trial.sweep),
            Self::TrialParked(parked) => Some(&parked.trial.sweep),
            Self::TrialDeferred(deferred) => Some(&deferred.trial.sweep),
            Self::PointRequested(requested) => Some(&requested.sweep),
            Self::PointChosen(chosen) => Some(&chosen.sweep),
            Self::CoordinatorStarted(_)
            | Self::RequestNoted(_)
            | Self::WorkerJoined(_)
            | Self::WorkerUnfit(_)
            | Self::WorkerDeparted(_)
            | Self::WorkerLeft(_)
            | Self::LeasesRenewed(_)
            | Self::Fleet(_) => None,
        }
    }
}
