//! A view of the rows of the journal: a read transaction, unaffected by later writes.

use std::path::PathBuf;

use ::redb::ReadTransaction;
use rheo_core::id::TrialId;
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction};
use serde::Deserialize;

use super::{PARTS, PENDING, REMOVED, RETRACTIONS, catch_panic, read_keys, with_path};
use crate::encoding::decode_borrowed;
use crate::journal::{
    Error, JournalView, PartIndex, PendingFilter, PendingKey, PendingRows, PendingVisitor,
};

/// The journal at one moment.
pub(super) struct RedbView {
    pub(super) transaction: ReadTransaction,
    /// The file, for messages.
    pub(super) path: PathBuf,
}

impl RedbView {
    fn read<T>(
        &self,
        action: impl FnOnce(&ReadTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        catch_panic(|| action(&self.transaction)).map_err(|error| with_path(&self.path, error))
    }
}

impl JournalView for RedbView {
    fn index(&self) -> Result<PartIndex, Error> {
        self.read(|transaction| {
            let mut parts: Vec<Part> = read_keys(transaction, PARTS, "the list of parts")?;
            let mut retractions: Vec<Retraction> =
                read_keys(transaction, RETRACTIONS, "the list of retractions")?;
            let mut removed: Vec<Part> =
                read_keys(transaction, REMOVED, "the list of removed parts")?;
            parts.sort();
            retractions.sort();
            removed.sort();
            Ok(PartIndex { parts, retractions, removed })
        })
    }

    fn pending(&self, filter: &PendingFilter, visit: PendingVisitor<'_>) -> Result<(), Error> {
        self.read(|transaction| {
            for entry in transaction.open_table(PENDING)?.range((filter.from, 0)..)? {
                let (key, bytes) = entry?;
                let rows = rows(stored_key(key.value()), bytes.value())?;
                let is_asked = filter.sweep.as_ref().is_none_or(|sweep| *sweep == rows.trial.sweep);
                if is_asked && visit(rows).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }
}

/// [`RowBlob`](crate::RowBlob) without a copy of its rows.
#[derive(Deserialize)]
struct StoredBlob<'j> {
    trial: TrialId,
    #[serde(borrow)]
    batch: StoredBatch<'j>,
}

#[derive(Deserialize)]
struct StoredBatch<'j> {
    table: TableName,
    rows: u64,
    ipc: &'j [u8],
}

/// Converts a key of the table `pending`.
pub(super) fn stored_key((position, ordinal): (u64, u32)) -> PendingKey {
    PendingKey { position, ordinal }
}

/// Decodes the pending rows of a key.
pub(super) fn rows(key: PendingKey, bytes: &[u8]) -> Result<PendingRows<'_>, Error> {
    let stored: StoredBlob<'_> =
        decode_borrowed(bytes, || format!("the rows of event {}", key.position))?;
    let StoredBlob { trial, batch: StoredBatch { table, rows, ipc } } = stored;
    Ok(PendingRows { key, trial, table, rows, ipc })
}
