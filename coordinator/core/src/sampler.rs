//! Samplers choose the points of a sweep: ask for point k, get a suggestion.
//!
//! A sampler is a function of its definition, the history and k. It keeps no state, draws from no
//! global generator and never waits: replaying a journal gives the same suggestions, with any
//! number of workers.

mod grid;
mod permutation;
mod random;
mod sobol;
mod suggestion;

use std::fmt::Debug;

pub(crate) use grid::Grid;
pub(crate) use permutation::Permutation;
pub(crate) use random::{Random, ShuffledGrid};
pub(crate) use sobol::{SOBOL_SAMPLES, Sobol};
pub use suggestion::Suggestion;

use crate::history::{History, HistoryRetention};
use crate::space::Point;
use crate::space::grid_index::GridIndex;

/// Chooses points. Built once per sweep, asked for one point at a time, in order.
pub trait Sampler: Debug + Send + Sync {
    /// Point `index` (from 0); nothing when no point is left.
    ///
    /// A sampler that is not stateless is asked for `index` only when the suggestions before it are
    /// in the history, and its answer is recorded there before it is asked again.
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion>;

    /// How many points there are, if they end.
    fn cardinality(&self) -> Option<u64>;

    /// Whether point `index` depends on nothing but the definition of the sweep: then nobody has to
    /// remember it.
    fn is_stateless(&self) -> bool;

    /// What the history must keep for it: the points where it is not stateless, and the reports of
    /// trials that have ended where it compares with them.
    fn retention(&self) -> HistoryRetention {
        HistoryRetention { points: !self.is_stateless(), reports: false }
    }
}

/// Point k draws from this stream + k of the seed of the sweep, far from the streams of trials.
const FIRST_STREAM: u64 = 1 << 60;

/// How often a sampler draws again, in a finite space, before it takes what is left in order.
const MAX_REDRAWS: u64 = 1000;

/// The first point that is not in the history, from number `start` on and around the end.
fn first_unused(grid: &GridIndex, history: &History, start: u64) -> Option<Point> {
    let numbers = (start..grid.total()).chain(0..start);
    numbers.filter_map(|number| grid.point(number)).find(|point| !history.contains(point))
}
