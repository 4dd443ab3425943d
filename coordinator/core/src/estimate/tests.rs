//! Estimates of sweeps whose trials take known times.

use proptest::prelude::*;

use super::*;

/// A sweep with `done` ended trials, run by `slots` slots from second `now` on.
struct Simulation {
    /// The seconds of each trial.
    lengths: Vec<f64>,
    /// The durable seconds of each trial.
    done: Vec<f64>,
    slots: usize,
    now: f64,
    /// The value of each trial of the only parameter that matters; all are alike without it.
    values: Vec<u8>,
}

/// An estimate at one moment, and the truth.
#[derive(Debug)]
struct ReportedEstimate {
    /// The completed share of the work since this start.
    share: f64,
    estimate: Option<Estimate>,
    left: f64,
}

/// The seconds between two reports of a trial.
const TICK: f64 = 1.0;

impl Simulation {
    fn new(lengths: Vec<f64>, slots: usize) -> Self {
        Self { done: vec![0.0; lengths.len()], lengths, slots, now: 1000.0, values: Vec::new() }
    }

    fn at(&self) -> Timestamp {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
        Timestamp((self.now * 1000.0) as u64)
    }

    fn left(&self) -> f64 {
        self.lengths.iter().zip(&self.done).map(|(length, done)| length - done).sum()
    }

    /// Runs to the end, or until `stop` of the work since this start is done; checkpoints are kept.
    fn run(&mut self, stop: f64) -> Vec<ReportedEstimate> {
        let mut meter = SpeedMeter::default();
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
                    .map(|(share, estimate, at)| ReportedEstimate {
                        share,
                        estimate,
                        left: end - at,
                    })
                    .collect();
            }
            let remaining = self.remaining(&running);
            let label = |trial: u64| self.label(trial);
            let ahead = remaining.ahead.iter().map(|trial| label(*trial)).collect();
            let estimate =
                meter.estimate(&remaining, &TrialLabels { ahead, of: &label }, self.at());
            told.push((share, estimate, self.now));
            self.now += TICK;
            for trial in &running {
                self.done[*trial] = (self.done[*trial] + TICK).min(self.lengths[*trial]);
            }
        }
    }

    fn label(&self, trial: u64) -> TrialLabel {
        let value = self.values.get(usize::try_from(trial).unwrap());
        value.map(|value| Some(value.to_string())).into_iter().collect()
    }

    fn remaining(&self, running: &[usize]) -> RemainingTrials {
        let share = |trial: usize| self.done[trial] / self.lengths[trial];
        let mut remaining = RemainingTrials::default();
        for trial in 0..self.lengths.len() {
            match share(trial) {
                share if running.contains(&trial) => remaining.running.push((trial as u64, share)),
                share if share >= 1.0 => {}
                share if share > 0.0 => remaining.waiting.push((trial as u64, share)),
                _ => {
                    remaining.queued += 1;
                    remaining.ahead.push(trial as u64);
                }
            }
        }
        remaining
    }
}

/// Checks that the middle is within a factor of two once a tenth is done, or off by less than a
/// trial: the length of the last one is unknown.
#[track_caller]
fn assert_good(told: &[ReportedEstimate], trial: f64) {
    let whole = told.first().map_or(0.0, |told| told.left);
    for told in told.iter().filter(|told| told.share >= 0.1) {
        let likely = told.estimate.expect("enough is known").likely.as_secs_f64();
        let near = (likely - told.left).abs() <= trial.max(0.05 * whole);
        let factor = likely / told.left;
        assert!(near || (0.5..=2.0).contains(&factor), "{likely}: {told:?} of {whole}");
    }
}

/// Estimates if no parameter tells trials apart.
fn alike(meter: &mut SpeedMeter, remaining: &RemainingTrials, now: Timestamp) -> Option<Estimate> {
    meter.estimate(remaining, &TrialLabels { ahead: Vec::new(), of: &|_| TrialLabel::new() }, now)
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
    let mut meter = SpeedMeter::default();
    meter.begin(0, true, Timestamp(0));
    meter.report(0, 0.5, Timestamp(10_000));
    let running = RemainingTrials { running: vec![(0, 0.5)], ..RemainingTrials::default() };
    let estimate = alike(&mut meter, &running, Timestamp(10_000)).unwrap();
    assert_eq!(estimate.likely, Duration::from_secs(10));
    meter.end(0, true, Timestamp(20_000));
    let queued = RemainingTrials { queued: 5, ..RemainingTrials::default() };
    assert!(alike(&mut meter, &queued, Timestamp(21_000)).is_some(), "a slot is free for the next");
    assert_eq!(alike(&mut meter, &queued, Timestamp(60_000)), None, "nobody works on it");
}

#[test]
fn an_attempt_that_was_lost_counts_as_time_but_not_as_work() {
    let mut meter = SpeedMeter::default();
    meter.begin(0, true, Timestamp(0));
    meter.report(0, 0.5, Timestamp(10_000));
    meter.end(0, false, Timestamp(12_000));
    meter.begin(0, false, Timestamp(12_000));
    meter.report(0, 0.4, Timestamp(13_000));
    meter.report(0, 0.5, Timestamp(15_000));
    let running = RemainingTrials { running: vec![(0, 0.4)], ..RemainingTrials::default() };
    let estimate = alike(&mut meter, &running, Timestamp(15_000)).unwrap();
    assert!((9.0..=11.0).contains(&estimate.likely.as_secs_f64()), "{estimate:?}");
}

#[test]
fn slots_take_what_is_left_one_after_another() {
    for (slots, resumed, queued, count, end) in [
        (vec![5.0, 1.0], Vec::new(), Vec::new(), 0, 5.0),
        (vec![5.0, 1.0], Vec::new(), vec![10.0], 1, 11.0),
        (vec![5.0, 1.0], vec![2.0], vec![10.0], 4, 25.0),
        (vec![0.0, 0.0], Vec::new(), vec![1.0, 1.0, 1.0, 7.0], 4, 8.0),
        (vec![0.0; 3], Vec::new(), vec![0.5, 1.5], 3_000_001, 1_000_001.0),
    ] {
        let found =
            PendingWork { resumed, queued, count, ..PendingWork::default() }.makespan(slots);
        assert!((found - end).abs() < 1e-6, "{found}, not {end}");
    }
}

/// Returns trials that take `lengths[value]` seconds each.
fn of_values(lengths: &[f64], values: Vec<u8>, slots: usize) -> Simulation {
    let of = |value: &u8| lengths[usize::from(*value)];
    let lengths = values.iter().map(of).collect();
    Simulation { values, ..Simulation::new(lengths, slots) }
}

#[test]
fn cheap_trials_give_no_estimate_while_many_of_another_kind_remain() {
    // The kinds come one after another, and the last one takes eight times as long.
    let values = [[0; 4], [1; 4], [2; 4]].concat();
    let told = of_values(&[3.0, 4.0, 24.0], values, 2).run(1.0);
    for ReportedEstimate { estimate, left, .. } in &told {
        let Some(estimate) = estimate else { continue };
        let high = estimate.high.as_secs_f64();
        assert!(high >= 0.9 * left, "{estimate:?}, and {left} s were left");
    }
    // The end is known as soon as the last kind is measured.
    let late = told.iter().filter(|told| told.left < 36.0 && told.left > 1.0);
    for ReportedEstimate { estimate, left, .. } in late {
        let likely = estimate.expect("all kinds are known").likely.as_secs_f64();
        assert!((0.5..=2.0).contains(&(likely / left)), "{likely}, and {left} s were left");
    }
}

#[test]
fn queued_trials_are_weighed_by_their_value() {
    // One of each kind first, then all the cheap ones, then all the others.
    let values = [vec![0, 1], vec![0; 20], vec![1; 20]].concat();
    let told = of_values(&[4.0, 40.0], values, 1).run(1.0);
    // Both are known from a twentieth of the work on.
    for ReportedEstimate { share, estimate, left } in told.iter().filter(|told| told.share > 0.06) {
        let likely = estimate.expect("both are known").likely.as_secs_f64();
        assert!((likely - left).abs() <= 0.1 * left + 4.0, "{share}: {likely}, not {left}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Trials of different lengths on several slots, interrupted and resumed.
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

    /// Values in any order, whose lengths differ by up to a factor of six: the range contains the
    /// truth, or misses it by less than a trial.
    #[test]
    fn estimates_hold_for_trials_of_different_kinds(
        lengths in prop::collection::vec(5.0..30.0_f64, 2..5),
        order in prop::collection::vec(0..4u8, 8..60),
        sorted in any::<bool>(),
        slots in 1..5usize,
    ) {
        let kinds = u8::try_from(lengths.len()).unwrap();
        let mut values: Vec<u8> = order.iter().map(|value| value % kinds).collect();
        if sorted {
            values.sort_unstable();
        }
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        for ReportedEstimate { share, estimate, left } in of_values(&lengths, values, slots).run(1.0) {
            let Some(Estimate { low, high, .. }) = estimate.filter(|_| share >= 0.1) else { continue };
            // Reports and ends come at whole seconds.
            let near = longest + 0.1 * left;
            let (low, high) = (low.as_secs_f64() - near, high.as_secs_f64() + near);
            prop_assert!((low..=high).contains(&left), "{share}: {left} not in {low}..{high}");
        }
    }

    /// If every value was measured and determines the length, the middle is right.
    #[test]
    fn what_hangs_on_one_value_is_told_closely(
        lengths in prop::collection::vec(5.0..40.0_f64, 2..4),
        rounds in 3..10usize,
        slots in 1..4usize,
    ) {
        let kinds = u8::try_from(lengths.len()).unwrap();
        let values: Vec<u8> = (0..rounds).flat_map(|_| 0..kinds).collect();
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let one_round = 1.0 / rounds as f64 * (1.0 + slots as f64);
        for ReportedEstimate { share, estimate, left } in of_values(&lengths, values, slots).run(1.0) {
            if share < one_round.min(0.8) {
                continue;
            }
            let likely = estimate.expect("enough is known").likely.as_secs_f64();
            prop_assert!((likely - left).abs() <= longest + 0.15 * left, "{share}: {likely} {left}");
        }
    }
}
