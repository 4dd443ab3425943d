//! Fields of a configuration as data: names, types, ranges, documentation and the kinds that use
//! them, read from the JSON Schema of structs.
//!
//! Fields are declared only in the structs; checks and messages walk this tree. It supports the
//! subset of JSON Schema that the structs produce; a test finds fields outside of it.

use std::fmt;

use schemars::{JsonSchema, schema_for};
use serde_json::Value as Json;

/// The schema of a mapping with named fields, in alphabetical order.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectSchema {
    /// The fields by name.
    pub fields: Vec<(String, FieldSchema)>,
    /// Whether other fields are allowed, about which nothing is known.
    pub is_open: bool,
}

/// The schema of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSchema {
    /// The documentation.
    pub docs: String,
    /// The type.
    pub ty: FieldType,
    /// Whether `null` stands for "not given".
    pub nullable: bool,
    /// Whether the field has no default.
    pub required: bool,
    /// The default.
    pub default: Json,
    /// Whether a configuration omits the field, instead of having the default, where it is not
    /// given. New fields are optional in this sense, so that configurations and rows of earlier
    /// sweeps do not change.
    pub is_optional: bool,
    /// The values of the neighbouring field `kind` that use this field; `None` means all of them.
    pub kinds: Option<Vec<String>>,
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldType {
    /// A mapping.
    Object(ObjectSchema),
    /// A list.
    List {
        /// The schema of each item.
        item: Box<FieldSchema>,
        /// The smallest number of items.
        min: u64,
    },
    /// A boolean.
    Bool,
    /// An integer.
    Integer {
        /// The smallest value.
        min: i128,
        /// The largest value.
        max: i128,
    },
    /// A number in a range.
    Number(NumberRange),
    /// A text.
    Text,
    /// One of these texts.
    Choice(Vec<String>),
    /// A positive number of seconds, also written as a text with a unit.
    Duration,
    /// Any value; checked elsewhere.
    Any,
}

/// The range of numbers that a field accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NumberRange {
    /// The smallest value.
    pub min: Option<f64>,
    /// The exclusive lower bound.
    pub above: Option<f64>,
    /// The largest value.
    pub max: Option<f64>,
    /// The exclusive upper bound.
    pub below: Option<f64>,
}

impl NumberRange {
    /// Whether `x` is finite and in the range.
    pub fn contains(&self, x: f64) -> bool {
        x.is_finite()
            && self.min.is_none_or(|min| x >= min)
            && self.above.is_none_or(|above| x > above)
            && self.max.is_none_or(|max| x <= max)
            && self.below.is_none_or(|below| x < below)
    }
}

/// Returns the path of the `kind` field that decides whether the field at `path` is used.
pub fn kind_path(path: &str) -> String {
    match path.rsplit_once('.') {
        Some((parent, _)) => format!("{parent}.kind"),
        None => "kind".to_owned(),
    }
}

/// Returns the value at a dotted path of a configuration.
pub fn value_at<'a>(config: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(config, |config, name| config.get(name))
}

impl ObjectSchema {
    /// Returns the schema of the struct `T`.
    pub fn of<T: JsonSchema>() -> Self {
        Self::from_json(&schema_for!(T).to_value())
    }

    /// Reads the JSON Schema of a struct.
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

    /// Returns the field called `name`.
    pub fn get(&self, name: &str) -> Option<&FieldSchema> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, field)| field)
    }

    /// Returns the field at a dotted path.
    pub fn at(&self, path: &str) -> Option<&FieldSchema> {
        let Some((name, rest)) = path.split_once('.') else {
            return self.get(path);
        };
        match &self.get(name)?.ty {
            FieldType::Object(object) => object.at(rest),
            _ => None,
        }
    }

    /// Returns the names of all fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Returns every single-valued field with its dotted path.
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
        // An optional struct is `anyOf` of the struct and null.
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

    /// Whether a trial with this value of the neighbouring field `kind` uses the field.
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
            Some("number") if schema["x-duration"] == true => Self::Duration,
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

/// Returns the integer range of a JSON Schema format such as `uint32`.
fn integer_format(format: &str) -> (i128, i128) {
    let (min, bits) = match format.strip_prefix("uint") {
        Some(bits) => (0, bits),
        None => (-1, format.trim_start_matches("int")),
    };
    let bits: u32 = bits.parse().unwrap_or(64);
    if min == 0 { (0, (1 << bits) - 1) } else { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) }
}

/// Reads a string or a list of strings.
fn strings(json: &Json) -> Option<Vec<String>> {
    match json {
        Json::String(text) => Some(vec![text.clone()]),
        Json::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Joins names in backticks with commas; `last` is the word before the last name (`or`, `and`).
pub fn names<T: AsRef<str>>(names: &[T], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., end] => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// Formats the type to follow "must be".
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
            Self::Duration => f.write_str("a time, in seconds or with a unit as in `2h`"),
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
