//! Durable storage of the coordinator: the [`Journal`] of events and pending rows, the
//! [`checkpoint::CheckpointStore`], the [`storage_url::StorageUrl`] of results and checkpoints, and
//! the [`owner`] of such a directory or bucket.
//!
//! A write is durable when its call returns: neither `kill -9` nor a power cut loses it.

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
    PendingFilter, PendingKey, PendingRows, PendingVisitor, RowBlob, SnapshotStep,
};
pub use memory::MemoryJournal;
pub use open::{OpenJournal, open};
pub use pages::check_pages;
pub use redb::{DEFAULT_CACHE_BYTES, RedbJournal};
