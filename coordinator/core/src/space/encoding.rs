//! Points as coordinates, for samplers that model a space.
//!
//! Each axis has one coordinate. On an axis with an order it is a number in [0, 1]: the probability
//! of smaller values under the declared distribution, so that every declared scale (logarithmic,
//! normal) becomes a uniform one. On an axis without an order it is the number of the row.

use std::sync::Arc;

use serde_json::Value as Json;

use super::domain::AxisPick;
use super::resolved_space::ResolvedSpace;
use super::{Domain, Point};

/// The scale of the coordinate of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// A continuum.
    Continuous,
    /// So many ordered rows, each a cell of [0, 1].
    Ordered(u64),
    /// So many rows without an order.
    Choice(u64),
}

/// A space whose points have coordinates.
#[derive(Debug)]
pub(crate) struct EncodedSpace {
    space: Arc<ResolvedSpace>,
    scales: Vec<Scale>,
}

/// The coordinates of a point by axis; none where the axis does not exist.
pub(crate) type Coordinates = Vec<Option<f64>>;

impl EncodedSpace {
    /// Finds the scale of each axis.
    pub(crate) fn new(space: Arc<ResolvedSpace>) -> Self {
        let scales = space.list.iter().map(|axis| match (axis.size, &axis.members[..]) {
            (None, _) => Scale::Continuous,
            (Some(size), [single]) if is_ordered(&space.parameters[*single].domain) => {
                Scale::Ordered(size)
            }
            (Some(size), _) => Scale::Choice(size),
        });
        Self { scales: scales.collect(), space }
    }

    /// Returns the scales of the axes, in the order in which they are decided.
    pub(crate) fn scales(&self) -> &[Scale] {
        &self.scales
    }

    /// Returns the coordinates of `point`. A value that is not in its domain counts as absent.
    pub(crate) fn encode(&self, point: &Point) -> Coordinates {
        (0..self.scales.len()).map(|axis| self.coordinate(axis, point)).collect()
    }

    fn coordinate(&self, axis: usize, point: &Point) -> Option<f64> {
        let members = &self.space.list[axis].members;
        let parameter = |member: &usize| &self.space.parameters[*member];
        let first = parameter(members.first()?);
        let value = point.get(&first.path)?;
        match self.scales[axis] {
            Scale::Continuous => first.domain.probability(value),
            Scale::Ordered(_) => {
                let (low, high) = self.cell(axis, first.domain.row_of(value)?);
                Some(f64::midpoint(low, high))
            }
            Scale::Choice(rows) => {
                // A zipped column may contain a value several times.
                let is_row = |row: &u64| {
                    members
                        .iter()
                        .map(parameter)
                        .all(|member| point.get(&member.path) == Some(&member.domain.value(*row)))
                };
                let row = if members.len() == 1 {
                    first.domain.row_of(value)?
                } else {
                    (0..rows).find(is_row)?
                };
                Some(row as f64)
            }
        }
    }

    /// Returns the interval of coordinates that belong to `row` of an ordered axis.
    pub(crate) fn cell(&self, axis: usize, row: u64) -> (f64, f64) {
        let domain = self.space.list[axis].members.first();
        let domain = domain.map(|member| &self.space.parameters[*member].domain);
        let Scale::Ordered(rows) = self.scales[axis] else { return (0.0, 1.0) };
        domain.and_then(|domain| domain.uneven_cell(row)).unwrap_or_else(|| {
            let rows = rows as f64;
            (row as f64 / rows, (row + 1) as f64 / rows)
        })
    }

    /// Returns the row of an ordered axis to which a coordinate belongs.
    pub(crate) fn row_at(&self, axis: usize, coordinate: f64) -> u64 {
        match self.pick(axis, coordinate) {
            AxisPick::Row(row) => row,
            AxisPick::Inactive | AxisPick::Value(_) => 0,
        }
    }

    /// Returns the prior probabilities of the rows of an axis without an order; empty for one with an
    /// order.
    pub(crate) fn probabilities(&self, axis: usize) -> Vec<f64> {
        let Scale::Choice(rows) = self.scales[axis] else { return Vec::new() };
        let domain = match &self.space.list[axis].members[..] {
            [single] => Some(&self.space.parameters[*single].domain),
            _ => None,
        };
        match domain {
            Some(Domain::Categorical { probabilities: Some(probabilities), .. }) => {
                probabilities.clone()
            }
            _ => vec![1.0 / rows as f64; usize::try_from(rows).unwrap_or(0)],
        }
    }

    /// Returns the point with these coordinates; none if it violates a constraint. `coordinate` is
    /// asked for the axes that exist, in order.
    pub(crate) fn decode(&self, mut coordinate: impl FnMut(usize) -> f64) -> Option<Point> {
        let mut picks = Vec::with_capacity(self.scales.len());
        for axis in 0..self.scales.len() {
            let pick = if self.space.is_active(axis, &picks) {
                self.pick(axis, coordinate(axis))
            } else {
                AxisPick::Inactive
            };
            picks.push(pick);
            if !self.space.is_admitted(axis, &picks) {
                return None;
            }
        }
        Some(self.space.point(&picks))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion of a float saturates, and the result is bounded right after"
    )]
    fn pick(&self, axis: usize, coordinate: f64) -> AxisPick {
        let Some(&member) = self.space.list[axis].members.first() else {
            return AxisPick::Inactive;
        };
        match (self.scales[axis], &self.space.parameters[member].domain) {
            (Scale::Choice(rows), _) => {
                AxisPick::Row((coordinate as u64).min(rows.saturating_sub(1)))
            }
            (Scale::Ordered(rows), Domain::Categorical { .. }) => {
                AxisPick::Row(((coordinate * rows as f64) as u64).min(rows.saturating_sub(1)))
            }
            // The quantiles of 0 and 1 may be infinite.
            (_, domain) => domain.quantile(coordinate.clamp(2f64.powi(-54), 1.0 - 2f64.powi(-53))),
        }
    }
}

/// Returns the row that the coordinate of an axis without an order names.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the coordinate is the number of a row"
)]
pub(crate) fn row(coordinate: f64) -> usize {
    coordinate as usize
}

/// Whether the rows of a domain have an order: all but lists, of which those of rising or falling
/// numbers have one.
fn is_ordered(domain: &Domain) -> bool {
    let Domain::Categorical { values, probabilities } = domain else {
        return !matches!(domain, Domain::Constant { .. });
    };
    let numbers: Option<Vec<f64>> = values.iter().map(Json::as_f64).collect();
    let is_sorted = |numbers: Vec<f64>| {
        numbers.is_sorted_by(|a, b| a < b) || numbers.is_sorted_by(|a, b| a > b)
    };
    probabilities.is_none() && values.len() > 2 && numbers.is_some_and(is_sorted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::name::WorkloadName;
    use crate::schema::WorkloadSchema;
    use crate::space::{Condition, Constraint, Parameter, Space};

    fn parameter(path: &str, domain: Domain) -> Parameter {
        Parameter { path: path.to_owned(), domain, when: Vec::new() }
    }

    fn list(values: &[Json]) -> Domain {
        Domain::Categorical { values: values.to_vec(), probabilities: None }
    }

    fn encoded(space: &Space) -> EncodedSpace {
        let schema = WorkloadSchema::unknown(WorkloadName::of("anything"));
        EncodedSpace::new(Arc::new(ResolvedSpace::new(&schema, space, &json!({}))))
    }

    /// A space with every kind of axis.
    fn space() -> Space {
        let condition = Condition { path: "kind".to_owned(), values: vec![json!("b")] };
        let when = |parameter| Parameter { when: vec![condition.clone()], ..parameter };
        Space {
            parameters: vec![
                parameter("kind", list(&[json!("a"), json!("b")])),
                parameter("rate", Domain::LogUniformValues { min: 1e-4, max: 1.0 }),
                parameter("count", Domain::IntUniform { min: 3, max: 9 }),
                parameter("size", list(&[json!(16), json!(32), json!(64)])),
                when(parameter("normal", Domain::LogNormal { mu: 1.0, sigma: 0.5 })),
                parameter(
                    "steps",
                    Domain::QLogUniformValues { min: 1.0, max: 64.0, q: 1.0, whole: true },
                ),
                parameter("x", list(&[json!(1), json!(1), json!(2)])),
                parameter("y", list(&[json!("p"), json!("q"), json!("q")])),
            ],
            zip: vec![vec!["x".to_owned(), "y".to_owned()]],
            constraints: vec![Constraint::parse("count < size").unwrap()],
        }
    }

    #[test]
    fn lists_of_sorted_numbers_have_an_order_and_zipped_ones_have_none() {
        let scales = encoded(&space()).scales().to_vec();
        let expected = [
            Scale::Choice(2),
            Scale::Continuous,
            Scale::Ordered(7),
            Scale::Ordered(3),
            Scale::Continuous,
            Scale::Ordered(64),
            Scale::Choice(3),
        ];
        assert_eq!(scales, expected);
    }

    proptest! {
        #[test]
        fn a_point_is_found_again_from_its_coordinates(units in prop::collection::vec(0.0..1.0f64, 7)) {
            let space = encoded(&space());
            let scaled = |axis: usize| match space.scales()[axis] {
                Scale::Choice(rows) => (units[axis] * rows as f64).floor(),
                _ => units[axis],
            };
            let point = space.decode(scaled).unwrap();
            let coordinates = space.encode(&point);
            prop_assert_eq!(coordinates[4].is_some(), point.get("kind") == Some(&json!("b")));
            for (axis, coordinate) in coordinates.iter().enumerate() {
                match (space.scales()[axis], coordinate) {
                    (_, None) => {}
                    (Scale::Continuous, Some(x)) => prop_assert!((x - units[axis]).abs() < 1e-9),
                    (Scale::Ordered(_), Some(x)) => {
                        let (low, high) = space.cell(axis, space.row_at(axis, *x));
                        prop_assert!(low <= *x && *x <= high);
                        prop_assert!(low - 1e-9 <= units[axis] && units[axis] <= high + 1e-9);
                    }
                    (Scale::Choice(_), Some(x)) => {
                        prop_assert!((x - scaled(axis)).abs() < 0.5);
                    }
                }
            }
            let again = space.decode(|axis| coordinates[axis].unwrap()).unwrap();
            for (path, value) in point.iter() {
                let found = again.get(path).unwrap();
                if let (Some(a), Some(b)) = (value.as_f64(), found.as_f64()) {
                    prop_assert!((a - b).abs() <= 1e-9 * a.abs());
                } else {
                    prop_assert_eq!(value, found);
                }
            }
        }
    }
}
