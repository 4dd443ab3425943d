//! A fingerprint of the results of the first points, for samplers that learn from results in order.
//!
//! A point is settled when it and every point before it have a result, or were lost. Such a sampler
//! may keep what it learned from the first k points, and use it again in a history with the same
//! fingerprint of k points; so it need not go through all points for each suggestion.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The fingerprints of the settled points: entry k - 1 is that of the first k points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SettledPoints {
    fingerprints: Vec<u64>,
}

impl SettledPoints {
    /// Returns the number of settled points.
    pub fn len(&self) -> usize {
        self.fingerprints.len()
    }

    /// Whether no point is settled.
    pub fn is_empty(&self) -> bool {
        self.fingerprints.is_empty()
    }

    /// Returns the fingerprint of the first `count` points; none if they are not all settled.
    pub fn fingerprint(&self, count: usize) -> Option<u64> {
        match count.checked_sub(1) {
            None => Some(0),
            Some(last) => self.fingerprints.get(last).copied(),
        }
    }

    /// Follows a change of point `changed`. `result` gives a point with its result as something that
    /// is hashed; none if the point has not ended.
    pub(super) fn update<T: Hash>(&mut self, changed: u64, result: impl Fn(u64) -> Option<T>) {
        let changed = usize::try_from(changed).unwrap_or(usize::MAX);
        self.fingerprints.truncate(changed);
        while let Some(result) = result(self.fingerprints.len() as u64) {
            // The keys of this hasher are fixed, and fingerprints are never stored.
            let mut hasher = DefaultHasher::new();
            (self.fingerprints.last(), result).hash(&mut hasher);
            self.fingerprints.push(hasher.finish());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_follow_the_results_of_the_first_points() {
        let mut settled = SettledPoints::default();
        let mut results = vec![Some(7), None, Some(9)];
        let follow = |settled: &mut SettledPoints, changed, results: &[Option<i32>]| {
            settled.update(changed, |point| *results.get(usize::try_from(point).ok()?)?);
        };
        follow(&mut settled, 0, &results);
        assert_eq!(settled.len(), 1);
        results[1] = Some(8);
        follow(&mut settled, 1, &results);
        assert_eq!(settled.len(), 3);
        let before = settled.clone();
        results[1] = Some(0);
        follow(&mut settled, 1, &results);
        assert_eq!(settled.fingerprint(1), before.fingerprint(1));
        assert_ne!(settled.fingerprint(3), before.fingerprint(3), "the past counts");
        results[1] = Some(8);
        follow(&mut settled, 1, &results);
        assert_eq!(settled, before);
        assert_eq!((settled.fingerprint(0), settled.fingerprint(4)), (Some(0), None));
    }
}
