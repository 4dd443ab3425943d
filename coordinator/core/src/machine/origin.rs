//! The origin of an attempt: which state leased it, under which start of the coordinator, and with
//! which configuration.
//!
//! A name such as `demo/0.1` is the same in every state. What tells the trials of two states, or of
//! two histories of one state, apart is here, so that nobody's rows are taken for somebody else's.

use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, Digest, IncarnationId, StateId};

/// The origin of an attempt. Every message about the attempt carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The state whose trial it is.
    pub state: StateId,
    /// The start of the coordinator under which it was leased.
    pub incarnation: IncarnationId,
    /// The digest of the resolved configuration that it runs.
    pub configuration: Digest,
}

/// An attempt that a worker says it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldAttempt {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its origin; workers of older versions name none.
    pub origin: Option<Origin>,
}

/// The starts that a journal knows, in their order. All are kept, 16 bytes each: a commit under a
/// start that was forgotten could not be told from one of another history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnations(Vec<IncarnationId>);

impl Incarnations {
    /// The newest start.
    pub fn newest(&self) -> Option<IncarnationId> {
        self.0.last().copied()
    }

    /// Whether the journal knows this start.
    pub fn contains(&self, id: IncarnationId) -> bool {
        self.number(id).is_some()
    }

    /// The number of a start, from 0. Newest first, because nearly all questions are about it.
    pub(super) fn number(&self, id: IncarnationId) -> Option<u32> {
        let found = self.0.iter().rposition(|known| *known == id)?;
        u32::try_from(found).ok()
    }

    /// The start with this number.
    pub(super) fn get(&self, number: u32) -> Option<IncarnationId> {
        self.0.get(usize::try_from(number).ok()?).copied()
    }

    /// Notes a start; the same again changes nothing.
    pub(super) fn insert(&mut self, id: IncarnationId) {
        if !self.contains(id) {
            self.0.push(id);
        }
    }
}
