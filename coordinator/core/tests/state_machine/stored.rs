//! The journal of a world: the chunks of the newest snapshot and the events after it.

use std::collections::{BTreeMap, BTreeSet};

use rheo_core::machine::snapshot::{ChunkKey, InconsistentSnapshot, StoredRoot};
use rheo_core::machine::{Event, State};
use serde::de::DeserializeSeed;

use crate::brewing::workloads;

/// A stored state as text.
#[derive(Clone, Default)]
pub(crate) struct StoredState {
    root: Option<String>,
    chunks: BTreeMap<ChunkKey, String>,
    /// Chunks of a snapshot that is not complete; none for those to delete.
    staged: BTreeMap<ChunkKey, Option<String>>,
    events: Vec<String>,
}

impl StoredState {
    pub(crate) fn append(&mut self, events: &[Event]) {
        self.events.extend(events.iter().map(|event| serde_json::to_string(event).unwrap()));
    }

    /// Stores at most `limit` changed chunks of `state`, to which every event has been applied.
    /// Returns whether that completed the snapshot.
    pub(crate) fn snapshot_step(&mut self, state: &mut State, limit: usize) -> bool {
        if !state.is_known() {
            self.chunks.clear();
        }
        let mut changes = state.changes();
        let mut keys = Vec::new();
        for (key, chunk) in changes.by_ref().take(limit) {
            let text = chunk.map(|chunk| serde_json::to_string(&chunk).unwrap());
            self.staged.insert(key, text);
            keys.push(key);
        }
        let is_complete = changes.next().is_none();
        drop(changes);
        state.mark_stored(&keys);
        if !is_complete {
            return false;
        }
        self.root = Some(serde_json::to_string(&state.root()).unwrap());
        for (key, text) in std::mem::take(&mut self.staged) {
            match text {
                Some(text) => self.chunks.insert(key, text),
                None => self.chunks.remove(&key),
            };
        }
        self.events.clear();
        state.mark_taken();
        let orphans: Vec<u64> = state.orphans().collect();
        for orphan in orphans {
            self.chunks.retain(|key, _| key.sweep != orphan);
            state.forget_orphan(orphan);
        }
        let serials: Vec<u64> = state.sweeps.values().map(|sweep| sweep.serial).collect();
        let is_known = |key: &ChunkKey| serials.contains(&key.sweep);
        assert!(self.chunks.keys().all(is_known), "chunks of a deleted sweep are kept");
        true
    }

    /// Restarts the program: chunks of a snapshot that was not completed are ignored.
    pub(crate) fn restart(&mut self) -> State {
        self.staged.clear();
        self.load()
    }

    pub(crate) fn load(&self) -> State {
        let mut state = match &self.root {
            None => State::new(workloads()),
            Some(root) => self.restore(serde_json::from_str(root).unwrap()).unwrap(),
        };
        for event in &self.events {
            state.apply(&serde_json::from_str(event).unwrap());
        }
        state
    }

    fn restore(&self, root: StoredRoot) -> Result<State, InconsistentSnapshot> {
        let stored: BTreeSet<u64> = self.chunks.keys().map(|key| key.sweep).collect();
        root.into_state(workloads(), stored, |sweep| {
            let chunks = self.chunks.iter().filter(move |(key, _)| key.sweep == sweep);
            Ok(chunks.map(|(key, text)| {
                let mut deserializer = serde_json::Deserializer::from_str(text);
                Ok((*key, key.kind.deserialize(&mut deserializer).unwrap()))
            }))
        })
    }
}

/// Stores and loads `state`.
pub(crate) fn reloaded(state: &State) -> State {
    let mut stored = StoredState::default();
    stored.snapshot_step(&mut state.clone(), usize::MAX);
    stored.load()
}
