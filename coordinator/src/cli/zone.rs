//! The reader's time zone: that of `TZ`, or else that of this machine.
//!
//! jiff finds zones by itself with its features `tz-system` and `tzdb-zoneinfo`, but those would
//! apply to the Kubernetes client too. One file or one rule, read once, is enough here.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::env;

/// The file with the zone of this machine.
const MACHINE: &str = "/etc/localtime";

/// The default directory of zone files; `TZDIR` overrides it.
const ZONES: &str = "/usr/share/zoneinfo";

/// The largest zone file that is read, in bytes; real ones have some thousand.
const LARGEST: u64 = 1 << 20;

/// Returns the reader's zone; UTC if it is unknown.
pub(super) fn local() -> TimeZone {
    let zone = match env::raw("TZ") {
        None => file(Path::new(MACHINE)),
        Some(text) => named(text.trim_start_matches(':')),
    };
    zone.unwrap_or(TimeZone::UTC)
}

/// Parses a value of `TZ`: a file, a name such as `Europe/Berlin`, or a rule such as
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
        // The machine may not have all zones.
        if Path::new(ZONES).join("Asia/Kolkata").exists() {
            assert_eq!(offset("Asia/Kolkata"), Some(19_800));
            assert_eq!(offset(&format!("{ZONES}/Asia/Kolkata")), Some(19_800));
        }
    }
}
