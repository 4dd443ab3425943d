//! Admission of workers' messages. This is the only place that compares a message with the state;
//! it rejects anything of another state or of another history of this one.

use crate::id::StateId;
use crate::machine::command::AttemptClaim;
use crate::machine::rejection::Rejection;
use crate::machine::state::State;
use crate::sweep::{Sweep, Trial};

/// Rejects a message that names another state or none.
pub(super) fn check_state(state: &State, named: Option<StateId>) -> Result<(), Rejection> {
    if named.is_some() && named == state.id {
        return Ok(());
    }
    Err(Rejection::ForeignState { named, own: state.id })
}

/// Returns the trial of `claim`, if it is the next message of the attempt with the lease; none if
/// the message was already accepted.
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
    // The attempt belongs to a deleted sweep, whose name may have been reused.
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
    /// Tells whether a message with this claim would be, or was, accepted. If so, what is uploaded
    /// ahead of it, such as its checkpoint, may be kept.
    pub fn admits(&self, claim: &AttemptClaim) -> Result<(), Rejection> {
        admit(self, claim).map(drop)
    }
}
