//! Names of fleets and pilots.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a fleet: 1 to 32 of `a-z 0-9 -`, starting with a letter and not ending with a dash.
/// It becomes part of job names, and Kubernetes has the strictest rule for those.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FleetName(String);

/// The text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not the name of a fleet.
    #[error(
        "not a name of a fleet: `{0}` (1 to 32 of a-z, 0-9, `-`, starting with a letter, not ending with `-`)"
    )]
    Fleet(String),
    /// The text is not the name of a pilot.
    #[error("not a pilot: `{0}` (write FLEET/PILOT, as in `slurm/3`)")]
    Pilot(String),
}

impl FleetName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 32;

    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ends_well = text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-');
        if ends_well && text.len() <= Self::MAX_LEN && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Fleet(text.to_owned()))
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FleetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FleetName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<FleetName> for String {
    fn from(name: FleetName) -> Self {
        name.0
    }
}

/// The id of a pilot: a fleet, and a number from 1 that is never reused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PilotId {
    /// The fleet.
    pub fleet: FleetName,
    /// The number of the pilot.
    pub number: u64,
}

impl fmt::Display for PilotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.fleet, self.number)
    }
}

impl FromStr for PilotId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::Pilot(text.to_owned());
        let (fleet, number) = text.split_once('/').ok_or_else(invalid)?;
        Ok(Self { fleet: FleetName::parse(fleet)?, number: number.parse().map_err(|_| invalid())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_of_job_names_everywhere() {
        for good in ["slurm", "gpu-a100", "x", "a1"] {
            assert_eq!(FleetName::parse(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(FleetName::MAX_LEN + 1);
        for bad in ["", "A", "1a", "-a", "a-", "a_b", "a.b", "a/b", long.as_str()] {
            assert!(FleetName::parse(bad).is_err(), "{bad}");
        }
        let pilot: PilotId = "slurm/3".parse().unwrap();
        assert_eq!(pilot.to_string(), "slurm/3");
        assert!("slurm".parse::<PilotId>().is_err());
    }
}
