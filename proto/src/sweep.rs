//! Conversions of `SweepService`.

use std::time::Duration;

use rheo_core::estimate::Estimate;
use rheo_core::id::{RequestId, SweepName, TrialId};
use rheo_core::machine::{
    BestPoint, SweepPhase, SweepRequest, SweepView, TrialCounts, TrialSelection, TrialStatus,
    TrialView,
};
use rheo_core::progress::Progress;
use rheo_core::ranking::{Aggregate, AggregateRule};
use rheo_core::sweep::SweepEndReason;
use rheo_core::time::Timestamp;

use crate::convert::{parsed, required, sweep_name, worker_id};
use crate::{InvalidMessage, truncate_with_size, v1};

/// The longest description in a list of sweeps, in bytes.
const DESCRIPTION_LENGTH: usize = 2000;

/// Parses the sweep name of a request.
pub fn parse_name(name: &str) -> Result<SweepName, InvalidMessage> {
    sweep_name(name)
}

/// Parses the trial id of a request.
pub fn parse_trial_id(sweep: &str, index: u64) -> Result<TrialId, InvalidMessage> {
    Ok(TrialId::new(sweep_name(sweep)?, index))
}

fn request_id(text: &str) -> Result<RequestId, InvalidMessage> {
    parsed(text, "request_id")
}

impl TryFrom<v1::PauseRequest> for SweepRequest {
    type Error = InvalidMessage;

    fn try_from(wire: v1::PauseRequest) -> Result<Self, InvalidMessage> {
        Ok(Self::Pause { id: request_id(&wire.request_id)?, sweep: sweep_name(&wire.sweep)? })
    }
}

impl TryFrom<v1::ResumeRequest> for SweepRequest {
    type Error = InvalidMessage;

    fn try_from(wire: v1::ResumeRequest) -> Result<Self, InvalidMessage> {
        Ok(Self::Resume { id: request_id(&wire.request_id)?, sweep: sweep_name(&wire.sweep)? })
    }
}

impl TryFrom<v1::CancelRequest> for SweepRequest {
    type Error = InvalidMessage;

    fn try_from(wire: v1::CancelRequest) -> Result<Self, InvalidMessage> {
        Ok(Self::Cancel { id: request_id(&wire.request_id)?, sweep: sweep_name(&wire.sweep)? })
    }
}

impl TryFrom<v1::DeleteRequest> for SweepRequest {
    type Error = InvalidMessage;

    fn try_from(wire: v1::DeleteRequest) -> Result<Self, InvalidMessage> {
        Ok(Self::Delete { id: request_id(&wire.request_id)?, sweep: sweep_name(&wire.sweep)? })
    }
}

impl TryFrom<v1::RetryRequest> for SweepRequest {
    type Error = InvalidMessage;

    fn try_from(wire: v1::RetryRequest) -> Result<Self, InvalidMessage> {
        use v1::retry_request::Selection as Wire;
        let trials = match required(wire.selection, "selection")? {
            Wire::Failed(_) => TrialSelection::Failed,
            Wire::Cancelled(_) => TrialSelection::Cancelled,
            Wire::Trials(trials) => TrialSelection::Trials(trials.indices),
        };
        let (id, sweep) = (request_id(&wire.request_id)?, sweep_name(&wire.sweep)?);
        Ok(Self::Retry { id, sweep, trials })
    }
}

impl From<TrialSelection> for v1::retry_request::Selection {
    fn from(selection: TrialSelection) -> Self {
        use v1::retry_request::{Empty, Indices};
        match selection {
            TrialSelection::Failed => Self::Failed(Empty {}),
            TrialSelection::Cancelled => Self::Cancelled(Empty {}),
            TrialSelection::Trials(indices) => Self::Trials(Indices { indices }),
        }
    }
}

impl From<SweepView> for v1::Sweep {
    fn from(view: SweepView) -> Self {
        Self {
            name: view.name.to_string(),
            // Shortened, because a list of sweeps must fit into one message.
            description: view.description.map(|text| truncate_with_size(&text, DESCRIPTION_LENGTH)),
            phase: view.phase.name().to_owned(),
            reason: view.reason.map(|reason| reason.name().to_owned()),
            submitted_ms: view.submitted.0,
            ended_ms: view.ended.map(|at| at.0),
            counts: Some(view.counts.into()),
            metric: view.metric,
            maximize: view.maximize,
            best_trial: view.best.as_ref().map(|best| best.trial),
            best_value: view.best.as_ref().and_then(|best| best.aggregate.value),
            idle: view.idle,
            no_fit: view.no_fit.map(Into::into),
            best: view.best.map(Into::into),
            estimate: view.estimate.map(Into::into),
            aggregate: view.aggregate.name().to_owned(),
        }
    }
}

impl From<BestPoint> for v1::BestPoint {
    fn from(best: BestPoint) -> Self {
        Self {
            point: best.point,
            swept: serde_json::json!(best.swept).to_string(),
            completed: best.completed,
            seeds: best.seeds,
            mean: best.aggregate.mean,
            sd: best.aggregate.sd,
            lowest: best.aggregate.lowest,
            highest: best.aggregate.highest,
            trial: best.trial,
            value: best.aggregate.value,
        }
    }
}

impl TryFrom<v1::BestPoint> for BestPoint {
    type Error = InvalidMessage;

    fn try_from(wire: v1::BestPoint) -> Result<Self, InvalidMessage> {
        let v1::BestPoint { value, mean, sd, lowest, highest, .. } = wire;
        let swept = serde_json::from_str(&wire.swept);
        Ok(Self {
            point: wire.point,
            trial: wire.trial,
            swept: swept.map_err(|error| InvalidMessage::value("swept", error))?,
            completed: wire.completed,
            seeds: wire.seeds,
            aggregate: Aggregate { value, mean, sd, lowest, highest },
        })
    }
}

impl From<Estimate> for v1::Estimate {
    fn from(estimate: Estimate) -> Self {
        Self {
            low_s: estimate.low.as_secs_f64(),
            likely_s: estimate.likely.as_secs_f64(),
            high_s: estimate.high.as_secs_f64(),
        }
    }
}

impl TryFrom<v1::Estimate> for Estimate {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Estimate) -> Result<Self, InvalidMessage> {
        let seconds = |seconds: f64| {
            let duration = Duration::try_from_secs_f64(seconds);
            duration.map_err(|error| InvalidMessage::value("estimate", error))
        };
        Ok(Self {
            low: seconds(wire.low_s)?,
            likely: seconds(wire.likely_s)?,
            high: seconds(wire.high_s)?,
        })
    }
}

impl TryFrom<v1::Sweep> for SweepView {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Sweep) -> Result<Self, InvalidMessage> {
        let unknown =
            |field, name: &str| InvalidMessage::value(field, format!("`{name}` is not known"));
        let phase = SweepPhase::parse(&wire.phase).ok_or_else(|| unknown("phase", &wire.phase))?;
        let reason = match wire.reason {
            None => None,
            Some(name) => {
                Some(SweepEndReason::parse(&name).ok_or_else(|| unknown("reason", &name))?)
            }
        };
        let aggregate = match wire.aggregate.as_str() {
            // An older coordinator knows no other rule.
            "" => AggregateRule::Mean,
            name => AggregateRule::parse(name).ok_or_else(|| unknown("aggregate", name))?,
        };
        Ok(Self {
            name: sweep_name(&wire.name)?,
            description: wire.description,
            phase,
            reason,
            submitted: Timestamp(wire.submitted_ms),
            ended: wire.ended_ms.map(Timestamp),
            counts: wire.counts.unwrap_or_default().into(),
            metric: wire.metric,
            maximize: wire.maximize,
            aggregate,
            idle: wire.idle,
            no_fit: wire.no_fit.map(Into::into),
            best: wire.best.map(BestPoint::try_from).transpose()?,
            estimate: wire.estimate.map(Estimate::try_from).transpose()?,
        })
    }
}

impl From<TrialCounts> for v1::Counts {
    fn from(counts: TrialCounts) -> Self {
        Self {
            trials: counts.trials,
            queued: counts.queued,
            waiting: counts.waiting,
            running: counts.running,
            completed: counts.completed,
            diverged: counts.diverged,
            pruned: counts.pruned,
            cancelled: counts.cancelled,
            failed: counts.failed,
            parked: counts.parked,
        }
    }
}

impl From<v1::Counts> for TrialCounts {
    fn from(wire: v1::Counts) -> Self {
        Self {
            trials: wire.trials,
            queued: wire.queued,
            waiting: wire.waiting,
            running: wire.running,
            completed: wire.completed,
            diverged: wire.diverged,
            pruned: wire.pruned,
            cancelled: wire.cancelled,
            failed: wire.failed,
            parked: wire.parked,
        }
    }
}

/// The message of a trial, with the latest progress of its running attempt.
pub fn trial_message(view: TrialView, progress: Option<&Progress>) -> v1::Trial {
    v1::Trial {
        sweep: view.id.sweep.to_string(),
        index: view.id.index,
        status: view.status.name().to_owned(),
        swept: serde_json::json!(view.swept).to_string(),
        seed: view.seed,
        point: view.point,
        attempt: view.attempt,
        worker: view.worker.map(|worker| worker.to_string()),
        not_before_ms: view.not_before.map(|at| at.0),
        started_ms: view.started.map(|at| at.0),
        ended_ms: view.ended.map(|at| at.0),
        objective: view.objective,
        checkpoint: view.checkpoint.map(|digest| digest.to_string()),
        error: view.error,
        progress: progress.map(Into::into),
    }
}

/// Parses the message of a trial.
pub fn parse_trial(wire: v1::Trial) -> Result<(TrialView, Option<Progress>), InvalidMessage> {
    let status = TrialStatus::parse(&wire.status);
    let swept =
        serde_json::from_str(&wire.swept).map_err(|error| InvalidMessage::value("swept", error));
    let view = TrialView {
        id: parse_trial_id(&wire.sweep, wire.index)?,
        status: status.ok_or_else(|| InvalidMessage::value("status", &wire.status))?,
        swept: swept?,
        seed: wire.seed,
        point: wire.point,
        attempt: wire.attempt,
        worker: wire.worker.as_deref().map(worker_id).transpose()?,
        not_before: wire.not_before_ms.map(Timestamp),
        started: wire.started_ms.map(Timestamp),
        ended: wire.ended_ms.map(Timestamp),
        objective: wire.objective,
        checkpoint: match wire.checkpoint.as_deref() {
            None => None,
            Some(text) => Some(parsed(text, "checkpoint")?),
        },
        error: wire.error,
    };
    Ok((view, wire.progress.map(Into::into)))
}
