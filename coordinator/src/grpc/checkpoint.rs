//! Checkpoints on the wire: digests, chunks, and errors as statuses.

use bytes::Bytes;
use rheo_core::excerpt::message;
use rheo_core::id::Digest;
use rheo_proto::refusal::{self, Reason};
use rheo_proto::{CHUNK, InvalidMessage};
use rheo_store::checkpoint;
use tonic::Status;

use crate::report::report;
use crate::uploads;

pub(super) fn digest(text: &str) -> Result<Digest, InvalidMessage> {
    let invalid = |error: rheo_core::id::Error| InvalidMessage::Value {
        field: "digest",
        detail: message(&error.to_string(), 200),
    };
    text.parse().map_err(invalid)
}

pub(super) fn chunks(bytes: Bytes) -> impl Iterator<Item = Bytes> + Send {
    (0..bytes.len()).step_by(CHUNK).map(move |at| bytes.slice(at..bytes.len().min(at + CHUNK)))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn checkpoint_status(error: checkpoint::Error) -> Status {
    let reason = match &error {
        checkpoint::Error::Missing(_) => Reason::CheckpointMissing,
        checkpoint::Error::Damaged { .. } => Reason::CheckpointDamaged,
        checkpoint::Error::Directory { .. }
        | checkpoint::Error::Place(_)
        | checkpoint::Error::Stopped
        | checkpoint::Error::Store(_) => Reason::Storage,
    };
    refusal::status(&reason, report(&error), None)
}

pub(super) fn upload_status(error: uploads::Error) -> Status {
    match error {
        uploads::Error::Full { .. } => refusal::status(&Reason::Full, report(&error), None),
        uploads::Error::Engine(failure) => failure.into(),
    }
}
