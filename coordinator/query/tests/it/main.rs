//! Integration tests of the public API: rows are encoded, written, compacted and queried as in the
//! coordinator. One binary, because linking DataFusion takes longer than the tests.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod damaged;
mod fixture;
mod goldens;
mod reference;
#[path = "../../src/sample.rs"]
mod sample;
mod sql;
mod views;
