//! When a sweep will have ended: one estimate for `rheo run`, `rheo watch` and `rheo status`.
//!
//! A [`Meter`] measures work since this start of the coordinator alone, in trials: a trial that
//! resumes counts from where it resumed, so nothing that was done before makes the speed look
//! higher. The time that a trial takes in a slot, and the trials that are left ([`Workload`]), give
//! the time at which the last slot falls idle, as the workers take trials one after another.
//!
//! Little measured work gives a wide range, and less than a twentieth of a trial no estimate. Once a
//! tenth of the work since this start is done, the middle of the range is within a factor of two of
//! the truth, or off by less than one trial, while no trial takes more than twice as long as another;
//! a test simulates it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sweep::{Phase, Sweep, SweepView};
use crate::time::Timestamp;

/// Trials of which the measured speed mostly is the mean, so that it follows what changes.
const MEMORY: f64 = 50.0;

/// The time for which a slot between two trials counts as busy: handing over takes part of it.
const HANDOVER: Duration = Duration::from_secs(5);

/// The longest time for which a trial is believed to go on at its speed without a report.
const SILENCE: Duration = Duration::from_secs(10);

/// The relative spread of trial lengths that is assumed, and the trials that this is worth.
const SPREAD: (f64, f64) = (0.3, 3.0);

/// Standard deviations between the middle and the ends of the range.
const WIDTH: f64 = 1.5;

/// The widest range that is shown, as the relative distance of its ends from the middle.
const WIDEST: f64 = 2.0;

/// The least work that says anything, in trials.
const LEAST: f64 = 0.05;

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

/// The work that is left of a sweep.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workload {
    /// The running trials, in order, and the share of each that is durable.
    pub running: Vec<(u64, f64)>,
    /// The shares of trials that wait for another attempt.
    pub waiting: Vec<f64>,
    /// Trials that were never started.
    pub queued: u64,
}

impl Workload {
    /// The work that is left of `sweep`; none unless it will go on by itself to its end.
    pub fn of(sweep: &Sweep) -> Option<Self> {
        let queued = match SweepView::phase_of(sweep) {
            Phase::Running => sweep.counts().queued,
            Phase::Closing => 0,
            Phase::Paused | Phase::Ended => return None,
        };
        let mut workload = Self { queued, ..Self::default() };
        for (index, trial) in &sweep.live {
            let planned = sweep.planned.trial(&sweep.history, *index);
            let epochs = planned.map_or(0, |trial| trial.config.training.epochs);
            let share = trial.covered.epochs as f64 / f64::from(epochs.max(1));
            let share = share.clamp(0.0, 1.0);
            match trial.lease {
                Some(_) => workload.running.push((*index, share)),
                None => workload.waiting.push(share),
            }
        }
        Some(workload)
    }
}

/// Measures how fast the trials of one sweep go.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    runs: BTreeMap<u64, Run>,
    /// Since when slots are idle; those that were idle for long are forgotten.
    idle: Vec<Timestamp>,
    /// Work that was measured, in trials, and the slot seconds that it took.
    work: f64,
    seconds: f64,
    lengths: Lengths,
}

/// A running attempt.
#[derive(Debug, Clone, Copy)]
struct Run {
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
struct Lengths {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Lengths {
    fn add(&mut self, length: f64) {
        self.count += 1.0;
        let before = length - self.mean;
        self.mean += before / self.count;
        self.squares += before * (length - self.mean);
    }

    /// The standard deviation relative to the mean, drawn towards the assumed one while few are known.
    fn spread(&self) -> f64 {
        let (assumed, worth) = SPREAD;
        let observed = if self.mean > 0.0 { self.squares / (self.mean * self.mean) } else { 0.0 };
        ((assumed * assumed * worth + observed) / (worth + self.count)).sqrt()
    }
}

impl Meter {
    /// Notes that an attempt of `trial` began. An attempt that is not the first may resume.
    pub fn begin(&mut self, trial: u64, is_first: bool, at: Timestamp) {
        if let Some(idle) = self.idle.pop() {
            let gap = at.since(idle);
            if gap < HANDOVER {
                self.seconds += gap.as_secs_f64();
            }
        }
        let from = is_first.then_some(0.0);
        self.runs.insert(trial, Run { from, since: at, share: 0.0, told: at });
    }

    /// Notes the share of `trial` that is done.
    pub fn report(&mut self, trial: u64, share: f64, at: Timestamp) {
        let share = share.clamp(0.0, 1.0);
        let unknown = Run { from: None, since: at, share, told: at };
        let run = self.runs.entry(trial).or_insert(unknown);
        if run.from.is_none() {
            *run = Run { from: Some(share), ..unknown };
        } else if share > run.share {
            self.work += share - run.share;
            self.seconds += at.since(run.told).as_secs_f64();
            (run.share, run.told) = (share, at);
        }
    }

    /// Notes that the attempt of `trial` ended; `is_done` if nothing of the trial is left to do.
    pub fn end(&mut self, trial: u64, is_done: bool, at: Timestamp) {
        let Some(run) = self.runs.remove(&trial) else { return };
        self.idle.push(at);
        self.idle.retain(|idle| at.since(*idle) < HANDOVER);
        let Some(from) = run.from.filter(|_| is_done) else { return };
        self.work += 1.0 - run.share;
        self.seconds += at.since(run.told).as_secs_f64();
        if from < 0.5 {
            self.lengths.add(at.since(run.since).as_secs_f64() / (1.0 - from));
        }
        let kept = (1.0 - 1.0 / MEMORY).powf(1.0 - from);
        (self.work, self.seconds) = (self.work * kept, self.seconds * kept);
    }

    /// Estimates the time that `workload` will still take; none while too little is known.
    pub fn estimate(&mut self, workload: &Workload, now: Timestamp) -> Option<Estimate> {
        let running = &workload.running;
        self.runs.retain(|trial, _| running.binary_search_by_key(trial, |(id, _)| *id).is_ok());
        if self.work < LEAST {
            return None;
        }
        let length = self.seconds / self.work;
        let spread = self.lengths.spread();
        let mut slots = Vec::with_capacity(workload.running.len());
        let mut doubt = 0.0;
        for (trial, durable) in &workload.running {
            let (left, error) = self.left_of(*trial, *durable, (length, spread), now);
            slots.push(left);
            doubt += left * error;
        }
        let known: f64 = slots.iter().sum();
        let waiting: f64 = workload.waiting.iter().map(|share| 1.0 - share).sum();
        let whole = workload.queued + workload.waiting.len() as u64;
        if whole > 0 {
            let idle = self.idle.iter().filter(|idle| now.since(**idle) < HANDOVER);
            slots.extend(idle.map(|_| 0.0));
        }
        if slots.is_empty() {
            return None;
        }
        let queued = (workload.queued as f64 + waiting) * length;
        doubt += queued * spread * (1.0 / self.work + 1.0 / (whole as f64).max(1.0)).sqrt();
        let resumed = workload.waiting.iter().map(|share| (1.0 - share) * length).collect();
        let likely = makespan(slots, resumed, workload.queued, length);
        let total = (known + queued).max(f64::MIN_POSITIVE);
        range(likely, WIDTH * doubt / total)
    }

    /// The seconds that are left of a running trial, and their relative error.
    fn left_of(
        &self,
        trial: u64,
        durable: f64,
        (length, spread): (f64, f64),
        now: Timestamp,
    ) -> (f64, f64) {
        let Some(run) = self.runs.get(&trial) else { return ((1.0 - durable) * length, spread) };
        let Some(from) = run.from else { return ((1.0 - durable) * length, spread) };
        let measured = run.share - from;
        // A trial that has told something goes at its own speed; the first moments say little.
        let own = run.told.since(run.since).as_secs_f64() / measured;
        let weight = (measured / 0.2).min(1.0);
        let length = if measured > 0.0 { weight * own + (1.0 - weight) * length } else { length };
        let silent = now.since(run.told).min(SILENCE).as_secs_f64();
        let left = ((1.0 - run.share) * length - silent).max(0.0);
        (left, spread * (1.0 - 0.7 * weight))
    }
}

fn range(likely: f64, error: f64) -> Option<Estimate> {
    if error.is_nan() || error > WIDEST {
        return None;
    }
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    Some(Estimate {
        low: seconds(likely / (1.0 + error))?,
        likely: seconds(likely)?,
        high: seconds(likely * (1.0 + error))?,
    })
}

/// The time at which the last of `slots`, which are busy for so long, falls idle, if whichever falls
/// idle first takes one of the `resumed` trials, then one of the `queued`, each of which takes `length`.
fn makespan(mut slots: Vec<f64>, resumed: Vec<f64>, queued: u64, length: f64) -> f64 {
    for trial in resumed {
        take(&mut slots, trial);
    }
    // All slots take the same number of trials but for the last few.
    let count = (slots.len() as u64).max(1);
    let (rounds, rest) = (queued / count, queued % count);
    for slot in &mut slots {
        *slot += rounds as f64 * length;
    }
    for _ in 0..rest {
        take(&mut slots, length);
    }
    slots.into_iter().fold(0.0, f64::max)
}

fn take(slots: &mut [f64], seconds: f64) {
    if let Some(first) = slots.iter_mut().min_by(|a, b| a.total_cmp(b)) {
        *first += seconds;
    }
}

#[cfg(test)]
mod tests;
