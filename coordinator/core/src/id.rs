//! Names and ids as types, so that an attempt number is never passed for a trial.
//!
//! `Display` gives the form that users type: `demo/17.2` is attempt 2 of trial 17 of the sweep
//! `demo`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::excerpt::excerpt;

/// The name of a sweep: 1 to 64 of `a-z 0-9 - _ .`, starting with a letter or digit.
///
/// It is a directory name in the results and is typed by users, hence the narrow alphabet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SweepName(String);

impl SweepName {
    /// The largest length in bytes.
    pub const MAX_LEN: usize = 64;

    /// The words by which commands select sweeps of any name; no new sweep may have such a name. A
    /// journal of an older version may contain one, so it still parses.
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

    /// Returns the name as text.
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

/// The id of a trial: a sweep and an index. Indices are dense from 0 and never reused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrialId {
    /// The sweep.
    pub sweep: SweepName,
    /// The position of the trial in its sweep, from 0.
    pub index: u64,
}

impl TrialId {
    /// Creates the id of trial `index` of `sweep`.
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

/// The id of an attempt of a trial by one worker. `number` counts from 1 and only grows; it is the
/// fencing token by which messages of older attempts are rejected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The trial.
    pub trial: TrialId,
    /// The attempt number, from 1.
    pub number: u32,
}

impl AttemptId {
    /// Creates the id of attempt `number` of `trial`.
    pub fn new(trial: TrialId, number: u32) -> Self {
        Self { trial, number }
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.trial, self.number)
    }
}

/// The id of a worker process. A restarted process has another id.
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

/// The id of a state, that is, of everything in one journal. It is created once, with the journal,
/// and survives restarts, moves and backups, so that nothing of another state is mixed in.
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

/// The id of one start of a coordinator on a state. A journal restored from a backup contains
/// neither the starts after the backup nor the leases granted under them.
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

/// The id of a client's request. The client chooses it, so that a request sent twice acts once.
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

/// A BLAKE3 digest of a checkpoint, whose name in the store it is, or of a configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Creates a digest from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Returns the 32 bytes of the digest.
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

/// The text is not a valid name or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not a sweep name.
    #[error(
        "not a sweep name: `{0}` (1 to {max} of a-z, 0-9, `-`, `_`, `.`, starting with a letter or digit)",
        max = SweepName::MAX_LEN
    )]
    SweepName(String),
    /// The text is not a trial id.
    #[error("not a trial: `{0}` (write SWEEP/TRIAL, as in `demo/17`)")]
    TrialId(String),
    /// The text is not a worker id.
    #[error("not a worker id: `{0}`")]
    WorkerId(String),
    /// The text is not a state id.
    #[error("not the id of a state: `{0}` (a UUID)")]
    StateId(String),
    /// The text is not an incarnation id.
    #[error("not the id of an incarnation: `{0}` (a UUID)")]
    IncarnationId(String),
    /// The text is not a request id.
    #[error("not a request id: `{0}` (a UUID)")]
    RequestId(String),
    /// The text is not a digest.
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
