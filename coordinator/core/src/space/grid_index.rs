//! An index of the points of a finite space, counted exactly and numbered without being listed.
//!
//! `count(i, frontier)` is the number of ways to complete a point from axis i on, given the earlier
//! axes on which later conditions and constraints depend. An axis without dependents multiplies the
//! count; any other is summed over, once per frontier. Point k is found by walking down the axes
//! and subtracting counts, so the last axis varies fastest.
//!
//! Counting costs one step per frontier and row of a coupled axis. Finding a point costs one
//! division per free axis and at most one lookup per row of a coupled axis.

use std::collections::HashMap;
use std::sync::Arc;

use super::Point;
use super::domain::AxisPick;
use super::resolved_space::ResolvedSpace;

/// The largest number of counting steps. Journals hold sweeps that were within this limit: never
/// lower it.
const MAX_STEPS: u64 = 1_000_000;

/// The reason why the points of a space cannot be numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CountError {
    #[error("a parameter is continuous")]
    Infinite,
    #[error("there are more than {} points", u64::MAX)]
    Overflow,
    #[error("conditions and constraints couple more than {MAX_STEPS} combinations of values")]
    Coupled,
}

/// An index of the points of a finite space.
#[derive(Debug)]
pub(crate) struct GridIndex {
    axes: Arc<ResolvedSpace>,
    /// For each axis, the earlier axes on which it or a later one depends.
    frontiers: Vec<Vec<usize>>,
    /// Whether anything depends on an axis.
    is_coupled: Vec<bool>,
    counts: HashMap<FrontierKey, u64>,
    total: u64,
}

/// An axis, and the rows of its frontier.
type FrontierKey = (usize, Vec<Option<u64>>);

impl GridIndex {
    /// Counts the points of `axes`.
    pub(crate) fn new(axes: Arc<ResolvedSpace>) -> Result<Self, CountError> {
        if axes.list.iter().any(|axis| axis.size.is_none()) {
            return Err(CountError::Infinite);
        }
        let lookers = dependents(&axes);
        let frontier = |index: usize| -> Vec<usize> {
            (0..index).filter(|&axis| lookers[axis].iter().any(|&last| last >= index)).collect()
        };
        let mut grid = Self {
            frontiers: (0..=axes.list.len()).map(frontier).collect(),
            is_coupled: lookers.iter().map(|lookers| !lookers.is_empty()).collect(),
            axes,
            counts: HashMap::new(),
            total: 0,
        };
        grid.total = grid.count(0, &mut Vec::new(), &mut 0)?;
        Ok(grid)
    }

    /// Returns the number of points.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Returns point `index`, if there are that many.
    pub(crate) fn point(&self, mut index: u64) -> Option<Point> {
        if index >= self.total {
            return None;
        }
        let mut picks = Vec::with_capacity(self.axes.list.len());
        for (position, axis) in self.axes.list.iter().enumerate() {
            if !self.axes.is_active(position, &picks) {
                picks.push(AxisPick::Inactive);
                continue;
            }
            if !self.is_coupled[position] {
                // Nothing depends on this axis, so every row leaves the same number of completions.
                picks.push(AxisPick::Row(0));
                let rest = self.known(position + 1, &picks)?;
                picks.pop();
                picks.push(AxisPick::Row(index.checked_div(rest)?));
                index %= rest;
                continue;
            }
            let pick = self.descend(position, axis.size?, &mut picks, &mut index)?;
            picks.push(pick);
        }
        Some(self.axes.point(&picks))
    }

    /// Returns the number of `point`, if it is one of the space.
    pub(crate) fn number(&self, point: &Point) -> Option<u64> {
        let wanted = self.axes.picks_of(point)?;
        let (mut number, mut picks) = (0, Vec::with_capacity(wanted.len()));
        for (position, wanted) in wanted.into_iter().enumerate() {
            if let AxisPick::Row(wanted) = wanted {
                number += self.points_before(position, wanted, &mut picks)?;
            }
            picks.push(wanted);
        }
        Some(number)
    }

    /// Returns the number of points after `picks` in the rows of an axis before `wanted`.
    fn points_before(
        &self,
        position: usize,
        wanted: u64,
        picks: &mut Vec<AxisPick>,
    ) -> Option<u64> {
        let is_coupled = self.is_coupled[position];
        // Rows of a free axis leave equally many completions.
        let (rows, weight) = if is_coupled { (wanted, 1) } else { (wanted.min(1), wanted) };
        let mut sum = 0;
        for row in 0..rows {
            picks.push(AxisPick::Row(row));
            let admitted = self.axes.is_admitted(position, picks);
            let rest = if admitted { self.known(position + 1, picks) } else { Some(0) };
            picks.pop();
            sum += weight * rest?;
        }
        Some(sum)
    }

    /// Returns the row of a coupled axis that contains point `index` of the rest; `index` becomes
    /// the number within the row.
    fn descend(
        &self,
        position: usize,
        size: u64,
        picks: &mut Vec<AxisPick>,
        index: &mut u64,
    ) -> Option<AxisPick> {
        for row in 0..size {
            picks.push(AxisPick::Row(row));
            let admitted = self.axes.is_admitted(position, picks);
            let rest = if admitted { self.known(position + 1, picks)? } else { 0 };
            picks.pop();
            if *index < rest {
                return Some(AxisPick::Row(row));
            }
            *index -= rest;
        }
        None
    }

    fn key(&self, position: usize, picks: &[AxisPick]) -> FrontierKey {
        let row = |&axis: &usize| match picks.get(axis) {
            Some(AxisPick::Row(row)) => Some(*row),
            _ => None,
        };
        (position, self.frontiers[position].iter().map(row).collect())
    }

    /// Returns a memoised count. Counting has visited every state on the way to a point.
    fn known(&self, position: usize, picks: &[AxisPick]) -> Option<u64> {
        if position == self.axes.list.len() {
            return Some(1);
        }
        self.counts.get(&self.key(position, picks)).copied()
    }

    fn count(
        &mut self,
        position: usize,
        picks: &mut Vec<AxisPick>,
        steps: &mut u64,
    ) -> Result<u64, CountError> {
        if let Some(count) = self.known(position, picks) {
            return Ok(count);
        }
        let size = self.axes.list[position].size.unwrap_or(0);
        let count = if !self.axes.is_active(position, picks) {
            self.count_below(position, AxisPick::Inactive, picks, steps)?
        } else if self.is_coupled[position] {
            let mut sum = 0u64;
            for row in 0..size {
                let below = self.count_below(position, AxisPick::Row(row), picks, steps)?;
                sum = sum.checked_add(below).ok_or(CountError::Overflow)?;
            }
            sum
        } else {
            let below = self.count_below(position, AxisPick::Row(0), picks, steps)?;
            size.checked_mul(below).ok_or(CountError::Overflow)?
        };
        self.counts.insert(self.key(position, picks), count);
        Ok(count)
    }

    fn count_below(
        &mut self,
        position: usize,
        pick: AxisPick,
        picks: &mut Vec<AxisPick>,
        steps: &mut u64,
    ) -> Result<u64, CountError> {
        *steps += 1;
        if *steps > MAX_STEPS {
            return Err(CountError::Coupled);
        }
        picks.push(pick);
        let count = if self.axes.is_admitted(position, picks) {
            self.count(position + 1, picks, steps)
        } else {
            Ok(0)
        };
        picks.pop();
        count
    }
}

/// Returns the dependents of each axis: the axes with conditions on it, and the last axis of each
/// constraint on it.
fn dependents(axes: &ResolvedSpace) -> Vec<Vec<usize>> {
    let mut lookers = vec![Vec::new(); axes.list.len()];
    for (position, axis) in axes.list.iter().enumerate() {
        for when in &axis.when {
            if let super::resolved_space::ResolvedCondition::Axis { axis: parent, .. } = when {
                lookers[*parent].push(position);
            }
        }
    }
    for bound in &axes.constraints {
        if let Some(&last) = bound.axes.last() {
            for &axis in &bound.axes {
                lookers[axis].push(last);
            }
        }
    }
    lookers
}
