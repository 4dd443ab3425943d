//! The wire protocol of Rheobase, `rheobase.v1`: generated messages and services, and conversions
//! to and from core types.
//!
//! This is the only crate that knows prost. Handlers and clients convert at the boundary and pass
//! core types on; a message that does not parse is refused here, with the name of the field.
//! [`access`] finds and authenticates a coordinator; [`file`] reads the files that users name. Both
//! programs use both.

pub mod access;
pub mod admin;
pub mod bounds;
mod codec;
mod convert;
pub mod file;
pub mod fleet;
pub mod log;
mod loopback;
mod needs;
pub mod refusal;
pub mod server_file;
pub mod sweep;
pub mod worker;

use rheo_core::excerpt::message;

/// Messages and services generated from `rheobase/v1/*.proto`, which document them.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::clone_on_ref_ptr,
    clippy::allow_attributes,
    clippy::excessive_nesting,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("rheobase.v1");

    /// The file descriptors, for server reflection.
    pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("rheobase.v1");
}

/// The largest message that either side accepts, in bytes. The rows of one commit must fit;
/// checkpoints and query results are streamed.
pub const MAX_MESSAGE: usize = 64 << 20;

/// The chunk size of a streamed checkpoint or query result, in bytes.
pub const CHUNK: usize = 1 << 20;

/// The largest checkpoint that is accepted, in bytes.
pub const MAX_CHECKPOINT: u64 = 4 << 30;

/// A message with a missing or invalid field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// A required field is missing.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field has an invalid value.
    #[error("field `{field}` cannot be used: {detail}")]
    Value {
        /// The name of the field.
        field: &'static str,
        /// The cause.
        detail: String,
    },
}

impl InvalidMessage {
    pub(crate) fn value(field: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Value { field, detail: message(&error.to_string(), DETAIL) }
    }
}

/// The longest cause of an invalid field, in characters.
const DETAIL: usize = 500;

/// The first `most` bytes of a text; a shortened text ends with the length of the whole.
pub(crate) fn truncate_with_size(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    format!("{}… ({} bytes)", &text[..end], text.len())
}
