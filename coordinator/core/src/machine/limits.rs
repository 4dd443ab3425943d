//! Limits on workers, sweeps and fleets, so that no client can fill the memory or the journal of
//! the coordinator.

use super::event::{Event, WorkerLeft};
use super::rejection::Rejection;
use super::state::State;
use crate::fleet::FleetName;
use crate::id::WorkerId;

/// The largest number of known workers.
pub const MAX_WORKERS: usize = 20_000;

/// The largest number of sweeps.
pub const MAX_SWEEPS: usize = 10_000;

/// The largest total size of sweep files, in MiB.
pub const MAX_SOURCES_MIB: usize = 256;

/// The largest number of fleets.
pub const MAX_FLEETS: usize = 1_000;

/// Makes room for a new worker: at the limit, the worker without leases that was silent for longest
/// is forgotten. It joins again if it is alive.
pub(super) fn make_room_for_worker(
    state: &State,
    worker: WorkerId,
) -> Result<Option<Event>, Rejection> {
    if state.workers.len() < MAX_WORKERS || state.workers.contains_key(&worker) {
        return Ok(None);
    }
    let busy: std::collections::BTreeSet<WorkerId> =
        state.leases().map(|(_, lease)| lease.worker).collect();
    let idle = state.workers.iter().filter(|(id, _)| !busy.contains(*id));
    match idle.min_by_key(|(id, worker)| (worker.seen, **id)) {
        Some((silent, _)) => Ok(Some(Event::WorkerLeft(WorkerLeft { worker: *silent }))),
        None => Err(Rejection::Full { what: "workers", limit: MAX_WORKERS }),
    }
}

/// Checks that another sweep with a file of `length` bytes is within the limits.
pub(super) fn check_room_for_sweep(state: &State, length: usize) -> Result<(), Rejection> {
    if state.sweeps.len() >= MAX_SWEEPS {
        return Err(Rejection::Full { what: "sweeps", limit: MAX_SWEEPS });
    }
    let sources: usize = state.sweeps.values().map(|sweep| sweep.source.len()).sum();
    if sources + length > MAX_SOURCES_MIB << 20 {
        return Err(Rejection::Full { what: "MiB of sweep files", limit: MAX_SOURCES_MIB });
    }
    Ok(())
}

/// Checks that a fleet of this name is within the limits.
pub(crate) fn check_room_for_fleet(state: &State, name: &FleetName) -> Result<(), Rejection> {
    if state.fleets.len() >= MAX_FLEETS && !state.fleets.contains_key(name) {
        return Err(Rejection::Full { what: "fleets", limit: MAX_FLEETS });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::machine::{Caller, Command, WorkerInfo, execute};
    use crate::time::Timestamp;

    fn worker(n: u128) -> WorkerId {
        WorkerId(Uuid::from_u128(n))
    }

    #[test]
    fn at_the_bound_the_longest_silent_worker_is_forgotten() {
        let mut state = State::default();
        for n in 0..MAX_WORKERS as u128 + 3 {
            let at = Timestamp(u64::try_from(n).unwrap());
            let info = WorkerInfo::default();
            let command = Command::Join { worker: worker(n), info, state: None };
            execute(&mut state, Caller::Worker, &command, at).unwrap();
        }
        assert_eq!(state.workers.len(), MAX_WORKERS);
        for n in 0..3 {
            assert!(!state.workers.contains_key(&worker(n)), "{n}");
        }
    }
}
