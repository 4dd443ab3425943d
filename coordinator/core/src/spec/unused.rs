//! Checks that everything in a file affects some trial: no parameter that never exists or that the
//! kind of the trial ignores, and no unused fixed value. A fixed value that a parameter always
//! replaces is only a warning, because users sweep over what their file had before.
//!
//! Only the parameters on which others depend matter; all their combinations are visited.
//! Constraints are ignored: a field that only a constraint keeps from a wrong kind still needs its
//! `when`.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::field_reader::{FieldReader, plain};
use super::mistake::Span;
use super::parameters::Declarations;
use super::when::when_path;
use crate::schema::WorkloadSchema;
use crate::schema::field::{self, FieldSchema, names};
use crate::space::resolved_space::{ResolvedCondition, ResolvedSpace};
use crate::space::{AxisPick, Domain, Space};

/// The largest number of combinations that are visited.
const MAX_CASES: usize = 100_000;
/// The number of values above which a parameter is represented by those in conditions.
const MAX_ROWS: u64 = 64;

/// Reports everything that affects no trial. `fixed` is the configuration around the space.
pub(super) fn check(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    space: &Space,
    fixed: &Json,
) {
    let schema = reader.schema;
    let axes = ResolvedSpace::new(schema, space, fixed);
    let Some(cases) = cases(&axes) else {
        let span = declarations.list.first().map_or(Span::new(0, 0), |first| first.span);
        reader
            .report
            .error(span, format!("the conditions tell more than {MAX_CASES} cases apart"))
            .help("use fewer parameters in `when`, or split the sweep");
        return;
    };
    let mut found = ReachedValues {
        ignored: vec![BTreeSet::new(); space.parameters.len()],
        ..ReachedValues::default()
    };
    let written: Vec<(String, &FieldSchema)> = reader
        .written
        .keys()
        .filter_map(|path| Some((path.clone(), schema.fields.at(path)?)))
        // The seed is also that of the sampler.
        .filter(|(path, field)| path != "seed" && !matches!(field.ty, field::FieldType::Object(_)))
        .collect();
    for picks in &cases {
        found.visit(&SpaceView { schema, axes: &axes, picks, fixed }, &written);
    }
    report_parameters(reader, declarations, &axes, fixed, &found);
    for (path, field) in &written {
        if !found.used.contains(path) && !reader.faulty.contains(path) {
            report_unused(reader, path, field, &found);
        }
    }
}

/// The findings of all combinations together.
#[derive(Default)]
struct ReachedValues {
    /// The positions of the parameters that exist in some combination.
    existing: BTreeSet<usize>,
    /// For each parameter, the kinds that ignore it in some combination where it exists.
    ignored: Vec<BTreeSet<String>>,
    /// The fixed fields that are used in some combination.
    used: BTreeSet<String>,
    /// The kinds that occur, by the path of the field.
    kinds: BTreeSet<(String, String)>,
}

impl ReachedValues {
    fn visit(&mut self, view: &SpaceView<'_>, written: &[(String, &FieldSchema)]) {
        for (position, parameter) in view.axes.parameters.iter().enumerate() {
            if !view.exists(position) {
                continue;
            }
            self.existing.insert(position);
            let kinds =
                view.schema.fields.at(&parameter.path).filter(|field| field.kinds.is_some());
            let kind = field::kind_path(&parameter.path);
            if let (Some(field), Some(kind)) = (kinds, view.text(&kind))
                && !field.is_used_by(&kind)
            {
                self.ignored[position].insert(kind);
            }
        }
        for (path, field) in written {
            let kind_path = field::kind_path(path);
            let kind = field.kinds.as_ref().and_then(|_| view.text(&kind_path));
            if let Some(kind) = &kind {
                self.kinds.insert((kind_path, kind.clone()));
            }
            let is_swept = view.axes.position(path).is_some_and(|position| view.exists(position));
            if !is_swept && kind.is_none_or(|kind| field.is_used_by(&kind)) {
                self.used.insert(path.clone());
            }
        }
    }
}

/// One combination of deciding parameters.
struct SpaceView<'a> {
    schema: &'a WorkloadSchema,
    axes: &'a ResolvedSpace,
    picks: &'a [AxisPick],
    fixed: &'a Json,
}

impl SpaceView<'_> {
    fn exists(&self, position: usize) -> bool {
        !matches!(self.picks.get(self.axes.axis_of[position]), None | Some(AxisPick::Inactive))
    }

    /// Returns the text of the field at `path` in this combination.
    fn text(&self, path: &str) -> Option<String> {
        if let Some(position) = self.axes.position(path)
            && let Some(AxisPick::Row(row)) = self.picks.get(self.axes.axis_of[position])
        {
            let value = self.axes.parameters[position].domain.value(*row);
            return value.as_str().map(str::to_owned);
        }
        field::value_at(self.fixed, path)?.as_str().map(str::to_owned)
    }
}

/// Returns all combinations; none if there are too many.
fn cases(axes: &ResolvedSpace) -> Option<Vec<Vec<AxisPick>>> {
    let mut cases = vec![Vec::new()];
    for index in 0..axes.list.len() {
        let rows = representatives(axes, index);
        let mut longer = Vec::new();
        for case in cases {
            if !axes.is_active(index, &case) {
                longer.push([case.as_slice(), &[AxisPick::Inactive]].concat());
                continue;
            }
            for row in &rows {
                longer.push([case.as_slice(), &[AxisPick::Row(*row)]].concat());
            }
            if longer.len() > MAX_CASES {
                return None;
            }
        }
        cases = longer;
    }
    Some(cases)
}

/// Returns the rows that represent an axis: each one that conditions tell apart.
fn representatives(axes: &ResolvedSpace, index: usize) -> Vec<u64> {
    let axis = &axes.list[index];
    let mut named = BTreeSet::new();
    let mut decides = axis.members.iter().any(|&member| {
        let path = &axes.parameters[member].path;
        *path == field::kind_path(path)
    });
    for when in axes.list.iter().flat_map(|axis| &axis.when) {
        if let ResolvedCondition::Axis { axis, rows, .. } = when
            && *axis == index
        {
            decides = true;
            named.extend(rows.iter().copied());
        }
    }
    match axis.size {
        Some(size) if decides && size <= MAX_ROWS => (0..size).collect(),
        Some(size) if decides => {
            named.extend((0..size).find(|row| !named.contains(row)));
            named.into_iter().collect()
        }
        _ => vec![0],
    }
}

fn report_parameters(
    reader: &mut FieldReader<'_>,
    declarations: &Declarations<'_>,
    axes: &ResolvedSpace,
    fixed: &Json,
    found: &ReachedValues,
) {
    for (position, parameter) in axes.parameters.iter().enumerate() {
        let Some(declared) = declarations.get(&parameter.path) else { continue };
        let kind_path = field::kind_path(&parameter.path);
        let is_doubtful = reader.faulty.contains(&kind_path)
            || reader.faulty.contains(&when_path(&parameter.path))
            || parameter.when.iter().any(|condition| reader.faulty.contains(&condition.path));
        if is_doubtful {
            continue;
        }
        let ignored: Vec<&String> = found.ignored[position].iter().collect();
        if !found.existing.contains(&position) {
            let span = declared.when.map_or(declared.span, |when| when.span);
            reader
                .report
                .error(span, format!("`{}` exists in no trial", parameter.path))
                .about(&parameter.path)
                .help(format!(
                    "{}: change `when`, or delete the parameter",
                    why_never(axes, position, fixed)
                ));
        } else if !ignored.is_empty() {
            let ignoring = names(&ignored, "and");
            let help = match axes.position(&kind_path) {
                Some(kind) => remedy(declared.field, &kind_path, &axes.parameters[kind].domain),
                None => switch(declared.field, &kind_path),
            };
            let message = format!("`{}` is not used by `{kind_path}`: {ignoring}", parameter.path);
            reader.report.error(declared.span, message).about(&parameter.path).help(help);
        }
    }
}

/// Explains why a parameter never exists, if a single condition shows it.
fn why_never(axes: &ResolvedSpace, position: usize, fixed: &Json) -> String {
    for condition in &axes.parameters[position].when {
        let value = field::value_at(fixed, &condition.path);
        if let Some(value) = value.filter(|value| !condition.values.contains(value))
            && axes.position(&condition.path).is_none()
        {
            return format!("`{}` is `{}` in this sweep", condition.path, plain(value));
        }
    }
    "its conditions never hold together".to_owned()
}

/// Returns the condition that keeps a parameter from the kinds that ignore it.
fn remedy(field: &FieldSchema, kind_path: &str, kinds: &Domain) -> String {
    let using = field.kinds.iter().flatten();
    let using: Vec<&str> = using
        .filter(|kind| kinds.row_of(&Json::from(kind.as_str())).is_some())
        .map(String::as_str)
        .collect();
    match using.as_slice() {
        [] => "delete it: no kind of this sweep uses it".to_owned(),
        [kind] => format!("write `when: {{{kind_path}: {kind}}}`"),
        kinds => format!("write `when: {{{kind_path}: [{}]}}`", kinds.join(", ")),
    }
}

/// Returns the remedy for a field that no kind of the sweep uses.
fn switch(field: &FieldSchema, kind_path: &str) -> String {
    let kinds = field.kinds.as_deref().unwrap_or_default();
    format!("delete it, or set `{kind_path}` to {}", names(kinds, "or"))
}

fn report_unused(
    reader: &mut FieldReader<'_>,
    path: &str,
    field: &FieldSchema,
    found: &ReachedValues,
) {
    let Some(place) = reader.written.get(path).copied() else { return };
    let kind_path = field::kind_path(path);
    if reader.faulty.contains(&kind_path) {
        return;
    }
    let kinds: Vec<&str> = found
        .kinds
        .iter()
        .filter(|(known, _)| *known == kind_path)
        .map(|(_, kind)| kind.as_str())
        .collect();
    if field.kinds.is_some() && !kinds.iter().any(|kind| field.is_used_by(kind)) {
        reader
            .report
            .error(
                place.key,
                format!("`{path}` is not used by `{kind_path}`: {}", names(&kinds, "and")),
            )
            .about(path)
            .help(switch(field, &kind_path));
    } else {
        reader
            .report
            .warn(place.key, format!("`{path}` is fixed here and swept under `parameters`"))
            .about(path)
            .help("the parameter counts: delete the fixed value");
    }
}
