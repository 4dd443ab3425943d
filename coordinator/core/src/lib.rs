//! The pure core of Rheobase: the sweep language, the search space, the samplers and the state
//! machine.
//!
//! Nothing in this crate does I/O, reads a clock or draws from a global random generator. Time and
//! randomness are arguments, so every decision can be replayed and property-tested.

pub mod chunked_map;
pub mod definition;
pub mod estimate;
pub mod excerpt;
pub mod fleet;
pub mod history;
pub mod id;
pub mod importance;
pub mod log;
pub mod machine;
pub mod metric;
pub mod name;
pub mod needs;
pub mod part;
pub mod plan;
pub mod progress;
pub mod pruner;
pub mod ranking;
pub mod rerun;
pub mod resources;
pub mod rng;
pub mod rows;
pub mod sampler;
pub mod schema;
pub mod skip_eq;
pub mod space;
pub mod spec;
mod student;
pub mod suggest;
pub mod sweep;
pub mod terms;
pub mod time;
