//! Attempts in a worker, with scripted trainers. Nothing is delivered; the spool shows what would
//! be.

use std::sync::Arc;

use rheo_core::id::{AttemptId, Digest, IncarnationId, StateId, SweepName, TrialId, WorkerId};
use rheo_core::machine::{AttemptClaim, AttemptEnd, Origin};
use rheo_core::metric::Metrics;
use rheo_core::needs::Need;
use rheo_core::progress::Progress;
use rheo_core::pruner::CommitEpochs;
use rheo_core::resources::GrantedResources;
use rheo_core::rows::RowCounts;
use rheo_model::config::TrialConfig;
use rheo_model::row::{Rows, ShapeRow, Summary, Table};
use rheo_model::trainer::{
    Commit, Error as TrainError, FinalCommit, NextAction, RunOutcome, Session, Trainer,
};
use rheo_proto::access::{AccessConfig, Role};
use tempfile::TempDir;
use uuid::Uuid;

use crate::control::{Control, Directive};
use crate::link::Assignment;
use crate::link::Link;
use crate::outbox::Outbox;
use crate::spool::Spool;
use crate::spooled_commit::{CommitPayload, SpooledCommit};
use crate::trial::WorkerContext;

fn shapes(counts: &RowCounts) -> u64 {
    counts.get(&Table::Shapes.to_name())
}

/// A trainer that runs a function.
struct FakeTrainer<F>(F);

impl<F> Trainer for FakeTrainer<F>
where
    F: Fn(&mut dyn Session) -> Result<RunOutcome, TrainError> + Send + Sync,
{
    fn run(
        &self,
        _: &TrialConfig,
        _: Option<&[u8]>,
        session: &mut dyn Session,
    ) -> Result<RunOutcome, TrainError> {
        (self.0)(session)
    }
}

fn assignment() -> Assignment {
    let trial = TrialId::new(SweepName::parse("lock").unwrap(), 7);
    Assignment {
        attempt: AttemptId::new(trial, 2),
        origin: origin(1),
        config: TrialConfig::default(),
        checkpoint: None,
        covered: RowCounts::default(),
        durable: RowCounts::default(),
        granted: GrantedResources::default(),
        commit_epochs: CommitEpochs::None,
    }
}

/// Returns the origin of attempts of state `n`.
fn origin(n: u128) -> Origin {
    let (state, incarnation) = (StateId(Uuid::from_u128(n)), IncarnationId(Uuid::from_u128(n)));
    Origin { state, incarnation, configuration: Digest::of(b"config") }
}

fn claim(sequence: u64) -> AttemptClaim {
    let Assignment { attempt, origin, .. } = assignment();
    AttemptClaim { attempt, worker: worker(1), sequence, origin: Some(origin) }
}

fn worker(n: u128) -> WorkerId {
    WorkerId(Uuid::from_u128(n))
}

/// Returns a commit of `rows` rows of `shapes`.
fn commit(rows: u32, checkpoint: &[u8]) -> Commit {
    let row = |neuron| ShapeRow {
        epoch: -1,
        phase: "trained".to_owned(),
        neuron,
        n: 5.0,
        s: 0.0,
        n_init: 5.0,
        s_init: 0.0,
    };
    let rows = Rows { shapes: (0..rows).map(row).collect(), ..Rows::default() };
    Commit {
        rows,
        reports: Vec::new(),
        checkpoint: checkpoint.to_vec(),
        progress: Progress::default(),
    }
}

fn finish(rows: u32) -> FinalCommit {
    let commit = commit(rows, b"the end");
    FinalCommit { commit, metrics: Metrics::new(), summary: Summary::default() }
}

/// Runs an attempt of `assignment` and returns the contents of the spool.
async fn attempt<F>(assignment: Assignment, directive: Directive, trainer: F) -> Vec<SpooledCommit>
where
    F: Fn(&mut dyn Session) -> Result<RunOutcome, TrainError> + Send + Sync + 'static,
{
    let root = TempDir::new().unwrap();
    let spool = Arc::new(Spool::open(root.path(), worker(1)).unwrap());
    let access = AccessConfig {
        server: None,
        state: root.path().join("nobody"),
        ca_file: None,
        token_file: None,
        role: Role::Worker,
    };
    let link = Arc::new(Link::new(access));
    let context = WorkerContext {
        worker: worker(1),
        link,
        spool: Arc::clone(&spool),
        trainer: Arc::new(FakeTrainer(trainer)),
        step_timer: Arc::default(),
    };
    let control = Arc::new(Control::default());
    control.issue(directive);
    let outbox = Arc::new(Outbox::new(Arc::clone(&spool), context.claim(&assignment)));
    // The ending shows whether the attempt was unfit.
    let _ = context.train(assignment, control, outbox, Vec::new()).await;
    spool.commits()
}

async fn ending<F>(directive: Directive, trainer: F) -> AttemptEnd
where
    F: Fn(&mut dyn Session) -> Result<RunOutcome, TrainError> + Send + Sync + 'static,
{
    let commits = attempt(assignment(), directive, trainer).await;
    let [commit] = &commits[..] else { panic!("{commits:?}") };
    commit.ending.clone().unwrap()
}

#[tokio::test]
async fn a_panic_of_the_trainer_ends_its_attempt_with_its_message() {
    let ending = ending(Directive::Run, |_| panic!("shape [3, 4] is invalid")).await;
    let message = "panicked: shape [3, 4] is invalid".to_owned();
    assert_eq!(ending, AttemptEnd::Error { message });
}

#[tokio::test]
async fn every_trainer_error_maps_to_an_end() {
    let message = "no".to_owned();
    for (error, expected) in [
        (
            TrainError::Checkpoint as fn(String) -> TrainError,
            AttemptEnd::CheckpointUnusable { message: message.clone() },
        ),
        (TrainError::OutOfMemory, AttemptEnd::OutOfMemory { message: message.clone() }),
        (
            |message| TrainError::Unfit { need: Need::System, message },
            AttemptEnd::Unfit { need: Need::System, message: message.clone() },
        ),
        (TrainError::Other, AttemptEnd::Error { message: message.clone() }),
    ] {
        let ending = ending(Directive::Run, move |_| Err(error("no".to_owned()))).await;
        assert_eq!(ending, expected);
    }
}

#[tokio::test]
async fn the_directive_decides_the_end_of_a_stopped_attempt() {
    for (directive, expected) in [
        (Directive::Drain, AttemptEnd::Preempted),
        (Directive::TimeOut, AttemptEnd::TimedOut),
        (Directive::Stop, AttemptEnd::Stopped),
    ] {
        let ending = ending(directive, |session| {
            assert_eq!(session.next(), NextAction::Stop);
            Ok(RunOutcome::Stopped(commit(1, b"half way")))
        });
        assert_eq!(ending.await, expected);
    }
    let abandoned = attempt(assignment(), Directive::Abandon, |session| {
        assert_eq!(session.next(), NextAction::Abandon);
        Ok(RunOutcome::Stopped(commit(1, b"half way")))
    });
    assert_eq!(abandoned.await, [], "the trial belongs to somebody else");
}

#[tokio::test]
async fn waiting_commits_are_merged() {
    let commits = attempt(assignment(), Directive::Run, |session| {
        session.commit(commit(3, b"first"));
        session.commit(commit(2, b"second"));
        Ok(RunOutcome::Completed(finish(1)))
    });
    let commits = commits.await;
    let [
        SpooledCommit {
            claim,
            payload: Some(CommitPayload { work, batches, checkpoint }),
            ending,
            log,
        },
    ] = &commits[..]
    else {
        panic!("{commits:?}")
    };
    assert_eq!(claim.sequence, 1);
    assert_eq!((shapes(&work.rows), shapes(&work.produced)), (6, 6));
    assert_eq!(batches.iter().map(|batch| batch.rows).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(&checkpoint[..], b"the end");
    assert!(matches!(ending, Some(AttemptEnd::Completed { .. })));
    assert_eq!(log.last().map(|line| line.text.as_str()), Some("completed"));
}

#[tokio::test]
async fn a_restarted_trial_commits_only_rows_that_are_not_durable() {
    let durable = [(Table::Shapes.to_name(), 4)].into_iter().collect();
    let commits = attempt(Assignment { durable, ..assignment() }, Directive::Run, |session| {
        session.commit(commit(3, b"again"));
        Ok(RunOutcome::Completed(finish(3)))
    });
    let commits = commits.await;
    let work = &commits[0].payload.as_ref().unwrap().work;
    assert_eq!((shapes(&work.rows), shapes(&work.produced)), (2, 6));
}

#[test]
fn only_one_worker_takes_over_the_spool_of_a_dead_one() {
    let root = TempDir::new().unwrap();
    let living = Spool::open(root.path(), worker(1)).unwrap();
    let ending = Some(AttemptEnd::Stopped);
    let commit = SpooledCommit { claim: claim(1), payload: None, ending, log: Vec::new() };
    living.write(&commit).unwrap();
    assert!(Spool::orphans(root.path()).is_empty());
    // A process that dies releases its lock.
    drop(living);
    let orphans = Spool::orphans(root.path());
    let [orphan] = &orphans[..] else { panic!("{orphans:?}") };
    assert_eq!((orphan.worker, orphan.commits()), (worker(1), vec![commit]));
    assert!(Spool::orphans(root.path()).is_empty(), "somebody has it");
    for orphan in Spool::orphans(root.path()).into_iter().chain(orphans) {
        orphan.close();
    }
    let directory = || std::fs::read_dir(root.path()).unwrap().count();
    assert_eq!(directory(), 1, "what was not delivered stays");
    for orphan in Spool::orphans(root.path()) {
        orphan.remove(&claim(1));
        orphan.close();
    }
    assert_eq!(directory(), 0);
}

#[test]
fn attempts_of_two_states_have_separate_directories() {
    let root = TempDir::new().unwrap();
    let spool = Spool::open(root.path(), worker(1)).unwrap();
    spool.dedicate(origin(1).state).unwrap();
    assert_eq!(spool.owner(), Some(origin(1).state));
    let of = |n| SpooledCommit {
        claim: AttemptClaim { origin: Some(origin(n)), ..claim(1) },
        payload: None,
        ending: Some(AttemptEnd::Stopped),
        log: Vec::new(),
    };
    spool.write(&of(1)).unwrap();
    spool.write(&of(2)).unwrap();
    assert_eq!(spool.commits().len(), 2);
    spool.forget(&of(1).claim);
    assert_eq!(spool.commits(), [of(2)]);
}

#[test]
fn a_commit_without_an_origin_is_read() {
    #[derive(serde::Serialize)]
    struct OldClaim {
        attempt: AttemptId,
        worker: WorkerId,
        sequence: u64,
    }
    let old = OldClaim { attempt: assignment().attempt, worker: worker(1), sequence: 1 };
    let bytes = rmp_serde::to_vec_named(&old).unwrap();
    let read: AttemptClaim = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!(read, AttemptClaim { origin: None, ..claim(1) });
}

#[test]
fn a_partially_written_commit_is_skipped() {
    let root = TempDir::new().unwrap();
    let spool = Spool::open(root.path(), worker(1)).unwrap();
    for sequence in [1, 2] {
        let (claim, log) = (claim(sequence), Vec::new());
        spool.write(&SpooledCommit { claim, payload: None, ending: None, log }).unwrap();
    }
    let attempts = root.path().join(worker(1).to_string()).join("lock");
    let attempt = std::fs::read_dir(attempts).unwrap().next().unwrap().unwrap();
    let path = attempt.path().join("2");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let sequences = spool.commits().iter().map(|commit| commit.claim.sequence).collect::<Vec<_>>();
    assert_eq!(sequences, [1]);
}
