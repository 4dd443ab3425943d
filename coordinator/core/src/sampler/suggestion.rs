//! Suggestions of samplers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::space::Point;

/// A point chosen by a sampler, with the data that the sampler needs in the history.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The point.
    pub point: Arc<Point>,
    /// The position of the point in the sampler's sequence of draws; the next search starts after
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<u64>,
}

impl Suggestion {
    pub(super) fn new(point: Point) -> Self {
        Self { point: Arc::new(point), draw: None }
    }
}
