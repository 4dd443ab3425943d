//! Drives the search of a sweep by lines of JSON, so that a program in any language can judge it.
//!
//! Each line on standard input is a request, and each gets one line on standard output:
//!
//! ```text
//! {"sweep": "{\"name\": \"s\", \"method\": \"random\", \"run_cap\": 9, \"parameters\": {\"x\": {\"min\": 0.0, \"max\": 1.0}}}"}
//!                                                  -> {"trials": 9}
//! {"ask": 2}                                       -> {"trials": [{"trial": 0, "seed": 1, "point": {"x": 0.5}}, ...]}
//! {"tell": [0, [[0, 0.7], [1, 0.4]], "completed"]} -> {"told": 0}
//! ```
//!
//! `sweep` takes the text of a sweep file, written as JSON, and begins anew; the fields of the
//! workload follow from its parameters. Trials that were asked for and have no end yet are in the history as running, so
//! a caller simulates parallel workers by asking before it tells. A refused request gets
//! `{"error": "..."}` and changes nothing. Everything is decided by `rheo-core`, as in the
//! coordinator.

#[cfg(test)]
mod importance;
mod request;
mod search;
mod workload;

use std::io::{self, BufRead as _, Write as _};

use anyhow::Context as _;
use serde_json::{Value as Json, json};

use request::Request;
use search::Search;

fn main() -> anyhow::Result<()> {
    let mut search = None;
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let reply = reply(&mut search, &line?)
            .unwrap_or_else(|error| json!({"error": format!("{error:#}")}));
        writeln!(output, "{reply}")?;
        output.flush()?;
    }
    Ok(())
}

/// Answers one request.
fn reply(search: &mut Option<Search>, line: &str) -> anyhow::Result<Json> {
    match serde_json::from_str(line)? {
        Request::Sweep(file) => {
            let started = search.insert(Search::start(&file)?);
            Ok(json!({"trials": started.trials()}))
        }
        Request::Ask(count) => Ok(json!({"trials": running(search)?.ask(count)?})),
        Request::Tell(trial, reports, end) => {
            running(search)?.tell(trial, &reports, end)?;
            Ok(json!({"told": trial}))
        }
    }
}

/// Returns the sweep that runs.
fn running(search: &mut Option<Search>) -> anyhow::Result<&mut Search> {
    search.as_mut().context("there is no sweep yet: send `sweep` first")
}
