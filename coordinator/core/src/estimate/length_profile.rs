//! Trial lengths by the value of one parameter: the one that explains them best.
//!
//! One parameter is enough where it matters, such as the kind of model. With several, there would
//! be too few measured trials for each combination.

use std::collections::{BTreeMap, BTreeSet};

use super::remaining_trials::TrialLabel;
use super::{MIN_WORK, PRIOR_SPREAD};

/// The largest number of measured trials kept.
const MAX_SAMPLES: usize = 512;

/// The share of the variance that a parameter must explain to be used.
const EXPLAINED: f64 = 0.5;

/// The relative error of the length of a trial with an unmeasured value.
const UNSEEN: f64 = 4.0;

/// The measured part of a trial.
#[derive(Debug, Clone, Default)]
struct TrialSample {
    /// The measured share of the trial.
    work: f64,
    seconds: f64,
    label: Option<TrialLabel>,
}

/// The measured trials.
#[derive(Debug, Clone, Default)]
pub(super) struct TrialSamples(BTreeMap<u64, TrialSample>);

impl TrialSamples {
    /// Records that `work` of a trial took `seconds`.
    pub(super) fn add(&mut self, trial: u64, work: f64, seconds: f64) {
        let sample = self.0.entry(trial).or_default();
        (sample.work, sample.seconds) = (sample.work + work, sample.seconds + seconds);
        if self.0.len() > MAX_SAMPLES {
            self.0.pop_first();
        }
    }

    /// Fits a profile; `length` is the mean length of all trials, and `spread` their relative
    /// spread.
    pub(super) fn profile(
        &mut self,
        label: &dyn Fn(u64) -> TrialLabel,
        length: f64,
        spread: f64,
    ) -> LengthProfile {
        for (trial, sample) in &mut self.0 {
            sample.label.get_or_insert_with(|| label(*trial));
        }
        let measured: Vec<MeasuredTrial<'_>> =
            self.0.values().filter_map(MeasuredTrial::of).collect();
        let parameters = measured.first().map_or(0, |first| first.label.len());
        let seen = (0..parameters).map(|parameter| values(&measured, parameter)).collect();
        let whole = scatter(&measured, &mean(&measured).into_iter().collect(), None);
        let explained = (0..parameters).map(|parameter| {
            let means = means(&measured, parameter);
            (scatter(&measured, &means, Some(parameter)), parameter, means)
        });
        let best = explained.min_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let best =
            best.filter(|(rest, _, means)| means.len() > 1 && *rest <= (1.0 - EXPLAINED) * whole);
        match best {
            Some((rest, parameter, means)) => {
                let spread = residual(rest, &measured);
                LengthProfile { length, spread, seen, lengths: Some((parameter, means)) }
            }
            None => LengthProfile { length, spread, seen, lengths: None },
        }
    }
}

/// A trial whose measured part is long enough to use.
#[derive(Debug)]
struct MeasuredTrial<'s> {
    length: f64,
    work: f64,
    label: &'s TrialLabel,
}

impl<'s> MeasuredTrial<'s> {
    fn of(sample: &'s TrialSample) -> Option<Self> {
        let label = sample.label.as_ref()?;
        let length = sample.seconds / sample.work;
        (sample.work >= MIN_WORK).then_some(Self { length, work: sample.work, label })
    }
}

/// Mean lengths by value.
type MeanLengths = BTreeMap<Option<String>, f64>;

fn values(measured: &[MeasuredTrial<'_>], parameter: usize) -> BTreeSet<Option<String>> {
    measured.iter().filter_map(|one| one.label.get(parameter).cloned()).collect()
}

/// Returns the mean length of all trials, keyed by no value.
fn mean(measured: &[MeasuredTrial<'_>]) -> Option<(Option<String>, f64)> {
    let work: f64 = measured.iter().map(|one| one.work).sum();
    let seconds: f64 = measured.iter().map(|one| one.work * one.length).sum();
    (work > 0.0).then(|| (None, seconds / work))
}

fn means(measured: &[MeasuredTrial<'_>], parameter: usize) -> MeanLengths {
    let mut sums: BTreeMap<Option<String>, (f64, f64)> = BTreeMap::new();
    for one in measured {
        let value = one.label.get(parameter).cloned().flatten();
        let (work, seconds) = sums.entry(value).or_default();
        (*work, *seconds) = (*work + one.work, *seconds + one.work * one.length);
    }
    sums.into_iter().map(|(value, (work, seconds))| (value, seconds / work)).collect()
}

/// Returns the sum of squared deviations of lengths from the means of their values.
fn scatter(measured: &[MeasuredTrial<'_>], means: &MeanLengths, parameter: Option<usize>) -> f64 {
    let square = |one: &MeasuredTrial<'_>| {
        let value = parameter.and_then(|parameter| one.label.get(parameter)?.clone());
        let mean = means.get(&value).copied().unwrap_or(one.length);
        one.work * (one.length - mean).powi(2)
    };
    measured.iter().map(square).sum()
}

/// Returns the relative spread that remains within the values, shrunk towards the assumed spread
/// while few lengths are known.
fn residual(rest: f64, measured: &[MeasuredTrial<'_>]) -> f64 {
    let (assumed, worth) = PRIOR_SPREAD;
    let work: f64 = measured.iter().map(|one| one.work).sum();
    let mean = mean(measured).map_or(1.0, |(_, mean)| mean);
    ((assumed * assumed * worth + rest / (mean * mean)) / (worth + work)).sqrt()
}

/// The expected lengths of trials.
#[derive(Debug)]
pub(super) struct LengthProfile {
    /// The mean length of all trials.
    length: f64,
    /// The relative spread of trials with measured values.
    spread: f64,
    /// The measured values of each parameter.
    seen: Vec<BTreeSet<Option<String>>>,
    /// The explaining parameter, and the mean length for each of its values.
    lengths: Option<(usize, MeanLengths)>,
}

impl LengthProfile {
    /// Returns the expected length of a trial.
    pub(super) fn of(&self, label: &TrialLabel) -> ExpectedLength {
        let is_seen = label.iter().zip(&self.seen).all(|(value, seen)| seen.contains(value));
        let mean = self
            .lengths
            .as_ref()
            .and_then(|(parameter, means)| means.get(label.get(*parameter)?).copied());
        let seconds = mean.unwrap_or(self.length);
        if is_seen {
            ExpectedLength { seconds, error: self.spread, is_seen }
        } else {
            ExpectedLength { seconds, error: UNSEEN, is_seen }
        }
    }
}

/// The expected length of a trial.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpectedLength {
    pub(super) seconds: f64,
    /// The relative error.
    pub(super) error: f64,
    /// Whether each of its values was measured.
    pub(super) is_seen: bool,
}
