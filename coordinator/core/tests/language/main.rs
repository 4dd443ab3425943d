//! Spaces from the outside: every point of a plan, against a list that is made by brute force.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../brewing/mod.rs"]
mod brewing;
mod spaces;
