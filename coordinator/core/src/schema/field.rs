//! Fields of a configuration as data: names, types, ranges, documentation and the kinds that use
//! them, read from the JSON Schema that is derived from structs.
//!
//! No field is written down a second time: whatever checks or explains a file walks this tree. It
//! knows the subset of JSON Schema that our structs produce; a test finds a field outside of it.

use std::fmt;

use schemars::{JsonSchema, schema_for};
use serde_json::Value as Json;

/// A mapping with named fields, in alphabetical order.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectSchema {
    /// The fields by name.
    pub fields: Vec<(String, FieldSchema)>,
    /// True if other fields than these may be there, of which nothing is known.
    pub is_open: bool,
}

/// One field: what it may hold and what it means.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSchema {
    /// The documentation of the field.
    pub docs: String,
    /// What it holds.
    pub ty: FieldType,
    /// Whether `null` stands for "not given".
    pub nullable: bool,
    /// Whether it has no default.
    pub required: bool,
    /// What holds where it is not given.
    pub default: Json,
    /// Whether a configuration that does not give it leaves it out instead of having its default. Fields
    /// are that come later, so that configurations and rows of earlier sweeps stay as they are.
    pub is_optional: bool,
    /// The values of the neighbouring field `kind` that use this field; all of them if `None`.
    pub kinds: Option<Vec<String>>,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldType {
    /// A mapping.
    Object(ObjectSchema),
    /// A list.
    List {
        /// The field that each item is like.
        item: Box<FieldSchema>,
        /// The fewest items.
        min: u64,
    },
    /// A truth value.
    Bool,
    /// A whole number.
    Integer {
        /// The least one.
        min: i128,
        /// The greatest one.
        max: i128,
    },
    /// A number.
    Number(NumberRange),
    /// A text.
    Text,
    /// One of these texts.
    Choice(Vec<String>),
    /// Checked elsewhere.
    Any,
}

/// The numbers that a field accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NumberRange {
    /// The least one.
    pub min: Option<f64>,
    /// All are greater than this.
    pub above: Option<f64>,
    /// The greatest one.
    pub max: Option<f64>,
    /// All are less than this.
    pub below: Option<f64>,
}

impl NumberRange {
    /// Whether `x` is in the range. NaN and infinities never are.
    pub fn contains(&self, x: f64) -> bool {
        x.is_finite()
            && self.min.is_none_or(|min| x >= min)
            && self.above.is_none_or(|above| x > above)
            && self.max.is_none_or(|max| x <= max)
            && self.below.is_none_or(|below| x < below)
    }
}

/// The path of the field whose value decides which of the neighbours of `path` are used.
pub fn kind_path(path: &str) -> String {
    match path.rsplit_once('.') {
        Some((parent, _)) => format!("{parent}.kind"),
        None => "kind".to_owned(),
    }
}

/// The value at a dotted path of a configuration.
pub fn value_at<'a>(config: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(config, |config, name| config.get(name))
}

impl ObjectSchema {
    /// The fields of the struct `T`.
    pub fn of<T: JsonSchema>() -> Self {
        Self::from_json(&schema_for!(T).to_value())
    }

    /// The fields of a struct by its JSON Schema, of which the subset is known that structs give.
    pub fn from_json(schema: &Json) -> Self {
        Self::read(schema, &schema["$defs"])
    }

    fn read(schema: &Json, defs: &Json) -> Self {
        let required = strings(&schema["required"]).unwrap_or_default();
        let mut fields = Vec::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let mut field = FieldSchema::read(schema, defs);
            field.required = required.contains(name);
            fields.push((name.clone(), field));
        }
        Self { fields, is_open: false }
    }

    /// The field called `name`.
    pub fn get(&self, name: &str) -> Option<&FieldSchema> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, field)| field)
    }

    /// The field at a dotted path.
    pub fn at(&self, path: &str) -> Option<&FieldSchema> {
        let Some((name, rest)) = path.split_once('.') else {
            return self.get(path);
        };
        match &self.get(name)?.ty {
            FieldType::Object(object) => object.at(rest),
            _ => None,
        }
    }

    /// The names of all fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Every field that holds a single value, with its dotted path.
    pub fn leaves(&self) -> Vec<(String, &FieldSchema)> {
        let mut leaves = Vec::new();
        for (name, field) in &self.fields {
            match &field.ty {
                FieldType::Object(object) => {
                    let inner = object.leaves().into_iter();
                    leaves.extend(inner.map(|(path, field)| (format!("{name}.{path}"), field)));
                }
                FieldType::List { .. } | FieldType::Any => {}
                _ => leaves.push((name.clone(), field)),
            }
        }
        leaves
    }
}

impl FieldSchema {
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
            ty: FieldType::read(target, &types, defs),
            nullable: schema["anyOf"].is_array() || types.iter().any(|ty| ty == "null"),
            required: false,
            default: schema["default"].clone(),
            is_optional: schema["x-optional"] == true,
            kinds: strings(&schema["x-kinds"]),
        }
    }

    /// Whether a trial whose neighbouring field `kind` is `kind` uses this field.
    pub fn is_used_by(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|known| known == kind))
    }
}

impl FieldType {
    fn read(schema: &Json, types: &[String], defs: &Json) -> Self {
        if let Some(choices) = schema["oneOf"].as_array() {
            let names = choices.iter().filter_map(|choice| choice["const"].as_str());
            return Self::Choice(names.map(str::to_owned).collect());
        }
        if let Some(names) = strings(&schema["enum"]) {
            return Self::Choice(names);
        }
        match types.iter().find(|ty| *ty != "null").map(String::as_str) {
            Some("object") => Self::Object(ObjectSchema::read(schema, defs)),
            Some("array") => Self::List {
                item: Box::new(FieldSchema::read(&schema["items"], defs)),
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
            Some("number") => Self::Number(NumberRange {
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
pub fn names<T: AsRef<str>>(names: &[T], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., end] => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// What the field wants, to follow "must be".
impl fmt::Display for FieldType {
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

impl fmt::Display for NumberRange {
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
