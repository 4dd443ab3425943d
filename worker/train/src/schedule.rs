//! Learning-rate schedule and early stopping: two pure state machines in double precision. Their
//! states are part of the checkpoint, their constants part of the configuration.

use std::f64::consts::PI;

use rheo_model::config::{self, ScheduleKind};
use serde::{Deserialize, Serialize};

/// State of the plateau rule; the other rules have none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleState {
    /// Best loss so far; the next must be lower, by the threshold.
    best: Option<f64>,
    /// Consecutive reports without improvement.
    bad: u32,
    /// Number of drops of the rate.
    drops: u32,
}

impl ScheduleState {
    /// Returns the factor of the learning rates in update `update` of `updates`, which belongs to
    /// `epoch`; all count from 0.
    ///
    /// A warm-up multiplies every rule. The cosine starts after the warm-up and reaches its floor
    /// with the last update; a single update uses the full rate.
    pub fn factor(&self, config: &config::Schedule, update: u64, updates: u64, epoch: u32) -> f64 {
        let warmup = u64::from(config.warmup);
        let rise = if update < warmup { (update + 1) as f64 / warmup as f64 } else { 1.0 };
        rise * match config.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Plateau => power(config.factor, self.drops),
            ScheduleKind::Step => power(config.factor, epoch / config.every.max(1)),
            ScheduleKind::Cosine => {
                let last = updates.saturating_sub(warmup).saturating_sub(1).max(1);
                let progress = update.saturating_sub(warmup).min(last) as f64 / last as f64;
                config.floor + (1.0 - config.floor) * 0.5 * (1.0 + (PI * progress).cos())
            }
        }
    }

    /// Takes the validation loss after an epoch (docs/science.md, section 5).
    pub fn report(&mut self, config: &config::Schedule, loss: f64) {
        if config.kind != ScheduleKind::Plateau {
            return;
        }
        if is_lower(loss, self.best.map(|best| best * (1.0 - config.threshold))) {
            self.best = Some(loss);
            self.bad = 0;
            return;
        }
        self.bad += 1;
        if self.bad > config.patience {
            self.drops += 1;
            self.bad = 0;
        }
    }
}

/// State of early stopping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Lowest validation loss.
    best: Option<f64>,
    /// Consecutive epochs without a lower one.
    bad: u32,
}

impl EarlyStop {
    /// Takes the validation loss after an epoch.
    pub fn report(&mut self, loss: f64) {
        if is_lower(loss, self.best) {
            self.best = Some(loss);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
    }

    /// Whether `patience` consecutive epochs, if there is such a limit, brought no lower loss.
    pub fn is_over(&self, patience: Option<u32>) -> bool {
        patience.is_some_and(|patience| self.bad >= patience)
    }
}

/// Whether a loss is finite and below the limit, if there is one.
fn is_lower(loss: f64, limit: Option<f64>) -> bool {
    loss.is_finite() && limit.is_none_or(|limit| loss < limit)
}

fn power(factor: f64, times: u32) -> f64 {
    factor.powi(i32::try_from(times).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind) -> config::Schedule {
        config::Schedule { kind, ..config::Schedule::default() }
    }

    #[track_caller]
    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-15, "{found}, not {expected}");
    }

    /// Returns the reports, from 1, after which the rate dropped.
    fn drops(config: &config::Schedule, losses: impl IntoIterator<Item = f64>) -> Vec<usize> {
        let mut state = ScheduleState::default();
        let mut lower = Vec::new();
        for (report, loss) in (1..).zip(losses) {
            let before = state.factor(config, 0, 1, 0);
            state.report(config, loss);
            if state.factor(config, 0, 1, 0) < before {
                lower.push(report);
            }
        }
        lower
    }

    #[test]
    fn a_constant_loss_drops_the_rate_after_the_reports_of_the_reference() {
        let oracles: serde_json::Value =
            serde_json::from_str(include_str!("../tests/goldens/oracles.json")).unwrap();
        let plateau = &oracles["plateau"];
        let expected = ["first_drop_after_report", "second_drop_after_report"]
            .map(|name| usize::try_from(plateau[name].as_u64().unwrap()).unwrap());
        let config = schedule(ScheduleKind::Plateau);
        assert_eq!(drops(&config, [1.0; 30]), expected);
        let mut state = ScheduleState::default();
        for _ in 0..30 {
            state.report(&config, 1.0);
        }
        assert_near(state.factor(&config, 0, 1, 0), 0.1 * 0.1);
    }

    #[test]
    fn a_plateau_is_left_by_more_than_the_threshold_only() {
        let patient = config::Schedule { patience: 1, ..schedule(ScheduleKind::Plateau) };
        let barely = |step: f64| (0..6).map(move |epoch| 1.0 - step * f64::from(epoch));
        // Measured against the best: three steps of 4e-5 together suffice in report 4.
        assert_eq!(drops(&patient, barely(4e-5)), [3, 6]);
        assert_eq!(drops(&patient, barely(1e-5)), [3, 5]);
        assert_eq!(drops(&patient, barely(2e-4)), [] as [usize; 0]);
        assert_eq!(drops(&patient, [1.0, 2.0, 0.5, 0.6, 0.4, 0.5]), [] as [usize; 0]);
        assert_eq!(drops(&patient, [f64::NAN, f64::INFINITY, 1.0, 0.5]), [2]);
    }

    #[test]
    fn only_the_plateau_rule_uses_reports() {
        for kind in [ScheduleKind::Constant, ScheduleKind::Cosine, ScheduleKind::Step] {
            let mut state = ScheduleState::default();
            (0..40).for_each(|_| state.report(&schedule(kind), 1.0));
            assert_eq!(state, ScheduleState::default(), "{kind:?}");
        }
    }

    #[test]
    fn a_warm_up_is_linear_and_multiplies_the_rule() {
        let config = config::Schedule { warmup: 4, ..schedule(ScheduleKind::Constant) };
        let state = ScheduleState::default();
        let factors: Vec<f64> = (0..6).map(|update| state.factor(&config, update, 6, 0)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        let config = config::Schedule { warmup: 4, every: 1, ..schedule(ScheduleKind::Step) };
        assert_near(state.factor(&config, 1, 6, 1), 0.5 * 0.1);
    }

    #[test]
    fn a_step_falls_every_so_many_epochs() {
        let config = config::Schedule { every: 3, factor: 0.5, ..schedule(ScheduleKind::Step) };
        let state = ScheduleState::default();
        let factors: Vec<f64> = (0..8).map(|epoch| state.factor(&config, 99, 100, epoch)).collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn a_cosine_falls_from_one_to_its_floor_after_the_warm_up() {
        let state = ScheduleState::default();
        let config = config::Schedule { floor: 0.2, ..schedule(ScheduleKind::Cosine) };
        let at = |update| state.factor(&config, update, 7, 0);
        // cos 0, 60, 90, 120 and 180 degrees.
        for (update, cosine) in [(0, 1.0), (2, 0.5), (3, 0.0), (4, -0.5), (6, -1.0)] {
            assert_near(at(update), 0.2 + 0.4 * (1.0 + cosine));
        }
        let warm = config::Schedule { warmup: 2, ..config };
        let at = |update| state.factor(&warm, update, 9, 0);
        for (update, factor) in [(0, 0.5), (1, 1.0), (2, 1.0), (5, 0.6), (8, 0.2)] {
            assert_near(at(update), factor);
        }
        assert_near(state.factor(&warm, 2, 3, 0), 1.0);
        assert_near(state.factor(&warm, 0, 1, 0), 0.5);
    }

    #[test]
    fn training_stops_after_the_patience_without_improvement() {
        let mut stop = EarlyStop::default();
        let mut over = Vec::new();
        for loss in [1.0, 0.9, 0.9, 0.8, 0.85, f64::NAN, 0.7, 0.7, 0.7, 0.7] {
            stop.report(loss);
            assert!(!stop.is_over(None));
            over.push(stop.is_over(Some(3)));
        }
        let first = over.iter().position(|&over| over);
        assert_eq!(first, Some(9));
    }

    #[test]
    fn states_survive_a_checkpoint() {
        let config = schedule(ScheduleKind::Plateau);
        let (mut state, mut stop) = (ScheduleState::default(), EarlyStop::default());
        for loss in [0.1 + 0.2, 1.0 / 3.0, 1.0, 2.0] {
            let text = serde_json::to_string(&(state, stop)).unwrap();
            assert_eq!(
                serde_json::from_str::<(ScheduleState, EarlyStop)>(&text).unwrap(),
                (state, stop)
            );
            state.report(&config, loss);
            stop.report(loss);
        }
    }
}
