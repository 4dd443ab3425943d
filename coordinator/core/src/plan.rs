//! The plan of a sweep: the number of trials, and the configuration of each.
//!
//! A plan is computed from a definition and never stored. Trial `index` is point `index / seeds`
//! with seed `index % seeds`, so the seeds of a point are adjacent.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value as Json};

use crate::definition::{SearchMethod, SweepDefinition};
use crate::history::{History, HistoryRetention};
use crate::id::Digest;
use crate::metric::Goal;
use crate::needs::Need;
use crate::ranking::AggregateRule;
use crate::sampler::{
    Cmaes, Enqueued, Gp, Grid, Random, Sampler, ShuffledGrid, Sobol, Suggestion, Tpe,
};
use crate::schema::{FieldMismatch, WorkloadSchema};
use crate::space::Point;
use crate::space::grid_index::{CountError, GridIndex};
use crate::space::resolved_space::ResolvedSpace;
use crate::terms::TrialTerms;

/// The plan of a sweep.
#[derive(Debug)]
pub struct Plan {
    schema: Arc<WorkloadSchema>,
    base: Json,
    seeds: Vec<u64>,
    goal: Goal,
    aggregate: AggregateRule,
    run_cap: Option<u64>,
    sampler: Box<dyn Sampler>,
    /// The trial resolved last. Deciding and applying ask for the same trial in turn.
    last: Mutex<Option<Arc<PlannedTrial>>>,
}

/// The reason why a plan has no further trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanEndReason {
    /// Every point of the space has been run.
    Exhausted,
    /// `run_cap` has been reached.
    RunCap,
}

/// A resolved trial.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTrial {
    /// The index in the sweep.
    pub index: u64,
    /// The number of its point.
    pub point: u64,
    /// The seed.
    pub seed: u64,
    /// The swept values of its point.
    pub swept: Point,
    /// The whole configuration, defaults included, without the fields that its kinds do not use.
    pub resolved: Json,
    /// The configuration fields that the state machine uses.
    pub terms: TrialTerms,
    text: Arc<str>,
    digest: Digest,
}

impl PlannedTrial {
    /// Returns the configuration as the JSON text that workers get.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Returns the digest of that text.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// The reason why a trial cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The suggestion does not fit the definition: it is of another sweep.
    #[error("point {point} does not fit the sweep")]
    Foreign {
        /// The point.
        point: u64,
        /// The misfit.
        #[source]
        source: FieldMismatch,
    },
    /// The sampler needs the history, and the point is not chosen yet.
    #[error("point {point} has not been chosen yet")]
    NotChosen {
        /// The point.
        point: u64,
    },
}

impl Plan {
    /// Plans a definition that was checked when its file was parsed. `schema` is that of its
    /// workload.
    pub fn new(definition: &SweepDefinition, schema: &Arc<WorkloadSchema>) -> Self {
        let axes = Arc::new(axes(definition, schema));
        let grid = GridIndex::new(Arc::clone(&axes)).map(Arc::new);
        Self {
            schema: Arc::clone(schema),
            base: definition.base.clone(),
            seeds: definition.seeds.clone(),
            goal: definition.objective.goal,
            aggregate: definition.aggregate,
            run_cap: definition.run_cap,
            sampler: with_enqueued(definition, axes, grid),
            last: Mutex::default(),
        }
    }

    /// Replaces the sampler.
    #[must_use]
    pub fn with_sampler(self, sampler: Box<dyn Sampler>) -> Self {
        Self { sampler, ..self }
    }

    /// Returns the number of trials: points times seeds, at most `run_cap`.
    pub fn trials(&self) -> u64 {
        let all = self.all_trials();
        self.run_cap.map_or(all, |cap| cap.min(all))
    }

    fn all_trials(&self) -> u64 {
        let points = self.sampler.cardinality().unwrap_or(u64::MAX);
        points.saturating_mul(self.seeds.len() as u64)
    }

    /// Returns the number of points, if it is finite.
    pub fn points(&self) -> Option<u64> {
        self.sampler.cardinality()
    }

    /// Returns the reason why there is no trial after the last.
    pub fn end_reason(&self) -> PlanEndReason {
        match self.run_cap {
            Some(cap) if cap < self.all_trials() => PlanEndReason::RunCap,
            _ => PlanEndReason::Exhausted,
        }
    }

    /// Whether suggestions must be recorded, because later ones depend on them. Otherwise a trial
    /// follows from the definition and its index.
    pub fn records_points(&self) -> bool {
        !self.sampler.is_stateless()
    }

    /// Creates a history that keeps what this plan needs.
    pub fn history(&self) -> History {
        self.history_keeping(self.sampler.retention())
    }

    /// Creates a history that keeps `retention`.
    pub fn history_keeping(&self, retention: HistoryRetention) -> History {
        let history = History::new(retention, self.seeds(), self.goal);
        history.with_aggregate(self.aggregate)
    }

    /// Returns what a history must keep for this plan.
    pub fn retention(&self) -> HistoryRetention {
        self.sampler.retention()
    }

    /// Returns the number of the point of trial `index`.
    pub fn point_of(&self, index: u64) -> u64 {
        index / self.seeds()
    }

    fn seeds(&self) -> u64 {
        (self.seeds.len() as u64).max(1)
    }

    /// Returns point `point`; none if the space has no more. If points are recorded, `history` must
    /// hold the earlier ones.
    pub fn suggest(&self, history: &History, point: u64) -> Option<Suggestion> {
        self.sampler.suggest(history, point)
    }

    /// Returns the number of trials whose points are known before there are results.
    pub fn blind_trials(&self) -> u64 {
        let blind = self.sampler.blind_points().map(|points| points.saturating_mul(self.seeds()));
        blind.map_or(self.trials(), |blind| blind.min(self.trials()))
    }

    /// Whether choosing the next point takes so long that it is done apart from other decisions.
    pub(crate) fn is_slow(&self, history: &History) -> bool {
        self.sampler.is_slow(history)
    }

    /// Returns the needs of trial `index`; none if its configuration is invalid.
    pub(crate) fn needs(&self, index: u64, suggestion: &Suggestion) -> Option<Vec<Need>> {
        let given = with_point(&self.base, &suggestion.point, self.seed_of(index));
        Some(self.schema.needs(&self.schema.resolve(&given).ok()?))
    }

    /// Returns the seed of trial `index`.
    pub fn seed_of(&self, index: u64) -> u64 {
        let position = usize::try_from(index % self.seeds()).unwrap_or(0);
        self.seeds.get(position).copied().unwrap_or(0)
    }

    /// Resolves trial `index` at the point `suggestion`.
    pub fn trial(&self, index: u64, suggestion: &Suggestion) -> Result<PlannedTrial, Error> {
        let point = self.point_of(index);
        let swept = Point::clone(&suggestion.point);
        let given = with_point(&self.base, &swept, self.seed_of(index));
        let foreign = |source| Error::Foreign { point, source };
        let resolved = self.schema.resolve(&given).map_err(foreign)?;
        let (seed, terms) = (
            resolved["seed"].as_u64().unwrap_or(0),
            TrialTerms::of(&resolved, &*self.schema.rules),
        );
        let text: Arc<str> = resolved.to_string().into();
        let digest = Digest::of(text.as_bytes());
        Ok(PlannedTrial { index, point, seed, swept, resolved, terms, text, digest })
    }

    /// [`Self::trial`] with a cache of one trial.
    pub(crate) fn resolve(
        &self,
        index: u64,
        suggestion: &Suggestion,
    ) -> Result<Arc<PlannedTrial>, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let same =
            |last: &&Arc<PlannedTrial>| last.index == index && last.swept == *suggestion.point;
        if let Some(trial) = last.as_ref().filter(same) {
            return Ok(Arc::clone(trial));
        }
        let trial = Arc::new(self.trial(index, suggestion)?);
        *last = Some(Arc::clone(&trial));
        Ok(trial)
    }
}

/// Returns the needs of every trial of `definition`, if no parameter changes them.
pub(crate) fn common_needs(
    definition: &SweepDefinition,
    schema: &WorkloadSchema,
) -> Option<Vec<Need>> {
    let mut parameters = definition.space.parameters.iter();
    if parameters.any(|parameter| schema.decides_needs(&parameter.path)) {
        return None;
    }
    let fixed = with_point(&definition.base, &Point::default(), definition.seed);
    Some(schema.needs(&schema.resolve(&fixed).ok()?))
}

/// Resolves the space of a definition.
pub(crate) fn axes(definition: &SweepDefinition, schema: &WorkloadSchema) -> ResolvedSpace {
    let fixed = with_point(&definition.base, &Point::default(), definition.seed);
    ResolvedSpace::new(schema, &definition.space, &schema.fill(&fixed).unwrap_or_default())
}

fn sampler(
    definition: &SweepDefinition,
    axes: Arc<ResolvedSpace>,
    grid: Result<Arc<GridIndex>, CountError>,
) -> Box<dyn Sampler> {
    let seed = definition.seed;
    let distinct = !matches!(grid, Err(CountError::Infinite)) || has_atoms(&axes);
    match (definition.method, grid) {
        (SearchMethod::Grid, grid) => Box::new(Grid(grid.ok())),
        (SearchMethod::Random, Ok(grid)) if is_uniform(&axes) => {
            Box::new(ShuffledGrid::new(grid, seed))
        }
        (SearchMethod::Sobol, grid) => Box::new(Sobol::new(axes, seed, distinct, grid.ok())),
        (SearchMethod::Random, grid) => Box::new(Random { axes, seed, distinct, grid: grid.ok() }),
        (SearchMethod::Tpe | SearchMethod::Bayes | SearchMethod::Auto, grid) => {
            let (start, rest) = model_fallbacks(&axes, seed, grid.ok().as_ref());
            Box::new(Tpe::new(start, rest))
        }
        (SearchMethod::Cmaes, grid) => {
            let (start, rest) = model_fallbacks(&axes, seed, grid.ok().as_ref());
            Box::new(Cmaes::new(start, rest))
        }
        (SearchMethod::Gp, grid) => {
            let fallbacks = || model_fallbacks(&axes, seed, grid.as_ref().ok());
            let ((start, rest), (first, last)) = (fallbacks(), fallbacks());
            Box::new(Gp::new(start, rest, Tpe::new(first, last)))
        }
    }
}

/// Builds the samplers of the first points of a model, and of points for which it finds no new one.
fn model_fallbacks(
    axes: &Arc<ResolvedSpace>,
    seed: u64,
    grid: Option<&Arc<GridIndex>>,
) -> (Sobol, Random) {
    let (axes, grid) = (|| Arc::clone(axes), || grid.map(Arc::clone));
    // Points of a model can repeat in any space.
    let start = Sobol::new(axes(), seed, true, grid());
    (start, Random { axes: axes(), seed, distinct: true, grid: grid() })
}

/// Chooses the sampler, with the given points before its own.
fn with_enqueued(
    definition: &SweepDefinition,
    axes: Arc<ResolvedSpace>,
    grid: Result<Arc<GridIndex>, CountError>,
) -> Box<dyn Sampler> {
    let points = &definition.enqueue;
    let numbers = grid.as_ref().ok().filter(|_| definition.method == SearchMethod::Grid);
    let numbers = numbers.and_then(|grid| points.iter().map(|point| grid.number(point)).collect());
    let sampler = sampler(definition, axes, grid);
    if points.is_empty() {
        return sampler;
    }
    Box::new(Enqueued::new(points, sampler, numbers))
}

/// Whether all points of a finite space are equally likely.
fn is_uniform(axes: &ResolvedSpace) -> bool {
    axes.list.iter().all(|axis| axis.when.is_empty())
        && axes.parameters.iter().all(|parameter| parameter.domain.is_uniform())
}

/// Whether an infinite space may have points of positive probability: without an unconditional
/// continuous parameter, draws can repeat.
fn has_atoms(axes: &ResolvedSpace) -> bool {
    !axes.list.iter().any(|axis| axis.size.is_none() && axis.when.is_empty())
}

/// Returns the configuration at a point, without defaults.
pub(crate) fn with_point(base: &Json, point: &Point, seed: u64) -> Json {
    let mut config = base.clone();
    set(&mut config, "seed", Json::from(seed));
    for (path, value) in point.iter() {
        set(&mut config, path, value.clone());
    }
    config
}

/// Sets the value at a dotted path.
pub(crate) fn set(config: &mut Json, path: &str, value: Json) {
    let mut place = config;
    for name in path.split('.') {
        if !place.is_object() {
            *place = Json::Object(Map::new());
        }
        place = &mut place[name];
    }
    *place = value;
}
