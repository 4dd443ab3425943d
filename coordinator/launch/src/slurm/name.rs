//! Names of Slurm jobs.
//!
//! `squeue` shows eight characters of a name, so these identify fleet and pilot: pilot 12 of the fleet
//! `slurm` is `slurm-12`, that of `gpu-a100` is `gpu-a-12`. The full name of the fleet and its id
//! follow, which make the job name unique.

/// The number of characters that `squeue` shows.
const SHOWN_LENGTH: usize = 8;

/// The job name of the pilot with this tag, `rheo-FLEET-ID-NUMBER`.
pub(super) fn job_name(tag: &str) -> String {
    let Some((fleet, id, number)) = parse_tag(tag) else { return tag.to_owned() };
    // Fleet names consist of ASCII letters, digits and dashes.
    let room = SHOWN_LENGTH.saturating_sub(number.len() + 1).max(1);
    match fleet.get(..room) {
        Some(start) if fleet.len() > room => {
            format!("{}-{number}-{fleet}-{id}", start.trim_end_matches('-'))
        }
        _ => format!("{fleet}-{number}-{id}"),
    }
}

/// Splits a tag into the fleet, its id and the number of the pilot.
fn parse_tag(tag: &str) -> Option<(&str, &str, &str)> {
    let mut parts = tag.strip_prefix("rheo-")?.rsplitn(3, '-');
    let (number, id, fleet) = (parts.next()?, parts.next()?, parts.next()?);
    Some((fleet, id, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visible_part_of_a_job_name_identifies_the_pilot() {
        for (tag, shown) in [
            ("rheo-slurm-0123456789-3", "slurm-3-"),
            ("rheo-slurm-0123456789-12", "slurm-12"),
            ("rheo-slurm-0123456789-123", "slur-123"),
            ("rheo-gpu-a100-0123456789-7", "gpu-a1-7"),
            ("rheo-gpu-a100-0123456789-1234", "gpu-1234"),
            ("rheo-x-0123456789-123456789", "x-123456"),
        ] {
            assert_eq!(job_name(tag).get(..SHOWN_LENGTH), Some(shown), "{tag}");
        }
    }

    #[test]
    fn job_names_are_unique() {
        let tags = ["a", "a-1", "a-long-name", "a-long-name-2"].into_iter().flat_map(|fleet| {
            ["0123456789", "1123456789"].into_iter().flat_map(move |id| {
                [1, 2, 11, 21].map(|number| format!("rheo-{fleet}-{id}-{number}"))
            })
        });
        let tags: Vec<String> = tags.collect();
        let names: std::collections::BTreeSet<_> = tags.iter().map(|tag| job_name(tag)).collect();
        assert_eq!(names.len(), tags.len());
    }
}
