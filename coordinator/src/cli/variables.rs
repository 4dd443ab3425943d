//! Environment variables with checked values.

use std::ops::RangeInclusive;
use std::time::Duration;

use rheo_core::excerpt::excerpt;
use rheo_query::Limits;
use tracing_subscriber::EnvFilter;

use super::env::{LOG, QUERIES, QUERY_MEMORY, QUERY_TIME, get};
use super::failure::Failure;

/// Returns the log filter, `default` unless one is set.
pub(super) fn log_filter(default: &str) -> Result<EnvFilter, Failure> {
    let Some(text) = get(LOG) else { return Ok(EnvFilter::new(default)) };
    EnvFilter::builder().parse(&text).map_err(|error| {
        Failure::usage(format!("{LOG} is no filter of logs such as `info`: `{text}`: {error}"))
    })
}

/// Returns the limits of queries that this process runs.
pub(super) fn query_limits() -> Result<Limits, Failure> {
    let usual = Limits::default();
    let time = parse_number(QUERY_TIME, usual.time.as_secs(), 1..=86_400)?;
    let memory = parse_number(QUERY_MEMORY, usual.memory as u64 >> 20, 64..=1 << 20)?;
    let running = parse_number(QUERIES, usual.running as u64, 1..=64)?;
    Ok(Limits {
        time: Duration::from_secs(time),
        memory: usize::try_from(memory << 20).unwrap_or(usize::MAX),
        running: usize::try_from(running).unwrap_or(usual.running),
        ..usual
    })
}

/// Parses the whole number in a variable; `usual` if it is not set.
fn parse_number(name: &str, usual: u64, allowed: RangeInclusive<u64>) -> Result<u64, Failure> {
    let Some(text) = get(name) else { return Ok(usual) };
    let number = text.trim().parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| {
        let (least, most, text) = (allowed.start(), allowed.end(), excerpt(&text));
        Failure::usage(format!("{name} is not a whole number from `{least}` to `{most}`: `{text}`"))
    })
}
