//! Control of one running trial, shared by its trainer thread, the heartbeat and the delivery of
//! its commits.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rheo_core::progress::Progress;

use crate::log::AttemptLog;

/// Directive to a trial. Directives only get stronger; a weaker one does not replace a stronger
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Directive {
    /// Train.
    Run,
    /// Commit and return the trial to the coordinator: the worker leaves.
    Drain,
    /// Commit and end the attempt: it exceeded its time limit.
    TimeOut,
    /// Commit and end the trial: the coordinator stopped it.
    Stop,
    /// Drop everything: the trial belongs to another attempt.
    Abandon,
}

impl Directive {
    const ALL: [Self; 5] = [Self::Run, Self::Drain, Self::TimeOut, Self::Stop, Self::Abandon];
}

/// Directive to one trial, and the progress and log that it reports.
#[derive(Debug, Default)]
pub(crate) struct Control {
    directive: AtomicU8,
    progress: Mutex<Option<Progress>>,
    log: Arc<AttemptLog>,
}

impl Control {
    /// Issues a directive, unless a stronger one was issued.
    pub(crate) fn issue(&self, directive: Directive) {
        self.directive.fetch_max(directive as u8, Ordering::Relaxed);
    }

    /// Returns the strongest directive so far.
    pub(crate) fn directive(&self) -> Directive {
        let issued = usize::from(self.directive.load(Ordering::Relaxed));
        Directive::ALL.get(issued).copied().unwrap_or(Directive::Abandon)
    }

    /// Returns the log of the attempt.
    pub(crate) fn log(&self) -> &Arc<AttemptLog> {
        &self.log
    }

    /// Stores the progress.
    pub(crate) fn set_progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    /// Returns the progress, if the trial has reported any.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_directive_is_never_replaced() {
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
