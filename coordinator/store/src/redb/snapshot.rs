//! Snapshots of the state in the tables of the journal: the root, in pieces, and the chunks.

use ::redb::{ReadTransaction, ReadableTable as _, WriteTransaction};
use rheo_core::machine::State;
use rheo_core::machine::snapshot::{ChunkKey, ChunkKind, StoredChunk, StoredRoot};
use rheo_core::schema::WorkloadRegistry;

use super::{CHUNKS, SNAPSHOT};
use crate::encoding::{decode, decode_seed, encode};
use crate::journal::Error;

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
    decode::<StoredRoot>(&root, "the snapshot")?.into_state(workloads.clone(), |sweep| {
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

/// Stores the root and the changed chunks of `state`.
pub(super) fn store(transaction: &WriteTransaction, state: &State) -> Result<(), Error> {
    let mut pieces = transaction.open_table(SNAPSHOT)?;
    pieces.retain(|_, _| false)?;
    for (number, piece) in (0..).zip(encode(&state.root())?.chunks(PIECE)) {
        pieces.insert(number, piece)?;
    }
    let mut chunks = transaction.open_table(CHUNKS)?;
    if !state.is_known() {
        chunks.retain(|_, _| false)?;
    }
    for sweep in state.deleted_sweeps() {
        chunks.retain_in((sweep, 0, 0)..=(sweep, u8::MAX, u64::MAX), |_, _| false)?;
    }
    state.visit_changes(&mut |ChunkKey { sweep, kind, number }, chunk| {
        let key = (sweep, kind.code(), number);
        match chunk {
            Some(chunk) => chunks.insert(key, encode(&chunk)?.as_slice())?,
            None => chunks.remove(key)?,
        };
        Ok(())
    })
}
