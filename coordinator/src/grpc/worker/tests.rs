//! Tests of the worker service within this process, without the coordinator's background tasks.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use rheo_core::spec;
use rheo_model::networks;
use rheo_model::row::{EpochRow, Rows};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::app::Settings;

const SWEEP: &str = "
name: demo
network: {hidden: 8}
parameters:
  training.optimizer.lr: {values: [1.0e-3, 1.0e-4]}
";

/// Creates a handler on its own state, with a sweep.
async fn service(state: &TempDir) -> WorkerHandler {
    service_with(Settings::new(state.path().join("state"))).await
}

async fn service_with(settings: Settings) -> WorkerHandler {
    let opened = Coordinator::open(settings).unwrap();
    let coordinator = opened.coordinator;
    let start = coordinator.start_command();
    coordinator.handle.execute(Caller::Coordinator, start, Vec::new(), |_, _| ()).await.unwrap();
    let definition =
        Box::new(spec::parse(&networks::workloads(), "demo.yaml", SWEEP).unwrap().definition);
    let submit = Command::Submit { definition, source: SWEEP.to_owned() };
    coordinator.handle.execute(Caller::Coordinator, submit, Vec::new(), |_, _| ()).await.unwrap();
    WorkerHandler::new(coordinator, CancellationToken::new())
}

/// Joins a worker and leases its first trial.
async fn lease(service: &WorkerHandler) -> (String, v1::Assignment) {
    let worker = Uuid::now_v7().to_string();
    let join = v1::JoinRequest {
        worker: worker.clone(),
        slots: 1,
        workloads: vec!["networks".to_owned()],
        ..Default::default()
    };
    service.join(Request::new(join)).await.unwrap();
    let acquire = v1::AcquireRequest { worker: worker.clone(), slots: 1, ..Default::default() };
    let reply = service.acquire(Request::new(acquire)).await.unwrap().into_inner();
    (worker, reply.assignments.into_iter().next().unwrap())
}

async fn put_checkpoint(service: &WorkerHandler) -> Digest {
    let bytes = Bytes::from_static(b"weights");
    let digest = checkpoint::digest(&bytes);
    let mut upload = service.coordinator.checkpoints.upload(digest).await.unwrap();
    upload.write(bytes).await.unwrap();
    upload.finish().await.unwrap();
    digest
}

/// Returns a commit of one epoch, with one log line.
fn commit(worker: &str, assignment: &v1::Assignment, at: (Digest, u32)) -> v1::CommitRequest {
    let (checkpoint, epoch) = at;
    let config = serde_json::from_str(&assignment.config).unwrap();
    let attempt = assignment.attempt.clone().unwrap();
    let row: EpochRow = serde_json::from_value(serde_json::json!({
        "epoch": epoch, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5,
        "lr": 1e-3, "grad_norm": 1.0, "gain_guard_hits": 0, "negative_gains": 0, "wall_s": 1.0,
    }))
    .unwrap();
    let rows = Rows { epochs: vec![row], ..Rows::default() };
    let batches = rheo_query::encode(&TrialKeys::new(attempt.trial, &config), &rows).unwrap();
    let tables = [("epochs".to_owned(), u64::from(epoch) + 1)].into();
    let line = v1::LogLine { number: epoch + 1, level: "info".to_owned(), ..Default::default() };
    let sequence = u64::from(epoch) + 1;
    v1::CommitRequest {
        claim: Some(v1::Claim { worker: worker.to_owned(), attempt: Some(attempt), sequence }),
        work: Some(v1::Work {
            checkpoint: checkpoint.to_string(),
            produced: Some(v1::RowCounts { tables }),
            rows: batches.into_iter().map(Into::into).collect(),
            reports: Vec::new(),
            ..v1::Work::default()
        }),
        log: vec![line],
    }
}

#[tokio::test]
async fn a_commit_asks_the_engine_once() {
    let state = TempDir::new().unwrap();
    let service = service(&state).await;
    let (worker, assignment) = lease(&service).await;
    let checkpoint = put_checkpoint(&service).await;
    let mut calls = Vec::new();
    for epoch in 0..4 {
        if epoch == 2 {
            // As after a restart.
            let attempt: HeldAttempt = assignment.attempt.clone().unwrap().try_into().unwrap();
            service.coordinator.attempt_keys.remove(&attempt.attempt);
        }
        let before = service.coordinator.handle.calls.load(Ordering::Relaxed);
        let request = commit(&worker, &assignment, (checkpoint, epoch));
        let reply = service.commit(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(reply.verdict(), v1::Verdict::Continue);
        calls.push(service.coordinator.handle.calls.load(Ordering::Relaxed) - before);
    }
    assert_eq!(calls, [1, 1, 2, 1], "its keys are looked up once after a restart");
}

#[tokio::test]
async fn the_keys_of_an_attempt_that_ended_are_forgotten() {
    let state = TempDir::new().unwrap();
    let service = service(&state).await;
    let (worker, assignment) = lease(&service).await;
    let held: HeldAttempt = assignment.attempt.clone().unwrap().try_into().unwrap();
    assert!(service.coordinator.attempt_keys.get(&held.attempt).is_some());
    let claim = Some(v1::Claim { worker, attempt: assignment.attempt, sequence: 1 });
    let ending = Some(v1::finish_request::Ending::Preempted(v1::finish_request::Empty {}));
    let finish = v1::FinishRequest { claim, ending, ..Default::default() };
    let before = service.coordinator.handle.calls.load(Ordering::Relaxed);
    service.finish(Request::new(finish)).await.unwrap();
    assert_eq!(service.coordinator.handle.calls.load(Ordering::Relaxed) - before, 1);
    assert!(service.coordinator.attempt_keys.get(&held.attempt).is_none());
}

/// A sketch of what may come: another journal than the one in a file, chosen in the settings.
#[tokio::test]
async fn a_coordinator_runs_on_another_journal() {
    let state = TempDir::new().unwrap();
    let directory = state.path().join("state");
    let settings = Settings {
        open_journal: |_, _| Ok(Arc::new(rheo_store::MemoryJournal::default())),
        ..Settings::new(directory.clone())
    };
    let journal = settings.journal();
    let service = service_with(settings).await;
    let (worker, assignment) = lease(&service).await;
    let checkpoint = put_checkpoint(&service).await;
    let request = commit(&worker, &assignment, (checkpoint, 0));
    let reply = service.commit(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(reply.verdict(), v1::Verdict::Continue);
    let parts = service.coordinator.journal.parts().unwrap();
    service.coordinator.flush().await.unwrap();
    assert_eq!((parts.len(), service.coordinator.journal.parts().unwrap().len()), (0, 2));
    assert!(directory.exists() && !journal.exists(), "no file of a journal was made");
}
