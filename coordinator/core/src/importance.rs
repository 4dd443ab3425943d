//! Importance of the parameters of a sweep: how far the best points differ from all points along
//! each parameter.
//!
//! PED-ANOVA: Watanabe S, Bansal A, Hutter F (2023), IJCAI, arXiv:2304.10255. With p the density of
//! the best tenth of the points along an axis, and q that of all points, the importance of the axis
//! is the Pearson divergence
//!
//! ```text
//! D = sum over cells j of q_j (p_j / q_j - 1)^2
//! ```
//!
//! An axis that exists at a share b of all points and a share a of the best ones has a^2 / b times
//! the divergence among the points where it exists (arXiv:2601.20800, theorem 4.2). Importances are
//! divided by their sum.
//!
//! Densities are those of Optuna 5, so that both tools give the same numbers. An axis with an order
//! has at most [`CELLS`] cells. A cell with c points is a normal kernel of weight c, integrated over
//! each cell and truncated to the axis; its width follows Scott's rule (1992), 1.059 s n^(-1/5), with
//! s the smaller of the standard deviation and the quartile range over 1.34, but at least 0.5 / 1.64
//! cells. On an axis without an order a kernel is its own row and a share of all. One more kernel of
//! weight 1 is the prior.
//!
//! It costs O(points axes + axes cells^2). Without results there is nothing to compare, so all
//! importances are zero.

use std::sync::Arc;

use crate::definition::SweepDefinition;
use crate::metric::Goal;
use crate::plan;
use crate::schema::WorkloadSchema;
use crate::space::encoding::{Coordinates, EncodedSpace, Scale};
use crate::space::resolved_space::ResolvedSpace;
use crate::space::{Domain, Point, normal};

/// The share of the points that count as the best.
const BEST_SHARE: f64 = 0.1;

/// The largest number of cells of an axis with an order.
const CELLS: u64 = 50;

/// The smallest number of points at which an axis must exist.
const MIN_POINTS: usize = 2;

/// The smallest width of a kernel in cells: 90 % of it lie within its own cell.
const MIN_WIDTH: f64 = 0.5 / 1.64;

/// A density is never zero.
const FLOOR: f64 = 1e-12;

/// The importances of the parameters of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Importances {
    /// The number of points with a result.
    pub points: usize,
    /// The number of points that count as the best.
    pub best: usize,
    /// The parameters, the most important first.
    pub parameters: Vec<ParameterImportance>,
}

impl Importances {
    /// The number of points from which on the importances are reliable: five of them are the best.
    pub const ENOUGH_POINTS: usize = 50;
}

/// The importance of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterImportance {
    /// The path of the parameter. Zipped parameters are one, with all their paths.
    pub paths: Vec<String>,
    /// The importance, in [0, 1]; all of them sum to 1, unless all are 0.
    pub importance: f64,
    /// The number of points at which the parameter exists.
    pub points: usize,
}

/// Returns the importances of the parameters of a sweep for reaching the best values. `points` are
/// its points with their values; points without a finite value do not count.
pub fn importances(
    definition: &SweepDefinition,
    schema: &WorkloadSchema,
    points: &[(Point, f64)],
    goal: Goal,
) -> Importances {
    let axes = Arc::new(plan::axes(definition, schema));
    let space = EncodedSpace::new(Arc::clone(&axes));
    let known: Vec<&(Point, f64)> = points.iter().filter(|(_, value)| value.is_finite()).collect();
    let best = best_points(&known, goal);
    let encoded: Vec<Coordinates> = known.iter().map(|(point, _)| space.encode(point)).collect();
    let importance = |axis: usize| {
        let grid = AxisGrid::new(&axes, &space, axis);
        let cells: Vec<Option<usize>> = known
            .iter()
            .zip(&encoded)
            .map(|((point, _), coordinates)| grid.cell(&space, point, coordinates[axis]?))
            .collect();
        let members = axes.list[axis].members.iter();
        ParameterImportance {
            paths: members.map(|member| axes.parameters[*member].path.clone()).collect(),
            importance: grid.divergence(&cells, &best),
            points: cells.iter().flatten().count(),
        }
    };
    let mut parameters: Vec<ParameterImportance> = (0..axes.list.len()).map(importance).collect();
    let sum: f64 = parameters.iter().map(|one| one.importance).sum();
    if sum > 0.0 {
        for one in &mut parameters {
            one.importance /= sum;
        }
    }
    parameters.sort_by(|a, b| b.importance.total_cmp(&a.importance));
    let count = best.iter().filter(|is_best| **is_best).count();
    Importances { points: known.len(), best: count, parameters }
}

/// Returns for each point whether it is among the best; ties with the last of them are too.
fn best_points(points: &[&(Point, f64)], goal: Goal) -> Vec<bool> {
    let loss = |value: f64| if goal == Goal::Minimize { value } else { -value };
    let mut losses: Vec<f64> = points.iter().map(|(_, value)| loss(*value)).collect();
    losses.sort_by(f64::total_cmp);
    let Some(limit) = losses.get(share(BEST_SHARE, losses.len()).saturating_sub(1)) else {
        return Vec::new();
    };
    points.iter().map(|(_, value)| loss(*value) <= *limit).collect()
}

/// Returns a share of `count`, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and the count"
)]
fn share(share: f64, count: usize) -> usize {
    (share * count as f64).ceil() as usize
}

/// The cells of an axis.
struct AxisGrid<'s> {
    axis: usize,
    count: usize,
    order: CellOrder<'s>,
}

/// The order of the cells of an axis.
enum CellOrder<'s> {
    /// A continuum.
    Continuous,
    /// So many evenly spaced rows.
    Rows(u64),
    /// Whole steps on a logarithmic scale: the path of the parameter, and the scale.
    Logarithmic(&'s str, Domain),
    /// Rows without an order.
    Unordered,
}

impl<'s> AxisGrid<'s> {
    fn new(axes: &'s ResolvedSpace, space: &EncodedSpace, axis: usize) -> Self {
        let first = axes.list[axis].members.first().map(|member| &axes.parameters[*member]);
        let domain = first.map(|parameter| (parameter.path.as_str(), &parameter.domain));
        let (count, order) = match (space.scales()[axis], domain) {
            (Scale::Choice(rows), _) => (rows, CellOrder::Unordered),
            (Scale::Continuous, _) => (CELLS, CellOrder::Continuous),
            (Scale::Ordered(rows), Some((path, Domain::QLogUniformValues { min, max, .. }))) => {
                let doublings = u64::from(rows.next_power_of_two().ilog2());
                let scale = Domain::LogUniformValues { min: *min, max: *max };
                ((doublings + 1).min(CELLS), CellOrder::Logarithmic(path, scale))
            }
            (Scale::Ordered(rows), _) => (rows.min(CELLS), CellOrder::Rows(rows)),
        };
        Self { axis, count: usize::try_from(count).unwrap_or(usize::MAX), order }
    }

    /// Returns the cell of a point with this coordinate; none if its value has none.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion of a float saturates, and the result is bounded right after"
    )]
    fn cell(&self, space: &EncodedSpace, point: &Point, coordinate: f64) -> Option<usize> {
        let last = self.count.saturating_sub(1);
        let position = match &self.order {
            CellOrder::Unordered => return Some((coordinate as usize).min(last)),
            CellOrder::Continuous => coordinate,
            CellOrder::Logarithmic(path, scale) => scale.probability(point.get(path)?)?,
            CellOrder::Rows(rows) => {
                let row = space.row_at(self.axis, coordinate);
                row as f64 / rows.saturating_sub(1).max(1) as f64
            }
        };
        // A position in the middle of two cells belongs to the lower one.
        Some(((position * last as f64 - 0.5).ceil().max(0.0) as usize).min(last))
    }

    /// Returns the divergence of the best points from all, by the cells of the points; times the
    /// factor for an axis that does not always exist.
    fn divergence(&self, cells: &[Option<usize>], best: &[bool]) -> f64 {
        let (mut all, mut top) = (vec![0.0; self.count], vec![0.0; self.count]);
        for (cell, is_best) in cells.iter().zip(best) {
            let Some(cell) = cell else { continue };
            all[*cell] += 1.0;
            top[*cell] += f64::from(u8::from(*is_best));
        }
        let (existing, existing_best): (f64, f64) = (all.iter().sum(), top.iter().sum());
        if self.count < 2 || existing < MIN_POINTS as f64 || existing_best == 0.0 {
            return 0.0;
        }
        let best_count = best.iter().filter(|is_best| **is_best).count();
        let best_share = existing_best / best_count as f64;
        let factor = best_share * best_share / (existing / cells.len() as f64);
        let (top, all) = (self.density(&top), self.density(&all));
        let term = |(p, q): (f64, f64)| (q + FLOOR) * ((p + FLOOR) / (q + FLOOR) - 1.0).powi(2);
        factor * top.into_iter().zip(all).map(term).sum::<f64>()
    }

    /// Returns the density of points by cell, from their counts.
    fn density(&self, counts: &[f64]) -> Vec<f64> {
        match self.order {
            CellOrder::Unordered => choice_density(counts),
            _ => ordered_density(counts),
        }
    }
}

fn ordered_density(counts: &[f64]) -> Vec<f64> {
    let cells = counts.len() as f64;
    let width = scott_width(counts);
    let occupied = (0..).zip(counts).filter(|(_, count)| **count > 0.0);
    let kernels = occupied.map(|(cell, count)| (f64::from(cell), width, *count));
    // The prior is centred on the axis and as wide as it.
    let kernels: Vec<(f64, f64, f64)> =
        kernels.chain([((cells - 1.0) / 2.0, cells, 1.0)]).collect();
    let total: f64 = kernels.iter().map(|(_, _, weight)| weight).sum();
    let mut density = vec![0.0; counts.len()];
    for (centre, width, weight) in kernels {
        let below = |x: f64| normal::probability((x - 0.5 - centre) / width);
        let share = weight / total / (below(cells) - below(0.0));
        for (cell, density) in (0..).zip(&mut density) {
            let cell = f64::from(cell);
            *density += share * (below(cell + 1.0) - below(cell));
        }
    }
    density
}

/// Returns the width of the kernels by Scott's rule, in cells.
fn scott_width(counts: &[f64]) -> f64 {
    let total: f64 = counts.iter().sum();
    let cells = || (0..).map(f64::from).zip(counts);
    let mean = cells().map(|(cell, count)| cell * count).sum::<f64>() / total;
    let squares: f64 = cells().map(|(cell, count)| count * (cell - mean).powi(2)).sum();
    let deviation = (squares / (total - 1.0).max(1.0)).sqrt();
    let range = quartile(counts, (total * 3.0 / 4.0).floor(), f64::gt)
        - quartile(counts, (total / 4.0).floor(), f64::ge);
    let width = 1.059 * deviation.min(range / 1.34) * total.powf(-0.2);
    width.max(MIN_WIDTH)
}

/// Returns the first occupied cell up to which the number of points exceeds `rank`, or else the
/// last.
fn quartile(counts: &[f64], rank: f64, exceeds: fn(&f64, &f64) -> bool) -> f64 {
    let (mut sum, mut found) = (0.0, 0.0);
    for (cell, count) in (0..).zip(counts).filter(|(_, count)| **count > 0.0) {
        sum += count;
        found = f64::from(cell);
        if exceeds(&sum, &rank) {
            break;
        }
    }
    found
}

fn choice_density(counts: &[f64]) -> Vec<f64> {
    let rows = counts.len() as f64;
    let kernels = counts.iter().filter(|count| **count > 0.0).count() as f64 + 1.0;
    // A kernel has weight 1 at its own row and the share of the prior at each row.
    let (prior, norm) = (1.0 / kernels, 1.0 + rows / kernels);
    let points: f64 = counts.iter().sum();
    let density =
        |count: &f64| (count / norm + points * prior / norm + 1.0 / rows) / (points + 1.0);
    counts.iter().map(density).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::definition::{RetryPolicy, SearchMethod};
    use crate::id::SweepName;
    use crate::metric::Objective;
    use crate::name::{MetricName, WorkloadName};
    use crate::space::{Condition, Parameter, Space};

    fn parameter(path: &str, domain: Domain) -> Parameter {
        Parameter { path: path.to_owned(), domain, when: Vec::new() }
    }

    /// A sweep of a choice, a number that exists for one choice, a number and a constant.
    fn definition() -> SweepDefinition {
        let values = vec![json!("a"), json!("b")];
        let kind = parameter("kind", Domain::Categorical { values, probabilities: None });
        let when = vec![Condition { path: "kind".to_owned(), values: vec![json!("a")] }];
        let number = Domain::Uniform { min: 0.0, max: 1.0 };
        let own = Parameter { when, ..parameter("own", number.clone()) };
        let constant = parameter("constant", Domain::Constant { value: json!(1) });
        let loss = MetricName::of("loss");
        SweepDefinition {
            name: SweepName::parse("sweep").unwrap(),
            workload: WorkloadName::of("anything"),
            description: None,
            method: SearchMethod::Random,
            objective: Objective { name: loss, goal: Goal::Minimize, target: None },
            base: json!({}),
            space: Space {
                parameters: vec![kind, own, parameter("common", number), constant],
                ..Space::default()
            },
            seeds: vec![0],
            aggregate: crate::ranking::AggregateRule::default(),
            seed: 0,
            run_cap: None,
            max_failed_trials: None,
            stop: crate::definition::StopRules::default(),
            retry: RetryPolicy::default(),
            enqueue: Vec::new(),
            early_terminate: None,
        }
    }

    fn found(points: &[(Point, f64)]) -> Importances {
        let definition = definition();
        let schema = WorkloadSchema::unknown(definition.workload.clone());
        importances(&definition, &schema, points, Goal::Minimize)
    }

    fn point((kind, own, common): (bool, f64, f64)) -> Point {
        let mut values = vec![("kind".to_owned(), json!(if kind { "a" } else { "b" }))];
        values.extend(kind.then(|| ("own".to_owned(), json!(own))));
        values.push(("common".to_owned(), json!(common)));
        values.push(("constant".to_owned(), json!(1)));
        values.into_iter().collect()
    }

    fn importance_of(found: &Importances, path: &str) -> f64 {
        found.parameters.iter().find(|one| one.paths == [path]).unwrap().importance
    }

    #[test]
    fn without_results_nothing_is_important() {
        for points in [vec![], vec![(point((true, 0.5, 0.5)), 1.0)]] {
            let found = found(&points);
            assert_eq!(found.parameters.len(), 4);
            assert!(found.parameters.iter().all(|one| one.importance == 0.0), "{found:?}");
        }
    }

    #[test]
    fn the_parameter_that_decides_is_the_most_important() {
        let points: Vec<(Point, f64)> = (0..100)
            .map(|k| (point((k % 2 == 0, f64::from(k * 7 % 100) / 100.0, f64::from(k) / 100.0)), k))
            .map(|(point, k)| (point, f64::from(k)))
            .collect();
        let found = found(&points);
        assert_eq!(found.parameters[0].paths, ["common"]);
        assert!(found.parameters[0].importance > 0.9, "{found:?}");
        assert_eq!((found.points, found.best), (100, 10));
        assert!(importance_of(&found, "constant") == 0.0);
    }

    proptest! {
        #[test]
        fn importances_are_shares_and_do_not_depend_on_the_order_of_points(
            drawn in prop::collection::vec((any::<bool>(), 0.0..1.0, 0.0..1.0, -9.0..9.0), 0..60),
        ) {
            let mut points: Vec<(Point, f64)> =
                drawn.iter().map(|&(kind, own, common, value)| (point((kind, own, common)), value)).collect();
            let first = found(&points);
            let sum: f64 = first.parameters.iter().map(|one| one.importance).sum();
            prop_assert!(sum == 0.0 || (sum - 1.0).abs() < 1e-12);
            prop_assert!(first.parameters.iter().all(|one| (0.0..=1.0).contains(&one.importance)));
            points.reverse();
            prop_assert_eq!(first, found(&points));
        }

        #[test]
        fn points_without_a_value_do_not_count(value in prop::sample::select(vec![f64::NAN, f64::INFINITY])) {
            let mut points: Vec<(Point, f64)> = (0..20)
                .map(|k| (point((k % 3 == 0, 0.5, f64::from(k) / 20.0)), f64::from(k)))
                .collect();
            let without = found(&points);
            points.push((point((true, 0.1, 0.1)), value));
            prop_assert_eq!(without, found(&points));
        }
    }
}
