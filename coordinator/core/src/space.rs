//! The search space of a sweep: parameters, the conditions under which they exist, zipped groups
//! and constraints.
//!
//! These types are stored in the journal. Everything computed from them, such as axes and counts,
//! is in the modules below and never stored.

pub(crate) mod domain;
pub(crate) mod encoding;
pub(crate) mod expression;
pub(crate) mod grid_index;
pub(crate) mod normal;
pub(crate) mod resolved_space;

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use crate::schema::field::kind_path;

pub use domain::Domain;
pub(crate) use domain::{AxisPick, whole};
pub use expression::{Constraint, Error as ConstraintError};

/// The search space of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// The parameters in the order of declaration, which is the order of a grid: the last one
    /// varies fastest.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Groups of paths of parameters that step through their values together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zip: Vec<Vec<String>>,
    /// The constraints, which hold at every point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
}

impl Space {
    /// Returns the parameter at `path`.
    pub fn parameter(&self, path: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.path == path)
    }
}

/// A parameter of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// The dotted path of the field that the parameter sets.
    pub path: String,
    /// The domain of its values.
    pub domain: Domain,
    /// The conditions that must all hold for the parameter to exist, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
}

impl Parameter {
    /// Returns the paths in its conditions, and those of the kinds that use them.
    pub(crate) fn parents(&self) -> impl Iterator<Item = String> {
        self.when.iter().flat_map(|condition| [kind_path(&condition.path), condition.path.clone()])
    }
}

/// A condition on the configuration of a trial: the field at `path` has one of `values`.
///
/// If a parameter does not exist at a point, its field has the fixed value of the file, or its
/// default. A field that the kind of the trial does not use has no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The dotted path of the field.
    pub path: String,
    /// The values that fulfil the condition.
    pub values: Vec<Json>,
}

/// A point of a space: the values of the parameters that exist there, in the order of declaration.
/// It serializes as a mapping from path to value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Point(Vec<(String, Json)>);

impl Point {
    /// Returns the value of the parameter at `path`, if it exists here.
    pub fn get(&self, path: &str) -> Option<&Json> {
        self.iter().find(|(known, _)| *known == path).map(|(_, value)| value)
    }

    /// Iterates over paths and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(path, value)| (path.as_str(), value))
    }
}

impl FromIterator<(String, Json)> for Point {
    fn from_iter<I: IntoIterator<Item = (String, Json)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Formats the values for users: `kind=large size=64`.
impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (path, value)) in self.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            match value {
                Json::String(text) => write!(f, "{gap}{path}={text}")?,
                other => write!(f, "{gap}{path}={other}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PointVisitor;

        impl<'de> Visitor<'de> for PointVisitor {
            type Value = Point;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping from paths to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Point, A::Error> {
                let mut values = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    values.push(entry);
                }
                Ok(Point(values))
            }
        }

        deserializer.deserialize_map(PointVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_point_keeps_the_order_of_its_parameters() {
        let point: Point =
            [("b".to_owned(), json!(1)), ("a".to_owned(), json!("x"))].into_iter().collect();
        let text = serde_json::to_string(&point).unwrap();
        assert_eq!(text, r#"{"b":1,"a":"x"}"#);
        assert_eq!(serde_json::from_str::<Point>(&text).unwrap(), point);
        assert_eq!(point.to_string(), "b=1 a=x");
        assert_eq!(point.get("a"), Some(&json!("x")));
        assert_eq!(point.get("c"), None);
    }
}
