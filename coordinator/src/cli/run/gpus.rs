//! Assigns the GPUs of this machine to the workers of `rheo run`. No GPU goes to two workers,
//! because each worker offers all of its GPUs.

use std::collections::BTreeMap;

/// The variable that limits a process to some GPUs.
const DEVICES_VARIABLE: &str = "CUDA_VISIBLE_DEVICES";

/// Returns the environment of each worker that limits it to its own of `gpus`. If there are more
/// workers than GPUs, the first get one each and the others none. Empty if nothing has to be
/// divided.
pub(super) fn assign(gpus: &[String], workers: u32) -> Vec<BTreeMap<String, String>> {
    let workers = usize::try_from(workers).unwrap_or(usize::MAX);
    if gpus.is_empty() || workers < 2 {
        return Vec::new();
    }
    let share = |number: usize| {
        let (first, end) = if workers <= gpus.len() {
            (number * gpus.len() / workers, (number + 1) * gpus.len() / workers)
        } else {
            (number.min(gpus.len()), (number + 1).min(gpus.len()))
        };
        BTreeMap::from([(DEVICES_VARIABLE.to_owned(), gpus[first..end].join(","))])
    };
    (0..workers).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(gpus: &[&str], workers: u32) -> Vec<String> {
        let gpus: Vec<String> = gpus.iter().map(|gpu| (*gpu).to_owned()).collect();
        let shares = assign(&gpus, workers);
        shares.iter().map(|variables| variables[DEVICES_VARIABLE].clone()).collect()
    }

    #[test]
    fn each_gpu_has_one_worker() {
        assert_eq!(assigned(&["0", "1"], 2), ["0", "1"]);
        assert_eq!(assigned(&["0", "1", "2"], 2), ["0", "1,2"]);
        assert_eq!(assigned(&["GPU-a", "MIG-b"], 4), ["GPU-a", "MIG-b", "", ""]);
        assert_eq!(assigned(&["0", "1"], 1), [""; 0], "it sees them all anyway");
        assert_eq!(assigned(&[], 3), [""; 0]);
    }
}
