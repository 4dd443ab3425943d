//! Points that a sweep file gives (`enqueue`), before those of another sampler.
//!
//! The other sampler goes on where the given points end, and none of them comes up again. A grid
//! leaves out their numbers, so its points still follow from the definition; any other sampler
//! needs the recorded points to know them.

use std::sync::Arc;

use super::{Sampler, Suggestion};
use crate::history::{History, HistoryRetention};
use crate::space::Point;

/// Given points, and the sampler of the points after them.
#[derive(Debug)]
pub(crate) struct Enqueued {
    points: Vec<Arc<Point>>,
    then: Box<dyn Sampler>,
    /// The numbers of the given points in the grid, sorted, if the other sampler is one.
    numbers: Option<Vec<u64>>,
}

impl Enqueued {
    /// Puts `points` before those of `then`; `numbers` are their numbers if `then` is a grid.
    pub(crate) fn new(points: &[Point], then: Box<dyn Sampler>, numbers: Option<Vec<u64>>) -> Self {
        let points = points.iter().cloned().map(Arc::new).collect();
        let sorted = |mut numbers: Vec<u64>| {
            numbers.sort_unstable();
            numbers
        };
        Self { points, then, numbers: numbers.map(sorted) }
    }

    /// Returns the first point after the last recorded one that is new.
    fn next_unused(&self, history: &History) -> Option<Suggestion> {
        let last = history.suggestions().last().and_then(|last| last.draw);
        (last.map_or(0, |draw| draw + 1)..)
            .map_while(|draw| Some((draw, self.then.suggest(history, draw)?)))
            .find(|(_, suggestion)| !history.contains(&suggestion.point))
            .map(|(draw, suggestion)| Suggestion { draw: Some(draw), ..suggestion })
    }
}

impl Sampler for Enqueued {
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion> {
        if let Some(point) = usize::try_from(index).ok().and_then(|index| self.points.get(index)) {
            return Some(Suggestion { point: Arc::clone(point), draw: None });
        }
        match &self.numbers {
            Some(numbers) => {
                let number = index - self.points.len() as u64;
                let skip = |number: u64, given: &u64| number + u64::from(*given <= number);
                self.then.suggest(history, numbers.iter().fold(number, skip))
            }
            None if self.then.is_stateless() => self.next_unused(history),
            None => self.then.suggest(history, index),
        }
    }

    fn blind_points(&self) -> Option<u64> {
        self.then.blind_points().map(|blind| blind.max(self.points.len() as u64))
    }

    fn is_slow(&self, history: &History) -> bool {
        history.suggestions().len() >= self.points.len() && self.then.is_slow(history)
    }

    fn cardinality(&self) -> Option<u64> {
        self.then.cardinality()
    }

    fn is_stateless(&self) -> bool {
        self.numbers.is_some()
    }

    fn retention(&self) -> HistoryRetention {
        HistoryRetention { points: !self.is_stateless(), ..self.then.retention() }
    }
}
