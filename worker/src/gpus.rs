//! Discovery of the GPUs that this process may use, from the variables that assign them and the
//! number that libtorch sees.
//!
//! This module touches no GPU and reads no environment; the caller provides both. A GPU's name is
//! the one of its source (an index, `GPU-<uuid>`, `MIG-<uuid>`), unchanged; libtorch's device
//! number is stored separately.

use rheo_model::trainer::Gpu;

/// Environment variables that assign GPUs.
#[derive(Debug, Clone, Default)]
pub struct GpuVariables {
    /// `RHEO_GPUS`: a simulated machine for tests. Trials with one of its GPUs compute on the
    /// processor.
    pub simulated: Option<String>,
    /// `CUDA_VISIBLE_DEVICES`. An empty value differs from an unset one.
    pub cuda: Option<String>,
    /// `SLURM_STEP_GPUS`, or else `SLURM_JOB_GPUS`: indices on the node.
    pub slurm: Option<String>,
    /// `NVIDIA_VISIBLE_DEVICES`, used by container runtimes.
    pub container: Option<String>,
}

/// GPUs of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuInventory {
    /// Usable GPUs.
    pub gpus: Vec<Gpu>,
    /// Values that select each visible GPU in [`Self::variable`]. A process can use only one MIG
    /// device; the others can be assigned to further processes.
    pub selectors: Vec<String>,
    /// Whether the GPUs are simulated.
    pub is_simulated: bool,
}

impl GpuInventory {
    /// Discovers the GPUs. `count` returns the number that libtorch sees; it is not called for a
    /// simulated machine.
    pub fn find(variables: &GpuVariables, count: impl FnOnce() -> u32) -> Self {
        let cuda = variables.cuda.as_deref();
        if let Some(machine) = &variables.simulated {
            let machine = selected(machine, None);
            let list = cuda.or(variables.slurm.as_deref()).or(variables.container.as_deref());
            let visible =
                list.filter(|list| *list != "all").map(|list| selected(list, Some(&machine)));
            return Self::of(visible.unwrap_or(machine), true, |_| None);
        }
        let seen = count();
        if let Some(list) = cuda {
            let mut names = selected(list, None);
            names.truncate(index(seen));
            return Self::of(names, false, Some);
        }
        let numbered = || (0..seen).map(|device| device.to_string()).collect::<Vec<_>>();
        if let Some(list) = variables.slurm.as_deref() {
            return Self::of_slurm(&selected(&ranges(list), None), seen);
        }
        let names = variables.container.as_deref().map(|list| selected(list, None));
        // The container runtime exposes exactly the GPUs that it names; with another number, it did
        // not assign them.
        let names = names.filter(|names| names.len() == index(seen)).unwrap_or_else(numbered);
        Self { selectors: numbered(), ..Self::of(names, false, Some) }
    }

    /// Returns GPUs that Slurm names by their indices on the node. If Slurm confines the job to
    /// them, libtorch counts from 0 and sees no others; otherwise it sees all GPUs of the node.
    fn of_slurm(names: &[String], seen: u32) -> Self {
        let is_confined = index(seen) <= names.len();
        let devices = (0..seen).zip(names).filter_map(|(position, name)| {
            let device = if is_confined { position } else { name.parse().ok()? };
            (device < seen).then(|| Gpu { name: name.clone(), device: Some(device) })
        });
        let gpus: Vec<Gpu> = devices.collect();
        let selectors = gpus.iter().filter_map(|gpu| Some(gpu.device?.to_string())).collect();
        Self { gpus, selectors, is_simulated: false }
    }

    fn of(names: Vec<String>, is_simulated: bool, device: impl Fn(u32) -> Option<u32>) -> Self {
        let usable = if names.iter().any(|name| is_mig(name)) { 1 } else { names.len() };
        let named = (0..).zip(&names).take(usable);
        let gpus = named.map(|(number, name)| Gpu { name: name.clone(), device: device(number) });
        Self { gpus: gpus.collect(), selectors: names, is_simulated }
    }

    /// Keeps `wanted` GPUs, all if none; returns a message if there are fewer.
    pub fn keep(&mut self, wanted: Option<u32>) -> Option<String> {
        let wanted = index(wanted?);
        let found = self.gpus.len();
        self.gpus.truncate(wanted);
        (found < wanted).then(|| {
            let mig = if self.selectors.len() > found {
                format!(
                    " ({} MIG devices are visible, and CUDA gives a process the first alone: start a worker for each)",
                    self.selectors.len()
                )
            } else {
                String::new()
            };
            format!("was asked to offer {wanted} GPUs (`--gpus`), and sees {found}{mig}")
        })
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn is_mig(name: &str) -> bool {
    name.starts_with("MIG-")
}

/// Returns the GPUs of a list by CUDA's rules: the list ends at the first entry that names no GPU,
/// and is void if it names one twice. On a known `machine`, indices and UUIDs (or their prefixes)
/// select its GPUs.
fn selected(list: &str, machine: Option<&[String]>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in list.split(',') {
        let Some(name) = name_of(entry.trim(), machine) else { break };
        if names.contains(&name) {
            return Vec::new();
        }
        names.push(name);
    }
    names
}

fn name_of(entry: &str, machine: Option<&[String]>) -> Option<String> {
    if ["GPU-", "MIG-"].iter().any(|prefix| entry.starts_with(prefix)) {
        let Some(machine) = machine else { return Some(entry.to_owned()) };
        let mut meant = machine.iter().filter(|name| name.starts_with(entry));
        let first = meant.next()?;
        let is_clear = first == entry || meant.next().is_none();
        return is_clear.then(|| first.clone());
    }
    // CUDA reads `1abc` as 1, too.
    let end = entry.find(|c: char| !c.is_ascii_digit()).unwrap_or(entry.len());
    let number: usize = entry[..end].parse().ok()?;
    match machine {
        Some(machine) => machine.get(number).cloned(),
        None => Some(number.to_string()),
    }
}

/// Expands the ranges in a Slurm list.
fn ranges(list: &str) -> String {
    let entries = list.split(',').map(|entry| {
        let ends = entry.split_once('-').and_then(|(first, last)| {
            Some((first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?))
        });
        let Some((first, last)) = ends else { return entry.to_owned() };
        let all = (first..=last).take(index(rheo_core::resources::MAX_GPUS));
        all.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
    });
    entries.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
