//! Fits that workers make of single trials and queries of several: functions of slices in double
//! precision.
//!
//! They stand here because nothing else does both: workers know no SQL, and the coordinator links
//! no libtorch. What only analyses need is in `rheo_train::numerics`.

pub mod released_scaling;
pub mod scaling;
pub mod search;
