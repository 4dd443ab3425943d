//! The simulated workers of running pilots: they join, take trials, return them, and die with their
//! jobs.
//!
//! Time advances here; the coordinator acts in `world`.

use std::time::Duration;

use rheo_core::fleet::{PilotEndCause, PilotId, WorkerLocation};
use rheo_core::id::{AttemptId, WorkerId};
use rheo_core::machine::{
    AttemptClaim, AttemptEnd, Command, Event, HeldAttempt, Rejection, WorkOutlook, WorkerInfo,
};
use rheo_core::resources::FreeResources;
use rheo_core::sweep::TrialLeased;
use rheo_core::time::Timestamp;
use uuid::Uuid;

use crate::brewing::BREWING;

use crate::cluster::Stage;
use crate::world::{LEASE, World, name};

/// The fate of a started job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Works,
    Dies,
    Hangs,
}

/// The worker of a running job.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) id: WorkerId,
    fate: Fate,
    /// The time at which it joins.
    ready: Timestamp,
    pub(crate) joined: bool,
    /// Its trials, and the times at which they complete.
    pub(crate) held: Vec<(AttemptId, Timestamp)>,
}

impl World {
    /// The events of a step of time.
    pub(crate) fn step(&mut self) {
        self.work = true;
        for job in self.cluster.pass(self.now) {
            let restarts = u128::from(self.cluster.jobs[&job].restarts);
            let ready = self.now + Duration::from_secs(5 + job % 10);
            let id = WorkerId(Uuid::from_u128((u128::from(job) << 32) | restarts));
            let runner = Runner { id, fate: self.fate, ready, joined: false, held: Vec::new() };
            self.runners.insert(job, runner);
        }
        self.runners.retain(|id, _| {
            self.cluster.jobs.get(id).is_some_and(|job| job.stage == Stage::Running)
        });
        let late = |id: &u64| self.now.since(self.cluster.jobs[id].since) >= self.cluster.walltime;
        for id in self.cluster.running().filter(late).collect::<Vec<_>>() {
            self.preempt(id, false, true);
        }
        for id in self.cluster.running().collect::<Vec<_>>() {
            let Some(mut runner) = self.runners.remove(&id) else { continue };
            match self.live(&mut runner, id) {
                None => drop(self.runners.insert(id, runner)),
                Some(cause) => self.cluster.end(id, cause, self.now),
            }
        }
        // With long leases, nothing depends on seconds.
        if self.up && (self.lease <= LEASE || self.now.0.is_multiple_of(60_000)) {
            self.send(Command::Tick).unwrap();
        }
        self.check();
    }

    /// Advances a worker; returns the way in which its job ends, if it does.
    fn live(&mut self, runner: &mut Runner, job: u64) -> Option<PilotEndCause> {
        if self.now < runner.ready || runner.fate == Fate::Hangs {
            return None;
        }
        if runner.fate == Fate::Dies {
            return Some(PilotEndCause::Failed);
        }
        if !self.up {
            return None;
        }
        if self.cluster.jobs[&job].asked.is_some() {
            self.give_back(runner);
            return Some(PilotEndCause::Completed);
        }
        let worker = runner.id;
        runner.held.retain(|(attempt, _)| self.state.holds(worker, attempt));
        let now = self.now;
        for (attempt, _) in runner.held.extract_if(.., |(_, due)| *due <= now) {
            self.left.remove(&attempt.trial);
            let (metrics, summary) = Default::default();
            self.finish(worker, attempt, AttemptEnd::Completed { metrics, summary });
        }
        if !runner.joined {
            self.join(runner, job);
        }
        if !runner.held.is_empty() && self.lease <= LEASE {
            let (held, lease) = (self.named(runner), self.lease);
            // A forgotten worker joins again.
            runner.joined = self.send(Command::Renew { worker, held, lease }).is_ok();
        }
        self.acquire(runner, job);
        if runner.held.is_empty() && self.state.work_outlook(worker, None) == WorkOutlook::None {
            self.send(Command::Leave { worker }).unwrap();
            return Some(PilotEndCause::Completed);
        }
        None
    }

    fn join(&mut self, runner: &mut Runner, job: u64) {
        let (number, restarts) = (self.cluster.jobs[&job].pilot, self.cluster.jobs[&job].restarts);
        let place = WorkerLocation {
            pilot: Some(PilotId { fleet: name(), number }),
            restarts,
            job: Some(job.to_string()),
            ..WorkerLocation::default()
        };
        let offer = self.fleet().spec.worker;
        let info = WorkerInfo { offer, place, workloads: vec![BREWING], ..WorkerInfo::default() };
        self.send(Command::Join { worker: runner.id, info, state: None }).unwrap();
        runner.joined = true;
    }

    /// Returns the attempts that a worker reports as held.
    fn named(&self, runner: &Runner) -> Vec<HeldAttempt> {
        let attempts = runner.held.iter().map(|(attempt, _)| attempt.clone());
        attempts
            .map(|attempt| HeldAttempt { origin: self.state.origin(&attempt), attempt })
            .collect()
    }

    fn acquire(&mut self, runner: &mut Runner, job: u64) {
        let taken = u32::try_from(runner.held.len()).unwrap() * self.threads;
        let slots = self.fleet().spec.slots().saturating_sub(taken);
        if slots < self.threads || !self.work {
            return;
        }
        let held = self.named(runner);
        // The coordinator knows which GPUs are in use.
        let free = FreeResources { cpus: slots, ..FreeResources::of(self.fleet().spec.worker) };
        let (worker, lease) = (runner.id, self.lease);
        let ask = Command::Acquire { worker, held, free, only: None, lease };
        let Ok(events) = self.send(ask) else {
            return self.join(runner, job);
        };
        let takes = self.fleet().pilot_takes_trials(self.cluster.jobs[&job].pilot);
        // A worker with busy GPUs says nothing about others.
        self.work = !(events.is_empty() && takes) || self.fleet().spec.worker.gpus > 0;
        for event in events {
            let Event::TrialLeased(TrialLeased { attempt, .. }) = event else { continue };
            self.origins.insert(attempt.clone(), self.state.origin(&attempt));
            let (least, more) = self.trial;
            let share = f64::from(u32::try_from(attempt.trial.index * 379 % 1000).unwrap());
            let whole = least + more.mul_f64(share / 1000.0);
            let due = self.now + self.left.get(&attempt.trial).copied().unwrap_or(whole);
            runner.held.push((attempt, due));
        }
    }

    fn give_back(&mut self, runner: &mut Runner) {
        for (attempt, due) in std::mem::take(&mut runner.held) {
            self.left.insert(attempt.trial.clone(), due.since(self.now));
            self.finish(runner.id, attempt, AttemptEnd::Preempted);
        }
        if runner.joined {
            self.send(Command::Leave { worker: runner.id }).unwrap();
        }
    }

    fn finish(&mut self, worker: WorkerId, attempt: AttemptId, ending: AttemptEnd) {
        let origin = self.origins[&attempt];
        let claim = AttemptClaim { attempt, worker, sequence: 1, origin };
        if let Err(rejection) = self.send(Command::Finish { claim, work: None, ending }) {
            assert!(matches!(rejection, Rejection::StaleAttempt(_)), "{rejection}");
        }
        self.work = true;
    }

    /// Preempts a running job. Its worker may be warned before.
    pub(crate) fn preempt(&mut self, id: u64, requeued: bool, noticed: bool) {
        if let Some(mut runner) = self.runners.remove(&id)
            && noticed
            && self.up
        {
            self.give_back(&mut runner);
        }
        if requeued {
            self.cluster.requeue(id, self.now);
        } else {
            self.cluster.end(id, PilotEndCause::Preempted, self.now);
        }
    }

    /// Ends a running job without a message from its worker.
    pub(crate) fn kill(&mut self, id: u64, cause: PilotEndCause) {
        self.runners.remove(&id);
        self.cluster.end(id, cause, self.now);
    }
}
