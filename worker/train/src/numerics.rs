//! Numbers in, numbers out: the fits and summaries that analyses make of recorded traces.
//!
//! Everything here is a function of slices in double precision and knows neither networks nor
//! tasks, so that reference values can be checked without running one.

pub mod order;
pub mod principal;
pub mod released_order;
pub mod response;

// What queries need too is in the core.
pub use rheo_model::numerics::{released_scaling, scaling, search};
