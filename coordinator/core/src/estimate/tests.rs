//! Sweeps whose trials take known times, and what is told of them on the way.

use proptest::prelude::*;

use super::*;

/// A sweep of which `done` trials have ended, run by `slots` slots from second `now` on.
struct Simulation {
    /// Seconds that each trial takes.
    lengths: Vec<f64>,
    /// Seconds of each trial that are durable.
    done: Vec<f64>,
    slots: usize,
    now: f64,
}

/// An estimate of one moment, and the truth.
#[derive(Debug)]
struct Told {
    /// Share of the work since this start that was done.
    share: f64,
    estimate: Option<Estimate>,
    left: f64,
}

/// Seconds between two reports of a trial.
const TICK: f64 = 1.0;

impl Simulation {
    fn new(lengths: Vec<f64>, slots: usize) -> Self {
        Self { done: vec![0.0; lengths.len()], lengths, slots, now: 1000.0 }
    }

    fn at(&self) -> Timestamp {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
        Timestamp((self.now * 1000.0) as u64)
    }

    fn left(&self) -> f64 {
        self.lengths.iter().zip(&self.done).map(|(length, done)| length - done).sum()
    }

    /// Runs to the end, or until `stop` of the work since this start is done; checkpoints are kept.
    fn run(&mut self, stop: f64) -> Vec<Told> {
        let mut meter = Meter::default();
        let mut running: Vec<usize> = Vec::new();
        let (before, mut tries) = (self.left(), self.done.clone());
        let mut told: Vec<(f64, Option<Estimate>, f64)> = Vec::new();
        loop {
            let ended = |trial: &usize| self.done[*trial] >= self.lengths[*trial];
            for trial in running.iter().filter(|trial| ended(trial)) {
                meter.end(*trial as u64, true, self.at());
            }
            running.retain(|trial| !ended(trial));
            let waiting = |trial: &usize| !running.contains(trial) && !ended(trial);
            let next: Vec<usize> = (0..self.lengths.len()).filter(waiting).collect();
            for trial in next.into_iter().take(self.slots - running.len()) {
                meter.begin(trial as u64, tries[trial] == 0.0, self.at());
                tries[trial] += 1.0;
                running.push(trial);
            }
            for trial in &running {
                meter.report(*trial as u64, self.done[*trial] / self.lengths[*trial], self.at());
            }
            let share = 1.0 - self.left() / before;
            if running.is_empty() || share >= stop {
                let end = self.now;
                let told = told.into_iter();
                return told
                    .map(|(share, estimate, at)| Told { share, estimate, left: end - at })
                    .collect();
            }
            let estimate = meter.estimate(&self.workload(&running), self.at());
            told.push((share, estimate, self.now));
            self.now += TICK;
            for trial in &running {
                self.done[*trial] = (self.done[*trial] + TICK).min(self.lengths[*trial]);
            }
        }
    }

    fn workload(&self, running: &[usize]) -> Workload {
        let share = |trial: usize| self.done[trial] / self.lengths[trial];
        let mut workload = Workload::default();
        for trial in 0..self.lengths.len() {
            match share(trial) {
                share if running.contains(&trial) => workload.running.push((trial as u64, share)),
                share if share >= 1.0 => {}
                share if share > 0.0 => workload.waiting.push(share),
                _ => workload.queued += 1,
            }
        }
        workload
    }
}

/// Fails unless the middle is within a factor of two once a tenth is done, or off by less than a trial:
/// nobody knows how long the last one will take.
#[track_caller]
fn assert_good(told: &[Told], trial: f64) {
    let whole = told.first().map_or(0.0, |told| told.left);
    for told in told.iter().filter(|told| told.share >= 0.1) {
        let likely = told.estimate.expect("enough is known").likely.as_secs_f64();
        let near = (likely - told.left).abs() <= trial.max(0.05 * whole);
        let factor = likely / told.left;
        assert!(near || (0.5..=2.0).contains(&factor), "{likely}: {told:?} of {whole}");
    }
}

fn steady(trials: usize, slots: usize) -> Simulation {
    Simulation::new(vec![20.0; trials], slots)
}

#[test]
fn trials_of_one_length_are_told_to_the_second() {
    for (trials, slots) in [(1, 1), (4, 4), (5, 4), (40, 2), (300, 7)] {
        let told = steady(trials, slots).run(1.0);
        assert_good(&told, 2.0 * TICK);
        for told in told.iter().filter(|told| told.share >= 0.1) {
            let likely = told.estimate.unwrap().likely.as_secs_f64();
            assert!((likely - told.left).abs() <= 2.0, "{trials} on {slots}: {likely}, {told:?}");
        }
    }
}

#[test]
fn nothing_is_told_before_anything_is_known() {
    let told = steady(40, 2).run(1.0);
    assert_eq!(told[0].estimate, None);
    let first = told.iter().find_map(|told| told.estimate.map(|estimate| (told, estimate)));
    let (first, estimate) = first.unwrap();
    assert!(first.share < 0.05, "{first:?}");
    assert!(estimate.high >= estimate.low * 2, "little is known: {estimate:?}");
    let last = told.iter().rfind(|told| told.left > 10.0).unwrap().estimate.unwrap();
    assert!(last.high <= last.low * 2, "much is known: {last:?}");
}

#[test]
fn what_was_done_before_this_start_does_not_make_it_look_faster() {
    let mut sweep = steady(40, 2);
    sweep.run(0.6);
    for told in sweep.run(1.0).iter().filter(|told| told.share >= 0.05) {
        let likely = told.estimate.unwrap().likely.as_secs_f64();
        assert!((likely - told.left).abs() <= 4.0, "{likely}: {told:?}");
    }
}

#[test]
fn a_sweep_that_does_not_go_on_has_no_end() {
    let mut meter = Meter::default();
    meter.begin(0, true, Timestamp(0));
    meter.report(0, 0.5, Timestamp(10_000));
    let running = Workload { running: vec![(0, 0.5)], ..Workload::default() };
    let estimate = meter.estimate(&running, Timestamp(10_000)).unwrap();
    assert_eq!(estimate.likely, Duration::from_secs(10));
    meter.end(0, true, Timestamp(20_000));
    let queued = Workload { queued: 5, ..Workload::default() };
    assert!(meter.estimate(&queued, Timestamp(21_000)).is_some(), "a slot is free for the next");
    assert_eq!(meter.estimate(&queued, Timestamp(60_000)), None, "nobody works on it");
}

#[test]
fn an_attempt_that_was_lost_counts_as_time_but_not_as_work() {
    let mut meter = Meter::default();
    meter.begin(0, true, Timestamp(0));
    meter.report(0, 0.5, Timestamp(10_000));
    meter.end(0, false, Timestamp(12_000));
    meter.begin(0, false, Timestamp(12_000));
    meter.report(0, 0.4, Timestamp(13_000));
    meter.report(0, 0.5, Timestamp(15_000));
    let running = Workload { running: vec![(0, 0.4)], ..Workload::default() };
    let estimate = meter.estimate(&running, Timestamp(15_000)).unwrap();
    assert!((9.0..=11.0).contains(&estimate.likely.as_secs_f64()), "{estimate:?}");
}

#[test]
fn slots_take_what_is_left_one_after_another() {
    for (slots, resumed, queued, length, end) in [
        (vec![5.0, 1.0], Vec::new(), 0, 10.0, 5.0),
        (vec![5.0, 1.0], Vec::new(), 1, 10.0, 11.0),
        (vec![5.0, 1.0], vec![2.0], 4, 10.0, 25.0),
        (vec![0.0; 3], Vec::new(), 3_000_001, 1.0, 1_000_001.0),
    ] {
        let found: f64 = makespan(slots, resumed, queued, length);
        assert!((found - end).abs() < 1e-6, "{found}, not {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Trials of different lengths on several slots, stopped and gone on with.
    #[test]
    fn estimates_hold_within_a_factor_of_two_whenever_it_was_stopped(
        lengths in prop::collection::vec(10.0..20.0_f64, 12..80),
        slots in 1..8usize,
        stop in prop::option::of(0.1..0.9_f64),
    ) {
        let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
        let mut sweep = Simulation::new(lengths, slots);
        if let Some(stop) = stop {
            sweep.run(stop);
        }
        assert_good(&sweep.run(1.0), mean);
    }
}
