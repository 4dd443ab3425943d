//! What the world wants of one running trial, shared by its trainer thread, the heartbeat and the
//! delivery of its commits.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rheo_core::progress::Progress;

use crate::log::AttemptLog;

/// What a trial is to do. Orders only get stronger: nothing undoes a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Directive {
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

impl Directive {
    const ALL: [Self; 5] = [Self::Run, Self::Drain, Self::TimeOut, Self::Stop, Self::Abandon];
}

/// The orders to one trial, and the progress and the log that it reports.
#[derive(Debug, Default)]
pub(crate) struct Control {
    directive: AtomicU8,
    progress: Mutex<Option<Progress>>,
    log: Arc<AttemptLog>,
}

impl Control {
    /// Gives an order, unless a stronger one was given.
    pub(crate) fn issue(&self, directive: Directive) {
        self.directive.fetch_max(directive as u8, Ordering::Relaxed);
    }

    /// The strongest order so far.
    pub(crate) fn directive(&self) -> Directive {
        let issued = usize::from(self.directive.load(Ordering::Relaxed));
        Directive::ALL.get(issued).copied().unwrap_or(Directive::Abandon)
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
        assert_eq!(control.directive(), Directive::Run);
        for (issued, standing) in [
            (Directive::TimeOut, Directive::TimeOut),
            (Directive::Drain, Directive::TimeOut),
            (Directive::Abandon, Directive::Abandon),
            (Directive::Stop, Directive::Abandon),
            (Directive::Run, Directive::Abandon),
        ] {
            control.issue(issued);
            assert_eq!(control.directive(), standing, "after {issued:?}");
        }
    }
}
