//! The stored form of a state: a small root, which every snapshot writes, and chunks, which are
//! written only after they change.
//!
//! The root holds everything that is bounded by the numbers of workers, fleets and sweeps. Each
//! sweep has one chunk, and chunks by index for everything that grows with its trials. The cost of a
//! snapshot therefore depends on the changes since the last one, not on the number of trials.
//!
//! A state tracks which chunks differ from the journal ([`State::changes`]) until they are stored
//! ([`State::mark_stored`]). A journal that stores them in several steps writes those that change
//! meanwhile again, and the root last. Chunks are keyed by the serial of a sweep, not by its name,
//! so a new sweep never meets the chunks of a deleted one.

use std::collections::BTreeMap;

use serde::de::{DeserializeSeed, Deserializer};
use serde::{Deserialize, Serialize};

use super::state::State;
use super::stored_state::StoredState;
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
    Retryable,
    /// Suggestions.
    Suggestions,
    /// Reports of trials.
    Reports,
    /// Trials that a pruner paused.
    Parked,
}

impl ChunkKind {
    /// Every kind; the position of a kind is its stored code.
    const ALL: [Self; 7] = [
        Self::Sweep,
        Self::Live,
        Self::Ended,
        Self::Retryable,
        Self::Suggestions,
        Self::Reports,
        Self::Parked,
    ];

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
    /// Running, waiting, parked or retryable trials by index.
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
    /// Parked trials by index.
    Parked(Vec<(u64, Trial)>),
    /// Ended trials by index.
    Ended(Vec<(u64, EndedTrial)>),
    /// Retryable trials by index.
    Retryable(Vec<(u64, Trial)>),
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
            Self::Parked => StoredChunk::Parked(Deserialize::deserialize(deserializer)?),
            Self::Ended => StoredChunk::Ended(Deserialize::deserialize(deserializer)?),
            Self::Retryable => StoredChunk::Retryable(Deserialize::deserialize(deserializer)?),
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

/// A chunk that differs from the journal; one without contents must be deleted.
pub type ChangedChunk<'s> = (ChunkKey, Option<Chunk<'s>>);

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

    /// Returns the serials of deleted sweeps whose chunks no snapshot needs.
    pub fn orphans(&self) -> impl Iterator<Item = u64> {
        self.stored.0.orphans.iter().copied()
    }

    /// Returns the changed chunks. Those that change with every event come last.
    pub fn changes(&self) -> impl Iterator<Item = ChangedChunk<'_>> {
        let ended = self.sweeps.values().flat_map(Sweep::changes_of_ended_trials);
        ended.chain(self.sweeps.values().flat_map(Sweep::changes_of_live_trials))
    }

    /// Records that the journal stores these chunks as they are now.
    pub fn mark_stored(&mut self, chunks: &[ChunkKey]) {
        let sweeps = self.sweeps.values_mut().map(|sweep| (sweep.serial, sweep));
        let mut sweeps: BTreeMap<u64, &mut Sweep> = sweeps.collect();
        for ChunkKey { sweep, kind, number } in chunks {
            let Some(sweep) = sweeps.get_mut(sweep) else { continue };
            match kind {
                ChunkKind::Sweep => sweep.stored.0 = true,
                ChunkKind::Live => sweep.live.mark_stored(*number),
                ChunkKind::Parked => sweep.parked.mark_stored(*number),
                ChunkKind::Ended => sweep.done.mark_stored(*number),
                ChunkKind::Retryable => sweep.retryable.mark_stored(*number),
                ChunkKind::Suggestions => sweep.history.mark_suggestions_stored(*number),
                ChunkKind::Reports => sweep.history.mark_trials_stored(*number),
            }
        }
    }

    /// Records that the root of this state is stored, and that every chunk was before.
    pub fn mark_taken(&mut self) {
        self.stored.0.is_known = true;
        let deleted = std::mem::take(&mut self.stored.0.deleted);
        self.stored.0.orphans.extend(deleted);
    }

    /// Records that no chunk of the deleted sweep `serial` is stored any more.
    pub fn forget_orphan(&mut self, serial: u64) {
        self.stored.0.orphans.remove(&serial);
    }
}

impl Sweep {
    fn changes_of_ended_trials(&self) -> impl Iterator<Item = ChangedChunk<'_>> {
        let key = |kind, number| ChunkKey { sweep: self.serial, kind, number };
        let ended = changed_chunks(&self.done)
            .map(move |(n, entries)| (key(ChunkKind::Ended, n), entries.map(Chunk::Ended)));
        let retryable = changed_chunks(&self.retryable)
            .map(move |(n, entries)| (key(ChunkKind::Retryable, n), entries.map(Chunk::Trials)));
        let suggestions = self.history.changed_suggestions().map(move |(n, suggestions)| {
            (key(ChunkKind::Suggestions, n), Some(Chunk::Suggestions(suggestions)))
        });
        let reports = changed_chunks(self.history.chunked_trials())
            .map(move |(n, entries)| (key(ChunkKind::Reports, n), entries.map(Chunk::Reports)));
        ended.chain(retryable).chain(suggestions).chain(reports)
    }

    fn changes_of_live_trials(&self) -> impl Iterator<Item = ChangedChunk<'_>> {
        let key = |kind, number| ChunkKey { sweep: self.serial, kind, number };
        let live = changed_chunks(&self.live)
            .map(move |(n, entries)| (key(ChunkKind::Live, n), entries.map(Chunk::Trials)));
        let sweep = (key(ChunkKind::Sweep, 0), Some(Chunk::Sweep(self)));
        let parked = changed_chunks(&self.parked)
            .map(move |(n, entries)| (key(ChunkKind::Parked, n), entries.map(Chunk::Trials)));
        live.chain(parked).chain((!self.stored.0).then_some(sweep))
    }

    /// Restores a stored chunk; returns false if chunks are missing before it.
    fn restore(&mut self, number: u64, chunk: StoredChunk) -> bool {
        match chunk {
            StoredChunk::Sweep(_) => return false,
            StoredChunk::Live(entries) => self.live.restore(entries),
            StoredChunk::Parked(entries) => self.parked.restore(entries),
            StoredChunk::Ended(entries) => self.done.restore(entries),
            StoredChunk::Retryable(entries) => self.retryable.restore(entries),
            StoredChunk::Suggestions(suggestions) => {
                return self.history.restore_suggestions(number, suggestions);
            }
            StoredChunk::Reports(entries) => self.history.restore_trials(entries),
        }
        true
    }
}

/// Returns the changed chunks of `map`; `None` for a chunk without entries.
fn changed_chunks<T>(map: &ChunkedMap<T>) -> impl Iterator<Item = (u64, Option<Vec<(u64, &T)>>)> {
    map.changed().map(|number| {
        let entries = map.chunk(number);
        (number, (!entries.is_empty()).then_some(entries))
    })
}

impl StoredRoot {
    /// Assembles the state in a program that knows `workloads`. `chunks_of` reads the chunks of the
    /// sweep with a given serial in key order. `stored` are the serials of all sweeps with chunks.
    pub fn into_state<C, E: From<InconsistentSnapshot>>(
        self,
        workloads: WorkloadRegistry,
        stored: impl IntoIterator<Item = u64>,
        chunks_of: impl Fn(u64) -> Result<C, E>,
    ) -> Result<State, E>
    where
        C: Iterator<Item = Result<(ChunkKey, StoredChunk), E>>,
    {
        let Self { mut state, sweeps } = self;
        let orphans = stored.into_iter().filter(|stored| !sweeps.values().any(|it| it == stored));
        state.stored.0 =
            StoredState { is_known: true, orphans: orphans.collect(), ..StoredState::default() };
        for (name, serial) in sweeps {
            let sweep = assemble(&name, serial, chunks_of(serial)?)?;
            state.sweeps.insert(name, sweep);
        }
        let mut state = state.adopt(workloads);
        for sweep in state.sweeps.values_mut() {
            sweep.stored.0 = true;
            sweep.live.mark_all_stored();
            sweep.parked.mark_all_stored();
            sweep.done.mark_all_stored();
            sweep.retryable.mark_all_stored();
            sweep.history.mark_all_stored();
        }
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
