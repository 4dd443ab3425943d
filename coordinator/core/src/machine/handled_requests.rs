//! Requests that were dealt with, so that a repeated one is recognised.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::id::RequestId;

/// The ids of the last requests that were dealt with; bounded, the oldest are forgotten.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HandledRequests(VecDeque<RequestId>);

impl HandledRequests {
    const REMEMBERED: usize = 4096;

    /// Whether `id` was dealt with.
    pub fn contains(&self, id: RequestId) -> bool {
        self.0.contains(&id)
    }

    pub(super) fn insert(&mut self, id: RequestId) {
        if self.0.len() == Self::REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }
}
