//! The stored form of a state: a small root, which every snapshot writes, and chunks, which are
//! written only after they change.
//!
//! The root holds everything that is bounded by the numbers of workers, fleets and sweeps. Each
//! sweep has one chunk, and chunks by index for everything that grows with its trials. The cost of a
//! snapshot therefore depends on the changes since the last one, not on the number of trials.
//!
//! A state tracks which chunks differ from the journal ([`State::visit_changes`]) until they are
//! stored ([`State::mark_stored`]). Chunks are keyed by the serial of a sweep, not by its name, so
//! a new sweep never meets the chunks of a deleted one.

use std::collections::BTreeMap;

use serde::de::{DeserializeSeed, Deserializer};
use serde::{Deserialize, Serialize};

use super::state::State;
use crate::chunked_map::ChunkedMap;
use crate::history;
use crate::id::SweepName;
use crate::sampler::Suggestion;
use crate::schema::WorkloadRegistry;
use crate::sweep::{EndedTrial, Sweep, Trial};

/// The key of a chunk. The chunks of a sweep are adjacent, and the sweep itself comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    /// The serial of the sweep.
    pub sweep: u64,
    /// The kind of contents.
    pub kind: ChunkKind,
    /// The number of the chunk within its kind.
    pub number: u64,
}

/// The kind of contents of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkKind {
    /// The sweep itself.
    Sweep,
    /// Running and waiting trials.
    Live,
    /// Ended trials.
    Ended,
    /// Ended trials that can be retried, with the data for their next attempt.
    Parked,
    /// Suggestions.
    Suggestions,
    /// Reports of trials.
    Reports,
}

impl ChunkKind {
    /// Every kind; the position of a kind is its stored code.
    const ALL: [Self; 6] =
        [Self::Sweep, Self::Live, Self::Ended, Self::Parked, Self::Suggestions, Self::Reports];

    /// Returns the stored code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Parses a stored code.
    pub fn parse(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// A chunk to be stored.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Chunk<'s> {
    /// A sweep.
    Sweep(&'s Sweep),
    /// Ended trials by index.
    Ended(Vec<(u64, &'s EndedTrial)>),
    /// Running, waiting or parked trials by index.
    Trials(Vec<(u64, &'s Trial)>),
    /// Suggestions in order.
    Suggestions(&'s [Suggestion]),
    /// Reports of trials by index.
    Reports(Vec<(u64, &'s history::TrialHistory)>),
}

/// A stored chunk.
#[derive(Debug)]
pub enum StoredChunk {
    /// A sweep.
    Sweep(Box<Sweep>),
    /// Running and waiting trials by index.
    Live(Vec<(u64, Trial)>),
    /// Ended trials by index.
    Ended(Vec<(u64, EndedTrial)>),
    /// Parked trials by index.
    Parked(Vec<(u64, Trial)>),
    /// Suggestions in order.
    Suggestions(Vec<Suggestion>),
    /// Reports of trials by index.
    Reports(Vec<(u64, history::TrialHistory)>),
}

/// Deserializes a chunk of this kind.
impl<'de> DeserializeSeed<'de> for ChunkKind {
    type Value = StoredChunk;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<StoredChunk, D::Error> {
        Ok(match self {
            Self::Sweep => StoredChunk::Sweep(Deserialize::deserialize(deserializer)?),
            Self::Live => StoredChunk::Live(Deserialize::deserialize(deserializer)?),
            Self::Ended => StoredChunk::Ended(Deserialize::deserialize(deserializer)?),
            Self::Parked => StoredChunk::Parked(Deserialize::deserialize(deserializer)?),
            Self::Suggestions => StoredChunk::Suggestions(Deserialize::deserialize(deserializer)?),
            Self::Reports => StoredChunk::Reports(Deserialize::deserialize(deserializer)?),
        })
    }
}

/// The root of a state, to be stored.
#[derive(Debug, Serialize)]
pub struct SnapshotRoot<'s> {
    state: &'s State,
    /// The serials of the sweeps.
    sweeps: BTreeMap<&'s SweepName, u64>,
}

/// A stored root.
#[derive(Debug, Default, Deserialize)]
pub struct StoredRoot {
    state: State,
    sweeps: BTreeMap<SweepName, u64>,
}

/// An inconsistency between the chunks of a stored state.
#[derive(Debug, thiserror::Error)]
#[error("the stored chunks of sweep `{sweep}` are inconsistent: {what}")]
pub struct InconsistentSnapshot {
    sweep: SweepName,
    what: &'static str,
}

/// A callback for one changed chunk. A chunk without contents must be deleted.
pub type VisitChunk<'v, E> = &'v mut dyn FnMut(ChunkKey, Option<Chunk<'_>>) -> Result<(), E>;

impl State {
    /// Returns the root to store.
    pub fn root(&self) -> SnapshotRoot<'_> {
        let sweeps = self.sweeps.iter().map(|(name, sweep)| (name, sweep.serial)).collect();
        SnapshotRoot { state: self, sweeps }
    }

    /// Whether the journal stores an earlier version of this state. If not, everything it stores
    /// belongs to another state and must be deleted.
    pub fn is_known(&self) -> bool {
        self.stored.0.is_known
    }

    /// Returns the serials of deleted sweeps, whose chunks must be deleted.
    pub fn deleted_sweeps(&self) -> impl Iterator<Item = u64> {
        self.stored.0.deleted.iter().copied()
    }

    /// Calls `visit` with every changed chunk, and stops at the first error.
    pub fn visit_changes<E>(&self, visit: VisitChunk<'_, E>) -> Result<(), E> {
        self.sweeps.values().try_for_each(|sweep| sweep.visit_changes(visit))
    }

    /// Records that the journal stores this state as it is now.
    pub fn mark_stored(&mut self) {
        self.stored.0.is_known = true;
        self.stored.0.deleted.clear();
        for sweep in self.sweeps.values_mut() {
            sweep.stored.0 = true;
            sweep.live.mark_stored();
            sweep.done.mark_stored();
            sweep.parked.mark_stored();
            sweep.history.mark_stored();
        }
    }
}

impl Sweep {
    fn visit_changes<E>(&self, visit: VisitChunk<'_, E>) -> Result<(), E> {
        let key = |kind, number| ChunkKey { sweep: self.serial, kind, number };
        if !self.stored.0 {
            visit(key(ChunkKind::Sweep, 0), Some(Chunk::Sweep(self)))?;
        }
        for (number, entries) in changed_chunks(&self.live) {
            visit(key(ChunkKind::Live, number), entries.map(Chunk::Trials))?;
        }
        for (number, entries) in changed_chunks(&self.done) {
            visit(key(ChunkKind::Ended, number), entries.map(Chunk::Ended))?;
        }
        for (number, entries) in changed_chunks(&self.parked) {
            visit(key(ChunkKind::Parked, number), entries.map(Chunk::Trials))?;
        }
        for (number, suggestions) in self.history.changed_suggestions() {
            let chunk = Chunk::Suggestions(suggestions);
            visit(key(ChunkKind::Suggestions, number), Some(chunk))?;
        }
        for (number, entries) in changed_chunks(self.history.chunked_trials()) {
            visit(key(ChunkKind::Reports, number), entries.map(Chunk::Reports))?;
        }
        Ok(())
    }

    /// Restores a stored chunk; returns false if chunks are missing before it.
    fn restore(&mut self, number: u64, chunk: StoredChunk) -> bool {
        match chunk {
            StoredChunk::Sweep(_) => return false,
            StoredChunk::Live(entries) => self.live.restore(entries),
            StoredChunk::Ended(entries) => self.done.restore(entries),
            StoredChunk::Parked(entries) => self.parked.restore(entries),
            StoredChunk::Suggestions(suggestions) => {
                return self.history.restore_suggestions(number, suggestions);
            }
            StoredChunk::Reports(entries) => self.history.restore_trials(entries),
        }
        true
    }
}

type ChangedChunk<'m, T> = (u64, Option<Vec<(u64, &'m T)>>);

/// Returns the changed chunks of `map`; `None` for a chunk without entries.
fn changed_chunks<T>(map: &ChunkedMap<T>) -> impl Iterator<Item = ChangedChunk<'_, T>> {
    map.changed().map(|number| {
        let entries = map.chunk(number);
        (number, (!entries.is_empty()).then_some(entries))
    })
}

impl StoredRoot {
    /// Assembles the state in a program that knows `workloads`. `chunks_of` reads the chunks of the
    /// sweep with a given serial in key order.
    pub fn into_state<C, E: From<InconsistentSnapshot>>(
        self,
        workloads: WorkloadRegistry,
        chunks_of: impl Fn(u64) -> Result<C, E>,
    ) -> Result<State, E>
    where
        C: Iterator<Item = Result<(ChunkKey, StoredChunk), E>>,
    {
        let Self { mut state, sweeps } = self;
        for (name, serial) in sweeps {
            let sweep = assemble(&name, serial, chunks_of(serial)?)?;
            state.sweeps.insert(name, sweep);
        }
        let mut state = state.adopt(workloads);
        state.mark_stored();
        Ok(state)
    }
}

/// Assembles a sweep from its chunks.
fn assemble<E: From<InconsistentSnapshot>>(
    name: &SweepName,
    serial: u64,
    mut chunks: impl Iterator<Item = Result<(ChunkKey, StoredChunk), E>>,
) -> Result<Sweep, E> {
    let contradiction = |what| InconsistentSnapshot { sweep: name.clone(), what };
    let Some((_, StoredChunk::Sweep(mut sweep))) = chunks.next().transpose()? else {
        return Err(contradiction("the sweep itself is missing").into());
    };
    if (sweep.serial, sweep.name()) != (serial, name) {
        return Err(contradiction("it is another sweep").into());
    }
    for chunk in chunks {
        let (key, chunk) = chunk?;
        if !sweep.restore(key.number, chunk) {
            return Err(contradiction("a chunk is missing").into());
        }
    }
    if sweep.outcomes.values().sum::<u64>() != sweep.done.len() as u64 {
        return Err(contradiction("ended trials are missing").into());
    }
    Ok(*sweep)
}
