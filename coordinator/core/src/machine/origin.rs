//! The origin of an attempt: the state and the start of the coordinator that leased it, and its
//! configuration.
//!
//! A name such as `demo/0.1` exists in every state. The origin tells apart the trials of two
//! states, or of two histories of one state, so that rows are never mixed.

use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, Digest, IncarnationId, StateId};

/// The origin of an attempt, carried by every message about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The state that owns the trial.
    pub state: StateId,
    /// The start of the coordinator that granted the lease.
    pub incarnation: IncarnationId,
    /// The digest of the resolved configuration.
    pub configuration: Digest,
}

/// An attempt that a worker lists as held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldAttempt {
    /// The attempt.
    pub attempt: AttemptId,
    /// The origin; older workers send none.
    pub origin: Option<Origin>,
}

/// The starts of the coordinator in order. All are kept, 16 bytes each: without its start, a commit
/// could not be told from one of another history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnations(Vec<IncarnationId>);

impl Incarnations {
    /// Returns the newest start.
    pub fn newest(&self) -> Option<IncarnationId> {
        self.0.last().copied()
    }

    /// Whether the journal contains this start.
    pub fn contains(&self, id: IncarnationId) -> bool {
        self.number(id).is_some()
    }

    /// Returns the number of a start, from 0. Searches from the newest, which is asked for most.
    pub(super) fn number(&self, id: IncarnationId) -> Option<u32> {
        let found = self.0.iter().rposition(|known| *known == id)?;
        u32::try_from(found).ok()
    }

    /// Returns the start with this number.
    pub(super) fn get(&self, number: u32) -> Option<IncarnationId> {
        self.0.get(usize::try_from(number).ok()?).copied()
    }

    /// Records a start; repeating it changes nothing.
    pub(super) fn insert(&mut self, id: IncarnationId) {
        if !self.contains(id) {
            self.0.push(id);
        }
    }
}
