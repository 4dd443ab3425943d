//! Encoding of values as MessagePack with field names, so that later versions can add fields and
//! still read old journals.

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

/// [`decode`] with a `seed`; `what` is called only for an error.
pub(crate) fn decode_seed<'b, S: DeserializeSeed<'b>>(
    seed: S,
    bytes: &'b [u8],
    what: impl FnOnce() -> String,
) -> Result<S::Value, Error> {
    let value = seed.deserialize(&mut rmp_serde::Deserializer::from_read_ref(bytes));
    value.map_err(|error| Error::Damaged { detail: format!("{} cannot be read: {error}", what()) })
}

/// [`decode`] for a value that borrows from `bytes`; `what` is called only for an error.
pub(crate) fn decode_borrowed<'b, T: Deserialize<'b>>(
    bytes: &'b [u8],
    what: impl FnOnce() -> String,
) -> Result<T, Error> {
    rmp_serde::from_slice(bytes)
        .map_err(|error| Error::Damaged { detail: format!("{} cannot be read: {error}", what()) })
}
