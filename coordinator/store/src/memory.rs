//! A journal in memory, for tests and simulations: the same contract without the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rheo_core::part::{Part, Retraction};
use rheo_core::sweep::{Event, State};

use crate::encoding::{decode, encode};
use crate::journal::{Blob, Change, Entry, Error, Journal, Loaded, Pending, PendingKey, Results};

/// A journal in memory; clones share it. Events and snapshots are encoded as on disk, so that what
/// cannot be stored fails here too.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    snapshot: Option<Vec<u8>>,
    events: BTreeMap<u64, Vec<u8>>,
    pending: BTreeMap<PendingKey, Blob>,
    parts: BTreeSet<Part>,
    retractions: BTreeSet<Retraction>,
    removed: BTreeSet<Part>,
}

impl Inner {
    fn index(&self) -> Results {
        Results {
            parts: self.parts.iter().cloned().collect(),
            pending: Vec::new(),
            retractions: self.retractions.iter().cloned().collect(),
            removed: self.removed.iter().cloned().collect(),
        }
    }

    fn pending(&self, from: u64) -> impl Iterator<Item = Pending> {
        let pending = self.pending.range(PendingKey { position: from, ordinal: 0 }..);
        pending.map(|(key, blob)| Pending { key: *key, blob: blob.clone() })
    }
}

impl Memory {
    fn with<T>(&self, action: impl FnOnce(&mut Inner) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal for Memory {
    fn append(&self, entries: &[Entry]) -> Result<u64, Error> {
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
                    inner.pending.retain(|_, blob| !blob.is_retracted_by(&retraction));
                    inner.retractions.insert(retraction);
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

    fn load(&self) -> Result<Loaded, Error> {
        self.with(|inner| {
            let mut state = match &inner.snapshot {
                Some(bytes) => decode::<State>(bytes, "the snapshot")?,
                None => State::default(),
            };
            for (position, bytes) in &inner.events {
                state.apply(&decode::<Event>(bytes, &format!("event {position}"))?);
            }
            Ok(Loaded { state, position: inner.next, replayed: inner.events.len() as u64 })
        })
    }

    fn snapshot(&self, position: u64, state: &State) -> Result<(), Error> {
        let bytes = encode(state)?;
        self.with(|inner| {
            inner.events = inner.events.split_off(&position);
            inner.snapshot = Some(bytes);
        });
        Ok(())
    }

    fn results(&self) -> Result<Results, Error> {
        Ok(self.with(|inner| Results { pending: inner.pending(0).collect(), ..inner.index() }))
    }

    fn index(&self) -> Result<Results, Error> {
        Ok(self.with(|inner| inner.index()))
    }

    fn pending(&self, from: u64, most: usize) -> Result<(Vec<Pending>, bool), Error> {
        self.with(|inner| {
            let (mut found, mut bytes): (Vec<Pending>, usize) = (Vec::new(), 0);
            for pending in inner.pending(from) {
                bytes += pending.blob.batch.ipc.len();
                let is_of_last_event =
                    found.last().is_none_or(|last| last.key.position == pending.key.position);
                if bytes > most && !is_of_last_event {
                    return Ok((found, true));
                }
                found.push(pending);
            }
            Ok((found, false))
        })
    }

    fn install(&self, change: &Change) -> Result<(), Error> {
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
