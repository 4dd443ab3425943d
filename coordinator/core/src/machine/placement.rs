//! Matching workers with trials, and the explanation when no worker fits.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::state::State;
use super::worker::{Worker, WorkerInfo};
use crate::fleet::PilotId;
use crate::id::{SweepName, WorkerId};
use crate::needs::{Need, UnmetNeed};
use crate::sweep::{Sweep, Trial};
use crate::time::Timestamp;

/// The number of trials whose needs are examined when needs differ between trials.
const LOOK_AHEAD: usize = 256;

/// The largest number of unmet needs recorded per worker.
const MAX_NOTED: usize = 16;

impl WorkerInfo {
    fn unmet_need(&self, need: &Need) -> Option<String> {
        let shortage = |wanted| self.offer.shortage(&wanted, "the worker");
        if let Some(shortage) = need.resources().and_then(shortage) {
            return Some(format!("a trial {shortage}"));
        }
        match need {
            Need::Slots { .. } | Need::Gpus { .. } => None,
            // Anything else that is unknown shows when the worker tries.
            need => self.inventory.as_ref()?.unmet_need(need),
        }
    }
}

impl Worker {
    /// Returns the first of `needs` that the worker does not meet.
    pub fn unmet_need(&self, needs: &[Need]) -> Option<UnmetNeed> {
        needs.iter().find_map(|need| {
            let noted = self.unfit.iter().find(|lack| lack.need.includes(need));
            let cause = noted.map(|lack| lack.cause.clone());
            let cause = cause.or_else(|| self.info.unmet_need(need))?;
            Some(UnmetNeed { need: need.clone(), cause })
        })
    }

    /// Whether `lack` is not recorded yet.
    pub(super) fn is_new_need(&self, lack: &UnmetNeed) -> bool {
        self.unfit.len() < MAX_NOTED
            && !self.unfit.iter().any(|noted| noted.need.includes(&lack.need))
    }

    /// Records an unmet need.
    pub(super) fn note(&mut self, lack: UnmetNeed) {
        if self.is_new_need(&lack) {
            self.unfit.push(lack);
        }
    }

    /// Returns the reason why the worker was unfit: the one it gave on leaving, or an unmet need if
    /// it never ran a trial.
    pub(crate) fn unfit_reason(&self) -> Option<&str> {
        let said = self.departed.as_ref().and_then(|departed| departed.reason.as_deref());
        let never_worked = self.seen == self.joined;
        said.or_else(|| Some(self.unfit.first().filter(|_| never_worked)?.cause.as_str()))
    }
}

impl Sweep {
    /// Returns the trials that a worker may be offered, in order, up to the look-ahead limit.
    /// `ready` filters those that have started.
    pub(super) fn candidates<'a>(
        &'a self,
        ready: impl Fn(&Trial) -> bool + 'a,
    ) -> impl Iterator<Item = u64> + 'a {
        let closed = self.closed.is_some();
        let waiting = self.live.iter().filter(move |(_, trial)| {
            trial.lease.is_none() && !(closed && trial.is_deferred()) && ready(trial)
        });
        let fresh = if self.is_open() { self.next..self.planned.plan.trials() } else { 0..0 };
        // A point that depends on earlier ones cannot be known ahead.
        let ahead = if self.planned.plan.records_points() { 1 } else { LOOK_AHEAD };
        let waiting = waiting.map(|(index, _)| *index);
        let promotable = self.promotable().into_iter();
        promotable.chain(waiting).chain(fresh.take(ahead)).take(LOOK_AHEAD)
    }

    /// Returns the distinct needs of the waiting trials whose points are known.
    fn wanted(&self) -> BTreeSet<Vec<Need>> {
        let mut candidates = self.candidates(|trial| trial.stop.is_none()).peekable();
        if let Some(common) = &self.planned.needs {
            return candidates.peek().map(|_| common.to_vec()).into_iter().collect();
        }
        let needs = |index| self.planned.known_needs(&self.history, index);
        candidates.filter_map(needs).map(Cow::into_owned).collect()
    }
}

/// The explanation why no worker can run the waiting trials of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementFailure {
    /// The time since which nothing has changed.
    pub since: Timestamp,
    /// The unmet need and the worker that lacks it.
    pub cause: String,
}

/// A worker with an unmet need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfitWorker {
    /// The worker.
    pub worker: WorkerId,
    /// The host name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The pilot, if a fleet started the worker.
    pub pilot: Option<PilotId>,
    /// Whether the worker has left.
    pub left: bool,
    /// The unmet need and its cause.
    pub cause: String,
}

impl State {
    /// Returns the need that keeps `worker` from every waiting trial; `only` restricts it to one
    /// sweep.
    pub fn unfit_for_waiting(&self, worker: WorkerId, only: Option<&SweepName>) -> Option<String> {
        let worker = self.workers.get(&worker)?;
        let sweeps = self.sweeps.values().filter(|sweep| !sweep.paused && sweep.ended.is_none());
        let wanted = sweeps.filter(|sweep| only.is_none_or(|only| only == sweep.name()));
        let lacks = wanted.flat_map(Sweep::wanted).map(|needs| worker.unmet_need(&needs));
        // None as soon as the worker fits one trial: it only waits for its turn.
        let lacks: Option<Vec<UnmetNeed>> = lacks.collect();
        Some(lacks?.into_iter().next()?.cause)
    }

    /// Explains why no `present` worker can run the waiting trials of `sweep`; none if one can, or
    /// if no worker was ever there.
    pub fn placement_failure(
        &self,
        sweep: &Sweep,
        present: impl Fn(WorkerId) -> bool,
    ) -> Option<PlacementFailure> {
        let runs = sweep.live.values().any(|trial| trial.lease.is_some());
        if sweep.ended.is_some() || sweep.paused || runs || self.workers.is_empty() {
            return None;
        }
        let wanted = sweep.wanted();
        let first = wanted.first()?;
        let busy: BTreeSet<WorkerId> = self.leases().map(|(_, lease)| lease.worker).collect();
        let mut since = sweep.submitted;
        let mut unfit = Vec::new();
        for (id, worker) in &self.workers {
            let left = worker.departed.as_ref();
            let fits = wanted.iter().any(|needs| worker.unmet_need(needs).is_none());
            let there = left.is_none() && (present(*id) || busy.contains(id));
            if fits && there && self.takes_trials(*id) {
                return None;
            }
            since = since.max(worker.joined).max(worker.seen);
            since = since.max(left.map_or(since, |left| left.at));
            let cause = left.and_then(|left| left.reason.clone());
            if let Some(cause) = cause.or_else(|| Some(worker.unmet_need(first)?.cause)) {
                unfit.push((worker, cause));
            }
        }
        let (worker, cause) = unfit.last()?;
        let (host, pid) = (&worker.info.host, worker.info.pid);
        let others = match unfit.len() - 1 {
            0 => String::new(),
            others => format!(" (and {others} more workers)"),
        };
        Some(PlacementFailure {
            since,
            cause: format!("worker {pid} on `{host}`: {cause}{others}"),
        })
    }

    /// Returns the workers with an unmet need.
    pub fn unfit_workers(&self) -> Vec<UnfitWorker> {
        let view = |(id, worker): (&WorkerId, &Worker)| {
            let said = worker.departed.as_ref().and_then(|departed| departed.reason.clone());
            let noted = || Some(worker.unfit.last()?.cause.clone());
            Some(UnfitWorker {
                worker: *id,
                host: worker.info.host.clone(),
                pid: worker.info.pid,
                pilot: worker.info.place.pilot.clone(),
                left: worker.departed.is_some(),
                cause: said.or_else(noted)?,
            })
        };
        self.workers.iter().filter_map(view).collect()
    }
}
