//! When a sweep will have ended: one estimate for `rheo run`, `rheo watch` and `rheo status`.
//!
//! A [`SpeedMeter`] measures work since this start of the coordinator alone, in trials: a trial that
//! resumes counts from where it resumed, so nothing that was done before makes the speed look
//! higher. The time that a trial takes in a slot, and the trials that are left ([`RemainingTrials`]), give
//! the time at which the last slot falls idle, as the workers take trials one after another.
//!
//! Trials differ in length: those that are left are weighed by what was measured of trials with the
//! same value of the swept parameter that explains the lengths best (the kind of model, for
//! example). A trial with a value that no measured trial has may take several times as long: it
//! widens the range, and where much of the work is of that kind, there is no estimate.
//!
//! Little measured work gives a wide range, and less than a twentieth of a trial no estimate. Once a
//! tenth of the work since this start is done, the middle of the range is within a factor of two of
//! the truth, or off by less than one trial, while no trial takes more than twice as long as another;
//! a test simulates it.

mod length_profile;
mod remaining_trials;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use length_profile::{ExpectedLength, LengthProfile, TrialSamples};

pub use remaining_trials::{LengthFactors, RemainingTrials, TrialLabel, TrialLabels};

/// Trials of which the measured speed mostly is the mean, so that it follows what changes.
const AVERAGED_TRIALS: f64 = 50.0;

/// The time for which a slot between two trials counts as busy: handing over takes part of it.
const HANDOVER: Duration = Duration::from_secs(5);

/// The longest time for which a trial is believed to go on at its speed without a report.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// The relative spread of trial lengths that is assumed, and the trials that this is worth.
const PRIOR_SPREAD: (f64, f64) = (0.3, 3.0);

/// Standard deviations between the middle and the ends of the range.
const RANGE_DEVIATIONS: f64 = 1.5;

/// The widest range that is shown, as the relative distance of its ends from the middle.
const MAX_RANGE: f64 = 2.0;

/// The least work that says anything, in trials.
const MIN_WORK: f64 = 0.05;

/// The time that a sweep will still take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The short end of the range.
    pub low: Duration,
    /// The middle of the range.
    pub likely: Duration,
    /// The long end of the range.
    pub high: Duration,
}

/// Measures how fast the trials of one sweep go.
#[derive(Debug, Clone, Default)]
pub struct SpeedMeter {
    runs: BTreeMap<u64, MeteredAttempt>,
    /// Since when slots are idle; those that were idle for long are forgotten.
    idle: Vec<Timestamp>,
    /// Work that was measured, in trials, and the slot seconds that it took.
    work: f64,
    seconds: f64,
    lengths: LengthStats,
    samples: TrialSamples,
}

/// A running attempt.
#[derive(Debug, Clone, Copy)]
struct MeteredAttempt {
    /// The share at which measuring began; none until a resumed trial tells its own.
    from: Option<f64>,
    /// When that was.
    since: Timestamp,
    /// The share that was told last, and when.
    share: f64,
    told: Timestamp,
}

/// Lengths of whole trials, in seconds (Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
struct LengthStats {
    count: f64,
    mean: f64,
    squares: f64,
}

impl LengthStats {
    fn add(&mut self, length: f64) {
        self.count += 1.0;
        let before = length - self.mean;
        self.mean += before / self.count;
        self.squares += before * (length - self.mean);
    }

    /// The standard deviation relative to the mean, drawn towards the assumed one while few are known.
    fn spread(&self) -> f64 {
        let (assumed, worth) = PRIOR_SPREAD;
        let observed = if self.mean > 0.0 { self.squares / (self.mean * self.mean) } else { 0.0 };
        ((assumed * assumed * worth + observed) / (worth + self.count)).sqrt()
    }
}

impl SpeedMeter {
    /// Notes that an attempt of `trial` began. An attempt that is not the first may resume.
    pub fn begin(&mut self, trial: u64, is_first: bool, at: Timestamp) {
        if let Some(idle) = self.idle.pop() {
            let gap = at.since(idle);
            if gap < HANDOVER {
                self.seconds += gap.as_secs_f64();
            }
        }
        let from = is_first.then_some(0.0);
        self.runs.insert(trial, MeteredAttempt { from, since: at, share: 0.0, told: at });
    }

    /// Notes the share of `trial` that is done.
    pub fn report(&mut self, trial: u64, share: f64, at: Timestamp) {
        let share = share.clamp(0.0, 1.0);
        let unknown = MeteredAttempt { from: None, since: at, share, told: at };
        let run = self.runs.entry(trial).or_insert(unknown);
        if run.from.is_none() {
            *run = MeteredAttempt { from: Some(share), ..unknown };
        } else if share > run.share {
            let (work, seconds) = (share - run.share, at.since(run.told).as_secs_f64());
            self.samples.add(trial, work, seconds);
            (self.work, self.seconds) = (self.work + work, self.seconds + seconds);
            (run.share, run.told) = (share, at);
        }
    }

    /// Notes that the attempt of `trial` ended; `is_done` if nothing of the trial is left to do.
    pub fn end(&mut self, trial: u64, is_done: bool, at: Timestamp) {
        let Some(run) = self.runs.remove(&trial) else { return };
        self.idle.push(at);
        self.idle.retain(|idle| at.since(*idle) < HANDOVER);
        let Some(from) = run.from.filter(|_| is_done) else { return };
        let (work, seconds) = (1.0 - run.share, at.since(run.told).as_secs_f64());
        self.samples.add(trial, work, seconds);
        (self.work, self.seconds) = (self.work + work, self.seconds + seconds);
        if from < 0.5 {
            self.lengths.add(at.since(run.since).as_secs_f64() / (1.0 - from));
        }
        let kept = (1.0 - 1.0 / AVERAGED_TRIALS).powf(1.0 - from);
        (self.work, self.seconds) = (self.work * kept, self.seconds * kept);
    }

    /// Estimates the time that `remaining_trials` will still take; none while too little is known.
    pub fn estimate(
        &mut self,
        remaining: &RemainingTrials,
        labels: &TrialLabels<'_>,
        now: Timestamp,
    ) -> Option<Estimate> {
        let running = &remaining.running;
        self.runs.retain(|trial, _| running.binary_search_by_key(trial, |(id, _)| *id).is_ok());
        if self.work < MIN_WORK {
            return None;
        }
        let length = self.seconds / self.work;
        let profile = self.samples.profile(labels.of, length, self.lengths.spread());
        let mut slots = Vec::with_capacity(remaining.running.len());
        let mut doubt = 0.0;
        for (trial, durable) in &remaining.running {
            let expected = profile.of(&(labels.of)(*trial));
            let (left, error) = self.left_of(*trial, *durable, expected, now);
            slots.push(left);
            doubt += left * error;
        }
        if remaining.queued > 0 || !remaining.waiting.is_empty() {
            let idle = self.idle.iter().filter(|idle| now.since(**idle) < HANDOVER);
            slots.extend(idle.map(|_| 0.0));
        }
        if slots.is_empty() {
            return None;
        }
        let known: f64 = slots.iter().sum();
        let ahead = PendingWork::of(remaining, labels, &profile);
        doubt += ahead.doubt(self.work);
        let total = (known + ahead.seconds).max(f64::MIN_POSITIVE);
        range(ahead.makespan(slots), RANGE_DEVIATIONS * doubt / total)
    }

    /// The seconds that are left of a running trial, and their relative error.
    fn left_of(
        &self,
        trial: u64,
        durable: f64,
        expected: ExpectedLength,
        now: Timestamp,
    ) -> (f64, f64) {
        let ExpectedLength { seconds: length, error, .. } = expected;
        let Some(run) = self.runs.get(&trial) else { return ((1.0 - durable) * length, error) };
        let Some(from) = run.from else { return ((1.0 - durable) * length, error) };
        let measured = run.share - from;
        // A trial that has told something goes at its own speed; the first moments say little.
        let own = run.told.since(run.since).as_secs_f64() / measured;
        let weight = (measured / 0.2).min(1.0);
        let length = if measured > 0.0 { weight * own + (1.0 - weight) * length } else { length };
        let silent = now.since(run.told).min(MAX_SILENCE).as_secs_f64();
        let left = ((1.0 - run.share) * length - silent).max(0.0);
        (left, error * (1.0 - 0.7 * weight))
    }
}

/// The trials that no slot has yet.
#[derive(Debug, Default)]
struct PendingWork {
    /// The seconds of each trial that waits for another attempt.
    resumed: Vec<f64>,
    /// The seconds of queued trials in their order, of all or of some.
    queued: Vec<f64>,
    /// The number of queued trials.
    count: u64,
    /// The seconds of all of them together.
    seconds: f64,
    /// The part of that of trials like those that were measured, and its relative error for each.
    seen: (f64, f64),
    /// The part of trials like none that was measured, times their relative error.
    unseen: f64,
}

impl PendingWork {
    fn of(remaining: &RemainingTrials, labels: &TrialLabels<'_>, profile: &LengthProfile) -> Self {
        let mut ahead = Self { count: remaining.queued, ..Self::default() };
        for (trial, share) in &remaining.waiting {
            let expected = profile.of(&(labels.of)(*trial));
            ahead.resumed.push((1.0 - share) * expected.seconds);
            ahead.add(expected, 1.0 - share);
        }
        let like_all = [TrialLabel::new()];
        let queued = if labels.ahead.is_empty() { &like_all[..] } else { &labels.ahead };
        let each = remaining.queued as f64 / queued.len() as f64;
        for label in queued.iter().filter(|_| remaining.queued > 0) {
            let expected = profile.of(label);
            ahead.queued.push(expected.seconds);
            ahead.add(expected, each);
        }
        ahead
    }

    /// Adds so many trials.
    fn add(&mut self, expected: ExpectedLength, trials: f64) {
        let seconds = expected.seconds * trials;
        self.seconds += seconds;
        if expected.is_seen {
            self.seen = (self.seen.0 + seconds, expected.error);
        } else {
            self.unseen += seconds * expected.error;
        }
    }

    /// The error in seconds, if so many trials were measured: it averages out over many trials, but
    /// not over those of which nothing is known.
    fn doubt(&self, measured: f64) -> f64 {
        let ((seconds, spread), trials) = (self.seen, self.count + self.resumed.len() as u64);
        let averaged = (1.0 / measured + 1.0 / (trials as f64).max(1.0)).sqrt();
        seconds * spread * averaged + self.unseen
    }

    /// The time at which the last of `slots`, which are busy for so long, falls idle, if whichever
    /// falls idle first takes the next trial.
    fn makespan(self, mut slots: Vec<f64>) -> f64 {
        for trial in &self.resumed {
            assign_first_idle(&mut slots, *trial);
        }
        let (listed, count) = (self.queued.len() as u64, (slots.len() as u64).max(1));
        if listed == self.count {
            self.queued.iter().for_each(|trial| assign_first_idle(&mut slots, *trial));
            return slots.into_iter().fold(0.0, f64::max);
        }
        // All slots take the same number of trials but for the last few.
        let length = self.queued.iter().sum::<f64>() / listed as f64;
        let (rounds, rest) = (self.count / count, self.count % count);
        for slot in &mut slots {
            *slot += rounds as f64 * length;
        }
        for _ in 0..rest {
            assign_first_idle(&mut slots, length);
        }
        slots.into_iter().fold(0.0, f64::max)
    }
}

fn range(likely: f64, error: f64) -> Option<Estimate> {
    if error.is_nan() || error > MAX_RANGE {
        return None;
    }
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    Some(Estimate {
        low: seconds(likely / (1.0 + error))?,
        likely: seconds(likely)?,
        high: seconds(likely * (1.0 + error))?,
    })
}

fn assign_first_idle(slots: &mut [f64], seconds: f64) {
    if let Some(first) = slots.iter_mut().min_by(|a, b| a.total_cmp(b)) {
        *first += seconds;
    }
}

#[cfg(test)]
mod tests;
