//! Journal entries of events, with the rows that came with a command and the rows of `trials` and
//! `attempts` that follow from it. One transaction stores both, so no ended trial lacks its row.

use std::sync::Arc;

use rheo_core::id::TrialId;
use rheo_core::machine::{Event, State, Worker};
use rheo_core::rows::RowBatch;
use rheo_core::sweep::{
    AttemptEnded, ReopenedTrial, SweepResumed, TrialEnded, TrialsRetried, TrialsStartedOver,
};
use rheo_model::row::Summary;
use rheo_query::{AttemptRow, TrialRow, encode_attempts, encode_trials};
use rheo_store::{JournalEntry, RowBlob};
use serde::Deserialize as _;

use crate::attempt_keys::{AttemptKeyCache, AttemptKeys};
use crate::live::LiveState;

/// Returns the entries of one command's `events`, which `state` includes; `blobs` are the rows of
/// the command.
pub(crate) fn of_events(
    state: &State,
    events: &[Event],
    mut blobs: Vec<RowBlob>,
    live: &LiveState,
    attempt_keys: &AttemptKeyCache,
) -> Result<Vec<JournalEntry>, rheo_query::Error> {
    let mut entries = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let mut entry = JournalEntry::from(event.clone());
        match event {
            Event::TrialCommitted(_) => entry.blobs = std::mem::take(&mut blobs),
            Event::AttemptEnded(ended) => {
                // The last log lines, unless a commit brought them.
                entry.blobs.append(&mut blobs);
                let attempt = &ended.attempt;
                if let Some(keys) = attempt_keys.find(state, attempt) {
                    entry.blobs.extend(keys.encode_log(attempt, &live.unrecorded_log(attempt))?);
                    let row = attempt_row(state, ended, &keys).map(|row| encode_attempts(&[row]));
                    entry.blobs.extend(row_blob(&attempt.trial, row)?);
                }
            }
            Event::TrialEnded(ended) => {
                let last = last_attempt(&ended.trial, &events[..index]);
                let row = trial_row(state, ended, last, attempt_keys);
                entry.blobs.extend(row_blob(&ended.trial, row.map(|row| encode_trials(&[row])))?);
            }
            Event::TrialsRetried(TrialsRetried { sweep, reopened, .. })
            | Event::SweepResumed(SweepResumed { sweep, reopened, .. }) => {
                let trials = reopened.iter();
                let retracted =
                    trials.map(|ReopenedTrial { index, .. }| TrialId::new(sweep.clone(), *index));
                entry.retracted = retracted.collect();
            }
            Event::TrialsStartedOver(TrialsStartedOver { sweep, trials, parts, .. }) => {
                let erased = trials.iter().map(|trial| TrialId::new(sweep.clone(), trial.index));
                entry.erased = erased.collect();
                entry.damaged.clone_from(parts);
            }
            Event::SweepDeleted(deleted) => entry.deleted = Some(deleted.sweep.clone()),
            _ => {}
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn row_blob(
    trial: &TrialId,
    batch: Option<Result<RowBatch, rheo_query::Error>>,
) -> Result<Option<RowBlob>, rheo_query::Error> {
    let Some(batch) = batch.transpose()? else { return Ok(None) };
    Ok(Some(RowBlob { trial: trial.clone(), batch }))
}

fn attempt_row(state: &State, ended: &AttemptEnded, keys: &AttemptKeys) -> Option<AttemptRow> {
    let attempt = &ended.attempt;
    let sweep = state.sweeps.get(&attempt.trial.sweep)?;
    let index = attempt.trial.index;
    let trial = sweep.open_trial(index);
    let checkpoint = match trial {
        Some(trial) => trial.checkpoint,
        None => sweep.done.get(&index)?.checkpoint,
    };
    let info =
        state.workers.get(&ended.worker).map(|worker| worker.info.clone()).unwrap_or_default();
    let epoch = |epoch: u32| i32::try_from(epoch).unwrap_or(i32::MAX);
    Some(AttemptRow {
        keys: keys.keys.clone(),
        attempt: sweep.attempt_count(attempt.number),
        outcome: ended.outcome.name().to_owned(),
        worker: ended.worker,
        host: info.host,
        pid: Some(info.pid),
        place: info.place,
        version: info.version,
        started: ended.since,
        ended: ended.at,
        epochs: ended.epochs.map(|(first, last)| (epoch(first), epoch(last))),
        commits: ended.commits,
        checkpoint,
        error: ended.error.clone(),
    })
}

/// Returns the row of an ended trial; `last` is its attempt that ended by the same command.
fn trial_row(
    state: &State,
    ended: &TrialEnded,
    last: Option<&AttemptEnded>,
    attempt_keys: &AttemptKeyCache,
) -> Option<TrialRow> {
    let trial = &ended.trial;
    let sweep = state.sweeps.get(&trial.sweep)?;
    let done = sweep.done.get(&trial.index)?;
    let known = last.and_then(|last| attempt_keys.get(&last.attempt));
    let planned = match known {
        Some(keys) => Arc::clone(&keys.planned),
        None => sweep.trial(trial.index).ok()?,
    };
    let worker = last.map(|last| last.worker);
    let info = worker.and_then(|worker| state.workers.get(&worker)).map(|Worker { info, .. }| info);
    let swept = planned.swept.iter().map(|(path, value)| (path.to_owned(), value.clone()));
    Some(TrialRow {
        trial: trial.index,
        point: planned.point,
        status: ended.outcome.name().to_owned(),
        swept: swept.collect(),
        config: Arc::clone(planned.text()),
        objective: done.objective,
        metrics: ended.metrics.clone(),
        summary: ended.summary.as_deref().and_then(|summary| Summary::deserialize(summary).ok()),
        attempts: sweep.attempt_count(done.attempt),
        started: (done.attempt > 0).then_some(done.started),
        ended: ended.at,
        host: info.map(|info| info.host.clone()),
        worker,
        version: info.map(|info| info.version.clone()),
        checkpoint: done.checkpoint,
        error: ended.error.clone(),
    })
}

/// Finds the end of the last attempt of `trial` among these events.
fn last_attempt<'e>(trial: &TrialId, before: &'e [Event]) -> Option<&'e AttemptEnded> {
    before.iter().rev().find_map(|event| match event {
        Event::AttemptEnded(ended) if ended.attempt.trial == *trial => Some(ended),
        _ => None,
    })
}
