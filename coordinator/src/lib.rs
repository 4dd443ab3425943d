//! The coordinator and its command line.
//!
//! [`app`] wires the pure core to a journal, results, checkpoints and the gRPC server; [`cli`] is
//! the command line. Decisions about the state are made in `rheo-core`.

pub mod app;
mod attempt_keys;
mod claim;
pub mod cli;
mod client;
mod clock;
mod connections;
mod damage;
mod directory_check;
mod engine;
mod fleet;
mod grpc;
mod health;
mod journal_entries;
mod leaderboard;
mod live;
mod ownership;
pub mod paths;
mod point_request;
mod points;
mod query_reply;
mod report;
mod shell;
mod signals;
mod sink;
mod sql;
mod start;
pub mod storage;
mod summary;
mod threads;
mod throttle;
mod tls;
mod uploads;
mod usage;
mod verify;
