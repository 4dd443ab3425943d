//! The sweep language from the outside: files in, meanings, points and mistakes out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod mistakes;
mod points;
mod promises;
mod repertoire;
mod schema;
mod spaces;
