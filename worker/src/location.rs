//! Location of this process, from environment variables of its launcher: job scripts know their
//! scheduler, the worker only these names.

use clap::Args;
use rheo_core::fleet::{PilotId, WorkerLocation};

use crate::env;

/// Location of the worker.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Location, set by job scripts")]
pub(crate) struct LocationArgs {
    /// Pilot of this worker, as FLEET/NUMBER.
    #[arg(long, env = env::PILOT, hide = true)]
    pilot: Option<PilotId>,
    /// Index of this worker within the job, from 0.
    #[arg(long, env = env::TASK, hide = true, default_value_t = 0)]
    task: u32,
    /// Number of restarts of the job under the same name.
    #[arg(long, env = env::RESTARTS, hide = true, default_value_t = 0)]
    restarts: u32,
    /// Job, for the table of attempts.
    #[arg(long, env = env::JOB, hide = true)]
    job: Option<String>,
    /// Node, for the table of attempts.
    #[arg(long, env = env::NODE, hide = true)]
    node: Option<String>,
    /// Partition, queue or namespace, for the table of attempts.
    #[arg(long, env = env::PARTITION, hide = true)]
    partition: Option<String>,
}

impl LocationArgs {
    pub(crate) fn location(&self) -> WorkerLocation {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        WorkerLocation {
            pilot: self.pilot.clone(),
            task: self.task,
            restarts: self.restarts,
            job: said(&self.job),
            node: said(&self.node),
            partition: said(&self.partition),
        }
    }
}
