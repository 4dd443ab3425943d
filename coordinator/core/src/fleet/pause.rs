//! The pause before the next submission after a failure.

use std::time::Duration;

use super::event::{FleetDegraded, FleetEvent};
use super::state::Fleet;
use crate::time::Timestamp;

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(15);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_mins(10);

pub(crate) fn failure_event(
    fleet: &Fleet,
    text: &str,
    failure: bool,
    at: Timestamp,
) -> Option<FleetEvent> {
    // A pilot that fails during the pause was submitted before it and tells nothing new.
    if failure && fleet.failures > 0 && at < fleet.not_before {
        return None;
    }
    let pause = if failure { pause(fleet.failures) } else { FIRST_PAUSE * 4 };
    let not_before = fleet.not_before.max(at + pause);
    let (fleet, problem) = (fleet.spec.name.clone(), Some(text.to_owned()));
    Some(FleetEvent::FleetDegraded(FleetDegraded { fleet, problem, failure, not_before, at }))
}

/// Returns the pause after this many earlier failures.
fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2u32.saturating_pow(failures)).min(MAX_PAUSE)
}
