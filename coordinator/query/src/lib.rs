//! Results as Arrow: the tables, the Parquet files that hold them, and SQL over both.
//!
//! The only crate that sees Arrow. Workers turn rows into [`Batch`]es (this part compiles without
//! DataFusion and Parquet); the coordinator [checks](Batch::check) them before it accepts a commit,
//! journals them as opaque bytes, and later has a [`Dataset`] write them into parts. An [`Engine`]
//! answers SQL over exactly the parts that the journal names plus the rows that are in none yet.

mod batch;
mod config;
mod ipc;
mod tables;

pub use batch::{Batch, Error, Keys};
pub use tables::{
    AttemptRow, Column, Kind, SCHEMA_VERSION, TrialRow, columns, encode, encode_attempts,
    encode_trials, schema,
};

#[cfg(test)]
extern crate self as rheo_query;
#[cfg(test)]
mod sample;
