//! How values look in tables.

use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use jiff::tz::TimeZone;
use rheo_core::time::Timestamp;
use serde_json::{Value, json};

use super::zone;

/// A table without lines, as wide as it needs to be.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Aligns columns to the right, for numbers.
pub(super) fn numbers(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Standard output did not take what was printed.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub(super) struct Unprinted(#[from] io::Error);

/// Prints text and a line break on standard output.
pub(super) fn print(text: impl std::fmt::Display) -> Result<(), Unprinted> {
    let mut out = io::stdout().lock();
    let text = text.to_string();
    for line in text.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(out.flush()?)
}

/// Prints text on standard output, without a line break.
pub(super) fn write(text: impl std::fmt::Display) -> Result<(), Unprinted> {
    Ok(write!(io::stdout(), "{text}")?)
}

/// Says something to the person at the terminal, beside the results.
pub(super) fn note(text: impl std::fmt::Display) {
    use io::Write as _;
    // A person who is gone needs no note.
    let _ = writeln!(super::progress::stderr(), "{text}");
}

/// Prints a JSON value on standard output.
pub(super) fn print_json(value: &Value) -> Result<(), Unprinted> {
    print(format_args!("{value:#}"))
}

/// Four significant digits, as many as a leaderboard needs.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..6.0).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    // In range: between 0 and 7 digits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
    let digits = (3.0 - magnitude).max(0.0) as usize;
    format!("{value:.digits$}")
}

/// A duration in the two units that matter.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{:.1} s", duration.as_secs_f64()),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// An instant in the time zone of the reader, with its offset from UTC.
pub(super) fn local_time(at: Timestamp) -> String {
    time_in(at, zone::local())
}

fn time_in(at: Timestamp, zone: TimeZone) -> String {
    let instant = jiff::Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX));
    let zoned = instant.unwrap_or_default().to_zoned(zone);
    let offset = if zoned.offset().is_zero() { "Z" } else { " %:z" };
    zoned.strftime(&format!("%Y-%m-%d %H:%M:%S{offset}")).to_string()
}

/// An instant for programs: RFC 3339, in UTC.
pub(super) fn utc(at: Option<Timestamp>) -> Value {
    let instant = |at: Timestamp| jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok();
    at.and_then(instant).map_or(Value::Null, |instant| json!(instant.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.81234, "0.8123"),
            (12.3456, "12.35"),
            (1234.56, "1235"),
            (99_999.9, "100000"),
            (0.000_123_45, "0.0001234"),
            (1e-9, "1.000e-9"),
            (-3.2e9, "-3.200e9"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn times_say_how_far_they_are_from_utc() {
        let at = Timestamp(1_780_000_000_000);
        for (zone, text) in [
            ("UTC0", "2026-05-28 20:26:40Z"),
            ("XYZ-5:30", "2026-05-29 01:56:40 +05:30"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-05-28 22:26:40 +02:00"),
        ] {
            assert_eq!(time_in(at, TimeZone::posix(zone).unwrap()), text);
        }
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, text) in [
            (0.25, "0.2 s"),
            (59.0, "59 s"),
            (61.0, "1 min 1 s"),
            (7260.0, "2 h 1 min"),
            (180_000.0, "2 d 2 h"),
        ] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }
}
