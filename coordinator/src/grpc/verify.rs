//! Streams the updates of a verification to a client.

use rheo_proto::refusal::{self, Reason};
use rheo_proto::v1;
use rheo_proto::v1::verify_response::{
    Finding as WireFinding, News as WireUpdate, Summary as WireSummary,
};
use tokio::sync::mpsc;
use tonic::Status;

use crate::app::Coordinator;
use crate::damage::DamagedSweep;
use crate::report::report;
use crate::verify::{Error, Finding, SweepRepair, VerifySummary, VerifyUpdate};

/// Updates that may wait for a slow client.
const QUEUE: usize = 64;

/// Starts a verification and returns the stream of its updates.
pub(super) fn verify(
    coordinator: Coordinator,
    repair: bool,
) -> mpsc::Receiver<Result<v1::VerifyResponse, Status>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (updates, mut received) = mpsc::channel(QUEUE);
    let sending = sender.clone();
    let send = tokio::spawn(async move {
        while let Some(update) = received.recv().await {
            // The client may be gone; the verification still finishes.
            let _ = sending.send(Ok(message(update))).await;
        }
    });
    tokio::spawn(async move {
        let verified = coordinator.verify(repair, &updates).await;
        drop(updates);
        // The error is sent after all updates.
        let _ = send.await;
        if let Err(error) = verified {
            let _ = sender.send(Err(status(error))).await;
        }
    });
    receiver
}

fn status(error: Error) -> Status {
    match error {
        Error::Engine(failure) => failure.into(),
        Error::Stopping => refusal::status(&Reason::Stopping, error.to_string(), None),
        Error::Journal(_) | Error::Dataset(_) | Error::Checkpoint(_) => {
            refusal::status(&Reason::Storage, report(&error), None)
        }
    }
}

fn message(update: VerifyUpdate) -> v1::VerifyResponse {
    let news = match update {
        VerifyUpdate::Finding(finding) => WireUpdate::Finding(finding_message(finding)),
        VerifyUpdate::Repaired(SweepRepair { sweep, trials, set_aside }) => {
            let sweep = sweep.to_string();
            WireUpdate::Repaired(v1::verify_response::Repaired { sweep, trials, set_aside })
        }
        VerifyUpdate::Summary(VerifySummary { events, parts, part_bytes, checkpoints }) => {
            WireUpdate::Summary(WireSummary { events, parts, part_bytes, checkpoints })
        }
    };
    v1::VerifyResponse { news: Some(news) }
}

fn finding_message(finding: Finding) -> WireFinding {
    match finding {
        Finding::Journal { detail } => WireFinding {
            kind: "journal".to_owned(),
            state: "damaged".to_owned(),
            detail,
            ..WireFinding::default()
        },
        Finding::Part { part, file, state, detail } => WireFinding {
            kind: "part".to_owned(),
            state: state.to_owned(),
            name: file,
            sweep: Some(part.sweep.to_string()),
            table: Some(part.table.to_string()),
            detail,
        },
        Finding::Checkpoint { digest, trials, state, detail } => {
            let names: Vec<String> = trials.iter().map(ToString::to_string).collect();
            WireFinding {
                kind: "checkpoint".to_owned(),
                state: state.to_owned(),
                name: digest.to_string(),
                sweep: trials.first().map(|trial| trial.sweep.to_string()),
                table: None,
                detail: format!("{detail}, of {}", names.join(", ")),
            }
        }
    }
}

impl From<DamagedSweep> for v1::DamagedSweep {
    fn from(DamagedSweep { sweep, parts, example }: DamagedSweep) -> Self {
        Self { sweep: sweep.to_string(), parts, example }
    }
}
