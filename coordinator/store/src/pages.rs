//! Read-only check of every page of a journal.
//!
//! redb keeps a checksum of every page, but its check also repairs, which may undo acknowledged
//! writes. So the check runs on an overlay that keeps all changes in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::redb::{Database, StorageBackend};

use crate::journal::Error;
use crate::redb::open_error;

/// The block size of the overlay, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// Checks the checksums of all pages of the journal at `path`. No process may write it meanwhile.
pub fn check_pages(path: &Path) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::Io)?;
    let length = file.metadata().map_err(Error::Io)?.len();
    let overlay =
        Overlay { file, changes: Mutex::new(OverlayBlocks { length, blocks: BTreeMap::new() }) };
    // Some damage makes redb panic.
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let database =
            Database::builder().set_check_integrity_on_open(true).create_with_backend(overlay);
        database.map(drop).map_err(|error| open_error(error, path))
    }));
    let contradiction = || Error::Damaged { detail: "its pages contradict".to_owned() };
    opened.unwrap_or_else(|_| Err(contradiction()))
}

/// A file with changes kept in memory.
#[derive(Debug)]
struct Overlay {
    file: File,
    changes: Mutex<OverlayBlocks>,
}

#[derive(Debug)]
struct OverlayBlocks {
    length: u64,
    /// Changed blocks by number.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    fn changes(&self) -> MutexGuard<'_, OverlayBlocks> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file at `offset`; pads with zeros past its end.
    fn read_file(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            match self.file.read_at(&mut out[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        out[done..].fill(0);
        Ok(())
    }
}

/// Splits a range into blocks: block number, first byte and end within the block.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + length as u64;
    let within = |at: u64| usize::try_from(at).unwrap_or(0);
    (offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES)).map(move |block| {
        let first = offset.max(block * BLOCK_BYTES) - block * BLOCK_BYTES;
        let last = end.min((block + 1) * BLOCK_BYTES) - block * BLOCK_BYTES;
        (block, within(first), within(last))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes();
        if offset + out.len() as u64 > changes.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(offset, out)?;
        let mut at = 0;
        for (block, first, last) in pieces(offset, out.len()) {
            if let Some(bytes) = changes.blocks.get(&block) {
                out[at..at + last - first].copy_from_slice(&bytes[first..last]);
            }
            at += last - first;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut changes = self.changes();
        // A truncated range reads as zeros when the storage grows again.
        for block in length.div_ceil(BLOCK_BYTES)..changes.length.div_ceil(BLOCK_BYTES) {
            changes.blocks.insert(block, zeros());
        }
        changes.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes();
        let mut at = 0;
        for (block, first, last) in pieces(offset, data.len()) {
            let bytes = match changes.blocks.entry(block) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let mut bytes = zeros();
                    self.read_file(block * BLOCK_BYTES, &mut bytes)?;
                    new.insert(bytes)
                }
            };
            bytes[first..last].copy_from_slice(&data[at..at + last - first]);
            at += last - first;
        }
        Ok(())
    }
}

fn zeros() -> Vec<u8> {
    vec![0; usize::try_from(BLOCK_BYTES).unwrap_or(0)]
}
