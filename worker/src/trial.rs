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

/// What an attempt needs of its worker.
#[derive(Clone)]
pub(crate) struct WorkerContext {
    pub(crate) worker: WorkerId,
    pub(crate) link: Arc<Link>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) trainer: Arc<dyn Trainer>,
    pub(crate) step_timer: Arc<StepTimer>,
}

impl WorkerContext {
    /// Runs an attempt and returns when its end is delivered, or when it is no longer ours; says what
    /// this worker lacked and why, if it was unfit.
    pub(crate) async fn run(
        self,
        assignment: Assignment,
        control: Arc<Control>,
        gpus: Vec<Gpu>,
    ) -> Result<(), (Need, String)> {
        let attempt = assignment.attempt.clone();
        let checkpoint = assignment.checkpoint.map(|digest| digest.to_string());
        let origin = checkpoint.map(|digest| format!("goes on from checkpoint {}", &digest[..12]));
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
        // Both end: a refused delivery makes the trainer stop at its next step.
        let (fit, ()) = tokio::join!(train, outbox.deliver(&self.link, &control));
        match &fit {
            Ok(()) => tracing::info!(%attempt, "trial left"),
            Err((_, cause)) => tracing::warn!(%attempt, cause, "trial given back"),
        }
        fit
    }

    /// What the messages of an attempt claim, before they are numbered.
    pub(crate) fn claim(&self, assignment: &Assignment) -> AttemptClaim {
        let (attempt, origin) = (assignment.attempt.clone(), Some(assignment.origin));
        AttemptClaim { attempt, worker: self.worker, sequence: 0, origin }
    }

    /// Trains, and puts the end of the attempt into the outbox if there is one to deliver.
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
        // What was trained is in memory; it counts if it is delivered from there, and another worker
        // goes on from it.
        let (need, message) =
            (inventory::unmet_spool_need(&error), inventory::spool_error_text(&error));
        let (need, message) = unfit.unwrap_or((need, message));
        control.log().write_end(LogLevel::Error, &format!("given back: {message}"));
        let ending = AttemptEnd::Unfit { need: need.clone(), message: message.clone() };
        outbox.end_unspooled(ending, control.log().take());
        Err((need, message))
    }

    /// The checkpoint to resume from.
    async fn checkpoint(
        &self,
        assignment: &Assignment,
        control: &Control,
    ) -> Result<Option<Bytes>, AttemptEnd> {
        let Some(digest) = assignment.checkpoint else { return Ok(None) };
        for pause in pauses() {
            match self.link.get_checkpoint(&self.claim(assignment), digest).await {
                Ok(bytes) => return Ok(Some(bytes)),
                // Whoever runs another state knows nothing about the checkpoint.
                Err(refusal) if refusal.is_foreign() => control.issue(Directive::Drain),
                // Who is not let in knows nothing about the checkpoint; its heartbeat ends it.
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

/// Runs `action` on a thread of its own, so that training never holds up a heartbeat.
async fn on_a_thread<T: Send + 'static>(
    action: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        // Nobody waits any more if the worker is going.
        let _ = sender.send(action());
    };
    thread::Builder::new().name("trial".to_owned()).spawn(run)?;
    receiver.await.map_err(io::Error::other)
}

/// The end of an attempt that has no thread to run on.
fn no_thread_ending(error: &io::Error) -> AttemptEnd {
    let message = format!("no thread could be started for the trial: {error}");
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
        Err(error) => (None, failed(&format!("its rows cannot be encoded: {error}"))),
    }
}

/// The last line of the log of an attempt.
fn end_line(ending: &AttemptEnd) -> (LogLevel, String) {
    let error = |what: &str, message: &str| (LogLevel::Error, format!("{what}: {message}"));
    match ending {
        AttemptEnd::Completed { .. } => (LogLevel::Info, "completed".to_owned()),
        AttemptEnd::Diverged { detail, .. } => (LogLevel::Warn, format!("diverged: {detail}")),
        AttemptEnd::Stopped => {
            (LogLevel::Info, "stopped, because the coordinator asked for it".to_owned())
        }
        AttemptEnd::Preempted => {
            (LogLevel::Info, "given back, because the worker has to leave".to_owned())
        }
        AttemptEnd::TimedOut => (LogLevel::Warn, "timed out".to_owned()),
        AttemptEnd::OutOfMemory { message } => error("out of memory", message),
        AttemptEnd::Error { message } => error("failed", message),
        AttemptEnd::Unfit { message, .. } => {
            error("given back, because the worker is unfit", message)
        }
        AttemptEnd::CheckpointUnusable { message } => error("cannot go on", message),
    }
}

fn failed(message: &str) -> AttemptEnd {
    AttemptEnd::Error { message: message.to_owned() }
}

/// A panic is a fault of the program, unless it says that the machine is at its limits.
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

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a message".to_owned())
}

/// A summary as the coordinator takes it; its type cannot fail to become JSON.
fn json(summary: &Summary) -> Json {
    serde_json::to_value(summary).unwrap_or_default()
}
