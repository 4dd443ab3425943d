//! Checks at the start that enough threads can be started: a limit would otherwise be an error in
//! the middle of some operation.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::process::{Resource, getrlimit};

/// Threads needed besides one per processor, for files and other blocking calls.
const EXTRA_THREADS: usize = 12;

/// The stack of a thread that only waits.
const STACK: usize = 64 << 10;

/// Too few threads can be started.
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

/// Checks that the threads which this program needs can be started.
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
