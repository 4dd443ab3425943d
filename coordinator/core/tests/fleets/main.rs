//! Fleets on a cluster that does what clusters do: jobs wait, die, are preempted, requeued and
//! forgotten, answers get lost, and the coordinator dies in the middle of it.
//!
//! At every moment no more jobs live than are allowed, each under a name of its own that the state
//! knows; and once the cluster behaves again, every sweep completes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arbitrary;
use rheo_core::definition::SweepDefinition;
use rheo_core::spec;

use crate::brewing::workloads;

#[path = "../brewing/mod.rs"]
mod brewing;
mod cluster;
mod day;
mod plot;
mod runner;
mod scenario;
mod unfit;
mod world;

/// The meaning of a sweep file.
fn definition(text: &str) -> Box<SweepDefinition> {
    let parsed = spec::parse(&workloads(), "demo.yaml", text);
    Box::new(parsed.unwrap_or_else(|mistakes| panic!("{}", mistakes.render())).definition)
}
