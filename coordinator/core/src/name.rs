//! Names that workloads give to what they measure and record: checked texts, because the engine of
//! sweeps knows no workload.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;

/// The longest name, in bytes.
pub const MAX_LENGTH: usize = 64;

/// A text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no name of a {kind}: 1 to {MAX_LENGTH} of a-z, 0-9, `-`, `_` and `.`, starting with a letter"
)]
pub struct NameError {
    kind: &'static str,
    text: String,
}

fn is_name(text: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
    starts_well && text.len() <= MAX_LENGTH && text.chars().all(allowed)
}

/// Makes a type of checked names.
macro_rules! checked_name {
    ($(#[doc = $docs:literal])+ $name:ident, $kind:literal) => {
        $(#[doc = $docs])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// A name that is known to be one when the program is compiled.
            pub const fn of(name: &'static str) -> Self {
                Self(Cow::Borrowed(name))
            }

            /// Parses a name.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if is_name(text) {
                    Ok(Self(Cow::Owned(text.to_owned())))
                } else {
                    Err(NameError { kind: $kind, text: excerpt(text) })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into_owned()
            }
        }
    };
}

checked_name! {
    /// The name of a workload: what the trials of a sweep are.
    WorkloadName, "workload"
}

checked_name! {
    /// The name of a metric that trials report, such as `validation.loss`.
    MetricName, "metric"
}

checked_name! {
    /// The name of a table of the results, in SQL and in the results directory.
    TableName, "table"
}

impl TableName {
    /// One row per trial that has ended.
    pub const TRIALS: Self = Self::of("trials");
    /// One row per attempt that has ended.
    pub const ATTEMPTS: Self = Self::of("attempts");
    /// One row per line of the log of an attempt.
    pub const LOGS: Self = Self::of("logs");

    /// Tells if the coordinator fills the table; what trains trials fills all others.
    pub fn is_of_coordinator(&self) -> bool {
        [Self::TRIALS, Self::ATTEMPTS, Self::LOGS].contains(self)
    }
}

/// A metric is one of those of the workload, which the schema of its sweeps lists.
impl JsonSchema for MetricName {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Metric")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for text in ["epochs", "validation.loss", "top-1", "a"] {
            assert_eq!(MetricName::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "Epochs", "1st", "a b", "a/b", "..", &"x".repeat(65)] {
            assert!(TableName::parse(text).is_err(), "{text}");
        }
        let error = WorkloadName::parse("A").unwrap_err().to_string();
        assert!(error.starts_with("`A` is no name of a workload"), "{error}");
    }
}
