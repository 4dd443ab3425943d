//! Launchers of workers: processes on this machine, Slurm jobs and Kubernetes Jobs.
//!
//! A [`Launcher`] observes, submits and removes the pilots of a fleet. It decides nothing: `rheo-core`
//! derives the number of pilots from the state. Only this crate knows Slurm and Kubernetes, and it
//! does not speak our protocol: pilots find the coordinator through its state directory or through
//! copies of its files.

mod command;
pub mod kubernetes;
mod launcher;
mod open;
pub mod process;
pub mod slurm;
pub mod worker_processes;

pub use launcher::{Error, Launcher, PilotRef, PilotSubmission};
pub use open::open;
