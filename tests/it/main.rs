//! The whole system with real processes and real sockets, entered by the front door.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod analyses;
mod best;
mod bounds;
mod completion;
mod connections;
mod control;
mod crash;
mod damage;
mod deletion;
mod deletion_crash;
mod disk;
mod early;
mod export;
mod fleet;
mod gpus;
mod hints;
mod hostile_files;
mod hostile_queries;
mod installed;
mod integrity;
mod life;
mod logs;
mod memory;
mod object_store;
mod ownership;
mod paths;
mod progress;
mod protocol;
mod ranking;
mod readers;
mod retries;
mod scale;
mod scarce;
mod search;
mod security;
mod signals;
mod stale;
mod states;
mod sweeps;
mod traces;
mod unfit;
mod unusable;
mod upkeep;
