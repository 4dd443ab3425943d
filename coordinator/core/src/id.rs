//! The names of things, as types, so that an attempt number is never passed for a trial.
//!
//! `Display` is what users type: `demo/17.2` is attempt 2 of trial 17 of the sweep `demo`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::excerpt::excerpt;

/// The name of a sweep: 1 to 64 of `a-z 0-9 - _ .`, starting with a letter or digit.
///
/// It is a directory name in the results and part of what users type, hence the narrow alphabet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SweepName(String);

impl SweepName {
    /// The longest name accepted, in bytes.
    pub const MAX_LEN: usize = 64;

    /// The words by which commands mean sweeps whatever their names are: no sweep is called so. A
    /// journal of an earlier version may hold such a name, so it is parsed all the same.
    pub const SELECTORS: [&str; 2] = ["last", "all"];

    /// Whether commands understand the name as a selector.
    pub fn is_selector(&self) -> bool {
        Self::SELECTORS.contains(&self.as_str())
    }

    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if starts_well && text.len() <= Self::MAX_LEN && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::SweepName(excerpt(text)))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SweepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SweepName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<SweepName> for String {
    fn from(name: SweepName) -> Self {
        name.0
    }
}

/// One trial: a sweep and an index in it. Indices are dense from 0 and never reused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrialId {
    /// The sweep.
    pub sweep: SweepName,
    /// The position of the trial in its sweep, from 0.
    pub index: u64,
}

impl TrialId {
    /// The trial `index` of `sweep`.
    pub fn new(sweep: SweepName, index: u64) -> Self {
        Self { sweep, index }
    }
}

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sweep, self.index)
    }
}

impl FromStr for TrialId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::TrialId(excerpt(text));
        let (sweep, index) = text.split_once('/').ok_or_else(invalid)?;
        Ok(Self { sweep: SweepName::parse(sweep)?, index: index.parse().map_err(|_| invalid())? })
    }
}

/// One try of a trial by one worker. `number` counts from 1 and only grows: it is the fencing token
/// that makes anything from an older attempt refusable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The trial that is tried.
    pub trial: TrialId,
    /// Which try this is, from 1.
    pub number: u32,
}

impl AttemptId {
    /// Attempt `number` of `trial`.
    pub fn new(trial: TrialId, number: u32) -> Self {
        Self { trial, number }
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.trial, self.number)
    }
}

/// A worker process, for as long as it lives. A restarted process is another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerId(pub Uuid);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WorkerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Uuid::parse_str(text).map(Self).map_err(|_| Error::WorkerId(excerpt(text)))
    }
}

/// A state: everything that one journal tells. It is made once, with the journal, and survives
/// restarts, moves and backups, so that what belongs to another state can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateId(pub Uuid);

impl fmt::Display for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StateId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Uuid::parse_str(text).map(Self).map_err(|_| Error::StateId(text.to_owned()))
    }
}

/// One start of a coordinator on a state. A journal that was restored from a backup does not know
/// the starts that came after the backup, nor what was leased under them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IncarnationId(pub Uuid);

impl fmt::Display for IncarnationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for IncarnationId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Uuid::parse_str(text).map(Self).map_err(|_| Error::IncarnationId(text.to_owned()))
    }
}

/// One request of a client, chosen by the client, so that the same request sent twice acts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub Uuid);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RequestId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Uuid::parse_str(text).map(Self).map_err(|_| Error::RequestId(excerpt(text)))
    }
}

/// A blake3 digest: of a checkpoint, which has it as its name in the store, or of a configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::Digest(excerpt(text));
        if text.len() != 64 || !text.is_ascii() {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a sweep name.
    #[error(
        "not a sweep name: `{0}` (1 to {max} of a-z, 0-9, `-`, `_`, `.`, starting with a letter or digit)",
        max = SweepName::MAX_LEN
    )]
    SweepName(String),
    /// Not a trial.
    #[error("not a trial: `{0}` (write SWEEP/TRIAL, as in `demo/17`)")]
    TrialId(String),
    /// Not a worker id.
    #[error("not a worker id: `{0}`")]
    WorkerId(String),
    /// Not the id of a state.
    #[error("not the id of a state: `{0}` (a UUID)")]
    StateId(String),
    /// Not the id of an incarnation.
    #[error("not the id of an incarnation: `{0}` (a UUID)")]
    IncarnationId(String),
    /// Not a request id.
    #[error("not a request id: `{0}` (a UUID)")]
    RequestId(String),
    /// Not a digest.
    #[error("not a digest: `{0}` (64 hexadecimal digits)")]
    Digest(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_directory_names_that_people_can_type() {
        for good in ["demo", "sweep-14.v2", "0", "a_b"] {
            assert_eq!(SweepName::parse(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(SweepName::MAX_LEN + 1);
        for bad in ["", "Demo", ".hidden", "-x", "a/b", "a b", "..", "ü", long.as_str()] {
            assert!(SweepName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_mean_other_sweeps_are_still_read_from_old_journals() {
        for (text, is_selector) in [("last", true), ("all", true), ("last-1", false), ("a", false)]
        {
            let name: SweepName = serde_json::from_value(text.into()).unwrap();
            assert_eq!(name.is_selector(), is_selector, "{text}");
        }
    }

    #[test]
    fn what_is_displayed_parses_back() {
        let trial: TrialId = "demo/17".parse().unwrap();
        assert_eq!(trial.to_string(), "demo/17");
        assert_eq!(AttemptId::new(trial, 2).to_string(), "demo/17.2");
        let digest = Digest::from_bytes(std::array::from_fn(|i| u8::try_from(i * 7).unwrap()));
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("demo".parse::<TrialId>().is_err());
        assert!("demo/x".parse::<TrialId>().is_err());
        assert!("zz".repeat(32).parse::<Digest>().is_err());
    }
}
