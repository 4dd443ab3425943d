//! Workers as shown to users.

use std::collections::BTreeMap;

use super::state::State;
use super::worker::Worker;
use crate::id::{AttemptId, WorkerId};
use crate::resources::GrantedResources;

/// A worker and its attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// The id.
    pub id: WorkerId,
    /// The state's record of the worker.
    pub worker: Worker,
    /// The resources in use.
    pub busy: ResourceUsage,
    /// The attempts that the worker holds.
    pub held: Vec<AttemptId>,
    /// The causes of its unmet needs.
    pub unfit: Vec<String>,
}

/// The resources that the trials of a worker use together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Slots.
    pub cpus: u32,
    /// Thousandths of a GPU.
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

    /// Returns the GPUs as a number such as 0.75.
    pub fn gpus(&self) -> f64 {
        f64::from(self.gpu_thousandths) / 1000.0
    }
}

impl WorkerView {
    /// Returns the status word: `busy`, `unfit`, `idle`, `left` or `lost`.
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
    /// Returns every known worker, in the order of joining.
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
