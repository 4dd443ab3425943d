//! Connections and requests, bounded: how many there may be, how long each may say nothing, and how
//! many bytes of requests are in memory at once.
//!
//! A connection is a stranger until one of its calls has been admitted. Strangers have ten seconds
//! and few places, the oldest of which makes room for the newest, so that they cannot keep out
//! those who have a token.

mod accept;
mod body;
mod descriptors;
mod stream;
mod table;

pub(crate) use accept::incoming;
pub(crate) use body::{BoundedBody, RequestBounds};
pub(crate) use descriptors::{OpenFiles, raise_limit};
use table::ConnectionTable;
pub(crate) use table::{ConnectionHandle, ConnectionLimit};
