//! Tests of the pruners.

use proptest::prelude::*;

use super::*;
use crate::definition::{HalvingMode, SearchMethod, SweepDefinition};
use crate::history::{HistoryRetention, TrialEnding, TrialHistory};
use crate::id::SweepName;
use crate::metric::{Goal, Objective};
use crate::name::{MetricName, WorkloadName};
use crate::space::Space;

fn definition(rule: EarlyTermination, goal: Goal) -> SweepDefinition {
    SweepDefinition {
        name: SweepName::parse("demo").unwrap(),
        workload: WorkloadName::of("demo"),
        description: None,
        method: SearchMethod::Grid,
        objective: Objective { name: MetricName::of("loss"), goal, target: None },
        base: serde_json::json!({}),
        space: Space::default(),
        seeds: vec![0],
        aggregate: crate::ranking::AggregateRule::default(),
        seed: 0,
        run_cap: None,
        enqueue: Vec::new(),
        max_failed_trials: None,
        stop: crate::definition::StopRules::default(),
        retry: crate::definition::RetryPolicy::default(),
        early_terminate: Some(rule),
    }
}

/// A history with its pruner.
struct Judge {
    pruner: Arc<dyn Pruner>,
    history: History,
}

impl Judge {
    fn new(rule: EarlyTermination, goal: Goal) -> Self {
        let pruner = of(&definition(rule, goal)).unwrap();
        let keeps = HistoryRetention { points: false, reports: true };
        let mut history = History::new(keeps, 1, goal);
        history.compare(pruner.comparison());
        Self { pruner, history }
    }

    /// Commits the next values of a trial, judges it, and stops it if that is the verdict.
    fn commit(&mut self, trial: u64, values: &[f64]) -> Verdict {
        let first = self.history.trial(trial).map_or(0, TrialHistory::epochs);
        for (epoch, value) in (first..).zip(values) {
            self.history.record_report(trial, epoch, *value);
        }
        self.history.record_judgement(trial);
        assert!(self.history.is_ranked());
        let verdict = self.pruner.judge(&self.history, trial);
        if let Verdict::Stop { epochs } = verdict {
            self.history.record_stop(trial, epochs);
            assert!(self.history.is_ranked());
        }
        verdict
    }

    /// Commits like [`Judge::commit`], and returns the number of epochs at which the trial stops.
    fn stop(&mut self, trial: u64, values: &[f64]) -> Option<u32> {
        match self.commit(trial, values) {
            Verdict::Stop { epochs } => Some(epochs),
            _ => None,
        }
    }
}

const ASHA: EarlyTermination =
    EarlyTermination::Asha { min_epochs: 1, eta: 2.0, mode: HalvingMode::Stop };

#[test]
fn asha_lets_the_best_of_those_that_reached_a_rung_pass() {
    let mut judge = Judge::new(ASHA, Goal::Maximize);
    let mut stops = Vec::new();
    for (trial, value) in (0..).zip([0.5, 0.4, 0.6, 0.55, 0.7, 0.1]) {
        stops.push(judge.stop(trial, &[value]));
    }
    // The first of all continues; after that, the best half, rounded down, and at least one.
    assert_eq!(stops, [None, Some(1), None, None, None, Some(1)]);
    // Between rungs, nothing is judged, however bad.
    assert_eq!(judge.stop(0, &[0.9]), None, "the first at the second rung");
    assert_eq!(judge.stop(2, &[0.1]), Some(2), "the second at the second rung");
    assert_eq!(judge.stop(0, &[0.0]), None, "no rung at 3 epochs");
}

#[test]
fn a_rung_between_two_commits_is_judged_once_by_its_own_value() {
    let mut judge = Judge::new(ASHA, Goal::Minimize);
    assert_eq!(judge.commit(0, &[0.3]), Verdict::Continue);
    // Worse after 1 epoch, best after 3.
    assert_eq!(judge.stop(1, &[0.4, 0.2, 0.1]), Some(1));
    assert_eq!(judge.commit(1, &[]), Verdict::Continue, "judged already");
    assert_eq!(judge.commit(0, &[0.3]), Verdict::Continue, "the first at the second rung");
    assert_eq!(judge.stop(2, &[0.2, 0.9, 0.9]), Some(2), "by the rung at 2 epochs");
}

#[test]
fn epochs_after_a_stop_count_for_no_comparison() {
    let mut judge = Judge::new(ASHA, Goal::Minimize);
    assert_eq!(judge.stop(0, &[0.1]), None);
    // The best after 2 and 4 epochs, but it should have ended after the first.
    assert_eq!(judge.stop(1, &[0.2, 0.0, 0.0, 0.0]), Some(1));
    assert_eq!(judge.stop(0, &[0.1, 0.1, 0.1]), None, "the first at the rungs 2 and 4");
    // What it commits before it learns of its end counts no more either.
    judge.history.record_report(1, 4, 0.0);
    assert!(judge.history.is_ranked());
    // A stop that is taken back.
    judge.history.reopen(1);
    assert!(judge.history.is_ranked());
    assert_eq!(judge.stop(2, &[0.05, 0.1]), Some(2), "the third of three");
}

#[test]
fn values_that_are_not_finite_and_diverged_trials_are_the_worst() {
    for goal in [Goal::Minimize, Goal::Maximize] {
        let mut judge = Judge::new(ASHA, goal);
        assert_eq!(judge.commit(0, &[f64::NAN]), Verdict::Continue, "nothing to compare with");
        assert_eq!(judge.stop(1, &[f64::INFINITY]), Some(1));
        assert_eq!(judge.commit(2, &[0.5]), Verdict::Continue);
        // A trial that diverges before the rung counts as the worst there.
        judge.history.record_end(3, TrialEnding::Diverged, None);
        assert!(judge.history.is_ranked());
        assert_eq!(judge.commit(4, &[0.5]), Verdict::Continue, "the second of five; 0.5 ties");
        judge.history.forget(3);
        assert!(judge.history.is_ranked());
    }
}

#[test]
fn the_rule_of_wandb_keeps_ties_and_one_more_unless_it_is_strict() {
    let rule = |strict| EarlyTermination::Bands {
        min_iter: Some(1),
        max_iter: None,
        s: None,
        eta: 3.0,
        strict,
    };
    for (strict, stopped) in [(false, vec![1, 4, 5]), (true, vec![1, 2, 3, 4, 5])] {
        let mut judge = Judge::new(rule(strict), Goal::Minimize);
        let values = [0.1, 0.2, 0.2, 0.2, 0.3, 0.4];
        let stops: Vec<u64> = (0..)
            .zip(values)
            .filter(|(trial, value)| judge.stop(*trial, &[*value]).is_some())
            .map(|(trial, _)| trial)
            .collect();
        assert_eq!(stops, stopped, "strict: {strict}");
    }
}

#[test]
fn the_median_rule_waits_for_trials_and_forgives_a_dip() {
    let rule = EarlyTermination::Percentile { percentile: 50.0, warmup_epochs: 1, min_trials: 3 };
    let mut judge = Judge::new(rule, Goal::Maximize);
    assert_eq!(judge.commit(0, &[0.5, 0.6]), Verdict::Continue);
    assert_eq!(judge.commit(1, &[0.1, 0.1]), Verdict::Continue, "two trials are too few");
    assert_eq!(judge.commit(2, &[0.4]), Verdict::Continue, "in the warm-up");
    assert_eq!(judge.commit(2, &[0.05]), Verdict::Continue, "0.4 is better than the median 0.1");
    assert_eq!(judge.stop(3, &[0.05, 0.05]), Some(2), "0.05 is not");
    let mut judge = Judge::new(
        EarlyTermination::Percentile { percentile: 50.0, warmup_epochs: 0, min_trials: 1 },
        Goal::Maximize,
    );
    assert_eq!(judge.commit(0, &[0.5, 0.5]), Verdict::Continue);
    assert_eq!(judge.commit(1, &[0.7, 0.2]), Verdict::Continue, "its best value counts");
    assert_eq!(judge.stop(2, &[0.4]), Some(1));
}

#[test]
fn patience_ends_with_the_last_epoch_without_an_improvement() {
    let rule = |patience, min_delta, warmup_epochs| EarlyTermination::Patience {
        patience,
        min_delta,
        warmup_epochs,
    };
    let mut judge = Judge::new(rule(2, 0.1, 0), Goal::Minimize);
    assert_eq!(judge.commit(0, &[1.0, 0.95, 0.89]), Verdict::Continue);
    assert_eq!(judge.commit(0, &[0.85]), Verdict::Continue, "one epoch");
    assert_eq!(judge.stop(0, &[0.80]), Some(5), "no improvement by more than 0.1");
    let mut judge = Judge::new(rule(1, 0.0, 4), Goal::Maximize);
    assert_eq!(judge.commit(0, &[0.5, 0.4, 0.3]), Verdict::Continue, "in the warm-up");
    assert_eq!(judge.commit(0, &[0.6]), Verdict::Continue, "better again");
    assert_eq!(judge.stop(0, &[0.6]), Some(5));
    let mut judge = Judge::new(rule(2, 0.0, 0), Goal::Minimize);
    assert_eq!(judge.stop(0, &[f64::NAN, f64::NAN]), Some(2), "never a value");
}

#[test]
fn a_parked_trial_is_promoted_once_it_is_among_the_best() {
    let rule = EarlyTermination::Asha { min_epochs: 1, eta: 2.0, mode: HalvingMode::Promote };
    let mut judge = Judge::new(rule, Goal::Maximize);
    let park = |judge: &mut Judge, trial: u64, value: f64| {
        assert_eq!(judge.commit(trial, &[value]), Verdict::Park { rung: 1 });
        judge.history.record_parked(trial, 1);
        judge.pruner.promotable(&judge.history)
    };
    assert_eq!(park(&mut judge, 0, 0.5), [0; 0], "no quota yet");
    assert_eq!(park(&mut judge, 1, 0.4), [0], "one of two");
    judge.history.reopen(0);
    assert_eq!(judge.pruner.promotable(&judge.history), [0; 0], "resumed already");
    assert_eq!(judge.commit(2, &[0.45]), Verdict::Park { rung: 1 }, "the second of three");
    judge.history.record_parked(2, 1);
    // The best of its rung at once: it continues without a pause.
    assert_eq!(judge.commit(3, &[0.9]), Verdict::Continue);
    assert_eq!(judge.pruner.promotable(&judge.history), [0; 0], "two of four, 3 and 0, went on");
    assert_eq!(park(&mut judge, 4, 0.1), [0; 0]);
    assert_eq!(park(&mut judge, 5, 0.1), [2], "three of six");
    assert!(judge.history.is_ranked());
    // The higher rung comes first.
    assert_eq!(judge.commit(0, &[0.5]), Verdict::Park { rung: 2 });
    judge.history.record_parked(0, 2);
    assert_eq!(judge.commit(3, &[0.4]), Verdict::Park { rung: 2 });
    judge.history.record_parked(3, 2);
    assert_eq!(judge.pruner.promotable(&judge.history), [0, 2]);
}

#[test]
fn brackets_are_judged_apart() {
    let rule = EarlyTermination::Hyperband {
        min_epochs: 1,
        max_epochs: 4,
        eta: 2.0,
        mode: HalvingMode::Stop,
    };
    let judge = Judge::new(rule, Goal::Minimize);
    let Comparison::Rungs(brackets) = judge.pruner.comparison() else { panic!("no rungs") };
    let first = (0..20).find(|trial| brackets.of_trial(*trial) == 0).unwrap();
    let second = (0..20).find(|trial| brackets.of_trial(*trial) == 1).unwrap();
    let mut judge = judge;
    assert_eq!(judge.commit(first, &[0.1, 0.1]), Verdict::Continue);
    // The worst of all, but the first at the rung of its bracket.
    assert_eq!(judge.commit(second, &[0.9, 0.9]), Verdict::Continue);
    assert_eq!(judge.pruner.commit_epochs(second).remaining(0, Some(4)), CommitEpochs::At(vec![2]));
}

/// One commit of a random trial.
fn commit() -> impl Strategy<Value = (u64, Vec<f64>)> {
    let value = prop_oneof![8 => 0.0..1.0f64, 1 => Just(f64::NAN), 1 => Just(0.5)];
    (0..12u64, prop::collection::vec(value, 0..4))
}

proptest! {
    /// However commits are split and interleaved, the order follows from the reports, each rung is
    /// judged once, and a trial passes only if it is among the best of those that reached it.
    #[test]
    fn a_trial_passes_a_rung_only_among_the_best(
        commits in prop::collection::vec(commit(), 0..60),
        eta in prop::sample::select(vec![1.5, 2.0, 3.0]),
        maximize: bool,
    ) {
        let goal = if maximize { Goal::Maximize } else { Goal::Minimize };
        let mut judge = Judge::new(
            EarlyTermination::Asha { min_epochs: 1, eta, mode: HalvingMode::Stop },
            goal,
        );
        let ladder = rungs::geometric(1, eta);
        let mut stopped = std::collections::BTreeMap::new();
        for (trial, values) in commits {
            if stopped.contains_key(&trial) {
                continue;
            }
            let before = judge.history.trial(trial).map_or(0, TrialHistory::epochs);
            let stop = judge.stop(trial, &values);
            let after = judge.history.trial(trial).map_or(0, TrialHistory::epochs);
            let mut expected = None;
            for rung in rungs::between(&ladder, before, after) {
                let passed =
                    |other: &u64, known: &TrialHistory| stopped.get(other).is_none_or(|at| at >= rung)
                        && known.epochs() >= *rung;
                let reached = judge.history.trials().filter(|(other, known)| passed(other, known));
                let mut order: Vec<_> =
                    reached.map(|(other, known)| (known.score_after(*rung, goal), other)).collect();
                order.sort_unstable();
                let rank = order.iter().position(|(_, other)| *other == trial).unwrap();
                // Rank r, from 0, is below the quota if r + 1 <= n / eta.
                let passes = rank == 0 || (rank + 1) as f64 * eta <= order.len() as f64 + 1e-9;
                if !passes {
                    expected = Some(*rung);
                    break;
                }
            }
            prop_assert_eq!(stop, expected);
            if let Some(epochs) = stop {
                stopped.insert(trial, epochs);
            }
            // The first at the highest rung goes on.
            prop_assert!(stopped.len() < judge.history.trials().count().max(1));
        }
    }
}
