//! Launchers by name, as fleets select them.

use std::path::Path;
use std::sync::Arc;

use crate::{Error, Launcher, kubernetes, process, slurm};

/// Opens the launcher `name` with settings in JSON, for the coordinator with the state directory `state`.
pub fn open(name: &str, settings: &str, state: &Path) -> Result<Arc<dyn Launcher>, Error> {
    let wrong = |error: serde_json::Error| {
        Error::Refused(format!("the settings of this fleet cannot be read: {error}"))
    };
    match name {
        "local" => {
            let settings = serde_json::from_str(settings).map_err(wrong)?;
            Ok(Arc::new(process::ProcessLauncher::new(settings)))
        }
        "slurm" => {
            let settings = serde_json::from_str(settings).map_err(wrong)?;
            Ok(Arc::new(slurm::SlurmLauncher::new(settings)))
        }
        "kubernetes" => {
            let settings = serde_json::from_str(settings).map_err(wrong)?;
            Ok(Arc::new(kubernetes::KubernetesLauncher::new(settings, state)))
        }
        other => Err(Error::Refused(format!("this `rheo` has no launcher called `{other}`"))),
    }
}
