//! How values become bytes: MessagePack with field names, so that fields can be added later and old
//! journals stay readable.

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde::{Deserialize, Serialize};

use crate::journal::Error;

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    rmp_serde::to_vec_named(value).map_err(Error::Encode)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Error> {
    rmp_serde::from_slice(bytes)
        .map_err(|error| Error::Damaged { detail: format!("{what} cannot be read: {error}") })
}

/// [`decode`] for what `seed` reads; `what` is called for an error only.
pub(crate) fn decode_seed<'b, S: DeserializeSeed<'b>>(
    seed: S,
    bytes: &'b [u8],
    what: impl FnOnce() -> String,
) -> Result<S::Value, Error> {
    let value = seed.deserialize(&mut rmp_serde::Deserializer::from_read_ref(bytes));
    value.map_err(|error| Error::Damaged { detail: format!("{} cannot be read: {error}", what()) })
}

/// [`decode`] for what keeps pointing into `bytes`; `what` is called for an error only.
pub(crate) fn decode_borrowed<'b, T: Deserialize<'b>>(
    bytes: &'b [u8],
    what: impl FnOnce() -> String,
) -> Result<T, Error> {
    rmp_serde::from_slice(bytes)
        .map_err(|error| Error::Damaged { detail: format!("{} cannot be read: {error}", what()) })
}
