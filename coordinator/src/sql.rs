//! SQL over everything that is committed: the parts that the journal names and the rows that are in
//! none yet, at one moment.

use std::sync::Arc;

use bytes::Bytes;
use rheo_proto::refusal::{self, Reason};
use rheo_query::engine::{self, Engine, Pending, Snapshot};
use rheo_query::wire::Encoder;
use rheo_query::{Answer, Dataset};
use rheo_store::Journal;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::report::report;

/// Pieces of an answer that may wait for a slow client.
const AHEAD: usize = 8;

/// Answers queries; cheap to clone.
#[derive(Clone)]
pub(crate) struct Sql {
    engine: Arc<Engine>,
    dataset: Arc<Dataset>,
    journal: Arc<dyn Journal>,
}

impl Sql {
    pub(crate) fn new(
        dataset: Arc<Dataset>,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, engine::Error> {
        let engine = Arc::new(Engine::new(&dataset, engine::Limits::default())?);
        Ok(Self { engine, dataset, journal })
    }

    /// Starts `sql` and returns its answer, an Arrow IPC stream, piece by piece.
    pub(crate) async fn query(
        &self,
        sql: &str,
    ) -> Result<ReceiverStream<Result<Bytes, Status>>, Status> {
        let snapshot = self.snapshot().await?;
        let answer = self.engine.query(snapshot, sql).await.map_err(|error| refused(&error))?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            if let Err(status) = send(answer, &sender).await {
                // The client may have gone, which is what the error is then about.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    async fn snapshot(&self) -> Result<Snapshot, Status> {
        // Pinned first: what the journal names from here on stays readable.
        let pin = self.dataset.pin();
        let journal = Arc::clone(&self.journal);
        let results = tokio::task::spawn_blocking(move || journal.results()).await;
        let results = results.map_err(|error| Status::internal(error.to_string()))?;
        let results = results.map_err(|error| storage(&error))?;
        let pending = results.pending.into_iter().map(|pending| Pending {
            sweep: pending.blob.trial.sweep,
            position: pending.key.position,
            batch: pending.blob.batch,
        });
        Ok(Snapshot {
            pin,
            parts: results.parts,
            pending: pending.collect(),
            retractions: results.retractions,
        })
    }
}

/// Sends the answer until it ends or nobody listens.
async fn send(
    mut answer: Answer,
    sender: &mpsc::Sender<Result<Bytes, Status>>,
) -> Result<(), Status> {
    let broken = |error: &dyn std::error::Error| Status::internal(report(error));
    let gone = |_| Status::cancelled("the client has gone");
    let mut encoder = Encoder::new(&answer.schema()).map_err(|error| broken(&error))?;
    while let Some(rows) = answer.next().await {
        let rows = rows.map_err(|error| refused(&error))?;
        for piece in encoder.encode(&rows).map_err(|error| broken(&error))? {
            sender.send(Ok(piece)).await.map_err(gone)?;
        }
    }
    for piece in encoder.finish().map_err(|error| broken(&error))? {
        sender.send(Ok(piece)).await.map_err(gone)?;
    }
    Ok(())
}

fn refused(error: &engine::Error) -> Status {
    refusal::status(Reason::InvalidQuery, report(error), None)
}

fn storage(error: &rheo_store::Error) -> Status {
    refusal::status(Reason::Storage, report(error), None)
}
