//! Deletion of a sweep in the tables of the journal.

use ::redb::{ReadableTable as _, WriteTransaction};
use rheo_core::id::SweepName;
use rheo_core::part::{Part, Retraction};
use serde::de::DeserializeOwned;

use super::{PARTS, REMOVED, RETRACTIONS, view};
use crate::encoding::decode;
use crate::journal::Error;

/// Removes the pending rows and retractions of a deleted sweep, and moves its parts to the list of
/// files to be removed.
pub(super) fn delete_sweep_rows(
    transaction: &WriteTransaction,
    pending: &mut ::redb::Table<'_, (u64, u32), &'static [u8]>,
    sweep: &SweepName,
) -> Result<(), Error> {
    let mut found = Vec::new();
    for entry in pending.iter()? {
        let (key, bytes) = entry?;
        if view::rows(view::stored_key(key.value()), bytes.value())?.trial.sweep == *sweep {
            found.push(key.value());
        }
    }
    for key in found {
        pending.remove(key)?;
    }
    let mut retractions = transaction.open_table(RETRACTIONS)?;
    for bytes in
        matching_keys(&retractions, "the list of retractions", |retraction: &Retraction| {
            retraction.trial.sweep == *sweep
        })?
    {
        retractions.remove(bytes.as_slice())?;
    }
    let mut parts = transaction.open_table(PARTS)?;
    let mut removed = transaction.open_table(REMOVED)?;
    for bytes in matching_keys(&parts, "the list of parts", |part: &Part| part.sweep == *sweep)? {
        parts.remove(bytes.as_slice())?;
        removed.insert(bytes.as_slice(), ())?;
    }
    Ok(())
}

/// The keys of `table` whose decoded value satisfies `wanted`.
fn matching_keys<T: DeserializeOwned>(
    table: &::redb::Table<'_, &'static [u8], ()>,
    what: &str,
    wanted: impl Fn(&T) -> bool,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Vec::new();
    for entry in table.iter()? {
        let bytes = entry?.0.value().to_vec();
        if wanted(&decode(&bytes, what)?) {
            found.push(bytes);
        }
    }
    Ok(found)
}
