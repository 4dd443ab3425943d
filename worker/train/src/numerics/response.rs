//! Numbers of a step response, and the adaptation index (science reference, 7.6 and 7.11).

use std::f64::consts::E;
use std::ops::Range;

/// Returns the mean of `trace` over the steps of `window`; NaN if empty.
pub fn mean_within(trace: &[f64], window: Range<usize>) -> f64 {
    mean(trace.get(window).unwrap_or_default().iter().copied())
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

/// Windows of a step response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepWindows {
    /// Steps before the drive.
    pub pre: Range<usize>,
    /// Steps with the drive.
    pub driven: Range<usize>,
    /// Steps at which the response has settled.
    pub steady: Range<usize>,
}

/// Numbers of a step response.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepResponse {
    /// Mean before the drive.
    pub pre: f64,
    /// Value at the first driven step.
    pub onset: f64,
    /// Mean after settling.
    pub steady: f64,
    /// Time constant: steps after the first driven one until the distance from the steady value
    /// first falls to 1/e of the initial distance. NaN if that does not happen during the drive or
    /// there is no distance.
    pub tau: f64,
}

/// Measures the step response `trace`.
pub fn step_response(trace: &[f64], windows: &StepWindows) -> StepResponse {
    let driven = trace.get(windows.driven.clone()).unwrap_or_default();
    let onset = driven.first().copied().unwrap_or(f64::NAN);
    let steady = mean_within(trace, windows.steady.clone());
    StepResponse {
        pre: mean_within(trace, windows.pre.clone()),
        onset,
        steady,
        tau: time_constant(driven, steady).unwrap_or(f64::NAN),
    }
}

fn time_constant(driven: &[f64], steady: f64) -> Option<f64> {
    let distance = (driven.first()? - steady).abs();
    if distance <= 0.0 {
        return None;
    }
    let near = driven.iter().skip(1).position(|value| (value - steady).abs() <= distance / E)?;
    Some((near + 1) as f64)
}

/// Subset of the steps in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepSubset {
    /// All steps.
    All,
    /// Even t.
    Even,
    /// Odd t.
    Odd,
}

impl StepSubset {
    /// All subsets.
    pub const ALL: [Self; 3] = [Self::All, Self::Even, Self::Odd];

    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Even => "even",
            Self::Odd => "odd",
        }
    }

    fn has(self, t: usize) -> bool {
        match self {
            Self::All => true,
            Self::Even => t.is_multiple_of(2),
            Self::Odd => !t.is_multiple_of(2),
        }
    }

    /// Returns the mean of `trace` over the steps of this subset from `first` to `last`, inclusive.
    fn mean(self, trace: &[f64], first: usize, last: usize) -> f64 {
        let steps = (first..=last).filter(|&t| self.has(t));
        mean(steps.filter_map(|t| trace.get(t).copied()))
    }
}

/// Returns the adaptation index of a response to a drive on steps 51..100: (e - l) / (|e| + |l|)
/// with the means e of steps 51..65 and l of 86..100, both relative to the mean of 36..50. Positive
/// for an adapting response, 0 without a response.
pub fn adaptation_index(trace: &[f64], subset: StepSubset) -> f64 {
    let base = subset.mean(trace, 36, 50);
    let early = subset.mean(trace, 51, 65) - base;
    let late = subset.mean(trace, 86, 100) - base;
    contrast(early, late, early.abs() + late.abs())
}

/// Returns the index of the released code, which uses steps 100..114 and 134..148, after the drive,
/// subtracts nothing, and is 0 for every negative sum.
pub fn released_adaptation_index(trace: &[f64], subset: StepSubset) -> f64 {
    let early = subset.mean(trace, 100, 114);
    let late = subset.mean(trace, 134, 148);
    contrast(early, late, early + late)
}

/// Returns (early - late) / `sum`, or 0 if the sum is too small. NaN stays NaN.
fn contrast(early: f64, late: f64, sum: f64) -> f64 {
    if sum < 1e-10 { 0.0 } else { (early - late) / sum }
}
