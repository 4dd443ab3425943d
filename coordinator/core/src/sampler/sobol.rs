//! Sobol search with Owen scrambling: points that fill the space more evenly than random ones.
//!
//! Sobol I M (1967), USSR Computational Mathematics and Mathematical Physics 7:86-112; scrambling by
//! Burley B (2020), Practical hash-based Owen scrambling, Journal of Computer Graphics Techniques
//! 9(4):1-20. Axis j is dimension j, and values are quantiles of their distributions. The sequence
//! has 65,536 samples of 23 bits.
//!
//! Samples that violate a constraint or repeat a point are skipped; the history tells where the
//! last one was found. After many misses, the unused points of a finite space are taken in order.
//! Without history, the sequence begins at sample 0. One sample costs O(axes).

use std::sync::Arc;

use super::{FIRST_STREAM, MAX_REDRAWS, Sampler, Suggestion, first_unused};
use crate::history::History;
use crate::rng::{Purpose, TrialRng};
use crate::space::Point;
use crate::space::grid_index::GridIndex;
use crate::space::resolved_space::ResolvedSpace;

/// The length of the sequence.
pub(crate) const SOBOL_SAMPLES: u64 = 1 << 16;

/// Scrambled Sobol samples.
#[derive(Debug)]
pub(crate) struct Sobol {
    axes: Arc<ResolvedSpace>,
    seed: u64,
    scramble: u32,
    /// Whether a point could repeat.
    distinct: bool,
    /// The index of the points, if the space is finite.
    grid: Option<Arc<GridIndex>>,
}

impl Sobol {
    pub(crate) fn new(
        axes: Arc<ResolvedSpace>,
        seed: u64,
        distinct: bool,
        grid: Option<Arc<GridIndex>>,
    ) -> Self {
        let bits = TrialRng::new(seed, Purpose::Sampler).bits();
        let scramble = u32::try_from(bits >> 32).unwrap_or_default();
        Self { axes, seed, scramble, distinct, grid }
    }

    fn draw(&self, sample: u32) -> Option<Point> {
        self.axes.draw(|axis| {
            // Dimensions beyond those of the sequence use another scramble.
            let axis = u32::try_from(axis).unwrap_or(u32::MAX);
            let dimension = axis % sobol_burley::NUM_DIMENSIONS;
            let scramble = self.scramble.wrapping_add(axis / sobol_burley::NUM_DIMENSIONS);
            // The middle of a cell of size 2^-23, so never 0.
            f64::from(sobol_burley::sample(sample, dimension, scramble)) + 2f64.powi(-24)
        })
    }
}

impl Sampler for Sobol {
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion> {
        let start = if self.is_stateless() {
            index
        } else {
            history.suggestions().last().and_then(|last| last.draw).map_or(0, |draw| draw + 1)
        };
        let tries = if self.grid.is_some() { MAX_REDRAWS } else { SOBOL_SAMPLES };
        for draw in start..start.saturating_add(tries).min(SOBOL_SAMPLES) {
            let point = u32::try_from(draw).ok().and_then(|sample| self.draw(sample));
            match point {
                Some(point) if !self.distinct || !history.contains(&point) => {
                    return Some(Suggestion { point: Arc::new(point), draw: Some(draw) });
                }
                _ => {}
            }
        }
        let grid = self.grid.as_ref()?;
        let place = TrialRng::stream(self.seed, FIRST_STREAM.wrapping_add(index))
            .below(grid.total().max(1));
        let point = first_unused(grid, history, place)?;
        Some(Suggestion { point: Arc::new(point), draw: Some(SOBOL_SAMPLES) })
    }

    fn cardinality(&self) -> Option<u64> {
        self.grid.as_ref().map(|grid| grid.total())
    }

    fn is_stateless(&self) -> bool {
        !self.distinct && self.axes.constraints.is_empty()
    }
}
