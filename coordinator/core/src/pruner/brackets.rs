//! Brackets: groups of points that are compared among themselves, each with its own rungs.
//!
//! The bracket of a trial follows from the number of its point, so all seeds of a point are in the
//! same bracket, and a replay assigns the same ones.

use super::rungs;

/// The rungs of each bracket, and the assignment of points to brackets.
#[derive(Debug, Clone, PartialEq)]
pub struct Brackets {
    /// The rungs of each bracket, in epochs.
    ladders: Vec<Vec<u32>>,
    /// The brackets of points 0, 1 and so on; then it repeats. Never empty.
    cycle: Vec<usize>,
    /// The number of trials of each point.
    seeds: u64,
}

/// The largest number of points after which the assignment repeats.
const MAX_CYCLE: f64 = 4096.0;

impl Brackets {
    /// Creates a single bracket.
    pub fn single(ladder: Vec<u32>, seeds: u64) -> Self {
        Self { ladders: vec![ladder], cycle: vec![0], seeds: seeds.max(1) }
    }

    /// Creates the brackets of Hyperband: bracket b of 0 to B begins at `first * eta^b`, where
    /// `first * eta^B` is at most `last`. With s = B - b, it gets a share of
    /// ceil((B + 1) / (s + 1) * eta^s) of the points (Li et al. 2018, algorithm 1), so that all
    /// brackets train for about as many epochs.
    pub fn hyperband(first: u32, last: u32, eta: f64, seeds: u64) -> Self {
        let eta = eta.max(rungs::MIN_ETA);
        let mut starts = vec![f64::from(first.max(1))];
        let mut next = f64::from(first.max(1)) * eta;
        while next <= f64::from(last) * (1.0 + rungs::ROUNDING) {
            starts.push(next);
            next *= eta;
        }
        let all = rungs::geometric(first, eta);
        let ladder = |start: &f64| {
            let from = all.partition_point(|rung| f64::from(*rung) < start.floor());
            all.get(from..).unwrap_or_default().to_vec()
        };
        let most = starts.len() as f64;
        let weight = |b: usize| {
            let s = most - 1.0 - b as f64;
            (most / (s + 1.0) * eta.powf(s)).ceil()
        };
        let weights: Vec<f64> = (0..starts.len()).map(weight).collect();
        Self {
            ladders: starts.iter().map(ladder).collect(),
            cycle: interleaved(&weights),
            seeds: seeds.max(1),
        }
    }

    /// Returns the rungs of each bracket.
    pub fn ladders(&self) -> &[Vec<u32>] {
        &self.ladders
    }

    /// Returns the share of the points that each bracket gets.
    pub fn shares(&self) -> Vec<f64> {
        let count = |bracket| self.cycle.iter().filter(|one| **one == bracket).count() as f64;
        (0..self.ladders.len()).map(|bracket| count(bracket) / self.cycle.len() as f64).collect()
    }

    /// Returns the bracket of `trial`.
    pub fn of_trial(&self, trial: u64) -> usize {
        let position = (trial / self.seeds) % self.cycle.len() as u64;
        usize::try_from(position).ok().and_then(|at| self.cycle.get(at)).copied().unwrap_or(0)
    }

    /// Returns the rungs of `trial`.
    pub fn ladder(&self, trial: u64) -> &[u32] {
        self.ladders.get(self.of_trial(trial)).map_or(&[], Vec::as_slice)
    }
}

/// Returns a cycle in which bracket b occurs in proportion to `weights[b]`, spread evenly: each
/// position goes to the bracket that lags most behind its share.
fn interleaved(weights: &[f64]) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    let scale = (MAX_CYCLE / total).min(1.0);
    let weights: Vec<f64> =
        weights.iter().map(|weight| (weight * scale).round().max(1.0)).collect();
    let total: f64 = weights.iter().sum();
    let mut credit = vec![0.0; weights.len()];
    let mut cycle = Vec::new();
    while (cycle.len() as f64) < total {
        credit.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += weight);
        let ahead = credit.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let next = credit.iter().position(|credit| *credit >= ahead).unwrap_or(0);
        if let Some(credit) = credit.get_mut(next) {
            *credit -= total;
        }
        cycle.push(next);
    }
    cycle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyperband_gives_each_bracket_its_rungs_and_its_share() {
        let brackets = Brackets::hyperband(1, 27, 3.0, 2);
        let below = |ladder: &Vec<u32>| {
            ladder.iter().copied().filter(|rung| *rung < 27).collect::<Vec<_>>()
        };
        let ladders: Vec<Vec<u32>> = brackets.ladders().iter().map(below).collect();
        assert_eq!(ladders, [vec![1, 3, 9], vec![3, 9], vec![9], vec![]]);
        // 27, 12, 6 and 4 points of 49.
        let counts: Vec<f64> =
            brackets.shares().iter().map(|share| (share * 49.0).round()).collect();
        assert_eq!(counts, [27.0, 12.0, 6.0, 4.0]);
        // Both seeds of a point are in one bracket, and every few points each bracket has one.
        assert_eq!(brackets.of_trial(6), brackets.of_trial(7));
        let early: Vec<usize> = (0..40).step_by(2).map(|trial| brackets.of_trial(trial)).collect();
        assert!((0..4).all(|bracket| early.contains(&bracket)), "{early:?}");
    }

    #[test]
    fn a_long_cycle_is_shortened() {
        let brackets = Brackets::hyperband(1, 10_000_000, 1.5, 1);
        assert!((brackets.cycle.len() as f64) < 2.0 * MAX_CYCLE);
        assert!(brackets.shares().iter().all(|share| *share > 0.0));
    }
}
