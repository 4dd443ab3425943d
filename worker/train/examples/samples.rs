//! Writes the samples of a task as NumPy arrays. `bench/sweep` trains other programs on them.
//!
//! ```text
//! samples DIRECTORY < trial.json
//! ```
//!
//! Reads the configuration of a trial, such as `{"task": {"kind": "digits", "pool": 2}}`, and
//! writes `train`, `validation` and `test`, each as `NAME.inputs.npy` [T, N, I] in the precision of
//! the trial and `NAME.targets.npy` [N] in 64 bits. Refuses tasks without a fixed set of samples.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use rheo_model::config::TrialConfig;
use rheo_train::task::{SampleLibrary, Split, Task};

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

fn run() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("missing directory")?);
    let config: TrialConfig = serde_json::from_reader(io::stdin().lock())?;
    let task = Task::load(&config, &SampleLibrary::default())?;
    if task.is_fresh() || task.windows(Split::Train).is_some() {
        return Err("the task has no fixed set of samples".into());
    }
    std::fs::create_dir_all(&directory)?;
    let splits =
        [(Split::Train, "train"), (Split::Validation, "validation"), (Split::Test, "test")];
    for (split, name) in splits {
        let all: Vec<u32> = (0..u32::try_from(task.size(split))?).collect();
        let batch = task.batch(split, &all)?;
        batch.inputs.write_npy(directory.join(format!("{name}.inputs.npy")))?;
        batch.targets.write_npy(directory.join(format!("{name}.targets.npy")))?;
    }
    Ok(())
}
