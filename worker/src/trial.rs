//! One attempt, from its assignment to the delivery of its end. A panic or an error of the trainer
//! ends the attempt, never the worker.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use rheo_core::id::WorkerId;
use rheo_core::log::LogLevel;
use rheo_core::machine::{AttemptClaim, AttemptEnd};
use rheo_core::needs::Need;
use rheo_model::row::Summary;
use rheo_model::trainer::{self, FinalCommit, Gpu, RunOutcome, Trainer};
use serde_json::Value as Json;
use tokio::sync::oneshot;

use crate::control::{Control, Directive};
use crate::inventory;
use crate::link::Assignment;
use crate::link::{Link, pauses};
use crate::outbox::Outbox;
use crate::spool::Spool;
use crate::spooled_commit::CommitPayload;
use crate::step_timer::StepTimer;
use crate::trial_session::TrialSession;

/// Parts of the worker that an attempt uses.
#[derive(Clone)]
pub(crate) struct WorkerContext {
    pub(crate) worker: WorkerId,
    pub(crate) link: Arc<Link>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) trainer: Arc<dyn Trainer>,
    pub(crate) step_timer: Arc<StepTimer>,
}

impl WorkerContext {
    /// Runs an attempt until its end is delivered or the attempt is superseded; returns the unmet
    /// need and its message if the worker was unfit.
    pub(crate) async fn run(
        self,
        assignment: Assignment,
        control: Arc<Control>,
        gpus: Vec<Gpu>,
    ) -> Result<(), (Need, String)> {
        let attempt = assignment.attempt.clone();
        let checkpoint = assignment.checkpoint.map(|digest| digest.to_string());
        let origin = checkpoint.map(|digest| format!("resumes from checkpoint {}", &digest[..12]));
        let origin = origin.unwrap_or_else(|| "begins".to_owned());
        let on = gpus.iter().map(|gpu| format!(" on GPU {gpu}")).collect::<String>();
        control.log().scope(|| tracing::info!(%attempt, "attempt {origin}{on}"));
        let claim = self.claim(&assignment);
        let outbox = Arc::new(Outbox::new(Arc::clone(&self.spool), claim));
        let train = async {
            let (control, post) = (Arc::clone(&control), Arc::clone(&outbox));
            let fit = self.train(assignment, control, post, gpus).await;
            outbox.close();
            fit
        };
        // Both end: a refused delivery stops the trainer at its next step.
        let (fit, ()) = tokio::join!(train, outbox.deliver(&self.link, &control));
        match &fit {
            Ok(()) => tracing::info!(%attempt, "attempt finished"),
            Err((_, cause)) => {
                tracing::warn!(%attempt, cause, "attempt ended: the worker is unfit");
            }
        }
        fit
    }

    /// Returns the claim of an attempt's messages, without a number.
    pub(crate) fn claim(&self, assignment: &Assignment) -> AttemptClaim {
        let (attempt, origin) = (assignment.attempt.clone(), Some(assignment.origin));
        AttemptClaim { attempt, worker: self.worker, sequence: 0, origin }
    }

    /// Trains, and adds the end of the attempt to the outbox unless it was abandoned.
    pub(crate) async fn train(
        &self,
        assignment: Assignment,
        control: Arc<Control>,
        outbox: Arc<Outbox>,
        gpus: Vec<Gpu>,
    ) -> Result<(), (Need, String)> {
        let (payload, ending) = match self.checkpoint(&assignment, &control).await {
            Err(ending) => (None, ending),
            Ok(checkpoint) => {
                let (post, step_timer) = (Arc::clone(&outbox), Arc::clone(&self.step_timer));
                let session =
                    TrialSession::new(&assignment, Arc::clone(&control), post, step_timer, gpus);
                let trainer = Arc::clone(&self.trainer);
                let log = Arc::clone(control.log());
                let train = move || train(&*trainer, &assignment, checkpoint.as_ref(), session);
                let attempt = move || log.scope(train);
                match on_a_thread(attempt).await {
                    Ok(end) => end,
                    Err(error) => (None, no_thread_ending(&error)),
                }
            }
        };
        if control.directive() == Directive::Abandon {
            return Ok(());
        }
        let ending = match (ending, control.directive()) {
            (AttemptEnd::Stopped, Directive::Drain) => AttemptEnd::Preempted,
            (AttemptEnd::Stopped, Directive::TimeOut) => AttemptEnd::TimedOut,
            (ending, _) => ending,
        };
        let (level, text) = end_line(&ending);
        control.log().write_end(level, &text);
        let unfit = match &ending {
            AttemptEnd::Unfit { need, message } => Some((need.clone(), message.clone())),
            _ => None,
        };
        let Err(error) = outbox.push(payload, Some(ending), control.log().take()) else {
            return unfit.map_or(Ok(()), Err);
        };
        // The trained work is in memory; if it can be delivered from there, another worker resumes
        // from it.
        let (need, message) =
            (inventory::unmet_spool_need(&error), inventory::spool_error_text(&error));
        let (need, message) = unfit.unwrap_or((need, message));
        control
            .log()
            .write_end(LogLevel::Error, &format!("ended, because the worker is unfit: {message}"));
        let ending = AttemptEnd::Unfit { need: need.clone(), message: message.clone() };
        outbox.end_unspooled(ending, control.log().take());
        Err((need, message))
    }

    /// Returns the checkpoint to resume from.
    async fn checkpoint(
        &self,
        assignment: &Assignment,
        control: &Control,
    ) -> Result<Option<Bytes>, AttemptEnd> {
        let Some(digest) = assignment.checkpoint else { return Ok(None) };
        for pause in pauses() {
            match self.link.get_checkpoint(&self.claim(assignment), digest).await {
                Ok(bytes) => return Ok(Some(bytes)),
                // A coordinator of another state does not have the checkpoint.
                Err(refusal) if refusal.is_foreign() => control.issue(Directive::Drain),
                // With access denied, nothing is known about the checkpoint; the heartbeat ends the
                // worker.
                Err(refusal) if !refusal.transient && !refusal.is_access() => {
                    return Err(AttemptEnd::CheckpointUnusable { message: refusal.text });
                }
                Err(_) if control.directive() != Directive::Run => break,
                Err(_) => tokio::time::sleep(pause).await,
            }
        }
        Err(AttemptEnd::Stopped)
    }
}

/// Runs `action` on its own thread, so that training never delays a heartbeat.
async fn on_a_thread<T: Send + 'static>(
    action: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        // No receiver is left if the worker is leaving.
        let _ = sender.send(action());
    };
    thread::Builder::new().name("trial".to_owned()).spawn(run)?;
    receiver.await.map_err(io::Error::other)
}

/// Returns the end of an attempt for which no thread could be started.
fn no_thread_ending(error: &io::Error) -> AttemptEnd {
    let message = format!("cannot start a thread for the trial: {error}");
    AttemptEnd::Unfit { need: Need::System, message }
}

/// Trains on this thread.
fn train(
    trainer: &dyn Trainer,
    assignment: &Assignment,
    checkpoint: Option<&Bytes>,
    mut session: TrialSession,
) -> (Option<CommitPayload>, AttemptEnd) {
    let resume = checkpoint.map(|bytes| &bytes[..]);
    let run = AssertUnwindSafe(|| trainer.run(&assignment.config, resume, &mut session));
    let ended = match catch_unwind(run) {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => return (None, trainer_ending(error)),
        Err(panic) => return (None, panic_ending(&panic_text(&*panic))),
    };
    if let Some(failure) = session.failure.take() {
        return (None, failure);
    }
    let (commit, ending) = match ended {
        RunOutcome::Stopped(commit) => (commit, AttemptEnd::Stopped),
        RunOutcome::Completed(FinalCommit { commit, metrics, summary }) => {
            (commit, AttemptEnd::Completed { metrics, summary: Box::new(json(&summary)) })
        }
        RunOutcome::Diverged { finish: FinalCommit { commit, metrics, summary }, detail } => {
            (commit, AttemptEnd::Diverged { metrics, summary: Box::new(json(&summary)), detail })
        }
    };
    match session.pack(commit) {
        Ok(payload) => (Some(payload), ending),
        Err(error) => (None, failed(&format!("cannot encode the rows: {error}"))),
    }
}

/// Returns the last line of an attempt's log.
fn end_line(ending: &AttemptEnd) -> (LogLevel, String) {
    let error = |what: &str, message: &str| (LogLevel::Error, format!("{what}: {message}"));
    match ending {
        AttemptEnd::Completed { .. } => (LogLevel::Info, "completed".to_owned()),
        AttemptEnd::Diverged { detail, .. } => (LogLevel::Warn, format!("diverged: {detail}")),
        AttemptEnd::Stopped => (LogLevel::Info, "stopped by the coordinator".to_owned()),
        AttemptEnd::Preempted => {
            (LogLevel::Info, "preempted, because the worker is leaving".to_owned())
        }
        AttemptEnd::TimedOut => (LogLevel::Warn, "timed out".to_owned()),
        AttemptEnd::OutOfMemory { message } => error("out of memory", message),
        AttemptEnd::Error { message } => error("failed", message),
        AttemptEnd::Unfit { message, .. } => error("ended, because the worker is unfit", message),
        AttemptEnd::CheckpointUnusable { message } => error("cannot resume", message),
    }
}

fn failed(message: &str) -> AttemptEnd {
    AttemptEnd::Error { message: message.to_owned() }
}

/// Returns the end of an attempt after a panic: a bug, unless the machine ran out of a resource.
fn panic_ending(text: &str) -> AttemptEnd {
    let message = format!("panicked: {text}");
    if inventory::is_limit_text(text) {
        return AttemptEnd::Unfit { need: Need::System, message };
    }
    AttemptEnd::Error { message }
}

fn trainer_ending(error: trainer::Error) -> AttemptEnd {
    match error {
        trainer::Error::Checkpoint(message) => AttemptEnd::CheckpointUnusable { message },
        trainer::Error::OutOfMemory(message) => AttemptEnd::OutOfMemory { message },
        trainer::Error::Unfit { need, message } => AttemptEnd::Unfit { need, message },
        trainer::Error::Other(message) => AttemptEnd::Error { message },
    }
}

/// Returns the text of a panic.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a message".to_owned())
}

/// Converts a summary to JSON; the type always serializes.
fn json(summary: &Summary) -> Json {
    serde_json::to_value(summary).unwrap_or_default()
}
