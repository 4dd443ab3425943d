//! The time zone of the reader: that of `TZ`, or else that of this machine.
//!
//! jiff finds zones by itself with its features `tz-system` and `tzdb-zoneinfo`, which would be those
//! of the Kubernetes client too. What is needed here is one file or one rule, read once.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::env;

/// The zone of this machine.
const MACHINE: &str = "/etc/localtime";

/// The zones by name, unless `TZDIR` says otherwise.
const ZONES: &str = "/usr/share/zoneinfo";

/// The largest file that is read; those of zones have some thousand bytes.
const LARGEST: u64 = 1 << 20;

/// The zone of the reader; UTC if it is unknown.
pub(super) fn local() -> TimeZone {
    let zone = match env::raw("TZ") {
        None => file(Path::new(MACHINE)),
        Some(text) => named(text.trim_start_matches(':')),
    };
    zone.unwrap_or(TimeZone::UTC)
}

/// The zone that a value of `TZ` means: a file, a name such as `Europe/Berlin`, or a rule such as
/// `CET-1CEST,M3.5.0,M10.5.0/3`.
fn named(text: &str) -> Option<TimeZone> {
    let zones = env::path("TZDIR").unwrap_or_else(|| PathBuf::from(ZONES));
    let file = || if text.is_empty() { None } else { file(&zones.join(text)) };
    file().or_else(|| TimeZone::posix(text).ok())
}

fn file(path: &Path) -> Option<TimeZone> {
    let found = std::fs::metadata(path).ok()?;
    if !found.is_file() || found.len() > LARGEST {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    TimeZone::tzif(&path.to_string_lossy(), &bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_rules_names_or_files() {
        let offset = |text: &str| {
            let zone = named(text)?;
            Some(zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds())
        };
        assert_eq!(offset("XYZ-5:30"), Some(19_800));
        assert_eq!(offset("UTC0"), Some(0));
        assert_eq!(offset("nonsense"), None);
        assert_eq!(offset(""), None);
        assert_eq!(offset("/dev/zero"), None);
        // Not every machine has all zones.
        if Path::new(ZONES).join("Asia/Kolkata").exists() {
            assert_eq!(offset("Asia/Kolkata"), Some(19_800));
            assert_eq!(offset(&format!("{ZONES}/Asia/Kolkata")), Some(19_800));
        }
    }
}
