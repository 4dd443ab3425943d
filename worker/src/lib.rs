//! Worker: runs trials for a coordinator, and never loses committed work.
//!
//! A worker only opens connections. It joins, asks for trials while it has free slots, trains each
//! on its own thread, and delivers rows and checkpoints in the background:
//!
//! ```text
//! trainer thread ──commit──▶ outbox (on disk) ──deliver──▶ coordinator
//!        ▲                                                     │
//!        └──────────── control ◀──heartbeat, verdicts──────────┘
//! ```
//!
//! It continues training while the coordinator is unreachable. Commits that it could not deliver
//! before leaving are delivered by the next worker that starts with the same spool directory and
//! joins the same state. A worker decides nothing about a trial: it reports and obeys.

mod control;
mod exit;
mod fitness;
mod gpus;
mod inventory;
mod link;
mod log;
mod orphan;
mod outbox;
mod settings;
mod spool;
mod spooled_commit;
mod step_timer;
#[cfg(test)]
mod tests;
mod trial;
mod trial_session;
mod worker;

pub use exit::{Error, ExitReason};
pub use gpus::{GpuInventory, GpuVariables};
pub use log::AttemptLogLayer;
pub use rheo_proto::access::{AccessConfig, Role};
pub use settings::{OfferedResources, Settings};
pub use worker::run;
