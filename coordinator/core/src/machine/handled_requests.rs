//! Ids of handled requests, to recognise repeated ones.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::id::RequestId;

/// The ids of the last handled requests. The number is bounded; the oldest are forgotten.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HandledRequests(VecDeque<RequestId>);

impl HandledRequests {
    const REMEMBERED: usize = 4096;

    /// Whether the request was already handled.
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
