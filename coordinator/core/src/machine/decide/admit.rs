//! Who may say something about a trial: the one place where a message is compared with the state
//! that it is for. What belongs to another state, or to another history of this one, ends here.

use crate::id::StateId;
use crate::machine::command::AttemptClaim;
use crate::machine::rejection::Rejection;
use crate::machine::state::State;
use crate::sweep::{Sweep, Trial};

/// Refuses a message that names another state, or none.
pub(super) fn check_state(state: &State, named: Option<StateId>) -> Result<(), Rejection> {
    if named.is_some() && named == state.id {
        return Ok(());
    }
    Err(Rejection::ForeignState { named, own: state.id })
}

/// The trial that `claim` is about if it is the next message of the attempt that holds it; nothing
/// if the message was already accepted.
pub(super) fn admit<'a>(
    state: &'a State,
    claim: &AttemptClaim,
) -> Result<Option<(&'a Sweep, &'a Trial)>, Rejection> {
    let attempt = &claim.attempt;
    let id = &attempt.trial;
    check_state(state, claim.origin.map(|origin| origin.state))?;
    let unknown_lease = || Rejection::UnknownLease(attempt.clone());
    let incarnation = claim.origin.and_then(|origin| state.incarnations.number(origin.incarnation));
    let incarnation = incarnation.ok_or_else(unknown_lease)?;
    // An attempt of a deleted sweep, whose name another sweep may have by now.
    if state.attempt_floors.get(&id.sweep).is_some_and(|floor| attempt.number <= *floor) {
        return Err(Rejection::StaleAttempt(attempt.clone()));
    }
    let unknown = || Rejection::UnknownSweep(id.sweep.clone());
    let sweep = state.sweeps.get(&id.sweep).ok_or_else(unknown)?;
    if id.index >= sweep.planned.plan.trials() {
        return Err(Rejection::UnknownTrial(id.clone()));
    }
    let newest = sweep.newest_attempt(id.index).filter(|newest| newest.number >= attempt.number);
    let newest = newest.ok_or_else(unknown_lease)?;
    if newest.number > attempt.number {
        return Err(Rejection::StaleAttempt(attempt.clone()));
    }
    if newest.incarnation != Some(incarnation) {
        return Err(unknown_lease());
    }
    if claim.origin != state.origin(attempt) {
        return Err(Rejection::ConfigurationDiffers(attempt.clone()));
    }
    if claim.sequence <= newest.sequence {
        return Ok(None);
    }
    let trial = sweep.live.get(&id.index).filter(|_| state.holds(claim.worker, attempt));
    let trial = trial.ok_or_else(|| Rejection::StaleAttempt(attempt.clone()))?;
    let expected = newest.sequence + 1;
    if claim.sequence == expected {
        return Ok(Some((sweep, trial)));
    }
    let (attempt, sequence) = (attempt.clone(), claim.sequence);
    Err(Rejection::SequenceGap { attempt, sequence, expected })
}

impl State {
    /// Whether a message with this claim would be taken, or was taken before: what comes ahead of
    /// it, such as its checkpoint, may be kept.
    pub fn admits(&self, claim: &AttemptClaim) -> Result<(), Rejection> {
        admit(self, claim).map(drop)
    }
}
