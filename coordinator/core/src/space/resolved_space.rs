//! A space resolved for use: zipped parameters form one axis, axes are in an order in which they
//! can be decided, and names are positions.
//!
//! The order is that of declaration, except that an axis comes after those on which its conditions
//! depend. Samplers and counting walk the axes in this order.

use serde_json::Value as Json;

use super::domain::{AxisPick, operand};
use super::expression::{Constraint, Operand};
use super::{Condition, Domain, Parameter, Point, Space};
use crate::schema::{WorkloadSchema, field};

/// A resolved space.
#[derive(Debug)]
pub(crate) struct ResolvedSpace {
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) list: Vec<Axis>,
    /// The axis of each parameter.
    pub(crate) axis_of: Vec<usize>,
    pub(crate) constraints: Vec<ResolvedConstraint>,
}

/// A single parameter, or a group of zipped ones.
#[derive(Debug)]
pub(crate) struct Axis {
    /// The positions of the parameters, which all have the same number of values and the same
    /// conditions.
    pub(crate) members: Vec<usize>,
    /// The number of rows; `None` for a continuum.
    pub(crate) size: Option<u64>,
    /// The conditions under which the axis exists.
    pub(crate) when: Vec<ResolvedCondition>,
}

/// A condition with its field resolved.
#[derive(Debug)]
pub(crate) enum ResolvedCondition {
    /// The field is fixed and has none of the values.
    Never,
    /// The condition depends on an earlier axis.
    Axis {
        axis: usize,
        /// The rows that fulfil the condition, sorted.
        rows: Vec<u64>,
        /// Whether the fixed value fulfils the condition where that axis does not exist.
        otherwise: bool,
    },
}

/// The reason why values are no point of a space.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum PointError {
    #[error("the point has no value of `{0}`")]
    Missing(String),
    #[error("`{0}` does not exist at this point, because its condition does not hold")]
    Inactive(String),
    #[error("`{value}` is not among the values of `{path}`")]
    Outside { path: String, value: Json },
    #[error("no row of the zipped parameters {} has these values", .0.join(" and "))]
    NoRow(Vec<String>),
    #[error("the point violates the constraint `{0}`")]
    Constraint(String),
}

/// A constraint with its names resolved.
#[derive(Debug)]
pub(crate) struct ResolvedConstraint {
    constraint: Constraint,
    slots: Vec<ConstraintArgument>,
    /// The axes in it, sorted.
    pub(crate) axes: Vec<usize>,
}

#[derive(Debug)]
enum ConstraintArgument {
    Parameter(usize),
    Fixed(Json),
}

impl ResolvedSpace {
    /// Resolves `space` around the fixed configuration `fixed`, which includes defaults.
    ///
    /// An unknown name makes a condition false and a constraint true; a checked sweep has none.
    pub(crate) fn new(schema: &WorkloadSchema, space: &Space, fixed: &Json) -> Self {
        let order = AxisSorter::new(space);
        let mut axes = Self {
            parameters: space.parameters.clone(),
            list: Vec::new(),
            axis_of: vec![0; space.parameters.len()],
            constraints: Vec::new(),
        };
        for (index, group) in order.sorted().into_iter().enumerate() {
            for &member in &group {
                axes.axis_of[member] = index;
            }
            let first = group.first().map(|&member| &space.parameters[member]);
            let when = first.map_or(&[][..], |parameter| &parameter.when);
            let when = when
                .iter()
                .flat_map(|condition| axes.resolve_condition(schema, condition, fixed))
                .collect();
            let size = first.and_then(|parameter| parameter.domain.size());
            axes.list.push(Axis { members: group, size, when });
        }
        let bound = space.constraints.iter().filter_map(|c| axes.resolve_constraint(c, fixed));
        axes.constraints = bound.collect();
        axes
    }

    /// Returns the position of the parameter at `path`.
    pub(crate) fn position(&self, path: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.path == path)
    }

    /// Resolves a condition, and the implied one that the kind of the trial uses the field.
    /// Conditions that always hold are left out.
    fn resolve_condition(
        &self,
        schema: &WorkloadSchema,
        condition: &Condition,
        fixed: &Json,
    ) -> Vec<ResolvedCondition> {
        let mut bound = Vec::new();
        let kinds = schema.fields.at(&condition.path).and_then(|field| field.kinds.clone());
        if let Some(kinds) = kinds {
            let path = field::kind_path(&condition.path);
            let values = kinds.into_iter().map(Json::from).collect();
            bound.extend(self.resolve_single(&Condition { path, values }, fixed));
        }
        bound.extend(self.resolve_single(condition, fixed));
        bound
    }

    fn resolve_single(&self, condition: &Condition, fixed: &Json) -> Option<ResolvedCondition> {
        let default = field::value_at(fixed, &condition.path);
        let otherwise = default.is_some_and(|value| condition.values.contains(value));
        let Some(position) = self.position(&condition.path) else {
            return (!otherwise).then_some(ResolvedCondition::Never);
        };
        let domain = &self.parameters[position].domain;
        let mut rows: Vec<u64> = match domain {
            // A zipped column may contain a value several times.
            Domain::Categorical { values, .. } => (0..)
                .zip(values)
                .filter(|(_, value)| condition.values.contains(value))
                .map(|(row, _)| row)
                .collect(),
            _ => condition.values.iter().filter_map(|value| domain.row_of(value)).collect(),
        };
        rows.sort_unstable();
        Some(ResolvedCondition::Axis { axis: self.axis_of[position], rows, otherwise })
    }

    /// Resolves a constraint; none if it depends on no parameter, or on a field without a value.
    fn resolve_constraint(
        &self,
        constraint: &Constraint,
        fixed: &Json,
    ) -> Option<ResolvedConstraint> {
        let mut slots = Vec::new();
        let mut axes = Vec::new();
        for name in constraint.names() {
            if let Some(position) = self.position(name) {
                slots.push(ConstraintArgument::Parameter(position));
                axes.push(self.axis_of[position]);
            } else {
                let value = field::value_at(fixed, name)?;
                operand(value)?;
                slots.push(ConstraintArgument::Fixed(value.clone()));
            }
        }
        axes.sort_unstable();
        axes.dedup();
        (!axes.is_empty()).then(|| ResolvedConstraint {
            constraint: constraint.clone(),
            slots,
            axes,
        })
    }

    /// Whether axis `index` exists, given the `picks` of the earlier axes.
    pub(crate) fn is_active(&self, index: usize, picks: &[AxisPick]) -> bool {
        self.list[index].when.iter().all(|when| match when {
            ResolvedCondition::Never => false,
            ResolvedCondition::Axis { axis, rows, otherwise } => match picks.get(*axis) {
                Some(AxisPick::Row(row)) => rows.binary_search(row).is_ok(),
                Some(AxisPick::Inactive) => *otherwise,
                Some(AxisPick::Value(_)) | None => false,
            },
        })
    }

    /// Whether the constraints hold whose last axis is `index`.
    pub(crate) fn is_admitted(&self, index: usize, picks: &[AxisPick]) -> bool {
        let decided = |bound: &&ResolvedConstraint| bound.axes.last() == Some(&index);
        self.constraints.iter().filter(decided).all(|bound| bound.holds(self, picks))
    }

    /// Draws a point from one number in (0, 1) per axis; none if it violates a constraint.
    pub(crate) fn draw(&self, mut unit: impl FnMut(usize) -> f64) -> Option<Point> {
        let mut picks = Vec::with_capacity(self.list.len());
        for (index, axis) in self.list.iter().enumerate() {
            // Drawn even if unused, so that axes never share a number.
            let u = unit(index);
            picks.push(match axis.members.first() {
                Some(&first) if self.is_active(index, &picks) => {
                    self.parameters[first].domain.quantile(u)
                }
                _ => AxisPick::Inactive,
            });
            if !self.is_admitted(index, &picks) {
                return None;
            }
        }
        Some(self.point(&picks))
    }

    /// Returns the picks of a point; none if it is not of this space.
    pub(crate) fn picks_of(&self, point: &Point) -> Option<Vec<AxisPick>> {
        let given = |member: &usize| point.get(&self.parameters[*member].path);
        let pick = |axis: &Axis| match axis.members.first().and_then(given) {
            None => Some(AxisPick::Inactive),
            Some(_) => self.pick_with(axis, given).ok(),
        };
        self.list.iter().map(pick).collect()
    }

    /// Returns the point with these values, which must be those of every parameter that exists there.
    pub(crate) fn point_with(&self, values: &[(String, Json)]) -> Result<Point, PointError> {
        let given = |member: &usize| {
            let path = &self.parameters[*member].path;
            values.iter().find(|(known, _)| known == path).map(|(_, value)| value)
        };
        let path = |member: &usize| self.parameters[*member].path.clone();
        let mut picks = Vec::with_capacity(self.list.len());
        for (index, axis) in self.list.iter().enumerate() {
            if !self.is_active(index, &picks) {
                if let Some(extra) = axis.members.iter().find(|member| given(member).is_some()) {
                    return Err(PointError::Inactive(path(extra)));
                }
                picks.push(AxisPick::Inactive);
                continue;
            }
            if let Some(missing) = axis.members.iter().find(|member| given(member).is_none()) {
                return Err(PointError::Missing(path(missing)));
            }
            picks.push(self.pick_with(axis, given)?);
            let violated = |bound: &&ResolvedConstraint| {
                bound.axes.last() == Some(&index) && !bound.holds(self, &picks)
            };
            if let Some(violated) = self.constraints.iter().find(violated) {
                return Err(PointError::Constraint(violated.constraint.as_str().to_owned()));
            }
        }
        Ok(self.point(&picks))
    }

    /// Returns the pick of an axis all of whose parameters have a given value.
    fn pick_with<'v>(
        &self,
        axis: &Axis,
        given: impl Fn(&usize) -> Option<&'v Json>,
    ) -> Result<AxisPick, PointError> {
        let domain = |member: &usize| &self.parameters[*member].domain;
        if let [single] = &axis.members[..] {
            let value = given(single).cloned().unwrap_or_default();
            let path = self.parameters[*single].path.clone();
            return domain(single).pick_of(&value).ok_or(PointError::Outside { path, value });
        }
        let has_values = |row: &u64| {
            axis.members.iter().all(|member| given(member) == Some(&domain(member).value(*row)))
        };
        let row = (0..axis.size.unwrap_or(0)).find(has_values);
        let paths = || axis.members.iter().map(|it| self.parameters[*it].path.clone()).collect();
        row.map(AxisPick::Row).ok_or_else(|| PointError::NoRow(paths()))
    }

    /// Returns the point for `picks`.
    pub(crate) fn point(&self, picks: &[AxisPick]) -> Point {
        let value = |(parameter, &axis): (&Parameter, &usize)| {
            let value = match picks.get(axis)? {
                AxisPick::Inactive => return None,
                AxisPick::Row(row) => parameter.domain.value(*row),
                AxisPick::Value(x) => Json::from(*x),
            };
            Some((parameter.path.clone(), value))
        };
        self.parameters.iter().zip(&self.axis_of).filter_map(value).collect()
    }
}

impl ResolvedConstraint {
    fn holds(&self, axes: &ResolvedSpace, picks: &[AxisPick]) -> bool {
        let mut values = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let value = match slot {
                ConstraintArgument::Fixed(value) => operand(value),
                ConstraintArgument::Parameter(position) => match picks.get(axes.axis_of[*position])
                {
                    Some(AxisPick::Row(row)) => axes.parameters[*position].domain.operand(*row),
                    Some(AxisPick::Value(x)) => Some(Operand::Number(*x)),
                    Some(AxisPick::Inactive) | None => None,
                },
            };
            match value {
                Some(value) => values.push(value),
                None => return true,
            }
        }
        self.constraint.holds(&values)
    }
}

/// Sorts groups of parameters, so that each comes after those on which its conditions depend.
struct AxisSorter<'a> {
    space: &'a Space,
    groups: Vec<Vec<usize>>,
    visited: Vec<bool>,
    sorted: Vec<Vec<usize>>,
}

impl<'a> AxisSorter<'a> {
    fn new(space: &'a Space) -> Self {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (position, parameter) in space.parameters.iter().enumerate() {
            let zipped = space.zip.iter().find(|group| group.contains(&parameter.path));
            let partner = zipped.and_then(|zipped| {
                groups.iter().position(|group| {
                    group.iter().any(|&other| zipped.contains(&space.parameters[other].path))
                })
            });
            match partner {
                Some(group) => groups[group].push(position),
                None => groups.push(vec![position]),
            }
        }
        let visited = vec![false; groups.len()];
        Self { space, groups, visited, sorted: Vec::new() }
    }

    fn sorted(mut self) -> Vec<Vec<usize>> {
        for group in 0..self.groups.len() {
            self.visit(group);
        }
        self.sorted
    }

    fn visit(&mut self, group: usize) {
        if std::mem::replace(&mut self.visited[group], true) {
            return;
        }
        let members = self.groups[group].clone();
        let parents = members.iter().flat_map(|&member| self.space.parameters[member].parents());
        let parents: Vec<usize> = parents.filter_map(|path| self.group_of(&path)).collect();
        for parent in parents {
            self.visit(parent);
        }
        self.sorted.push(members);
    }

    fn group_of(&self, path: &str) -> Option<usize> {
        self.groups.iter().position(|group| {
            group.iter().any(|&member| self.space.parameters[member].path == path)
        })
    }
}
