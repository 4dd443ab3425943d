//! The parts in which a journal stores a state: a root, which is small and written by every snapshot, and
//! chunks, each of which is written only after it has changed.
//!
//! The root has what is bounded by the numbers of workers, fleets and sweeps. Each sweep has a chunk for itself
//! with the trials that run, and chunks by index for all that grows with its trials. So the cost of a
//! snapshot depends on what happened since the one before and not on how many trials have ended.
//!
//! A state knows which of its chunks differ from what is stored ([`State::visit_changes`]), until it is told
//! that they are stored ([`State::mark_stored`]). Chunks belong to the serial of a sweep, not to its name, so
//! that a new sweep never meets those of a deleted one.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{DeserializeSeed, Deserializer};
use serde::{Deserialize, Serialize};

use super::state::State;
use crate::chunked_map::ChunkedMap;
use crate::history;
use crate::id::SweepName;
use crate::sampler::Suggestion;
use crate::schema::WorkloadRegistry;
use crate::sweep::{EndedTrial, Sweep, Trial};

/// The name of a chunk. Chunks of a sweep follow each other, and the sweep itself is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    /// The serial of the sweep.
    pub sweep: u64,
    /// The contents.
    pub kind: ChunkKind,
    /// The number of the chunk among those of its kind.
    pub number: u64,
}

/// The contents of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkKind {
    /// The sweep itself, with the trials that run or wait.
    Sweep,
    /// Ended trials.
    Ended,
    /// Ended trials that can be tried again, with what their next attempt needs.
    Parked,
    /// Suggestions.
    Suggestions,
    /// Reports of trials.
    Reports,
}

impl ChunkKind {
    /// Every kind; the number of a kind is its place here.
    const ALL: [Self; 5] =
        [Self::Sweep, Self::Ended, Self::Parked, Self::Suggestions, Self::Reports];

    /// The number by which it is stored.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind that is stored by this number.
    pub fn parse(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// A chunk that is to be stored.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Chunk<'s> {
    /// A sweep.
    Sweep(&'s Sweep),
    /// Ended trials by index.
    Ended(Vec<(u64, &'s EndedTrial)>),
    /// Parked trials by index.
    Parked(Vec<(u64, &'s Trial)>),
    /// Suggestions in their order.
    Suggestions(&'s [Suggestion]),
    /// Reports of trials by index.
    Reports(Vec<(u64, &'s history::TrialHistory)>),
}

/// A chunk that was stored.
#[derive(Debug)]
pub enum StoredChunk {
    /// A sweep.
    Sweep(Box<Sweep>),
    /// Ended trials by index.
    Ended(Vec<(u64, EndedTrial)>),
    /// Parked trials by index.
    Parked(Vec<(u64, Trial)>),
    /// Suggestions in their order.
    Suggestions(Vec<Suggestion>),
    /// Reports of trials by index.
    Reports(Vec<(u64, history::TrialHistory)>),
}

/// Reads a chunk of this kind.
impl<'de> DeserializeSeed<'de> for ChunkKind {
    type Value = StoredChunk;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<StoredChunk, D::Error> {
        Ok(match self {
            Self::Sweep => StoredChunk::Sweep(Deserialize::deserialize(deserializer)?),
            Self::Ended => StoredChunk::Ended(Deserialize::deserialize(deserializer)?),
            Self::Parked => StoredChunk::Parked(Deserialize::deserialize(deserializer)?),
            Self::Suggestions => StoredChunk::Suggestions(Deserialize::deserialize(deserializer)?),
            Self::Reports => StoredChunk::Reports(Deserialize::deserialize(deserializer)?),
        })
    }
}

/// The root of a state that is to be stored.
#[derive(Debug, Serialize)]
pub struct SnapshotRoot<'s> {
    state: &'s State,
    /// The serials of its sweeps.
    sweeps: BTreeMap<&'s SweepName, u64>,
}

/// A root that was stored.
#[derive(Debug, Default, Deserialize)]
pub struct StoredRoot {
    state: State,
    sweeps: BTreeMap<SweepName, u64>,
}

/// A contradiction between the parts of a stored state.
#[derive(Debug, thiserror::Error)]
#[error("the parts of sweep `{sweep}` do not fit together: {what}")]
pub struct InconsistentSnapshot {
    sweep: SweepName,
    what: &'static str,
}

/// Called with one chunk after the other; without contents it is to be removed.
pub type VisitChunk<'v, E> = &'v mut dyn FnMut(ChunkKey, Option<Chunk<'_>>) -> Result<(), E>;

/// What the journal stores of a state, apart from its sweeps.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredState {
    /// Whether the journal stores an earlier version of the state.
    pub(super) is_known: bool,
    /// The serials of deleted sweeps whose chunks the journal still stores.
    pub(super) deleted: BTreeSet<u64>,
}

impl State {
    /// The root, to be stored.
    pub fn root(&self) -> SnapshotRoot<'_> {
        let sweeps = self.sweeps.iter().map(|(name, sweep)| (name, sweep.serial)).collect();
        SnapshotRoot { state: self, sweeps }
    }

    /// Whether a journal stores an earlier version of this state. What it stores of another state is to
    /// be removed.
    pub fn is_known(&self) -> bool {
        self.stored.0.is_known
    }

    /// The serials of deleted sweeps, whose chunks are to be removed.
    pub fn deleted_sweeps(&self) -> impl Iterator<Item = u64> {
        self.stored.0.deleted.iter().copied()
    }

    /// Calls `visit` with every chunk that differs from what is stored, until it fails.
    pub fn visit_changes<E>(&self, visit: VisitChunk<'_, E>) -> Result<(), E> {
        self.sweeps.values().try_for_each(|sweep| sweep.visit_changes(visit))
    }

    /// Notes that the journal stores this state as it is now.
    pub fn mark_stored(&mut self) {
        self.stored.0.is_known = true;
        self.stored.0.deleted.clear();
        for sweep in self.sweeps.values_mut() {
            sweep.stored.0 = true;
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
        for (number, entries) in changed_chunks(&self.done) {
            visit(key(ChunkKind::Ended, number), entries.map(Chunk::Ended))?;
        }
        for (number, entries) in changed_chunks(&self.parked) {
            visit(key(ChunkKind::Parked, number), entries.map(Chunk::Parked))?;
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

    /// Takes a stored chunk; false if it does not follow the one before.
    fn restore(&mut self, number: u64, chunk: StoredChunk) -> bool {
        match chunk {
            StoredChunk::Sweep(_) => return false,
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

/// The chunks of `map` that differ from what is stored; none for those without entries.
fn changed_chunks<T>(map: &ChunkedMap<T>) -> impl Iterator<Item = ChangedChunk<'_, T>> {
    map.changed().map(|number| {
        let entries = map.chunk(number);
        (number, (!entries.is_empty()).then_some(entries))
    })
}

impl StoredRoot {
    /// The state in a program that knows `workloads`. `chunks_of` reads the chunks of a sweep, of which it gets the
    /// serial, in the order of their keys.
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

/// Makes a sweep of its chunks.
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
