//! A point that a sampler chose.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::space::Point;

/// A point that a sampler chose, with what the sampler wants to find in the history later.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The point.
    pub point: Arc<Point>,
    /// Where in its sequence of draws a sampler found it; the next search goes on behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<u64>,
}

impl Suggestion {
    pub(super) fn new(point: Point) -> Self {
        Self { point: Arc::new(point), draw: None }
    }
}
