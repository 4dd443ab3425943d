//! Samplers choose the points of a sweep.
//!
//! A sampler is a function of its definition, the history and the number of the point. It keeps no
//! state, draws from no global generator and never waits, so replaying a journal gives the same
//! suggestions with any number of workers.

mod cmaes;
mod enqueued;
mod gp;
mod grid;
mod permutation;
mod random;
mod sobol;
mod suggestion;
mod tpe;

use std::fmt::Debug;

pub(crate) use cmaes::Cmaes;
pub(crate) use enqueued::Enqueued;
pub(crate) use gp::Gp;
pub(crate) use grid::Grid;
pub(crate) use permutation::Permutation;
pub(crate) use random::{Random, ShuffledGrid};
pub(crate) use sobol::{SOBOL_SAMPLES, Sobol};
pub use suggestion::Suggestion;
pub(crate) use tpe::Tpe;

use crate::history::{History, HistoryRetention};
use crate::rng::TrialRng;
use crate::space::Point;
use crate::space::grid_index::GridIndex;

/// Chooses points. A sampler is created once per sweep and asked for one point at a time, in order.
pub trait Sampler: Debug + Send + Sync {
    /// Returns point `index` (from 0); none if no point is left.
    ///
    /// A sampler that is not stateless is asked for `index` only after the earlier suggestions are
    /// in the history, and its answer is recorded before it is asked again.
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion>;

    /// Returns the number of points, if it is finite.
    fn cardinality(&self) -> Option<u64>;

    /// Returns the number of points that are chosen before any result counts; none if results never
    /// count.
    fn blind_points(&self) -> Option<u64> {
        None
    }

    /// Whether the next point takes so long to choose that other decisions must not wait for it
    /// (more than about 5 ms).
    fn is_slow(&self, history: &History) -> bool {
        let _ = history;
        false
    }

    /// Whether a point depends only on the definition, so that it need not be recorded.
    fn is_stateless(&self) -> bool;

    /// Returns what the history must keep: the points if the sampler is not stateless, and the
    /// reports of ended trials if it compares with them.
    fn retention(&self) -> HistoryRetention {
        HistoryRetention { points: !self.is_stateless(), reports: false }
    }
}

/// The random stream of point 0; point k has the k-th stream after it. It is far from the streams
/// of trials.
const FIRST_STREAM: u64 = 1 << 60;

/// The number of draws in a finite space after which unused points are taken in order.
const MAX_REDRAWS: u64 = 1000;

/// Draws a row by the probabilities of all rows.
fn draw_row(probabilities: impl ExactSizeIterator<Item = f64>, rng: &mut TrialRng) -> u64 {
    let (u, last) = (rng.unit(), probabilities.len().saturating_sub(1));
    let mut sum = 0.0;
    let mut exceeds = probabilities.map(|probability| {
        sum += probability;
        u < sum
    });
    exceeds.position(|exceeds| exceeds).unwrap_or(last) as u64
}

/// Returns the first point not in the history, searching from number `start` and wrapping around.
fn first_unused(grid: &GridIndex, history: &History, start: u64) -> Option<Point> {
    let numbers = (start..grid.total()).chain(0..start);
    numbers.filter_map(|number| grid.point(number)).find(|point| !history.contains(point))
}
