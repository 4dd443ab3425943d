//! Selectors of sweeps and trials on the command line: names, `last`, `all`, and ranges of trials.

use std::str::FromStr;

use rheo_core::id::{SweepName, TrialId};

use super::failure::Failure;
use crate::client::Client;

/// A selector of sweeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SweepSelector {
    /// The last submitted sweep.
    Last,
    /// Every sweep.
    All,
    /// The sweep of this name.
    Named(SweepName),
}

impl FromStr for SweepSelector {
    type Err = rheo_core::id::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "last" => Ok(Self::Last),
            "all" => Ok(Self::All),
            name => SweepName::parse(name).map(Self::Named),
        }
    }
}

/// A selector of trials, as in `demo/17` or `last/1-3,7`, or of a sweep alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TrialSelector {
    /// The sweep.
    pub(super) sweep: SweepSelector,
    /// The trials, if some were named.
    pub(super) trials: Option<Vec<u64>>,
}

/// The largest number of trials in one range.
const MAX_RANGE: u64 = 1_000_000;

impl FromStr for TrialSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((sweep, trials)) = text.split_once('/') else {
            let sweep = text.parse().map_err(|error: rheo_core::id::Error| error.to_string())?;
            return Ok(Self { sweep, trials: None });
        };
        let sweep = sweep.parse().map_err(|error: rheo_core::id::Error| error.to_string())?;
        let mut indices = Vec::new();
        for range in trials.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| {
                text.parse::<u64>()
                    .map_err(|_| format!("not a trial or a range of them: `{range}`"))
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last - first >= MAX_RANGE {
                return Err(format!(
                    "not a range: `{range}` (1 to {MAX_RANGE} trials, smallest first)"
                ));
            }
            indices.extend(first..=last);
        }
        Ok(Self { sweep, trials: Some(indices) })
    }
}

/// Returns the last submitted sweep.
async fn last(client: &mut Client) -> Result<SweepName, Failure> {
    let (sweeps, _) = client.sweeps().await?;
    let last = sweeps.into_iter().next_back().map(|sweep| sweep.name);
    last.ok_or_else(|| Failure::usage("no sweep was submitted yet"))
}

/// Resolves a selector into exactly one sweep.
pub(super) async fn one(client: &mut Client, word: &SweepSelector) -> Result<SweepName, Failure> {
    match word {
        SweepSelector::Named(name) => Ok(name.clone()),
        SweepSelector::Last => last(client).await,
        SweepSelector::All => Err(Failure::usage("name one sweep, or `last`")),
    }
}

/// Resolves selectors into sweeps.
pub(super) async fn some(
    client: &mut Client,
    words: &[SweepSelector],
) -> Result<Vec<SweepName>, Failure> {
    let mut names = Vec::new();
    for word in words {
        match word {
            SweepSelector::All => {
                let (sweeps, _) = client.sweeps().await?;
                names.extend(sweeps.into_iter().map(|sweep| sweep.name));
            }
            word => names.push(one(client, word).await?),
        }
    }
    Ok(names)
}

/// Resolves a selector into exactly one trial.
pub(super) async fn trial(client: &mut Client, word: &TrialSelector) -> Result<TrialId, Failure> {
    let sweep = one(client, &word.sweep).await?;
    match word.trials.as_deref() {
        Some([index]) => Ok(TrialId::new(sweep, *index)),
        _ => Err(Failure::usage(format!("name one trial, as in `{sweep}/0`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_are_named_by_numbers_and_ranges() {
        let word = |text: &str| text.parse::<TrialSelector>();
        assert_eq!(word("demo").unwrap().trials, None);
        assert_eq!(word("last/1-3,7").unwrap().trials, Some(vec![1, 2, 3, 7]));
        assert_eq!(word("last/1-3,7").unwrap().sweep, SweepSelector::Last);
        for bad in ["demo/", "demo/x", "demo/3-1", "demo/0-9999999", "De mo/1", "demo/1,,2"] {
            assert!(word(bad).is_err(), "{bad}");
        }
    }
}
