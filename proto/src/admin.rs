//! Conversions of `AdminService`.

use rheo_core::fleet::WorkerLocation;
use rheo_core::id::{AttemptId, SweepName};
use rheo_core::machine::{Departure, ResourceUsage, Worker, WorkerInfo, WorkerView};
use rheo_core::time::Timestamp;

use crate::convert::{attempt, sweep_name, worker_id};
use crate::worker::offer;
use crate::{InvalidMessage, v1};

impl From<WorkerView> for v1::Worker {
    fn from(view: WorkerView) -> Self {
        let WorkerView { id, worker, busy, held, unfit } = view;
        Self {
            worker: id.to_string(),
            host: worker.info.host,
            pid: worker.info.pid,
            slots: worker.info.offer.cpus,
            gpus: worker.info.gpu_names,
            memory_mb: worker.info.offer.memory_mb,
            shortfalls: worker.info.shortfalls,
            version: worker.info.version,
            place: Some(worker.info.place.into()),
            busy: busy.cpus,
            busy_gpu_thousandths: busy.gpu_thousandths,
            busy_memory_mb: busy.memory_mb,
            held: held.iter().map(|held| attempt(held, None)).collect(),
            joined_ms: worker.joined.0,
            seen_ms: worker.seen.0,
            departed_ms: worker.departed.as_ref().map(|departure| departure.at.0),
            lost: worker.departed.as_ref().is_some_and(|departure| departure.lost),
            departure_reason: worker.departed.and_then(|departure| departure.reason),
            unfit,
        }
    }
}

impl TryFrom<v1::Worker> for WorkerView {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Worker) -> Result<Self, InvalidMessage> {
        let held = wire.held.into_iter().map(AttemptId::try_from);
        let held: Result<_, InvalidMessage> = held.collect();
        let info = WorkerInfo {
            host: wire.host,
            pid: wire.pid,
            offer: offer(wire.slots, &wire.gpus, wire.memory_mb)?,
            gpu_names: wire.gpus,
            shortfalls: wire.shortfalls,
            version: wire.version,
            workloads: Vec::new(),
            place: wire.place.map(WorkerLocation::try_from).transpose()?.unwrap_or_default(),
            inventory: None,
        };
        let reason = wire.departure_reason;
        let departed =
            wire.departed_ms.map(|at| Departure { lost: wire.lost, at: Timestamp(at), reason });
        let (joined, seen) = (Timestamp(wire.joined_ms), Timestamp(wire.seen_ms));
        Ok(Self {
            id: worker_id(&wire.worker)?,
            worker: Worker { info, joined, seen, unfit: Vec::new(), departed },
            busy: ResourceUsage {
                cpus: wire.busy,
                gpu_thousandths: wire.busy_gpu_thousandths,
                memory_mb: wire.busy_memory_mb,
            },
            held: held?,
            unfit: wire.unfit,
        })
    }
}

/// Disk usage of a state, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// The sweeps, in submission order.
    pub sweeps: Vec<SweepUsage>,
    /// The journal.
    pub journal: u64,
    /// Spooled commits of workers that spool in the state directory.
    pub spool: u64,
    /// Logs of processes in the state directory.
    pub logs: u64,
    /// Result files and checkpoints that belong to no sweep.
    pub unused: u64,
}

/// Disk usage of a sweep, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepUsage {
    /// The sweep.
    pub sweep: SweepName,
    /// Parquet files.
    pub results: u64,
    /// Pending rows in the journal.
    pub pending: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// The number of checkpoints.
    pub count: u64,
}

impl DiskUsage {
    /// The sum. Pending rows count as part of the journal.
    pub fn total(&self) -> u64 {
        let sweeps = self.sweeps.iter().map(|sweep| sweep.results + sweep.checkpoints);
        sweeps.sum::<u64>() + self.journal + self.spool + self.logs + self.unused
    }
}

impl From<DiskUsage> for v1::DiskUsageResponse {
    fn from(usage: DiskUsage) -> Self {
        let sweep = |usage: SweepUsage| v1::SweepUsage {
            sweep: usage.sweep.to_string(),
            result_bytes: usage.results,
            pending_bytes: usage.pending,
            checkpoint_bytes: usage.checkpoints,
            checkpoints: usage.count,
        };
        Self {
            sweeps: usage.sweeps.into_iter().map(sweep).collect(),
            journal_bytes: usage.journal,
            spool_bytes: usage.spool,
            log_bytes: usage.logs,
            unused_bytes: usage.unused,
        }
    }
}

impl TryFrom<v1::DiskUsageResponse> for DiskUsage {
    type Error = InvalidMessage;

    fn try_from(wire: v1::DiskUsageResponse) -> Result<Self, InvalidMessage> {
        let sweep = |wire: v1::SweepUsage| {
            Ok(SweepUsage {
                sweep: sweep_name(&wire.sweep)?,
                results: wire.result_bytes,
                pending: wire.pending_bytes,
                checkpoints: wire.checkpoint_bytes,
                count: wire.checkpoints,
            })
        };
        let sweeps: Result<_, InvalidMessage> = wire.sweeps.into_iter().map(sweep).collect();
        Ok(Self {
            sweeps: sweeps?,
            journal: wire.journal_bytes,
            spool: wire.spool_bytes,
            logs: wire.log_bytes,
            unused: wire.unused_bytes,
        })
    }
}
