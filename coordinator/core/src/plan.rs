//! What a sweep runs: how many trials, and what each of them is.
//!
//! A plan is computed from a definition and never stored. Trial `index` is point `index / seeds`
//! with seed `index % seeds`, so that all seeds of a point come together.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value as Json};

use crate::definition::{SearchMethod, SweepDefinition};
use crate::history::History;
use crate::id::Digest;
use crate::needs::Need;
use crate::sampler::{Grid, Random, Sampler, ShuffledGrid, Sobol, Suggestion};
use crate::schema::{FieldMismatch, WorkloadSchema};
use crate::space::Point;
use crate::space::grid_index::{CountError, GridIndex};
use crate::space::resolved_space::ResolvedSpace;
use crate::terms::TrialTerms;

/// What a sweep runs.
#[derive(Debug)]
pub struct Plan {
    schema: Arc<WorkloadSchema>,
    base: Json,
    seeds: Vec<u64>,
    run_cap: Option<u64>,
    sampler: Box<dyn Sampler>,
    /// The trial that was resolved last: whoever decides about a trial and whoever makes that true ask for
    /// the same one in turn.
    last: Mutex<Option<Arc<PlannedTrial>>>,
}

/// Why a sweep has no more trials to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanEndReason {
    /// Every point of the space has been run.
    Exhausted,
    /// `run_cap` has been reached.
    RunCap,
}

/// One trial.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTrial {
    /// Its position in the sweep.
    pub index: u64,
    /// The position of its point.
    pub point: u64,
    /// Its seed.
    pub seed: u64,
    /// The values of the parameters that exist at its point.
    pub swept: Point,
    /// Its whole configuration, defaults included; fields that its kinds do not use are absent.
    pub resolved: Json,
    /// The fields of it that sweeps go by.
    pub terms: TrialTerms,
    text: Arc<str>,
    digest: Digest,
}

impl PlannedTrial {
    /// Its whole configuration as workers get it, in JSON.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The digest of that text.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Why a trial cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A suggestion does not fit the definition: they are not from the same sweep.
    #[error("point {point} does not fit the sweep")]
    Foreign {
        /// The point.
        point: u64,
        /// What is wrong with it.
        #[source]
        source: FieldMismatch,
    },
    /// Its sampler looks back and has not been asked for its point yet.
    #[error("point {point} has not been chosen yet")]
    NotChosen {
        /// The point.
        point: u64,
    },
}

impl Plan {
    /// Plans a definition that came from a checked file, directly or by way of a journal. `schema`
    /// is that of its workload.
    pub fn new(definition: &SweepDefinition, schema: &Arc<WorkloadSchema>) -> Self {
        let axes = Arc::new(axes(definition, schema));
        let grid = GridIndex::new(Arc::clone(&axes)).map(Arc::new);
        Self {
            schema: Arc::clone(schema),
            base: definition.base.clone(),
            seeds: definition.seeds.clone(),
            run_cap: definition.run_cap,
            sampler: sampler(definition, axes, grid),
            last: Mutex::default(),
        }
    }

    /// This plan with another sampler than its method names.
    #[must_use]
    pub fn with_sampler(self, sampler: Box<dyn Sampler>) -> Self {
        Self { sampler, ..self }
    }

    /// How many trials the sweep has: the points times the seeds, or `run_cap` if that is less.
    pub fn trials(&self) -> u64 {
        let all = self.all_trials();
        self.run_cap.map_or(all, |cap| cap.min(all))
    }

    fn all_trials(&self) -> u64 {
        let points = self.sampler.cardinality().unwrap_or(u64::MAX);
        points.saturating_mul(self.seeds.len() as u64)
    }

    /// How many points the space has, if they end.
    pub fn points(&self) -> Option<u64> {
        self.sampler.cardinality()
    }

    /// Why there is no trial after the last.
    pub fn end_reason(&self) -> PlanEndReason {
        match self.run_cap {
            Some(cap) if cap < self.all_trials() => PlanEndReason::RunCap,
            _ => PlanEndReason::Exhausted,
        }
    }

    /// Whether suggestions must be remembered: the next one depends on them. Otherwise trial k is a
    /// function of the definition and k.
    pub fn records_points(&self) -> bool {
        !self.sampler.is_stateless()
    }

    /// An empty history that keeps what this plan looks at.
    pub fn history(&self) -> History {
        History::new(self.sampler.retention())
    }

    /// The number of the point that trial `index` runs.
    pub fn point_of(&self, index: u64) -> u64 {
        index / self.seeds()
    }

    fn seeds(&self) -> u64 {
        (self.seeds.len() as u64).max(1)
    }

    /// Point `point`; nothing if the space has no more. Where points are recorded, `history` holds
    /// those before it.
    pub fn suggest(&self, history: &History, point: u64) -> Option<Suggestion> {
        self.sampler.suggest(history, point)
    }

    /// The needs of trial `index`; none if its configuration cannot run.
    pub(crate) fn needs(&self, index: u64, suggestion: &Suggestion) -> Option<Vec<Need>> {
        let given = with_point(&self.base, &suggestion.point, self.seed_of(index));
        Some(self.schema.needs(&self.schema.resolve(&given).ok()?))
    }

    /// The seed of trial `index`.
    pub fn seed_of(&self, index: u64) -> u64 {
        let position = usize::try_from(index % self.seeds()).unwrap_or(0);
        self.seeds.get(position).copied().unwrap_or(0)
    }

    /// Trial `index`, whose point is `suggestion`.
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

    /// [`Self::trial`], which is not resolved again where it was the last one.
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

/// The needs of every trial of `definition`, if no parameter changes them.
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

/// The axes of a definition.
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
    }
}

/// Whether all points of a finite space are equally likely.
fn is_uniform(axes: &ResolvedSpace) -> bool {
    axes.list.iter().all(|axis| axis.when.is_empty())
        && axes.parameters.iter().all(|parameter| parameter.domain.is_uniform())
}

/// Whether an infinite space may have single points of positive probability: where no continuous
/// parameter exists, draws repeat.
fn has_atoms(axes: &ResolvedSpace) -> bool {
    !axes.list.iter().any(|axis| axis.size.is_none() && axis.when.is_empty())
}

/// The configuration at a point, without defaults.
fn with_point(base: &Json, point: &Point, seed: u64) -> Json {
    let mut config = base.clone();
    set(&mut config, "seed", Json::from(seed));
    for (path, value) in point.iter() {
        set(&mut config, path, value.clone());
    }
    config
}

/// Sets the value at a dotted path.
fn set(config: &mut Json, path: &str, value: Json) {
    let mut place = config;
    for name in path.split('.') {
        if !place.is_object() {
            *place = Json::Object(Map::new());
        }
        place = &mut place[name];
    }
    *place = value;
}
