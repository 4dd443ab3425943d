//! The sweep language from the outside: files in, meanings, points and mistakes out.

mod mistakes;
mod points;
mod promises;
mod schema;
mod spaces;
