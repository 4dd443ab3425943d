//! Where this process runs, as whatever started it says through the environment: job scripts know
//! their scheduler, the worker knows only these names.

use clap::Args;
use rheo_core::fleet::{PilotId, WorkerLocation};

use crate::env;

/// Where the worker runs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What job scripts say")]
pub(crate) struct LocationArgs {
    /// The pilot that this worker belongs to, as FLEET/NUMBER.
    #[arg(long, env = env::PILOT, hide = true)]
    pilot: Option<PilotId>,
    /// Which worker of the job this is, from 0.
    #[arg(long, env = env::TASK, hide = true, default_value_t = 0)]
    task: u32,
    /// How often the job was started again under the same name.
    #[arg(long, env = env::RESTARTS, hide = true, default_value_t = 0)]
    restarts: u32,
    /// The job, for the table of attempts.
    #[arg(long, env = env::JOB, hide = true)]
    job: Option<String>,
    /// The node, for the table of attempts.
    #[arg(long, env = env::NODE, hide = true)]
    node: Option<String>,
    /// The partition, queue or namespace, for the table of attempts.
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
