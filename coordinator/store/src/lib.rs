//! What survives a crash: the [`Journal`] of events with the rows that are on their way to Parquet,
//! the [`checkpoint::CheckpointStore`], the [`storage_url::StorageUrl`] where both results and checkpoints lie, and whose
//! it is ([`owner`]).
//!
//! Whatever a call here has returned from is durable: a `kill -9` or a power cut in the next
//! instant loses nothing of it.

pub mod checkpoint;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod encoding;
mod journal;
mod memory;
mod open;
pub mod owner;
mod pages;
mod redb;
pub mod storage_url;

pub use journal::{
    Error, Journal, JournalEntry, JournalView, LoadedJournal, PartChange, PartIndex, PendingBlob,
    PendingFilter, PendingKey, PendingRows, PendingVisitor, RowBlob,
};
pub use memory::MemoryJournal;
pub use open::{OpenJournal, open};
pub use pages::check_pages;
pub use redb::{DEFAULT_CACHE_BYTES, RedbJournal};
