//! Fits that workers make of single trials and queries of several trials: functions of slices in
//! double precision.
//!
//! They are here because this is the only crate that both use: workers have no SQL, and the
//! coordinator links no libtorch. Functions that only analyses need are in `rheo_train::numerics`.

pub mod released_scaling;
pub mod scaling;
pub mod search;
