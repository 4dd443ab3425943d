//! What a sweep runs, as its state keeps it: a definition, and what follows from it.
//!
//! A trial is resolved once, when it is leased, and from then on kept with it. Whoever merely looks at a trial whose
//! sampler looks back, and whose point is not chosen, is told so: to ask would invent a point that nobody records.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::definition::SweepDefinition;
use crate::history::History;
use crate::needs::Need;
use crate::plan::{self, Plan, PlannedTrial};
use crate::pruner::Pruner;
use crate::resources::Resources;
use crate::sampler::Suggestion;
use crate::schema::WorkloadRegistry;

/// Trials whose needs are looked at to know those of all.
const SAMPLED_TRIALS: u64 = 10_000;

/// A definition with what follows from it, which is not stored.
#[derive(Debug, Clone)]
pub struct PlannedSweep {
    /// What the sweep means.
    pub definition: SweepDefinition,
    /// What it runs.
    pub plan: Arc<Plan>,
    /// What stops trials early, if anything does.
    pub pruner: Option<Arc<dyn Pruner>>,
    /// What every trial needs of its worker, if that is the same for all.
    pub needs: Option<Arc<[Need]>>,
}

impl PlannedSweep {
    /// Plans a definition of one of `workloads`.
    pub fn new(definition: SweepDefinition, workloads: &WorkloadRegistry) -> Self {
        let schema = workloads.schema(&definition.workload);
        let plan = Arc::new(Plan::new(&definition, &schema));
        let needs = plan::common_needs(&definition, &schema).map(Arc::from);
        Self { definition, plan, pruner: None, needs }
    }

    /// Trial `index` as it runs, if its point is known: it follows from the definition, or has been chosen. A
    /// sampler that looks back is not asked, because nobody would record what it says.
    pub fn trial(&self, history: &History, index: u64) -> Result<Arc<PlannedTrial>, plan::Error> {
        let unknown = || plan::Error::NotChosen { point: self.plan.point_of(index) };
        self.plan.resolve(index, &self.known(history, index).ok_or_else(unknown)?)
    }

    /// The suggestion for trial `index`, if nobody has to be asked for it who looks back.
    fn known(&self, history: &History, index: u64) -> Option<Suggestion> {
        let point = self.plan.point_of(index);
        match recorded(history, point) {
            Some(recorded) => Some(recorded.clone()),
            None if self.plan.records_points() => None,
            None => Some(self.plan.suggest(history, point).unwrap_or_default()),
        }
    }

    /// The suggestion for trial `index`, which is to be leased or put off: the one place where a sampler
    /// that looks back is asked.
    pub(crate) fn choose(&self, history: &History, index: u64) -> ChosenPoint {
        let point = self.plan.point_of(index);
        if let Some(recorded) = recorded(history, point) {
            return ChosenPoint { suggestion: recorded.clone(), is_new: false };
        }
        let suggestion = self.plan.suggest(history, point);
        let is_new = self.plan.records_points() && suggestion.is_some();
        ChosenPoint { suggestion: suggestion.unwrap_or_default(), is_new }
    }

    /// The needs of trial `index`, if its point is known; none where its configuration cannot run, which is
    /// found out when it is leased.
    pub(crate) fn known_needs(&self, history: &History, index: u64) -> Option<Cow<'_, [Need]>> {
        match &self.needs {
            Some(common) => Some(Cow::Borrowed(common)),
            None => Some(self.needs_at(index, &self.known(history, index)?)),
        }
    }

    /// The needs of trial `index` at a point.
    pub(crate) fn needs_at(&self, index: u64, suggestion: &Suggestion) -> Cow<'_, [Need]> {
        match &self.needs {
            Some(common) => Cow::Borrowed(common),
            None => Cow::Owned(self.plan.needs(index, suggestion).unwrap_or_default()),
        }
    }

    /// The resources that every trial takes, if they are the same for all.
    pub(crate) fn resources(&self) -> Option<Resources> {
        let needs = self.needs.as_ref()?.iter().filter_map(Need::resources);
        Some(needs.fold(Resources::cpus(0), Resources::max))
    }

    /// What trials need of their workers; where that differs, of some that are spread evenly over the
    /// sweep.
    pub fn needs_of_all(&self) -> BTreeSet<Need> {
        if let Some(common) = &self.needs {
            return common.iter().cloned().collect();
        }
        let trials = self.plan.trials();
        let (mut history, mut needs) = (self.plan.history(), BTreeSet::new());
        // A point that depends on those before it cannot be skipped to.
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

    /// The suggestion to record when trial `index` is first leased: none if it follows from the
    /// definition, or if another seed of the same point came before.
    pub fn new_suggestion(&self, history: &History, index: u64) -> Option<Suggestion> {
        self.choose(history, index).recorded()
    }
}

/// A suggestion for a trial that is to be leased.
#[derive(Debug, Clone)]
pub(crate) struct ChosenPoint {
    /// The suggestion.
    pub(crate) suggestion: Suggestion,
    /// Whether it is to be recorded.
    pub(crate) is_new: bool,
}

impl ChosenPoint {
    /// What the event says of it that comes with the lease.
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
        // [`State::adopt`](super::State::adopt) plans it with what the program knows.
        let definition = SweepDefinition::deserialize(deserializer)?;
        Ok(Self::new(definition, &WorkloadRegistry::default()))
    }
}
