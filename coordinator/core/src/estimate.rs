//! Estimates of the remaining time of a sweep, shared by `rheo run`, `rheo watch` and `rheo
//! status`.
//!
//! A [`SpeedMeter`] measures the work since the last start of the coordinator, in trials. A resumed
//! trial counts from the point where it resumed, so earlier work does not inflate the speed. From
//! the time that a trial takes in a slot and the remaining trials ([`RemainingTrials`]) follows the
//! time at which the last slot becomes idle, if idle slots take trials one after another.
//!
//! Trials differ in length. The length of a remaining trial is predicted from measured trials with
//! the same value of one swept parameter: the parameter that explains the lengths best, such as the
//! kind of model. A value that was never measured may take several times as long; it widens the
//! range, and if it covers much of the work, there is no estimate.
//!
//! Little measured work gives a wide range, and less than a twentieth of a trial gives no estimate.
//! Suppose that no trial takes more than twice as long as another. Once a tenth of the work since
//! the start is done, the middle of the range is within a factor of two of the truth, or off by
//! less than one trial. A test simulates this.

mod length_profile;
mod remaining_trials;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use length_profile::{ExpectedLength, LengthProfile, TrialSamples};

pub use remaining_trials::{LengthFactors, RemainingTrials, TrialLabel, TrialLabels};

/// The number of recent trials over which the speed is mostly averaged, so that it follows changes.
const AVERAGED_TRIALS: f64 = 50.0;

/// The idle time between two trials up to which a slot counts as busy.
const HANDOVER: Duration = Duration::from_secs(5);

/// The longest time for which a trial is assumed to progress without a report.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// The assumed relative spread of trial lengths, and its weight in trials.
const PRIOR_SPREAD: (f64, f64) = (0.3, 3.0);

/// The half-width of the range in standard deviations.
const RANGE_DEVIATIONS: f64 = 1.5;

/// The widest range shown, as the relative distance of its ends from the middle.
const MAX_RANGE: f64 = 2.0;

/// The least measured work that allows an estimate, in trials.
const MIN_WORK: f64 = 0.05;

/// The estimated remaining time of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The short end of the range.
    pub low: Duration,
    /// The middle of the range.
    pub likely: Duration,
    /// The long end of the range.
    pub high: Duration,
}

/// Measures the speed of the trials of one sweep.
#[derive(Debug, Clone, Default)]
pub struct SpeedMeter {
    runs: BTreeMap<u64, MeteredAttempt>,
    /// The times since which slots are idle; older ones are removed.
    idle: Vec<Timestamp>,
    /// The measured work in trials, and the slot seconds that it took.
    work: f64,
    seconds: f64,
    lengths: LengthStats,
    samples: TrialSamples,
}

/// The measurement of a running attempt.
#[derive(Debug, Clone, Copy)]
struct MeteredAttempt {
    /// The completed share at which measuring began; none until a resumed trial has reported.
    from: Option<f64>,
    /// The time at which measuring began.
    since: Timestamp,
    /// The last reported share, and its time.
    share: f64,
    told: Timestamp,
}

/// The lengths of whole trials in seconds (Welford 1962).
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

    /// Returns the standard deviation relative to the mean, shrunk towards the assumed spread while
    /// few lengths are known.
    fn spread(&self) -> f64 {
        let (assumed, worth) = PRIOR_SPREAD;
        let observed = if self.mean > 0.0 { self.squares / (self.mean * self.mean) } else { 0.0 };
        ((assumed * assumed * worth + observed) / (worth + self.count)).sqrt()
    }
}

impl SpeedMeter {
    /// Records the start of an attempt of `trial`. An attempt other than the first may resume.
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

    /// Records the completed share of `trial`.
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

    /// Records the end of the attempt of `trial`; `is_done` means that nothing of the trial is
    /// left.
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

    /// Estimates the remaining time; none while too little is known.
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

    /// Returns the remaining seconds of a running trial and their relative error.
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
        // A trial that has reported is predicted from its own speed, except at its very beginning.
        let own = run.told.since(run.since).as_secs_f64() / measured;
        let weight = (measured / 0.2).min(1.0);
        let length = if measured > 0.0 { weight * own + (1.0 - weight) * length } else { length };
        let silent = now.since(run.told).min(MAX_SILENCE).as_secs_f64();
        let left = ((1.0 - run.share) * length - silent).max(0.0);
        (left, error * (1.0 - 0.7 * weight))
    }
}

/// The trials that have no slot yet.
#[derive(Debug, Default)]
struct PendingWork {
    /// The seconds of each trial that waits for another attempt.
    resumed: Vec<f64>,
    /// The seconds of queued trials in order; a sample if there are very many.
    queued: Vec<f64>,
    /// The number of queued trials.
    count: u64,
    /// The seconds of all these trials together.
    seconds: f64,
    /// The seconds of trials similar to measured ones, and the relative error of each trial.
    seen: (f64, f64),
    /// The seconds of trials similar to no measured one, times their relative error.
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

    /// Adds a number of trials.
    fn add(&mut self, expected: ExpectedLength, trials: f64) {
        let seconds = expected.seconds * trials;
        self.seconds += seconds;
        if expected.is_seen {
            self.seen = (self.seen.0 + seconds, expected.error);
        } else {
            self.unseen += seconds * expected.error;
        }
    }

    /// Returns the error in seconds. It averages out over many trials, except for trials of which
    /// nothing is known.
    fn doubt(&self, measured: f64) -> f64 {
        let ((seconds, spread), trials) = (self.seen, self.count + self.resumed.len() as u64);
        let averaged = (1.0 / measured + 1.0 / (trials as f64).max(1.0)).sqrt();
        seconds * spread * averaged + self.unseen
    }

    /// Returns the time at which the last of `slots` becomes idle, if the first idle slot takes the
    /// next trial. `slots` holds the time for which each slot is still busy.
    fn makespan(self, mut slots: Vec<f64>) -> f64 {
        for trial in &self.resumed {
            assign_first_idle(&mut slots, *trial);
        }
        let (listed, count) = (self.queued.len() as u64, (slots.len() as u64).max(1));
        if listed == self.count {
            self.queued.iter().for_each(|trial| assign_first_idle(&mut slots, *trial));
            return slots.into_iter().fold(0.0, f64::max);
        }
        // Every slot takes the same number of trials, except for the last few.
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
