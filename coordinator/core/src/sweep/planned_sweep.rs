//! A sweep definition with the plan that follows from it.
//!
//! A trial is resolved once, when it is leased, and kept with the lease. If a sampler needs the
//! history and has not chosen the point of a trial yet, reading the trial is an error: asking the
//! sampler would invent a point that nobody records.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::definition::SweepDefinition;
use crate::history::{History, HistoryRetention};
use crate::needs::Need;
use crate::plan::{self, Plan, PlannedTrial};
use crate::pruner::{self, Comparison, Pruner};
use crate::resources::Resources;
use crate::sampler::Suggestion;
use crate::schema::WorkloadRegistry;

/// The number of trials whose needs are examined to find those of a whole sweep.
const SAMPLED_TRIALS: u64 = 10_000;

/// A definition with everything derived from it. Only the definition is stored.
#[derive(Debug, Clone)]
pub struct PlannedSweep {
    /// The definition.
    pub definition: SweepDefinition,
    /// The plan.
    pub plan: Arc<Plan>,
    /// The pruner, if any.
    pub pruner: Option<Arc<dyn Pruner>>,
    /// The needs of every trial, if all trials have the same.
    pub needs: Option<Arc<[Need]>>,
}

impl PlannedSweep {
    /// Plans a definition of one of `workloads`.
    pub fn new(definition: SweepDefinition, workloads: &WorkloadRegistry) -> Self {
        let schema = workloads.schema(&definition.workload);
        let plan = Arc::new(Plan::new(&definition, &schema));
        let needs = plan::common_needs(&definition, &schema).map(Arc::from);
        let pruner = pruner::of(&definition);
        Self { definition, plan, pruner, needs }
    }

    /// Creates a history that keeps what the plan and the pruner read.
    pub fn history(&self) -> History {
        let Some(pruner) = &self.pruner else { return self.plan.history() };
        let comparison = pruner.comparison();
        let compares = comparison != Comparison::None;
        let keeps = self.plan.retention();
        let keeps = HistoryRetention { reports: keeps.reports || compares, ..keeps };
        let mut history = self.plan.history_keeping(keeps);
        history.compare(comparison);
        history
    }

    /// Prepares a loaded history for the pruner.
    pub(crate) fn compare(&self, history: &mut History) {
        if let Some(pruner) = &self.pruner {
            history.compare(pruner.comparison());
        }
    }

    /// Resolves trial `index`, if its point follows from the definition or has been chosen. It
    /// never asks a sampler that needs the history, because nobody would record its answer.
    pub fn trial(&self, history: &History, index: u64) -> Result<Arc<PlannedTrial>, plan::Error> {
        let unknown = || plan::Error::NotChosen { point: self.plan.point_of(index) };
        self.plan.resolve(index, &self.known(history, index).ok_or_else(unknown)?)
    }

    /// Returns the suggestion for trial `index` without asking a sampler that needs the history.
    fn known(&self, history: &History, index: u64) -> Option<Suggestion> {
        let point = self.plan.point_of(index);
        match recorded(history, point) {
            Some(recorded) => Some(recorded.clone()),
            None if self.plan.records_points() => None,
            None => Some(self.plan.suggest(history, point).unwrap_or_default()),
        }
    }

    /// Returns the suggestion for trial `index`, which is being leased or deferred. Only this
    /// function asks a sampler that needs the history.
    pub(crate) fn choose(&self, history: &History, index: u64) -> ChosenPoint {
        let point = self.plan.point_of(index);
        if let Some(recorded) = recorded(history, point) {
            return ChosenPoint { suggestion: recorded.clone(), is_new: false };
        }
        let suggestion = self.plan.suggest(history, point);
        let is_new = self.plan.records_points() && suggestion.is_some();
        ChosenPoint { suggestion: suggestion.unwrap_or_default(), is_new }
    }

    /// Returns the point of trial `index`, if it must be requested, because choosing it takes long.
    pub(crate) fn point_to_request(&self, history: &History, index: u64) -> Option<u64> {
        let point = self.plan.point_of(index);
        let is_missing = recorded(history, point).is_none() && self.plan.records_points();
        (is_missing && self.plan.is_slow(history)).then_some(point)
    }

    /// Returns the needs of trial `index`, if its point is known. They are empty for an invalid
    /// configuration, which is found when the trial is leased.
    pub(crate) fn known_needs(&self, history: &History, index: u64) -> Option<Cow<'_, [Need]>> {
        match &self.needs {
            Some(common) => Some(Cow::Borrowed(common)),
            None => Some(self.needs_at(index, &self.known(history, index)?)),
        }
    }

    /// Returns the needs of trial `index` at a point.
    pub(crate) fn needs_at(&self, index: u64, suggestion: &Suggestion) -> Cow<'_, [Need]> {
        match &self.needs {
            Some(common) => Cow::Borrowed(common),
            None => Cow::Owned(self.plan.needs(index, suggestion).unwrap_or_default()),
        }
    }

    /// Returns the resources of every trial, if all trials take the same.
    pub(crate) fn resources(&self) -> Option<Resources> {
        let needs = self.needs.as_ref()?.iter().filter_map(Need::resources);
        Some(needs.fold(Resources::cpus(0), Resources::max))
    }

    /// Returns the needs of all trials; where needs differ, those of a sample spread evenly over
    /// the sweep.
    pub fn needs_of_all(&self) -> BTreeSet<Need> {
        if let Some(common) = &self.needs {
            return common.iter().cloned().collect();
        }
        let trials = self.plan.trials();
        let (mut history, mut needs) = (self.plan.history(), BTreeSet::new());
        // A point that depends on earlier ones cannot be skipped to.
        let step =
            if self.plan.records_points() { 1 } else { trials.div_ceil(SAMPLED_TRIALS).max(1) };
        let indices = (0..SAMPLED_TRIALS).map(|n| n * step).take_while(|index| *index < trials);
        for index in indices {
            let chosen = self.choose(&history, index);
            needs.extend(self.needs_at(index, &chosen.suggestion).iter().cloned());
            if let Some(suggestion) = chosen.recorded() {
                history.record_suggestion(&suggestion);
            }
        }
        needs
    }

    /// Returns the suggestion to record when trial `index` is first leased; none if it follows from
    /// the definition, or if a trial with another seed recorded the point.
    pub fn new_suggestion(&self, history: &History, index: u64) -> Option<Suggestion> {
        self.choose(history, index).recorded()
    }
}

/// A suggestion for a trial that is being leased or deferred.
#[derive(Debug, Clone)]
pub(crate) struct ChosenPoint {
    /// The suggestion.
    pub(crate) suggestion: Suggestion,
    /// Whether the suggestion must be recorded.
    pub(crate) is_new: bool,
}

impl ChosenPoint {
    /// Returns the suggestion to put into the event, if it must be recorded.
    pub(crate) fn recorded(self) -> Option<Suggestion> {
        self.is_new.then_some(self.suggestion)
    }
}

fn recorded(history: &History, point: u64) -> Option<&Suggestion> {
    history.suggestions().get(usize::try_from(point).ok()?)
}

impl PartialEq for PlannedSweep {
    fn eq(&self, other: &Self) -> bool {
        self.definition == other.definition
    }
}

impl Serialize for PlannedSweep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.definition.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PlannedSweep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // [`State::adopt`](crate::machine::State::adopt) plans it again with the known workloads.
        let definition = SweepDefinition::deserialize(deserializer)?;
        Ok(Self::new(definition, &WorkloadRegistry::default()))
    }
}
