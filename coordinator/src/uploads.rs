//! Uploaded checkpoints that are not committed: the limit of their bytes, and their removal once
//! nobody can commit them any more.
//!
//! An attempt commits a checkpoint before it uploads the next one, so it has one at a time. Bytes
//! count from the start of an upload. After a crash the next start removes unreferenced
//! checkpoints.

mod uncommitted;

use std::collections::BTreeMap;

use rheo_core::id::Digest;
use rheo_core::machine::{AttemptClaim, State};
use tokio_util::sync::CancellationToken;

pub(crate) use uncommitted::UncommittedUploads;

use crate::app::Coordinator;
use crate::engine;
use crate::report::report;
use uncommitted::Upload;

/// A checkpoint is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Too many bytes are uncommitted.
    #[error(
        "checkpoints of `{waiting}` bytes were sent and are not committed, and the limit is `{most}` bytes: send it again when some are committed"
    )]
    Full {
        /// The uncommitted bytes.
        waiting: u64,
        /// The limit in bytes.
        most: u64,
    },
    /// The engine does not answer.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl Coordinator {
    /// Counts a checkpoint that `claim` will commit, before its bytes arrive.
    pub(crate) async fn begin_upload(
        &self,
        claim: AttemptClaim,
        digest: Digest,
        bytes: u64,
    ) -> Result<(), Error> {
        let mut uncommitted = self.uploads.uncommitted.lock().await;
        for upload in uncommitted.values_mut() {
            upload.claims.retain(|other| other.attempt != claim.attempt);
        }
        if let Some(upload) = uncommitted.get_mut(&digest) {
            upload.claims.push(claim);
            return Ok(());
        }
        self.remove_orphans(&mut uncommitted).await?;
        let most = self.uploads.most;
        // Stale claims are dropped only if there is no room.
        if waiting(&uncommitted).saturating_add(bytes) > most {
            self.drop_stale_claims(&mut uncommitted).await?;
            self.remove_orphans(&mut uncommitted).await?;
        }
        let waiting = waiting(&uncommitted);
        if waiting.saturating_add(bytes) > most {
            return Err(Error::Full { waiting, most });
        }
        uncommitted.insert(digest, Upload { bytes, claims: vec![claim] });
        Ok(())
    }

    /// Removes a complete checkpoint if nobody can commit it any more.
    pub(crate) async fn end_upload(&self, digest: Digest) -> Result<(), Error> {
        let uncommitted = self.uploads.uncommitted.lock().await;
        if !uncommitted.contains_key(&digest) {
            self.remove_unreferenced(vec![digest]).await?;
        }
        Ok(())
    }

    /// Stops counting a checkpoint, because it is committed.
    pub(crate) async fn upload_committed(&self, digest: Digest) {
        self.uploads.uncommitted.lock().await.remove(&digest);
    }

    /// Removes checkpoints that nobody can commit any more, until `stop`.
    pub(crate) async fn remove_stale_uploads(self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(self.settings.lease);
        while stop.run_until_cancelled(interval.tick()).await.is_some() {
            if let Err(error) = self.remove_stale().await {
                tracing::debug!(error = report(&error), "cannot remove stale uploads");
            }
        }
    }

    async fn remove_stale(&self) -> Result<(), Error> {
        let mut uncommitted = self.uploads.uncommitted.lock().await;
        self.drop_stale_claims(&mut uncommitted).await?;
        self.remove_orphans(&mut uncommitted).await
    }

    /// Drops the claims that the state no longer admits.
    async fn drop_stale_claims(
        &self,
        uncommitted: &mut BTreeMap<Digest, Upload>,
    ) -> Result<(), Error> {
        if uncommitted.is_empty() {
            return Ok(());
        }
        let claims: Vec<(Digest, AttemptClaim)> = uncommitted
            .iter()
            .flat_map(|(digest, upload)| upload.claims.iter().map(|claim| (*digest, claim.clone())))
            .collect();
        let good = move |state: &State| -> Vec<(Digest, AttemptClaim)> {
            claims.into_iter().filter(|(_, claim)| state.admits(claim).is_ok()).collect()
        };
        let mut good = self.handle.read(good).await?;
        for (digest, upload) in uncommitted.iter_mut() {
            let claims = good.extract_if(.., |(of, _)| of == digest);
            upload.claims = claims.map(|(_, claim)| claim).collect();
        }
        Ok(())
    }

    /// Removes the uploads without a claim.
    async fn remove_orphans(
        &self,
        uncommitted: &mut BTreeMap<Digest, Upload>,
    ) -> Result<(), Error> {
        let orphans = uncommitted.extract_if(.., |_, upload| upload.claims.is_empty());
        let orphans = orphans.map(|(digest, _)| digest).collect();
        self.remove_unreferenced(orphans).await
    }

    async fn remove_unreferenced(&self, digests: Vec<Digest>) -> Result<(), Error> {
        if digests.is_empty() {
            return Ok(());
        }
        let unreferenced = move |state: &State| -> Vec<Digest> {
            let referenced = state.checkpoints();
            digests.into_iter().filter(|digest| !referenced.contains(digest)).collect()
        };
        for digest in self.handle.read(unreferenced).await? {
            self.remove_checkpoint(digest).await;
        }
        Ok(())
    }
}

/// Returns the bytes of all uncommitted uploads.
fn waiting(uncommitted: &BTreeMap<Digest, Upload>) -> u64 {
    uncommitted.values().map(|upload| upload.bytes).sum()
}

#[cfg(test)]
mod tests {
    use rheo_proto::refusal::{Reason, Refusal};
    use rheo_proto::v1;
    use rheo_proto::v1::put_checkpoint_request::Part;
    use rheo_proto::v1::sweep_service_client::SweepServiceClient;
    use rheo_proto::v1::worker_service_client::WorkerServiceClient;
    use rheo_store::checkpoint;
    use tokio::net::TcpListener;
    use tokio_util::task::TaskTracker;
    use tonic::Status;
    use tonic::transport::{Channel, Endpoint};

    use super::*;
    use crate::app::Settings;
    use crate::tls;

    const SWEEP: &str = "
name: demo
parameters: {training.optimizer.lr: {values: [1.0e-3, 2.0e-3]}}
";

    const WORKER: &str = "00000000-0000-7000-8000-000000000001";

    type Workers = WorkerServiceClient<Channel>;

    /// Starts a coordinator and connects to it.
    async fn serve(settings: Settings, stop: &CancellationToken) -> (Coordinator, Channel) {
        let opened = Coordinator::open(settings).unwrap();
        let coordinator = opened.start(&TaskTracker::new(), stop).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (serving, stop) = (coordinator.clone(), stop.clone());
        tokio::spawn(async move { serving.serve(listener, tls::without_auth(), stop).await });
        (coordinator, Endpoint::from_shared(url).unwrap().connect().await.unwrap())
    }

    /// Leases both trials of [`SWEEP`] and returns their attempts.
    async fn leased(channel: Channel) -> Vec<v1::Attempt> {
        let mut sweeps = SweepServiceClient::new(channel.clone());
        let (file, text) = ("demo.yaml".to_owned(), SWEEP.to_owned());
        sweeps.submit(v1::SubmitRequest { file, text }).await.unwrap();
        let mut workers = Workers::new(channel);
        let worker = WORKER.to_owned();
        let workloads = vec!["networks".to_owned()];
        let join =
            v1::JoinRequest { worker: worker.clone(), slots: 2, workloads, ..Default::default() };
        workers.join(join).await.unwrap();
        let acquire = v1::AcquireRequest { worker, slots: 2, ..Default::default() };
        let acquired = workers.acquire(acquire).await.unwrap().into_inner();
        acquired.assignments.into_iter().filter_map(|assignment| assignment.attempt).collect()
    }

    async fn put(channel: &Channel, attempt: &v1::Attempt, bytes: &[u8]) -> Result<(), Status> {
        let worker = WORKER.to_owned();
        let claim = Some(v1::Claim { worker, attempt: Some(attempt.clone()), sequence: 1 });
        let (digest, length) = (checkpoint::digest(bytes).to_string(), bytes.len() as u64);
        let header = Part::Header(v1::put_checkpoint_request::Header { claim, digest, length });
        let parts = [header, Part::Chunk(bytes.to_vec().into())];
        let parts = parts.map(|part| v1::PutCheckpointRequest { part: Some(part) });
        Workers::new(channel.clone()).put_checkpoint(tokio_stream::iter(parts)).await.map(drop)
    }

    async fn stored(coordinator: &Coordinator) -> Vec<Digest> {
        let stored = coordinator.checkpoints.list().await.unwrap();
        stored.into_iter().map(|stored| stored.digest).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn uncommitted_checkpoints_are_bounded_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let settings =
            Settings { uncommitted: 1000, ..Settings::new(directory.path().join("state")) };
        let stop = CancellationToken::new();
        let (coordinator, channel) = serve(settings, &stop).await;
        let attempts = leased(channel.clone()).await;
        // An attempt has one uncommitted checkpoint, however many it sends.
        for byte in 1..=20 {
            put(&channel, &attempts[0], &[byte; 400]).await.unwrap();
            assert_eq!(stored(&coordinator).await, [checkpoint::digest(&[byte; 400])]);
        }
        // The limit applies to all attempts together.
        put(&channel, &attempts[1], &[30; 500]).await.unwrap();
        let refused = put(&channel, &attempts[1], &[31; 601]).await.unwrap_err();
        let refusal = Refusal::from(&refused);
        assert_eq!(
            (refusal.has_reason(&Reason::Full), refusal.transient),
            (true, true),
            "{refusal}"
        );
        assert!(refusal.text.contains("`400` bytes were sent"), "{refusal}");
        assert_eq!(stored(&coordinator).await, [checkpoint::digest(&[20; 400])]);
        put(&channel, &attempts[1], &[31; 600]).await.unwrap();
        assert_eq!(stored(&coordinator).await.len(), 2);
        coordinator.remove_stale().await.unwrap();
        assert_eq!(stored(&coordinator).await.len(), 2, "they may be committed");
        let leave = v1::LeaveRequest { worker: WORKER.to_owned(), ..Default::default() };
        Workers::new(channel).leave(leave).await.unwrap();
        coordinator.remove_stale().await.unwrap();
        assert_eq!(stored(&coordinator).await, [], "nobody can commit them any more");
        stop.cancel();
    }
}
