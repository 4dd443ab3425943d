//! Checks of the number of points and trials, and whether the method can run them.

use super::field_reader::FieldReader;
use super::mistake::Span;
use crate::definition::{SearchMethod, SweepDefinition};
use crate::plan::{self, Plan};
use crate::sampler::SOBOL_SAMPLES;
use crate::space::grid_index::{CountError, GridIndex};
use crate::space::resolved_space::ResolvedSpace;

/// The number of draws by which the share of admitted points is estimated.
const ADMISSION_DRAWS: u32 = 20_000;
/// The smallest share that random search accepts: one in this many.
const MIN_ADMITTED_ONE_IN: u32 = 1000;

/// The spans for messages about the number of points.
pub(super) struct SizeSpans {
    pub(super) method: Span,
    pub(super) parameters: Span,
    pub(super) constraints: Span,
    pub(super) run_cap: Span,
}

/// Reports spaces with no points, too many, or infinitely many. `definition` has no other errors.
pub(super) fn check(reader: &mut FieldReader<'_>, definition: &SweepDefinition, spans: &SizeSpans) {
    let axes = std::sync::Arc::new(plan::axes(definition, reader.schema));
    match GridIndex::new(std::sync::Arc::clone(&axes)) {
        Ok(grid) => check_finite(reader, definition, grid.total(), spans),
        Err(reason) if definition.method == SearchMethod::Grid => {
            let span =
                if reason == CountError::Coupled { spans.constraints } else { spans.parameters };
            reader
                .report
                .error(span, format!("this grid cannot be counted: {reason}"))
                .help("use fewer values, or `method: random` with a `run_cap`");
        }
        Err(reason) => check_endless(reader, definition, &axes, reason, spans),
    }
}

fn check_finite(
    reader: &mut FieldReader<'_>,
    definition: &SweepDefinition,
    total: u64,
    spans: &SizeSpans,
) {
    if total == 0 {
        reader
            .report
            .error(spans.constraints, "no point of the space fulfils the constraints")
            .about("constraints")
            .help("loosen them, or give the parameters other values");
        return;
    }
    let seeds = definition.seeds.len() as u64;
    let Some(trials) = total.checked_mul(seeds) else {
        let message = format!("the sweep has more than {} trials", u64::MAX);
        reader.report.error(spans.parameters, message).help("use fewer values");
        return;
    };
    let points = definition.run_cap.map_or(total, |cap| cap.div_ceil(seeds).min(total));
    check_sobol_length(reader, definition, points, spans);
    if let Some(cap) = definition.run_cap.filter(|cap| *cap < trials) {
        warn_uneven(reader, cap, seeds, spans.run_cap);
    }
}

fn check_sobol_length(
    reader: &mut FieldReader<'_>,
    definition: &SweepDefinition,
    points: u64,
    spans: &SizeSpans,
) {
    if definition.method == SearchMethod::Sobol && points > SOBOL_SAMPLES {
        reader
            .report
            .error(spans.method, format!("a Sobol sequence ends after {SOBOL_SAMPLES} points"))
            .about("method")
            .help("lower `run_cap`, or write `method: random`");
    }
}

/// Warns if `run_cap` ends the sweep between the seeds of a point.
fn warn_uneven(reader: &mut FieldReader<'_>, cap: u64, seeds: u64, span: Span) {
    let rest = cap % seeds;
    if rest != 0 {
        let message = format!("the last point gets {rest} of {seeds} seeds");
        let (less, more) = (cap - rest, cap - rest + seeds);
        let help = format!(
            "`run_cap` counts trials: write {}",
            match less {
                0 => more.to_string(),
                less => format!("{less} or {more}"),
            }
        );
        reader.report.warn(span, message).about("run_cap").help(help);
    }
}

fn check_endless(
    reader: &mut FieldReader<'_>,
    definition: &SweepDefinition,
    axes: &ResolvedSpace,
    reason: CountError,
    spans: &SizeSpans,
) {
    let Some(cap) = definition.run_cap else {
        reader
            .report
            .error(spans.method, format!("the sweep has no end: {reason}"))
            .help("add `run_cap: 100`, the number of trials to run");
        return;
    };
    let seeds = definition.seeds.len() as u64;
    let points = cap.div_ceil(seeds);
    warn_uneven(reader, cap, seeds, spans.run_cap);
    check_sobol_length(reader, definition, points, spans);
    if axes.constraints.is_empty() && reason == CountError::Infinite || reader.report.has_errors() {
        return;
    }
    match definition.method {
        SearchMethod::Sobol => check_sobol_points(reader, definition, points, spans),
        _ => check_random_points(reader, definition, axes, points, spans),
    }
}

/// Checks that the Sobol sequence has enough valid points, by drawing them all once.
fn check_sobol_points(
    reader: &mut FieldReader<'_>,
    definition: &SweepDefinition,
    points: u64,
    spans: &SizeSpans,
) {
    let plan = Plan::new(definition, reader.schema);
    let mut history = plan.history();
    for point in 0..points {
        let Some(suggestion) = plan.suggest(&history, point) else {
            let message = format!("only {point} of {SOBOL_SAMPLES} Sobol points can be used");
            reader
                .report
                .error(spans.constraints, message)
                .help("lower `run_cap`, loosen the constraints, or write `method: random`");
            return;
        };
        history.record_suggestion(&suggestion);
    }
}

fn check_random_points(
    reader: &mut FieldReader<'_>,
    definition: &SweepDefinition,
    axes: &ResolvedSpace,
    points: u64,
    spans: &SizeSpans,
) {
    let mut rng = crate::rng::TrialRng::stream(definition.seed, u64::MAX);
    let admitted = (0..ADMISSION_DRAWS)
        .filter(|_| axes.draw(|_| rng.unit().max(2f64.powi(-54))).is_some())
        .count();
    if admitted < (ADMISSION_DRAWS / MIN_ADMITTED_ONE_IN) as usize {
        let message =
            format!("fewer than one point in {MIN_ADMITTED_ONE_IN} fulfils the constraints");
        let help = "loosen them, or narrow the ranges of the parameters";
        reader.report.error(spans.constraints, message).about("constraints").help(help);
        return;
    }
    // A finite space that is too coupled to be counted needs points to spare.
    let sizes = axes.list.iter().filter(|axis| axis.when.is_empty());
    let product: f64 =
        sizes.map(|axis| axis.size.map_or(f64::INFINITY, |size| size as f64)).product();
    let share = admitted as f64 / f64::from(ADMISSION_DRAWS);
    if points as f64 > product * share / 2.0 {
        let message = "the points cannot be counted, and `run_cap` may be more than there are";
        let help = "lower `run_cap`, or use fewer values";
        reader.report.error(spans.run_cap, message).about("run_cap").help(help);
    }
}
