//! The journal of a world: the chunks of the newest snapshot and the events after it.

use std::collections::BTreeMap;

use rheo_core::machine::snapshot::{ChunkKey, InconsistentSnapshot, StoredRoot};
use rheo_core::machine::{Event, State};
use serde::de::DeserializeSeed;

use crate::brewing::workloads;

/// A stored state as text.
#[derive(Clone, Default)]
pub(crate) struct StoredState {
    root: Option<String>,
    chunks: BTreeMap<ChunkKey, String>,
    events: Vec<String>,
}

impl StoredState {
    pub(crate) fn append(&mut self, events: &[Event]) {
        self.events.extend(events.iter().map(|event| serde_json::to_string(event).unwrap()));
    }

    /// Stores the changes of `state`, to which every event has been applied.
    pub(crate) fn snapshot(&mut self, state: &mut State) {
        self.root = Some(serde_json::to_string(&state.root()).unwrap());
        if !state.is_known() {
            self.chunks.clear();
        }
        for deleted in state.deleted_sweeps() {
            self.chunks.retain(|key, _| key.sweep != deleted);
        }
        let stored = state.visit_changes(&mut |key, chunk| {
            match chunk {
                Some(chunk) => self.chunks.insert(key, serde_json::to_string(&chunk)?),
                None => self.chunks.remove(&key),
            };
            Ok::<(), serde_json::Error>(())
        });
        stored.unwrap();
        self.events.clear();
        state.mark_stored();
        let serials: Vec<u64> = state.sweeps.values().map(|sweep| sweep.serial).collect();
        let is_known = |key: &ChunkKey| serials.contains(&key.sweep);
        assert!(self.chunks.keys().all(is_known), "chunks of a deleted sweep are kept");
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
        root.into_state(workloads(), |sweep| {
            let chunks = self.chunks.iter().filter(move |(key, _)| key.sweep == sweep);
            Ok(chunks.map(|(key, text)| {
                let mut deserializer = serde_json::Deserializer::from_str(text);
                Ok((*key, key.kind.deserialize(&mut deserializer).unwrap()))
            }))
        })
    }
}

/// Takes a snapshot of `state` that fails after one chunk was written.
pub(crate) fn fail_snapshot(state: &State) {
    let mut visited = 0;
    let failed = state.visit_changes(&mut |_, _| {
        visited += 1;
        if visited < 2 { Ok(()) } else { Err(()) }
    });
    assert_eq!(failed.is_err(), visited == 2);
}

/// Stores and loads `state`.
pub(crate) fn reloaded(state: &State) -> State {
    let mut stored = StoredState::default();
    stored.snapshot(&mut state.clone());
    stored.load()
}
