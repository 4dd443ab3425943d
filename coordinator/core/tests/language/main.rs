//! Tests of search spaces: every point of a plan is compared with a list made by brute force.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../brewing/mod.rs"]
mod brewing;
mod enqueued;
mod models;
mod spaces;
