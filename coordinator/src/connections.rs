//! Limits on connections and requests: their number, their silence, and the memory of requests.
//!
//! A connection is unauthenticated until one of its calls was admitted. Such connections have ten
//! seconds and are few; the newest replaces the oldest. So they cannot keep clients with a token
//! out.

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
