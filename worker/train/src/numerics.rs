//! Fits and summaries that analyses make of recorded traces.
//!
//! These functions take slices in double precision and depend on neither networks nor tasks, so
//! that reference values can be checked without running one.

pub mod order;
pub mod principal;
pub mod released_order;
pub mod response;

// Functions that queries need, too, are in the core.
pub use rheo_model::numerics::{released_scaling, scaling, search};
