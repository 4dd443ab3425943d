//! Threads: a system that lets a user start no more of them fails in the middle of anything, so it is
//! asked first.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::process::{Resource, getrlimit};

/// Threads beside one for each processor: those that wait for files, and some more.
const EXTRA_THREADS: usize = 12;

/// The stack of a thread that only waits.
const STACK: usize = 64 << 10;

/// Why this program cannot run.
#[derive(Debug, thiserror::Error)]
#[error(
    "{wanted} threads are needed and {started} could be started: this user may have {} threads and processes; end some, or raise the limit (`ulimit -u`, or that of the control group)",
    limit.map_or_else(|| "any number of".to_owned(), |limit| limit.to_string())
)]
pub(crate) struct ThreadLimitError {
    wanted: usize,
    started: usize,
    limit: Option<u64>,
    #[source]
    source: io::Error,
}

/// Makes sure that as many threads can be started as this program soon needs.
pub(crate) fn check() -> Result<(), ThreadLimitError> {
    let wanted = thread::available_parallelism().map_or(1, usize::from) + EXTRA_THREADS;
    let barrier = Mutex::new(());
    thread::scope(|scope| {
        let closed = barrier.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = || drop(barrier.lock());
        for started in 0..wanted {
            let spawned = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, wait);
            if let Err(source) = spawned {
                let limit = getrlimit(Resource::Nproc).current;
                return Err(ThreadLimitError { wanted, started, limit, source });
            }
        }
        drop(closed);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_can_be_started_here() {
        check().unwrap();
    }
}
