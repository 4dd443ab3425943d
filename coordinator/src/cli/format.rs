//! Tables and the format of values in them.

use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use jiff::tz::TimeZone;
use rheo_core::estimate::Estimate;
use rheo_core::ranking::Aggregate;
use rheo_core::time::Timestamp;
use rheo_query::output::number::rounded;
use serde_json::{Value, json};

use super::stderr::stderr;
use super::{hint, zone};

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
pub(super) fn align_right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub(super) struct StdoutError(#[from] io::Error);

/// Prints text and a line break on standard output.
pub(super) fn print(text: impl std::fmt::Display) -> Result<(), StdoutError> {
    let mut out = io::stdout().lock();
    let text = text.to_string();
    for line in text.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(out.flush()?)
}

/// Prints text on standard output, without a line break.
pub(super) fn write(text: impl std::fmt::Display) -> Result<(), StdoutError> {
    Ok(write!(io::stdout(), "{text}")?)
}

/// Prints a message on standard error, with the commands in it completed.
pub(super) fn note(text: impl std::fmt::Display) {
    use io::Write as _;
    let text = text.to_string();
    // Nobody may be left to read it.
    let _ = writeln!(stderr(), "{}", hint::complete_commands(&text));
}

/// Prints a JSON value on standard output.
pub(super) fn print_json(value: &Value) -> Result<(), StdoutError> {
    print(format_args!("{value:#}"))
}

/// Formats a number with four significant digits.
pub(super) fn number(value: f64) -> String {
    rounded(value, 4)
}

/// Formats a mean over seeds, with its standard deviation if there is more than one.
pub(super) fn mean(aggregate: &Aggregate) -> String {
    let sd = aggregate.sd.map(|sd| format!(" ±{}", rounded(sd, 2)));
    format!("{}{}", number(aggregate.mean), sd.unwrap_or_default())
}

/// Formats the remaining time, as a range if the estimate is uncertain.
pub(super) fn remaining(estimate: &Estimate) -> String {
    let Estimate { low, likely, high } = *estimate;
    let ((from, unit), (to, last)) = (in_one_unit(low), in_one_unit(high));
    if high.as_secs_f64() <= 1.4 * low.as_secs_f64() || (from == to && unit == last) {
        let (likely, unit) = in_one_unit(likely);
        return format!("about {likely} {unit}");
    }
    let unit = if unit == last { String::new() } else { format!(" {unit}") };
    format!("{from}{unit} to {to} {last}")
}

/// Rounds a duration to one unit and a precision that suits an estimate.
fn in_one_unit(duration: Duration) -> (u64, &'static str) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    let round = |value: f64| (value.round() as u64).max(1);
    let seconds = duration.as_secs_f64();
    match seconds {
        ..20.0 => (round(seconds), "s"),
        20.0..90.0 => (5 * round(seconds / 5.0), "s"),
        90.0..5400.0 => (round(seconds / 60.0), "min"),
        5400.0..129_600.0 => (round(seconds / 3600.0), "h"),
        _ => (round(seconds / 86_400.0), "d"),
    }
}

/// Formats a duration in its two largest units.
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

/// Formats a number of bytes with a decimal unit.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Formats an instant in the reader's time zone, with its offset from UTC.
pub(super) fn local_time(at: Timestamp) -> String {
    time_in(at, zone::local())
}

fn time_in(at: Timestamp, zone: TimeZone) -> String {
    let instant = jiff::Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX));
    let zoned = instant.unwrap_or_default().to_zoned(zone);
    let offset = if zoned.offset().is_zero() { "Z" } else { " %:z" };
    zoned.strftime(&format!("%Y-%m-%d %H:%M:%S{offset}")).to_string()
}

/// Formats an instant for programs: RFC 3339, in UTC.
pub(super) fn utc(at: Option<Timestamp>) -> Value {
    let instant = |at: Timestamp| jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok();
    at.and_then(instant).map_or(Value::Null, |instant| json!(instant.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_is_as_precise_as_its_estimate() {
        for (low, likely, high, text) in [
            (0.1, 0.2, 0.3, "about 1 s"),
            (10.0, 11.0, 12.0, "about 11 s"),
            (130.0, 200.0, 290.0, "2 to 5 min"),
            (40.0, 100.0, 250.0, "40 s to 4 min"),
            (3300.0, 3600.0, 3900.0, "about 60 min"),
            (7200.0, 20_000.0, 40_000.0, "2 to 11 h"),
            (400_000.0, 420_000.0, 440_000.0, "about 5 d"),
        ] {
            let [low, likely, high] = [low, likely, high].map(Duration::from_secs_f64);
            assert_eq!(remaining(&Estimate { low, likely, high }), text);
        }
    }

    #[test]
    fn local_times_show_the_offset_from_utc() {
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
    fn bytes_have_the_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_345, "12 kB"),
            (999_600, "1.0 MB"),
            (123_456_789, "123 MB"),
            (9_940_000_000_000, "9.9 TB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
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
