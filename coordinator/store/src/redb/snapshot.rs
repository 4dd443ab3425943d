//! Snapshots of the state in the tables of the journal: the root, in pieces, and the chunks.

use ::redb::{ReadTransaction, ReadableTable, ReadableTableMetadata as _, WriteTransaction};
use rheo_core::machine::State;
use rheo_core::machine::snapshot::{ChunkKey, ChunkKind, StoredChunk, StoredRoot};
use rheo_core::schema::WorkloadRegistry;

use super::{CHUNKS, META, SNAPSHOT, STAGED};
use crate::encoding::{decode, decode_seed, encode};
use crate::journal::{Error, SnapshotStep};

/// The size of a piece of the root, in bytes.
const PIECE: usize = 1 << 20;

/// The state of the newest snapshot, or a new one if there is none.
pub(super) fn restore(
    transaction: &ReadTransaction,
    workloads: &WorkloadRegistry,
) -> Result<State, Error> {
    let mut root = Vec::new();
    for piece in transaction.open_table(SNAPSHOT)?.iter()? {
        root.extend_from_slice(piece?.1.value());
    }
    if root.is_empty() {
        return Ok(State::new(workloads.clone()));
    }
    let chunks = transaction.open_table(CHUNKS)?;
    let root = decode::<StoredRoot>(&root, "the snapshot")?;
    root.into_state(workloads.clone(), serials(&chunks)?, |sweep| {
        let entries = chunks.range((sweep, 0, 0)..=(sweep, u8::MAX, u64::MAX))?;
        Ok(entries.map(|entry| {
            let (key, bytes) = entry?;
            chunk(key.value(), bytes.value())
        }))
    })
}

fn chunk(
    (sweep, code, number): (u64, u8, u64),
    bytes: &[u8],
) -> Result<(ChunkKey, StoredChunk), Error> {
    let what = || format!("chunk {number} of kind {code} of sweep {sweep}");
    let unknown = || Error::Damaged { detail: format!("{} is of an unknown kind", what()) };
    let kind = ChunkKind::parse(code).ok_or_else(unknown)?;
    Ok((ChunkKey { sweep, kind, number }, decode_seed(kind, bytes, what)?))
}

/// Stores at most `limit` changed chunks of `state`; if they are all, then also the root. Returns
/// the keys of the stored chunks.
///
/// Chunks go to their place only together with the root, because the previous snapshot needs those
/// that are there. Of a snapshot in several steps they are therefore staged, and moved afterwards
/// ([`promote`]).
pub(super) fn store(
    transaction: &WriteTransaction,
    state: &State,
    limit: usize,
) -> Result<(Vec<ChunkKey>, SnapshotStep), Error> {
    let mut staged = transaction.open_table(STAGED)?;
    let mut chunks = transaction.open_table(CHUNKS)?;
    // A new state is small, and the chunks that are stored belong to another one.
    let limit = if state.is_known() { limit } else { usize::MAX };
    if !state.is_known() {
        chunks.retain(|_, _| false)?;
        staged.retain(|_, _| false)?;
    }
    let mut changes = state.changes();
    let mut batch = Vec::new();
    for (key, chunk) in changes.by_ref().take(limit) {
        batch.push((key, chunk.map(|chunk| encode(&chunk)).transpose()?));
    }
    let is_last = changes.next().is_none();
    let is_staged = !is_last || !staged.is_empty()?;
    for (key, bytes) in &batch {
        let stored = (key.sweep, key.kind.code(), key.number);
        match bytes {
            _ if is_staged => staged.insert(stored, bytes.as_deref().unwrap_or_default())?,
            Some(bytes) => chunks.insert(stored, bytes.as_slice())?,
            None => chunks.remove(stored)?,
        };
    }
    let keys = batch.into_iter().map(|(key, _)| key).collect();
    if !is_last {
        return Ok((keys, SnapshotStep::Unfinished));
    }
    let mut pieces = transaction.open_table(SNAPSHOT)?;
    pieces.retain(|_, _| false)?;
    for (number, piece) in (0..).zip(encode(&state.root())?.chunks(PIECE)) {
        pieces.insert(number, piece)?;
    }
    if is_staged {
        transaction.open_table(META)?.insert("staged", 1)?;
    }
    Ok((keys, SnapshotStep::Taken))
}

/// Whether staged chunks belong to the newest snapshot and are to be moved.
pub(super) fn is_promotion_due(transaction: &ReadTransaction) -> Result<bool, Error> {
    Ok(transaction.open_table(META)?.get("staged")?.is_some())
}

/// Moves at most `limit` staged chunks to their place; returns whether none is left.
pub(super) fn promote(transaction: &WriteTransaction, limit: usize) -> Result<bool, Error> {
    let mut staged = transaction.open_table(STAGED)?;
    let mut chunks = transaction.open_table(CHUNKS)?;
    for _ in 0..limit {
        let Some((key, bytes)) = staged.pop_first()? else { break };
        match bytes.value() {
            [] => chunks.remove(key.value())?,
            bytes => chunks.insert(key.value(), bytes)?,
        };
    }
    let is_done = staged.is_empty()?;
    if is_done {
        transaction.open_table(META)?.remove("staged")?;
    }
    Ok(is_done)
}

/// Drops the chunks of a snapshot that was not completed when the journal was last closed. The
/// events after the newest snapshot say what has changed since.
pub(super) fn drop_unfinished(transaction: &WriteTransaction) -> Result<(), Error> {
    let mut staged = transaction.open_table(STAGED)?;
    if transaction.open_table(META)?.get("staged")?.is_none() {
        staged.retain(|_, _| false)?;
    }
    Ok(())
}

/// Deletes at most `limit` chunks of the deleted sweep `serial`; returns whether none is left.
pub(super) fn delete_orphan(
    transaction: &WriteTransaction,
    serial: u64,
    limit: usize,
) -> Result<bool, Error> {
    let mut chunks = transaction.open_table(CHUNKS)?;
    let range = (serial, 0, 0)..=(serial, u8::MAX, u64::MAX);
    let last = chunks.range(range.clone())?.take(limit).last().transpose()?;
    let Some(last) = last.map(|(key, _)| key.value()) else { return Ok(true) };
    chunks.retain_in((serial, 0, 0)..=last, |_, _| false)?;
    Ok(chunks.range(range)?.next().is_none())
}

/// The serials of all sweeps with chunks.
fn serials(chunks: &impl ReadableTable<(u64, u8, u64), &'static [u8]>) -> Result<Vec<u64>, Error> {
    let mut serials = Vec::new();
    let mut from = 0;
    while let Some(entry) = chunks.range((from, 0, 0)..)?.next() {
        let (serial, _, _) = entry?.0.value();
        serials.push(serial);
        let Some(next) = serial.checked_add(1) else { break };
        from = next;
    }
    Ok(serials)
}
