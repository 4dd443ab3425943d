//! Fleets on a simulated cluster: jobs wait, die, are preempted, requeued and forgotten; replies
//! are lost; and the coordinator crashes in between.
//!
//! At every moment, there are no more live jobs than allowed, each under a unique name that the
//! state knows. Once the cluster works again, every sweep completes.

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

/// Parses a sweep file.
fn definition(text: &str) -> Box<SweepDefinition> {
    let parsed = spec::parse(&workloads(), "demo.yaml", text);
    Box::new(parsed.unwrap_or_else(|mistakes| panic!("{}", mistakes.render())).definition)
}
