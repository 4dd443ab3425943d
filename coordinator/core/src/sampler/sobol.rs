//! A Sobol sequence with Owen scrambling: points that fill the space more evenly than random ones.
//!
//! Sobol I M (1967), USSR Computational Mathematics and Mathematical Physics 7:86-112; scrambling by
//! Burley B (2020), Practical hash-based Owen scrambling, Journal of Computer Graphics Techniques
//! 9(4):1-20. Axis j is dimension j; every distribution is met by its quantiles. The sequence has
//! 65,536 samples of 23 bits.
//!
//! Samples that a constraint rejects or that repeat a point are skipped; the history says where the
//! last one was found. What is left of a finite space after many misses is taken in order. Without
//! history it begins at sample 0. One sample is O(axes).

use std::sync::Arc;

use super::{FIRST_STREAM, PATIENCE, Sampler, Suggestion, first_unused};
use crate::history::History;
use crate::rng::{Purpose, TrialRng};
use crate::space::Point;
use crate::space::axes::Axes;
use crate::space::lattice::Lattice;

/// How many samples the sequence has.
pub(crate) const SAMPLES: u64 = 1 << 16;

/// Scrambled Sobol samples.
#[derive(Debug)]
pub(crate) struct Sobol {
    axes: Arc<Axes>,
    seed: u64,
    scramble: u32,
    /// Whether a point could come up twice.
    distinct: bool,
    /// The points, where they can be numbered.
    lattice: Option<Arc<Lattice>>,
}

impl Sobol {
    pub(crate) fn new(
        axes: Arc<Axes>,
        seed: u64,
        distinct: bool,
        lattice: Option<Arc<Lattice>>,
    ) -> Self {
        let bits = TrialRng::new(seed, Purpose::Sampler).bits();
        let scramble = u32::try_from(bits >> 32).unwrap_or_default();
        Self { axes, seed, scramble, distinct, lattice }
    }

    fn draw(&self, sample: u32) -> Option<Point> {
        self.axes.draw(|axis| {
            // More dimensions than the sequence has go on with those of another scramble.
            let axis = u32::try_from(axis).unwrap_or(u32::MAX);
            let dimension = axis % sobol_burley::NUM_DIMENSIONS;
            let scramble = self.scramble.wrapping_add(axis / sobol_burley::NUM_DIMENSIONS);
            // The middle of the cell of 2^-23, so never 0.
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
        let tries = if self.lattice.is_some() { PATIENCE } else { SAMPLES };
        for draw in start..start.saturating_add(tries).min(SAMPLES) {
            let point = u32::try_from(draw).ok().and_then(|sample| self.draw(sample));
            match point {
                Some(point) if !self.distinct || !history.contains(&point) => {
                    return Some(Suggestion { point: Arc::new(point), draw: Some(draw) });
                }
                _ => {}
            }
        }
        let lattice = self.lattice.as_ref()?;
        let place = TrialRng::stream(self.seed, FIRST_STREAM.wrapping_add(index))
            .below(lattice.total().max(1));
        let point = first_unused(lattice, history, place)?;
        Some(Suggestion { point: Arc::new(point), draw: Some(SAMPLES) })
    }

    fn cardinality(&self) -> Option<u64> {
        self.lattice.as_ref().map(|lattice| lattice.total())
    }

    fn is_stateless(&self) -> bool {
        !self.distinct && self.axes.constraints.is_empty()
    }
}
