//! Workers as people see them.

use std::collections::BTreeMap;

use super::state::State;
use super::worker::Worker;
use crate::id::{AttemptId, WorkerId};
use crate::resources::GrantedResources;

/// A worker and what it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// Its id.
    pub id: WorkerId,
    /// What is known of it.
    pub worker: Worker,
    /// What its trials take.
    pub busy: ResourceUsage,
    /// The attempts that it holds.
    pub held: Vec<AttemptId>,
    /// What it lacks for trials that wait, and why.
    pub unfit: Vec<String>,
}

/// What the trials of a worker take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Slots.
    pub cpus: u32,
    /// Thousandths of GPUs.
    pub gpu_thousandths: u32,
    /// Megabytes of memory.
    pub memory_mb: u64,
}

impl ResourceUsage {
    fn add(&mut self, granted: &GrantedResources) {
        self.cpus += granted.cpus;
        self.gpu_thousandths += granted.gpus.thousandths();
        self.memory_mb += granted.memory_mb;
    }

    /// GPUs, as a number such as 0.75.
    pub fn gpus(&self) -> f64 {
        f64::from(self.gpu_thousandths) / 1000.0
    }
}

impl WorkerView {
    /// The word for what it does: `busy`, `unfit`, `idle`, `left` or `lost`.
    pub fn status(&self) -> &'static str {
        match &self.worker.departed {
            _ if !self.held.is_empty() => "busy",
            None if !self.unfit.is_empty() => "unfit",
            None => "idle",
            Some(departure) if departure.lost => "lost",
            Some(_) => "left",
        }
    }
}

impl State {
    /// Every known worker, in the order in which they joined.
    pub fn worker_views(&self) -> Vec<WorkerView> {
        let mut held: BTreeMap<WorkerId, (ResourceUsage, Vec<AttemptId>)> = BTreeMap::new();
        for (attempt, lease) in self.leases() {
            let (busy, attempts) = held.entry(lease.worker).or_default();
            busy.add(&lease.granted);
            attempts.push(attempt);
        }
        let view = |(id, worker): (&WorkerId, &Worker)| {
            let (busy, held) = held.remove(id).unwrap_or_default();
            let unfit = worker.unfit.iter().map(|lack| lack.cause.clone()).collect();
            WorkerView { id: *id, worker: worker.clone(), busy, held, unfit }
        };
        let mut views: Vec<_> = self.workers.iter().map(view).collect();
        views.sort_by_key(|view| (view.worker.joined, view.id));
        views
    }
}
