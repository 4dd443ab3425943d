//! What survives a crash: the [`Journal`] of events with the rows that are on their way to Parquet,
//! the [`checkpoint::Store`], the [`place::Place`] where both results and checkpoints lie, and whose
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
pub mod place;
mod redb;

pub use journal::{
    Blob, Change, Entry, Error, Index, Journal, Loaded, Pending, PendingFilter, PendingKey,
    PendingRows, View, Visit,
};
pub use memory::Memory;
pub use open::{OpenJournal, open};
pub use pages::check_pages;
pub use redb::{CACHE, Redb};
