//! Requests for points that take long to choose.

use rheo_core::id::SweepName;

/// A request for the next point of a sweep.
#[derive(Debug)]
pub(crate) struct PointRequest {
    /// The sweep.
    pub(crate) sweep: SweepName,
    /// The number of the point.
    pub(crate) point: u64,
}
