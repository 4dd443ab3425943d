//! The fields of a configuration as data: names, types, ranges, documentation and the kinds that
//! use them, read from the JSON Schema that is derived from the structs.
//!
//! No field is written down a second time: whatever checks or explains a file walks this tree. It
//! knows the subset of JSON Schema that our structs produce; a test finds a field outside of it.

use std::fmt;
use std::sync::LazyLock;

use schemars::{JsonSchema, schema_for};
use serde_json::Value as Json;

use super::TrialConfig;

/// A mapping with named fields, in alphabetical order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) fields: Vec<(String, Field)>,
}

/// One field: what it may hold and what it means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// The documentation of the field.
    pub(crate) docs: String,
    /// What it holds.
    pub(crate) ty: Type,
    /// Whether `null` stands for "not given".
    pub(crate) nullable: bool,
    /// Whether it has no default.
    pub(crate) required: bool,
    /// What holds where it is not given.
    pub(crate) default: Json,
    /// The values of the neighbouring field `kind` that use this field; all of them if `None`.
    pub(crate) kinds: Option<Vec<String>>,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Object(Object),
    List {
        item: Box<Field>,
        min: u64,
    },
    Bool,
    Integer {
        min: i128,
        max: i128,
    },
    Number(Range),
    Text,
    Choice(Vec<String>),
    /// Checked elsewhere.
    Any,
}

/// The numbers that a field accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Range {
    pub(crate) min: Option<f64>,
    pub(crate) above: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) below: Option<f64>,
}

impl Range {
    /// Whether `x` is in the range. NaN and infinities never are.
    pub(crate) fn contains(&self, x: f64) -> bool {
        x.is_finite()
            && self.min.is_none_or(|min| x >= min)
            && self.above.is_none_or(|above| x > above)
            && self.max.is_none_or(|max| x <= max)
            && self.below.is_none_or(|below| x < below)
    }
}

/// The fields of [`TrialConfig`].
pub(crate) fn trial() -> &'static Object {
    static FIELDS: LazyLock<Object> = LazyLock::new(Object::of::<TrialConfig>);
    &FIELDS
}

/// The path of the field whose value decides which of the neighbours of `path` are used.
pub(crate) fn kind_path(path: &str) -> String {
    match path.rsplit_once('.') {
        Some((parent, _)) => format!("{parent}.kind"),
        None => "kind".to_owned(),
    }
}

/// The value at a dotted path of a configuration.
pub(crate) fn value_at<'a>(config: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(config, |config, name| config.get(name))
}

impl Object {
    /// The fields of the struct `T`.
    pub(crate) fn of<T: JsonSchema>() -> Self {
        let schema = schema_for!(T).to_value();
        Self::read(&schema, &schema["$defs"])
    }

    fn read(schema: &Json, defs: &Json) -> Self {
        let required = strings(&schema["required"]).unwrap_or_default();
        let mut fields = Vec::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let mut field = Field::read(schema, defs);
            field.required = required.contains(name);
            fields.push((name.clone(), field));
        }
        Self { fields }
    }

    /// The field called `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, field)| field)
    }

    /// The field at a dotted path.
    pub(crate) fn at(&self, path: &str) -> Option<&Field> {
        let Some((name, rest)) = path.split_once('.') else {
            return self.get(path);
        };
        match &self.get(name)?.ty {
            Type::Object(object) => object.at(rest),
            _ => None,
        }
    }

    /// The names of all fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Every field that holds a single value, with its dotted path.
    pub(crate) fn leaves(&self) -> Vec<(String, &Field)> {
        let mut leaves = Vec::new();
        for (name, field) in &self.fields {
            match &field.ty {
                Type::Object(object) => {
                    let inner = object.leaves().into_iter();
                    leaves.extend(inner.map(|(path, field)| (format!("{name}.{path}"), field)));
                }
                Type::List { .. } | Type::Any => {}
                _ => leaves.push((name.clone(), field)),
            }
        }
        leaves
    }
}

impl Field {
    fn read(schema: &Json, defs: &Json) -> Self {
        // An optional struct is `anyOf` the struct and null.
        let some = schema["anyOf"].as_array().and_then(|any| any.first()).unwrap_or(schema);
        let target = match some["$ref"].as_str() {
            Some(reference) => &defs[reference.trim_start_matches("#/$defs/")],
            None => some,
        };
        let types = strings(&target["type"]).unwrap_or_default();
        Self {
            docs: schema["description"].as_str().unwrap_or_default().to_owned(),
            ty: Type::read(target, &types, defs),
            nullable: schema["anyOf"].is_array() || types.iter().any(|ty| ty == "null"),
            required: false,
            default: schema["default"].clone(),
            kinds: strings(&schema["x-kinds"]),
        }
    }

    /// Whether a trial whose neighbouring field `kind` is `kind` uses this field.
    pub(crate) fn is_used_by(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|known| known == kind))
    }
}

impl Type {
    fn read(schema: &Json, types: &[String], defs: &Json) -> Self {
        if let Some(choices) = schema["oneOf"].as_array() {
            let names = choices.iter().filter_map(|choice| choice["const"].as_str());
            return Self::Choice(names.map(str::to_owned).collect());
        }
        if let Some(names) = strings(&schema["enum"]) {
            return Self::Choice(names);
        }
        match types.iter().find(|ty| *ty != "null").map(String::as_str) {
            Some("object") => Self::Object(Object::read(schema, defs)),
            Some("array") => Self::List {
                item: Box::new(Field::read(&schema["items"], defs)),
                min: schema["minItems"].as_u64().unwrap_or(0),
            },
            Some("boolean") => Self::Bool,
            Some("string") => Self::Text,
            Some("integer") => {
                let (min, max) = integer_format(schema["format"].as_str().unwrap_or_default());
                Self::Integer {
                    min: schema["minimum"].as_i64().map_or(min, i128::from),
                    max: schema["maximum"].as_i64().map_or(max, i128::from),
                }
            }
            Some("number") => Self::Number(Range {
                min: schema["minimum"].as_f64(),
                above: schema["exclusiveMinimum"].as_f64(),
                max: schema["maximum"].as_f64(),
                below: schema["exclusiveMaximum"].as_f64(),
            }),
            _ => Self::Any,
        }
    }
}

/// The smallest and largest integer of a format name of JSON Schema, such as `uint32`.
fn integer_format(format: &str) -> (i128, i128) {
    let (min, bits) = match format.strip_prefix("uint") {
        Some(bits) => (0, bits),
        None => (-1, format.trim_start_matches("int")),
    };
    let bits: u32 = bits.parse().unwrap_or(64);
    if min == 0 { (0, (1 << bits) - 1) } else { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) }
}

/// A string or a list of strings.
fn strings(json: &Json) -> Option<Vec<String>> {
    match json {
        Json::String(text) => Some(vec![text.clone()]),
        Json::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Names in backticks, separated by commas, the last one by `last` (`or`, `and`).
pub(crate) fn names<T: AsRef<str>>(names: &[T], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., end] => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// What the field wants, to follow "must be".
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(_) => f.write_str("a mapping"),
            Self::List { .. } => f.write_str("a list"),
            Self::Bool => f.write_str("`true` or `false`"),
            Self::Text | Self::Any => f.write_str("text"),
            Self::Choice(choices) if choices.len() == 1 => f.write_str(&names(choices, "or")),
            Self::Choice(choices) => write!(f, "one of {}", names(choices, "or")),
            Self::Integer { min, max } if *max >= i128::from(i32::MAX) => {
                write!(f, "a whole number from {min} on")
            }
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Number(range) => range.fmt(f),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")?;
        let bounds = [
            ("of at least", self.min),
            ("greater than", self.above),
            ("of at most", self.max),
            ("less than", self.below),
        ];
        let mut link = "";
        for (words, bound) in bounds {
            if let Some(bound) = bound {
                write!(f, "{link} {words} {bound}")?;
                link = " and";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field, with the object that holds it.
    fn all(object: &Object) -> Vec<(&str, &Field, &Object)> {
        let mut fields = Vec::new();
        for (name, field) in &object.fields {
            fields.push((name.as_str(), field, object));
            let ty = if let Type::List { item, .. } = &field.ty { &item.ty } else { &field.ty };
            if let Type::Object(inner) = ty {
                fields.extend(all(inner));
            }
        }
        fields
    }

    #[test]
    fn every_field_of_a_trial_has_a_type_and_a_documentation() {
        for (name, field, _) in all(trial()) {
            assert!(!field.docs.is_empty(), "{name} has no documentation");
            assert_ne!(field.ty, Type::Any, "{name} has a schema that is not understood");
            if let Type::List { item, .. } = &field.ty {
                assert_ne!(item.ty, Type::Any, "{name} has items that are not understood");
            }
        }
    }

    #[test]
    fn kinds_name_values_of_the_neighbouring_field() {
        for (name, field, object) in all(trial()) {
            let Some(kinds) = &field.kinds else { continue };
            let Some(Field { ty: Type::Choice(known), .. }) = object.get("kind") else {
                panic!("`{name}` has kinds but no neighbour `kind`");
            };
            assert!(kinds.iter().all(|kind| known.contains(kind)), "{name}: {kinds:?}");
        }
    }

    #[test]
    fn types_and_ranges_are_those_of_the_structs() {
        let cases = [
            ("network.hidden", "a whole number from 1 to 16384"),
            ("task.seed", "a whole number from 0 on"),
            ("training.optimizer.lr", "a number greater than 0"),
            ("training.optimizer.beta1", "a number of at least 0 and less than 1"),
            (
                "network.kind",
                "one of `fixed`, `homogeneous`, `heterogeneous`, `adaptive`, `relu`, `tanh`, `sigmoid`, `softplus`, `linear`, `modrelu`, `lstm` or `gru`",
            ),
            ("training.shuffle", "`true` or `false`"),
            ("task.data", "text"),
            ("evaluate", "a list"),
            ("network", "a mapping"),
        ];
        for (path, expected) in cases {
            assert_eq!(trial().at(path).unwrap().ty.to_string(), expected, "{path}");
        }
        assert!(trial().at("network.n0").unwrap().nullable);
        assert!(trial().at("network.hiden").is_none());
        assert_eq!(integer_format("uint64"), (0, i128::from(u64::MAX)));
        assert_eq!(integer_format("int32"), (i128::from(i32::MIN), i128::from(i32::MAX)));
    }
}
