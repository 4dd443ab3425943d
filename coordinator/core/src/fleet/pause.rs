//! The pause of a fleet after failures.

use std::time::Duration;

use super::event::{Event, FleetDegraded};
use super::state::Fleet;
use crate::time::Timestamp;

/// The pause after a first failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_secs(15);

/// The longest pause.
const LONGEST: Duration = Duration::from_mins(10);

pub(crate) fn failed(fleet: &Fleet, text: &str, failure: bool, at: Timestamp) -> Option<Event> {
    // What fails during the pause was submitted before it and says nothing new.
    if failure && fleet.failures > 0 && at < fleet.not_before {
        return None;
    }
    let pause = if failure { pause(fleet.failures) } else { PAUSE * 4 };
    let not_before = fleet.not_before.max(at + pause);
    let (fleet, trouble) = (fleet.spec.name.clone(), Some(text.to_owned()));
    Some(Event::FleetDegraded(FleetDegraded { fleet, trouble, failure, not_before, at }))
}

/// The pause after so many failures before this one.
fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(2u32.saturating_pow(failures)).min(LONGEST)
}
