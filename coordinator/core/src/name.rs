//! Names defined by workloads. They are validated texts, because the state machine knows no
//! workload.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;

/// The largest length of a name in bytes.
pub const MAX_LENGTH: usize = 64;

/// The text is not a valid name.
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

/// Defines a type of validated names.
macro_rules! checked_name {
    ($(#[doc = $docs:literal])+ $name:ident, $kind:literal) => {
        $(#[doc = $docs])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// Creates a name from a literal that is known to be valid.
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

            /// Returns the name as text.
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
    /// The name of a workload, that is, of a kind of trials.
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
    /// The table with one row per ended trial.
    pub const TRIALS: Self = Self::of("trials");
    /// The table with one row per ended attempt.
    pub const ATTEMPTS: Self = Self::of("attempts");
    /// The table with one row per log line of an attempt.
    pub const LOGS: Self = Self::of("logs");

    /// Whether the coordinator fills the table; trainers fill all others.
    pub fn is_of_coordinator(&self) -> bool {
        [Self::TRIALS, Self::ATTEMPTS, Self::LOGS].contains(self)
    }
}

/// The schema of a workload lists the allowed metrics.
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
