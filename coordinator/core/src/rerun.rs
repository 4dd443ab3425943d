//! A sweep that runs chosen points of another sweep again, with the same seeds or with new ones.
//!
//! Parameters that are equal at all points become fixed values; the others step together as a zipped
//! group. Each trial has the configuration that its point had in the first sweep, apart from the seed.
//! Limits and the target of the first sweep are left out: every point is to run to its end.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::definition::{SearchMethod, StopRules, SweepDefinition};
use crate::id::SweepName;
use crate::metric::Objective;
use crate::plan::{set, with_point};
use crate::ranking::AggregateRule;
use crate::schema::field::value_at;
use crate::schema::{FieldMismatch, WorkloadSchema};
use crate::space::{Domain, Parameter, Point, Space};

/// The path of the parameter that overrides the seed.
const SEED: &str = "seed";

/// The seeds of a repeated point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RerunSeeds {
    /// Those of the first sweep.
    Same,
    /// This many seeds that the first sweep does not have.
    New(u64),
}

/// The reason why no sweep can repeat the points.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The points differ in a parameter that only some of them have.
    #[error("`{path}` varies among the points and does not exist at all of them")]
    PartialParameter {
        /// The parameter.
        path: String,
    },
    /// A point does not fit the definition: it is of another sweep.
    #[error("a point does not fit the sweep")]
    Foreign(#[from] FieldMismatch),
}

/// Defines the sweep `name` that repeats `points` of `definition`. Points that differ only in their
/// seeds are the same if the seeds are new.
pub fn rerun(
    definition: &SweepDefinition,
    schema: &WorkloadSchema,
    name: SweepName,
    points: &[Point],
    seeds: RerunSeeds,
) -> Result<SweepDefinition, Error> {
    let points = resolved_points(definition, schema, points, seeds)?;
    let mut base = definition.base.clone();
    let resolved: Vec<&Json> = points.iter().map(|point| &point.resolved).collect();
    prune(&mut base, &resolved);
    let mut columns = Vec::new();
    for parameter in &definition.space.parameters {
        let path = &parameter.path;
        if *path == SEED || !points.iter().any(|point| point.swept.get(path).is_some()) {
            continue;
        }
        match common_value(schema, &points, path)? {
            Some(CommonValue::Same(value)) => set(&mut base, path, value),
            Some(CommonValue::Column(values)) => {
                remove(&mut base, path);
                columns.push((path.clone(), values));
            }
            None => {}
        }
    }
    let seeds = match seeds {
        RerunSeeds::New(count) => new_seeds(definition, count),
        RerunSeeds::Same => match swept_seeds(definition, &points) {
            None => definition.seeds.clone(),
            Some(swept) if swept.windows(2).all(|pair| pair[0] == pair[1]) => {
                swept.first().and_then(Json::as_u64).into_iter().collect()
            }
            Some(swept) => {
                columns.push((SEED.to_owned(), swept));
                vec![0]
            }
        },
    };
    Ok(SweepDefinition {
        name,
        workload: definition.workload.clone(),
        description: definition.description.clone(),
        method: SearchMethod::Grid,
        objective: Objective { target: None, ..definition.objective.clone() },
        base,
        space: zipped(columns),
        aggregate: if seeds.len() > 1 { definition.aggregate } else { AggregateRule::default() },
        seeds,
        seed: 0,
        run_cap: None,
        enqueue: Vec::new(),
        early_terminate: None,
        max_failed_trials: None,
        stop: StopRules::default(),
        retry: definition.retry.clone(),
    })
}

/// A point with its configuration in the first sweep.
struct ResolvedPoint<'a> {
    swept: &'a Point,
    /// The configuration without defaults.
    given: Json,
    /// The whole configuration, with seed 0.
    resolved: Json,
}

/// Resolves the points, without repetitions.
fn resolved_points<'a>(
    definition: &SweepDefinition,
    schema: &WorkloadSchema,
    points: &'a [Point],
    seeds: RerunSeeds,
) -> Result<Vec<ResolvedPoint<'a>>, FieldMismatch> {
    let mut different: Vec<ResolvedPoint<'a>> = Vec::new();
    for swept in points {
        let mut given = with_point(&definition.base, swept, 0);
        set(&mut given, SEED, Json::from(0));
        let resolved = schema.resolve(&given)?;
        let is_same = |other: &ResolvedPoint<'_>| {
            let same_seed = seeds != RerunSeeds::Same || other.swept.get(SEED) == swept.get(SEED);
            same_seed && other.resolved == resolved
        };
        if !different.iter().any(is_same) {
            different.push(ResolvedPoint { swept, given, resolved });
        }
    }
    Ok(different)
}

/// The values of a parameter at the points.
enum CommonValue {
    /// One value at every point that has the parameter.
    Same(Json),
    /// A value for each point.
    Column(Vec<Json>),
}

/// Returns the values at `path`; none if no point uses it.
fn common_value(
    schema: &WorkloadSchema,
    points: &[ResolvedPoint<'_>],
    path: &str,
) -> Result<Option<CommonValue>, Error> {
    let partial = || Error::PartialParameter { path: path.to_owned() };
    let values: Vec<Option<&Json>> =
        points.iter().map(|point| value_at(&point.resolved, path)).collect();
    let Some(first) = values.iter().find_map(|value| *value) else { return Ok(None) };
    if values.iter().flatten().any(|value| *value != first) {
        let column: Option<Vec<Json>> = values.into_iter().map(Option::<&Json>::cloned).collect();
        return Ok(Some(CommonValue::Column(column.ok_or_else(partial)?)));
    }
    // The value must change nothing where the parameter does not exist.
    for point in points.iter().filter(|point| value_at(&point.resolved, path).is_none()) {
        let mut given = point.given.clone();
        set(&mut given, path, first.clone());
        if schema.resolve(&given)? != point.resolved {
            return Err(partial());
        }
    }
    Ok(Some(CommonValue::Same(first.clone())))
}

/// Returns the seed of each point, if the seed is swept.
fn swept_seeds(definition: &SweepDefinition, points: &[ResolvedPoint<'_>]) -> Option<Vec<Json>> {
    definition.space.parameter(SEED)?;
    let fixed = Json::from(definition.seeds.first().copied().unwrap_or(0));
    let seed = |point: &ResolvedPoint<'_>| point.swept.get(SEED).unwrap_or(&fixed).clone();
    Some(points.iter().map(seed).collect())
}

/// Returns `count` seeds above every seed of the definition, or the lowest unused ones if numbers
/// run out.
fn new_seeds(definition: &SweepDefinition, count: u64) -> Vec<u64> {
    let mut used: BTreeSet<u64> = definition.seeds.iter().copied().collect();
    let swept = definition.space.parameter(SEED).map(|parameter| &parameter.domain);
    match swept {
        Some(Domain::Categorical { values, .. }) => {
            used.extend(values.iter().filter_map(Json::as_u64));
        }
        Some(Domain::Constant { value }) => used.extend(value.as_u64()),
        Some(domain) => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            used.extend(domain.max().map(|max| max as u64));
        }
        None => {}
    }
    let first = used.last().and_then(|last| last.checked_add(1));
    match first.filter(|first| first.checked_add(count).is_some()) {
        Some(first) => (first..first + count).collect(),
        None => (0..u64::MAX)
            .filter(|seed| !used.contains(seed))
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .collect(),
    }
}

/// Returns the space whose parameters step through their values together.
fn zipped(columns: Vec<(String, Vec<Json>)>) -> Space {
    let group: Vec<String> = columns.iter().map(|(path, _)| path.clone()).collect();
    let parameter = |(path, values)| Parameter {
        path,
        domain: Domain::Categorical { values, probabilities: None },
        when: Vec::new(),
    };
    Space {
        parameters: columns.into_iter().map(parameter).collect(),
        zip: if group.len() > 1 { vec![group] } else { Vec::new() },
        constraints: Vec::new(),
    }
}

/// Removes the fields that no configuration has, because its kinds do not use them.
fn prune(base: &mut Json, resolved: &[&Json]) {
    let Json::Object(fields) = base else { return };
    fields.retain(|name, value| {
        let inner: Vec<&Json> = resolved.iter().filter_map(|one| one.get(name)).collect();
        let is_used = !inner.is_empty();
        prune(value, &inner);
        is_used && value.as_object().is_none_or(|fields| !fields.is_empty())
    });
}

/// Removes the value at a dotted path.
fn remove(config: &mut Json, path: &str) {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let pointer =
        if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('.', "/")) };
    if let Some(Json::Object(fields)) = config.pointer_mut(&pointer) {
        fields.remove(name);
    }
}
