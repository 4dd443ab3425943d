//! The journal in memory, for tests and simulations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rheo_core::machine::snapshot::{ChunkKey, StoredRoot};
use rheo_core::machine::{Event, State};
use rheo_core::part::{Part, Retraction};
use rheo_core::schema::WorkloadRegistry;

use crate::encoding::{decode, decode_seed, encode};
use crate::journal::{
    Error, Journal, JournalEntry, JournalView, LoadedJournal, PartChange, PartIndex, PendingFilter,
    PendingKey, PendingRows, PendingVisitor, RowBlob, SnapshotStep, is_retracted,
};

/// A journal in memory, shared by its clones. It encodes events and snapshots as on disk, so that
/// encoding errors appear here, too.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<MemoryState>>);

#[derive(Debug, Default)]
struct MemoryState {
    next: u64,
    /// The encoded root of the newest snapshot.
    root: Option<Vec<u8>>,
    chunks: BTreeMap<ChunkKey, Vec<u8>>,
    events: BTreeMap<u64, Vec<u8>>,
    pending: BTreeMap<PendingKey, RowBlob>,
    parts: BTreeSet<Part>,
    retractions: BTreeSet<Retraction>,
    removed: BTreeSet<Part>,
}

/// A copy of the parts and the pending rows; the bytes of rows are shared.
struct MemoryView {
    index: PartIndex,
    pending: BTreeMap<PendingKey, RowBlob>,
}

impl JournalView for MemoryView {
    fn index(&self) -> Result<PartIndex, Error> {
        Ok(self.index.clone())
    }

    fn pending(&self, filter: &PendingFilter, visit: PendingVisitor<'_>) -> Result<(), Error> {
        let pending = self.pending.range(PendingKey { position: filter.from, ordinal: 0 }..);
        let is_asked =
            |blob: &RowBlob| filter.sweep.as_ref().is_none_or(|sweep| *sweep == blob.trial.sweep);
        for (key, blob) in pending.filter(|(_, blob)| is_asked(blob)) {
            let RowBlob { trial, batch } = blob;
            let (key, trial, table) = (*key, trial.clone(), batch.table.clone());
            let rows = PendingRows { key, trial, table, rows: batch.rows, ipc: &batch.ipc };
            if visit(rows).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl MemoryState {
    /// The state of the newest snapshot, if there is one.
    fn restore(&self, workloads: &WorkloadRegistry) -> Result<State, Error> {
        let Some(root) = &self.root else { return Ok(State::new(workloads.clone())) };
        let stored: BTreeSet<u64> = self.chunks.keys().map(|key| key.sweep).collect();
        let root = decode::<StoredRoot>(root, "the snapshot")?;
        root.into_state(workloads.clone(), stored, |sweep| {
            let chunks = self.chunks.iter().filter(move |(key, _)| key.sweep == sweep);
            Ok(chunks.map(|(key, bytes)| {
                Ok((*key, decode_seed(key.kind, bytes, || format!("{key:?}"))?))
            }))
        })
    }

    fn retract(&mut self, retraction: Retraction) {
        let is_retracted =
            |blob: &RowBlob| is_retracted(&blob.trial, &blob.batch.table, &retraction);
        self.pending.retain(|_, blob| !is_retracted(blob));
        self.retractions.insert(retraction);
    }
}

impl MemoryJournal {
    fn with<T>(&self, action: impl FnOnce(&mut MemoryState) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal for MemoryJournal {
    fn append(&self, entries: &[JournalEntry]) -> Result<u64, Error> {
        let events: Vec<_> =
            entries.iter().map(|entry| encode(&entry.event)).collect::<Result<_, _>>()?;
        self.with(|inner| {
            let first = inner.next;
            for (entry, event) in entries.iter().zip(events) {
                let position = inner.next;
                inner.next += 1;
                inner.events.insert(position, event);
                for part in &entry.damaged {
                    inner.parts.remove(part);
                }
                for retraction in entry.retractions(position) {
                    inner.retract(retraction);
                }
                if let Some(sweep) = &entry.deleted {
                    inner.pending.retain(|_, blob| blob.trial.sweep != *sweep);
                    inner.retractions.retain(|retraction| retraction.trial.sweep != *sweep);
                    let gone = inner.parts.extract_if(.., |part| part.sweep == *sweep);
                    inner.removed.extend(gone);
                }
                for (ordinal, blob) in (0..).zip(&entry.blobs) {
                    inner.pending.insert(PendingKey { position, ordinal }, blob.clone());
                }
            }
            Ok(first)
        })
    }

    fn load(&self, workloads: &WorkloadRegistry) -> Result<LoadedJournal, Error> {
        self.with(|inner| {
            let mut state = inner.restore(workloads)?;
            for (position, bytes) in &inner.events {
                state.apply(&decode::<Event>(bytes, &format!("event {position}"))?);
            }
            Ok(LoadedJournal { state, position: inner.next, replayed: inner.events.len() as u64 })
        })
    }

    /// Stores all changes in one step.
    fn snapshot_step(
        &self,
        position: u64,
        state: &mut State,
        _: usize,
    ) -> Result<SnapshotStep, Error> {
        let root = encode(&state.root())?;
        let changes = state
            .changes()
            .map(|(key, chunk)| Ok((key, chunk.map(|chunk| encode(&chunk)).transpose()?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let keys: Vec<ChunkKey> = changes.iter().map(|(key, _)| *key).collect();
        self.with(|inner| {
            if !state.is_known() {
                inner.chunks.clear();
            }
            for (key, bytes) in changes {
                match bytes {
                    Some(bytes) => inner.chunks.insert(key, bytes),
                    None => inner.chunks.remove(&key),
                };
            }
            inner.events = inner.events.split_off(&position);
            inner.root = Some(root);
        });
        state.mark_stored(&keys);
        state.mark_taken();
        Ok(SnapshotStep::Taken)
    }

    fn tidy_step(&self, state: &mut State, _: usize) -> Result<bool, Error> {
        let orphans: Vec<u64> = state.orphans().collect();
        self.with(|inner| inner.chunks.retain(|key, _| !orphans.contains(&key.sweep)));
        for orphan in orphans {
            state.forget_orphan(orphan);
        }
        Ok(true)
    }

    fn view(&self) -> Result<Box<dyn JournalView>, Error> {
        let copied = self.with(|inner| MemoryView {
            index: PartIndex {
                parts: inner.parts.iter().cloned().collect(),
                retractions: inner.retractions.iter().cloned().collect(),
                removed: inner.removed.iter().cloned().collect(),
            },
            pending: inner.pending.clone(),
        });
        Ok(Box::new(copied))
    }

    fn install(&self, change: &PartChange) -> Result<(), Error> {
        self.with(|inner| {
            for part in &change.remove {
                inner.parts.remove(part);
            }
            inner.parts.extend(change.add.iter().cloned());
            for key in &change.flushed {
                inner.pending.remove(key);
            }
            for retraction in &change.retracted {
                inner.retractions.remove(retraction);
            }
            for part in &change.cleared {
                inner.removed.remove(part);
            }
        });
        Ok(())
    }
}
