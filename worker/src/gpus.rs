//! The GPUs that this process may use, as the variables say that hand them out, and what libtorch counts.
//!
//! Nothing here touches a GPU or reads the environment: whoever calls brings both. A name is whatever its
//! source calls a GPU (an index, `GPU-<uuid>`, `MIG-<uuid>`) and passes through as it is; the number by which
//! libtorch finds it is kept apart from it.

use rheo_model::trainer::Gpu;

/// The variables that hand out GPUs, as they are set.
#[derive(Debug, Clone, Default)]
pub struct GpuVariables {
    /// `RHEO_GPUS`: a made-up machine, for tests. Trials that get one of its GPUs compute on the processor.
    pub simulated: Option<String>,
    /// `CUDA_VISIBLE_DEVICES`. Empty is not the same as not set.
    pub cuda: Option<String>,
    /// `SLURM_STEP_GPUS` or else `SLURM_JOB_GPUS`: indices on the node.
    pub slurm: Option<String>,
    /// `NVIDIA_VISIBLE_DEVICES`, which container runtimes go by.
    pub container: Option<String>,
}

/// The GPUs of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuInventory {
    /// Those that it can use.
    pub gpus: Vec<Gpu>,
    /// The words that select each visible one in the variable of [`Self::variable`]; a process can use one MIG
    /// device alone, but others can be given to further processes.
    pub selectors: Vec<String>,
    /// Whether they are made up.
    pub is_simulated: bool,
}

impl GpuInventory {
    /// Finds them. `count` says how many libtorch sees; it is not asked about a made-up machine.
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
        // The runtime has let in what it names and nothing else; any other number is not its doing.
        let names = names.filter(|names| names.len() == index(seen)).unwrap_or_else(numbered);
        Self { selectors: numbered(), ..Self::of(names, false, Some) }
    }

    /// GPUs that Slurm names by their indices on the node. Where it confines the job to them, libtorch counts
    /// from 0 and sees no more; where it does not, libtorch sees all of the node.
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

    /// Keeps as many as are `wanted`, all of them if nobody says how many; says so if they are fewer.
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

/// The GPUs of a list, as CUDA reads one: it ends at the first entry that names none, and one that names a GPU
/// twice names none at all. On a `machine` that is known, indices and UUIDs (or how one begins) mean its GPUs.
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
    // `1abc` is 1 to CUDA too.
    let end = entry.find(|c: char| !c.is_ascii_digit()).unwrap_or(entry.len());
    let number: usize = entry[..end].parse().ok()?;
    match machine {
        Some(machine) => machine.get(number).cloned(),
        None => Some(number.to_string()),
    }
}

/// A list of Slurm, which may have ranges, without them.
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
