//! The work that is left of a sweep, and the values by which its trials may differ in length.

use std::sync::Arc;

use crate::history::History;
use crate::machine::{SweepPhase, SweepView};
use crate::plan::Plan;
use crate::space::{Domain, Parameter};
use crate::sweep::Sweep;

/// The values of a trial that may matter for its length; none where a parameter does not exist.
pub type TrialLabel = Vec<Option<String>>;

/// The most queued trials that are looked at.
const MAX_LABELLED: u64 = 128;

/// Multiples of this fraction of 2^64 are spread evenly, however many there are (Weyl 1916).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The work that is left of a sweep.
#[derive(Debug, Clone, Default)]
pub struct RemainingTrials {
    /// The running trials, in order, and the share of each that is durable.
    pub running: Vec<(u64, f64)>,
    /// The trials that wait for another attempt, and the share of each that is durable.
    pub waiting: Vec<(u64, f64)>,
    /// Trials that were never started.
    pub queued: u64,
    /// Those in their order, or some of very many.
    pub ahead: Vec<u64>,
    /// What tells trials apart; nothing if no parameter does.
    pub differences: Option<LengthFactors>,
}

/// The swept parameters that may change how long a trial takes.
#[derive(Debug, Clone)]
pub struct LengthFactors {
    plan: Arc<Plan>,
    paths: Vec<String>,
}

/// The labels of the trials of a remaining.
pub struct TrialLabels<'a> {
    /// The labels of queued trials in their order, or of some of very many; none if all are alike.
    pub ahead: Vec<TrialLabel>,
    /// The label of any trial.
    pub of: &'a dyn Fn(u64) -> TrialLabel,
}

impl RemainingTrials {
    /// The work that is left of `sweep`; none unless it will go on by itself to its end.
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

    /// The label of trial `index`.
    pub fn label(&self, index: u64) -> TrialLabel {
        self.differences
            .as_ref()
            .map_or_else(TrialLabel::new, |differences| differences.label(index))
    }

    /// The labels of the queued trials that are looked at.
    pub fn labels_ahead(&self) -> Vec<TrialLabel> {
        let Some(differences) = &self.differences else { return Vec::new() };
        self.ahead.iter().map(|index| differences.label(*index)).collect()
    }
}

/// Queued trials in their order, or some of very many.
fn ahead(sweep: &Sweep, queued: u64) -> Vec<u64> {
    let deferred = sweep.live.iter().filter(|(_, trial)| trial.is_deferred());
    let fresh = sweep.next..sweep.planned.plan.trials();
    let all = deferred.map(|(index, _)| *index).chain(fresh);
    if queued <= MAX_LABELLED {
        return usize::try_from(queued)
            .map_or_else(|_| Vec::new(), |queued| all.take(queued).collect());
    }
    // Regular steps might meet the same value again and again.
    let length = sweep.planned.plan.trials().saturating_sub(sweep.next);
    let spread = |n: u64| (u128::from(n.wrapping_mul(GOLDEN)) * u128::from(length)) >> 64;
    (0..MAX_LABELLED).filter_map(|n| Some(sweep.next + u64::try_from(spread(n)).ok()?)).collect()
}

impl LengthFactors {
    fn of(sweep: &Sweep) -> Option<Self> {
        let planned = &sweep.planned;
        // Where a point depends on those before it, there is no looking ahead.
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

/// Whether a parameter may change how long a trial takes: it takes kinds, switches or whole numbers.
/// Rates, levels and starts change what is computed, not how much.
fn may_change_length(parameter: &Parameter) -> bool {
    let Domain::Categorical { values, .. } = &parameter.domain else { return false };
    let is_seed = parameter.path.rsplit('.').next() == Some("seed");
    values.len() > 1 && !is_seed && !values.iter().any(serde_json::Value::is_f64)
}
