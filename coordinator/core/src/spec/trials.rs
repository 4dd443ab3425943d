//! Checks of resolved trials: contradictions between fields.
//!
//! Every point of a small sweep is checked, and a sample of a large one. A contradiction is
//! reported once, at the first of its fields in the file.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::field_reader::FieldReader;
use super::mistake::Span;
use super::parameters::Declarations;
use crate::definition::SweepDefinition;
use crate::plan::{Plan, PlannedTrial};
use crate::sampler::Permutation;
use crate::schema::FieldConflict;
use crate::space::{Domain, Point};

/// The largest number of points that are checked.
const MAX_POINTS: u64 = 2000;

/// Checks the points of a definition without other errors.
pub(super) fn check(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    definition: &SweepDefinition,
) {
    let schema = reader.schema;
    let plan = Plan::new(definition, schema);
    let seeds = definition.seeds.len() as u64;
    let points = plan.trials().div_ceil(seeds);
    // If a large sweep needs no history, its points are sampled randomly, with a fixed seed. At
    // regular distances, a grid could show the same value of a parameter each time.
    let sample = (points > MAX_POINTS && !plan.records_points())
        .then(|| Permutation::new(points, definition.seed));
    let mut history = plan.history();
    let mut seen = BTreeSet::new();
    for index in 0..points.min(MAX_POINTS) {
        let point = sample.as_ref().map_or(index, |sample| sample.at(index));
        let Some(suggestion) = plan.suggest(&history, point) else { break };
        history.record_suggestion(&suggestion);
        match plan.trial(point * seeds, &suggestion) {
            Ok(trial) => {
                for problem in schema.rules.problems(&trial.resolved) {
                    if seen.insert(problem.paths.clone()) {
                        report(reader, declarations, &problem, Some(&trial));
                    }
                }
            }
            Err(error) => {
                reader.report.error(Span::new(0, 0), error.to_string());
                break;
            }
        }
    }
}

/// Checks the fixed part of a file with other errors, as far as it does not depend on them.
pub(super) fn check_fixed(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    fixed: &Json,
) {
    let schema = reader.schema;
    for problem in schema.rules.problems(fixed) {
        let is_open = |path: &String| {
            let is_faulty = |faulty: &String| path.starts_with(faulty) || faulty.starts_with(path);
            declarations.get(path).is_some() || reader.faulty.iter().any(is_faulty)
        };
        if !problem.paths.iter().any(is_open) {
            report(reader, declarations, &problem, None);
        }
    }
}

fn report(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    problem: &FieldConflict,
    trial: Option<&PlannedTrial>,
) {
    let place = |path: &String| {
        let swept = trial.and_then(|trial| swept_place(declarations, trial, path));
        let place = swept.or_else(|| reader.written.get(path).map(|place| place.value));
        place.map(|place| (path.clone(), place))
    };
    let found = problem.paths.iter().find_map(place);
    let (at, span) = found.unwrap_or((String::new(), Span::new(0, 0)));
    // The other parameters involved.
    let others: Point = trial
        .iter()
        .flat_map(|trial| trial.swept.iter())
        .filter(|(path, _)| *path != at && problem.paths.iter().any(|involved| involved == path))
        .map(|(path, value)| (path.to_owned(), value.clone()))
        .collect();
    let help = match others.iter().next() {
        Some(_) => format!("{} (where {others})", problem.help),
        None => problem.help.clone(),
    };
    let path = problem.paths.first().cloned().unwrap_or_default();
    reader.report.error(span, problem.message.clone()).about(path).help(help);
}

/// Returns the span of the value that a parameter has in a trial.
fn swept_place(declarations: &Declarations<'_>, trial: &PlannedTrial, path: &str) -> Option<Span> {
    let value = trial.swept.get(path)?;
    let declared = declarations.get(path)?;
    let row = match declared.domain.as_ref()? {
        Domain::Categorical { values, .. } => values.iter().position(|known| known == value)?,
        _ => 0,
    };
    Some(declared.values.get(row).map_or(declared.span, |listed| listed.span))
}
