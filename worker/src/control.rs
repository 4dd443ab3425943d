//! What the world wants of one running trial, shared by its trainer thread, the heartbeat and the
//! delivery of its commits.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rheo_core::progress::Progress;

use crate::log::AttemptLog;

/// What a trial is to do. Orders only get stronger: nothing undoes a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Train.
    Run,
    /// Commit and give the trial back: the worker has to go.
    Drain,
    /// Commit and end the attempt: it took too long.
    TimeOut,
    /// Commit and end the trial: the coordinator said so.
    Stop,
    /// Drop everything: the trial belongs to somebody else.
    Abandon,
}

impl Order {
    const ALL: [Self; 5] = [Self::Run, Self::Drain, Self::TimeOut, Self::Stop, Self::Abandon];
}

/// The orders to one trial, and the progress and the log that it reports.
#[derive(Debug, Default)]
pub(crate) struct Control {
    order: AtomicU8,
    progress: Mutex<Option<Progress>>,
    log: Arc<AttemptLog>,
}

impl Control {
    /// Gives an order, unless a stronger one was given.
    pub(crate) fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
    }

    /// The strongest order so far.
    pub(crate) fn order(&self) -> Order {
        let given = usize::from(self.order.load(Ordering::Relaxed));
        Order::ALL.get(given).copied().unwrap_or(Order::Abandon)
    }

    /// The log of the attempt.
    pub(crate) fn log(&self) -> &Arc<AttemptLog> {
        &self.log
    }

    /// Notes how far the trial is.
    pub(crate) fn set_progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    /// How far the trial is, if it has said so.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_order_is_never_undone() {
        let control = Control::default();
        assert_eq!(control.order(), Order::Run);
        for (given, standing) in [
            (Order::TimeOut, Order::TimeOut),
            (Order::Drain, Order::TimeOut),
            (Order::Abandon, Order::Abandon),
            (Order::Stop, Order::Abandon),
            (Order::Run, Order::Abandon),
        ] {
            control.give(given);
            assert_eq!(control.order(), standing, "after {given:?}");
        }
    }
}
