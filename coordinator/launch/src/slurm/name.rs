//! The names of jobs.
//!
//! `squeue` shows eight characters of a name, so these say which pilot of which fleet a job is: pilot
//! 12 of the fleet `slurm` is `slurm-12`, that of `gpu-a100` is `gpu-a-12`. After them comes what makes
//! the name unlike any other: the fleet in full and the id of the fleet.

/// The characters that `squeue` shows.
const SHOWN_LENGTH: usize = 8;

/// The name of the job of a pilot with this tag, `rheo-FLEET-ID-NUMBER`.
pub(super) fn job_name(tag: &str) -> String {
    let Some((fleet, id, number)) = parse_tag(tag) else { return tag.to_owned() };
    // Fleets are called by ASCII letters, digits and dashes.
    let room = SHOWN_LENGTH.saturating_sub(number.len() + 1).max(1);
    match fleet.get(..room) {
        Some(start) if fleet.len() > room => {
            format!("{}-{number}-{fleet}-{id}", start.trim_end_matches('-'))
        }
        _ => format!("{fleet}-{number}-{id}"),
    }
}

/// The fleet, its id and the number of the pilot.
fn parse_tag(tag: &str) -> Option<(&str, &str, &str)> {
    let mut parts = tag.strip_prefix("rheo-")?.rsplitn(3, '-');
    let (number, id, fleet) = (parts.next()?, parts.next()?, parts.next()?);
    Some((fleet, id, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_squeue_shows_of_a_name_tells_fleet_and_number() {
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
    fn no_two_pilots_have_jobs_of_one_name() {
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
