//! The remaining trials of a sweep, and the values on which their lengths may depend.

use std::sync::Arc;

use crate::history::History;
use crate::machine::{SweepPhase, SweepView};
use crate::plan::Plan;
use crate::space::{Domain, Parameter};
use crate::sweep::Sweep;

/// The values of a trial that may affect its length; none where a parameter does not exist.
pub type TrialLabel = Vec<Option<String>>;

/// The largest number of queued trials that are labelled.
const MAX_LABELLED: u64 = 128;

/// A fraction of 2^64 whose multiples are evenly spread, however many there are (Weyl 1916).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The remaining trials of a sweep.
#[derive(Debug, Clone, Default)]
pub struct RemainingTrials {
    /// The running trials in order, each with its durable share.
    pub running: Vec<(u64, f64)>,
    /// The trials that wait for another attempt, each with its durable share.
    pub waiting: Vec<(u64, f64)>,
    /// The number of trials that never started.
    pub queued: u64,
    /// The queued trials in order; a sample if there are very many.
    pub ahead: Vec<u64>,
    /// The parameters that may affect the length; none if there are none.
    pub differences: Option<LengthFactors>,
}

/// The swept parameters that may affect the length of a trial.
#[derive(Debug, Clone)]
pub struct LengthFactors {
    plan: Arc<Plan>,
    paths: Vec<String>,
}

/// The labels of the remaining trials.
pub struct TrialLabels<'a> {
    /// The labels of queued trials in order; a sample if there are very many, and empty if all are
    /// alike.
    pub ahead: Vec<TrialLabel>,
    /// Returns the label of any trial.
    pub of: &'a dyn Fn(u64) -> TrialLabel,
}

impl RemainingTrials {
    /// Returns the remaining trials of `sweep`; none if it will not run to its end by itself.
    pub fn of(sweep: &Sweep) -> Option<Self> {
        let queued = match SweepView::phase_of(sweep) {
            SweepPhase::Running => sweep.counts().queued,
            SweepPhase::Closing => 0,
            SweepPhase::Paused | SweepPhase::Ended => return None,
        };
        let differences = LengthFactors::of(sweep);
        let ahead = differences.as_ref().map_or_else(Vec::new, |_| ahead(sweep, queued));
        let mut remaining = Self { queued, ahead, differences, ..Self::default() };
        for (index, trial) in &sweep.live {
            let share = (*index, trial.fraction);
            match trial.lease {
                Some(_) => remaining.running.push(share),
                None if trial.is_deferred() => {}
                None => remaining.waiting.push(share),
            }
        }
        Some(remaining)
    }

    /// Returns the label of trial `index`.
    pub fn label(&self, index: u64) -> TrialLabel {
        self.differences
            .as_ref()
            .map_or_else(TrialLabel::new, |differences| differences.label(index))
    }

    /// Returns the labels of the sampled queued trials.
    pub fn labels_ahead(&self) -> Vec<TrialLabel> {
        let Some(differences) = &self.differences else { return Vec::new() };
        self.ahead.iter().map(|index| differences.label(*index)).collect()
    }
}

/// Returns queued trials in order; a sample if there are very many.
fn ahead(sweep: &Sweep, queued: u64) -> Vec<u64> {
    let deferred = sweep.live.iter().filter(|(_, trial)| trial.is_deferred());
    let fresh = sweep.next..sweep.planned.plan.trials();
    let all = deferred.map(|(index, _)| *index).chain(fresh);
    if queued <= MAX_LABELLED {
        return usize::try_from(queued)
            .map_or_else(|_| Vec::new(), |queued| all.take(queued).collect());
    }
    // Regular steps could always meet the same value of a parameter.
    let length = sweep.planned.plan.trials().saturating_sub(sweep.next);
    let spread = |n: u64| (u128::from(n.wrapping_mul(GOLDEN)) * u128::from(length)) >> 64;
    (0..MAX_LABELLED).filter_map(|n| Some(sweep.next + u64::try_from(spread(n)).ok()?)).collect()
}

impl LengthFactors {
    fn of(sweep: &Sweep) -> Option<Self> {
        let planned = &sweep.planned;
        // A point that depends on earlier ones cannot be known ahead.
        if planned.plan.records_points() {
            return None;
        }
        let parameters =
            planned.definition.space.parameters.iter().filter(|one| may_change_length(one));
        let paths: Vec<String> = parameters.map(|parameter| parameter.path.clone()).collect();
        (!paths.is_empty()).then(|| Self { plan: Arc::clone(&planned.plan), paths })
    }

    fn label(&self, index: u64) -> TrialLabel {
        let point = self.plan.point_of(index);
        let suggestion = self.plan.suggest(&History::default(), point).unwrap_or_default();
        let value = |path: &String| suggestion.point.get(path).map(ToString::to_string);
        self.paths.iter().map(value).collect()
    }
}

/// Whether a parameter may affect the length of a trial: it is categorical, and its values are
/// names, booleans or whole numbers. Fractional values change the result, not the amount of work.
fn may_change_length(parameter: &Parameter) -> bool {
    let Domain::Categorical { values, .. } = &parameter.domain else { return false };
    let is_seed = parameter.path.rsplit('.').next() == Some("seed");
    values.len() > 1 && !is_seed && !values.iter().any(serde_json::Value::is_f64)
}
