//! Starts workers: processes on this machine, jobs of Slurm, Jobs of Kubernetes.
//!
//! [`Launcher`] is what a fleet needs of a cluster: to say where its pilots are, to take one, to have
//! some go. It decides nothing: how many there are to be follows from the state, in `rheo-core`. This
//! is the only crate that knows Slurm and Kubernetes, and it speaks none of our protocol: pilots find
//! the coordinator through its state directory or files that stand for it.

mod command;
pub mod kubernetes;
mod launcher;
mod open;
pub mod process;
pub mod slurm;
pub mod worker_processes;

pub use launcher::{Error, Launcher, PilotRef, PilotSubmission};
pub use open::open;
