//! The wire protocol of Rheobase, `rheobase.v1`: generated messages and services, and conversions
//! to and from core types.
//!
//! This is the only crate that knows prost. Handlers and clients convert at the door and pass core
//! types on; whatever does not parse is refused here, with the name of the field. What both sides of
//! a connection must agree on besides, how a coordinator is found and known, is in [`access`]; how
//! both programs read files that people name is in [`file`].

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

/// Generated from `rheobase/v1/*.proto`, which holds the documentation.
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

/// The largest message that either side accepts, in bytes. Rows of one commit must fit; larger
/// things are streams.
pub const MAX_MESSAGE: usize = 64 << 20;

/// The size of a piece of a streamed checkpoint or query result, in bytes.
pub const CHUNK: usize = 1 << 20;

/// The largest checkpoint that is accepted, in bytes.
pub const MAX_CHECKPOINT: u64 = 4 << 30;

/// A message that does not mean anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// A field that must be there is not.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field has a value that it cannot have.
    #[error("field `{field}` cannot be used: {detail}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl InvalidMessage {
    pub(crate) fn value(field: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Value { field, detail: message(&error.to_string(), DETAIL) }
    }
}

/// The most characters of what is wrong with a field.
const DETAIL: usize = 500;

/// The beginning of a text that must fit into so many bytes.
pub(crate) fn truncate_with_size(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    format!("{}… ({} bytes)", &text[..end], text.len())
}
