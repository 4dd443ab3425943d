//! Inventory of this machine: the trainer's data and devices, memory, and room in the spool.

use std::fs;
use std::path::{Path, PathBuf};

use rheo_core::needs::{Inventory, Need, UnmetNeed};
use rheo_model::trainer::Trainer;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::spool::{self, Spool};

/// Takes the inventory; none if the trainer does not report one.
pub(crate) fn take_inventory(
    trainer: &dyn Trainer,
    spool: &Spool,
    revision: u32,
) -> Option<Inventory> {
    let mut inventory = trainer.inventory()?;
    inventory.memory_mb = memory_mb();
    inventory.revision = revision;
    if let Err(error) = spool.probe() {
        inventory
            .lacks
            .push(UnmetNeed { need: unmet_spool_need(&error), cause: spool_error_text(&error) });
    }
    Some(inventory)
}

/// Returns the unmet need of a worker that cannot write to its spool.
pub(crate) fn unmet_spool_need(error: &spool::Error) -> Need {
    match error {
        spool::Error::Io { source, .. } if is_system_limit(source) => Need::System,
        _ => Need::Disk,
    }
}

/// Returns the message for a spool error, with path and error number.
pub(crate) fn spool_error_text(error: &spool::Error) -> String {
    format!("commits cannot be stored on disk (`--spool`): {}", chain(error))
}

/// Whether the machine ran out of a resource, whatever the operation.
pub(crate) fn is_system_limit(error: &std::io::Error) -> bool {
    let limits = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| limits.contains(&errno))
}

/// Texts of the standard library and the system for exhausted threads, files or disk space.
const LIMIT_TEXTS: [&str; 4] = [
    "failed to spawn thread",
    "Resource temporarily unavailable",
    "Too many open files",
    "No space left on device",
];

/// Whether the text of a panic reports that the machine ran out of a resource.
pub(crate) fn is_limit_text(panic: &str) -> bool {
    LIMIT_TEXTS.iter().any(|sign| panic.contains(sign))
}

/// Returns the messages of an error and of its sources, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Returns the megabytes of memory that this process may use: the minimum of the machine's memory,
/// the limits of its cgroup and all above it, and its own limits.
fn memory_mb() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let cgroup = fs::read_to_string("/proc/self/cgroup").ok();
    let cgroup = cgroup.iter().flat_map(|text| limits(text, Path::new("/sys/fs/cgroup")));
    let own = [Resource::As, Resource::Data].map(|resource| getrlimit(resource).current);
    let bytes = machine.into_iter().chain(cgroup).chain(own.into_iter().flatten());
    bytes.min().map(|bytes| bytes >> 20)
}

/// Returns the memory of the machine in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// Returns the limits in bytes of the cgroups in `listed`, and of all above them.
fn limits(listed: &str, root: &Path) -> Vec<u64> {
    let mut limits = Vec::new();
    for line in listed.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mount, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            one if one.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut group: Option<PathBuf> = Some(mount.join(path.trim_start_matches('/')));
        while let Some(here) = group.filter(|here| here.starts_with(&mount)) {
            let limit = fs::read_to_string(here.join(file)).ok();
            limits.extend(limit.and_then(|limit| limit.trim().parse::<u64>().ok()));
            group = here.parent().map(Path::to_owned);
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_machine_is_read() {
        let text = "MemTotal:       24682620 kB\nMemFree:        12345 kB\n";
        assert_eq!(total(text), Some(24_682_620 << 10));
        assert!(memory_mb().is_some_and(|mb| mb > 16));
    }

    #[test]
    fn limits_of_all_parent_cgroups_count() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("slurm/job_7");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("slurm/memory.max"), "2147483648\n").unwrap();
        assert_eq!(limits("0::/slurm/job_7\n", root.path()), [2_147_483_648]);
        let old = root.path().join("memory/job_8");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("memory.limit_in_bytes"), "1073741824\n").unwrap();
        let listed = "5:cpu,cpuacct:/job_8\n4:memory:/job_8\n";
        assert_eq!(limits(listed, root.path()), [1_073_741_824]);
    }
}
