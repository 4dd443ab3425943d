//! Connection to the coordinator. Every call has a deadline, and one policy decides which calls are
//! retried.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use rheo_core::id::{Digest, StateId, SweepName, WorkerId};
use rheo_core::log::LogLine;
use rheo_core::machine::{AttemptClaim, HeldAttempt, WorkerInfo};
use rheo_core::progress::Progress;
use rheo_core::resources::FreeResources;
use rheo_model::config::TrialConfig;
use rheo_proto::access::{AccessConfig, AuthorizedChannel, ResolvedAccess};
use rheo_proto::refusal::Refusal;
use rheo_proto::v1::put_checkpoint_request::{Header, Part};
use rheo_proto::v1::worker_service_client::WorkerServiceClient;
use rheo_proto::worker::{self as wire, JoinReply, Verdict, WorkWithRows};
use rheo_proto::{CHUNK, MAX_MESSAGE, v1};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::spooled_commit::SpooledCommit;

/// Timeout of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a call, unless it waits on purpose.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout of a checkpoint transfer.
const TRANSFER_TIMEOUT: Duration = Duration::from_mins(10);

/// A connection that is opened on demand. The address and credentials are read for every call: a
/// restarted coordinator may have another address, certificate and tokens.
#[derive(Debug)]
pub(crate) struct Link {
    access: AccessConfig,
    open: Mutex<Option<(ResolvedAccess, Channel)>>,
}

/// A trial of networks to run.
pub(crate) type Assignment = wire::Assignment<TrialConfig>;

type Client = WorkerServiceClient<AuthorizedChannel>;

/// Reply to a request for trials.
#[derive(Debug, Default)]
pub(crate) struct AcquireReply {
    /// Trials to run.
    pub(crate) assignments: Vec<Assignment>,
    /// Whether no sweep needs more work.
    pub(crate) nothing_left: bool,
    /// Need of waiting trials that the worker does not meet.
    pub(crate) unfit: Option<String>,
}

/// Reason why a worker leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaveReason {
    /// The worker leaves in good order.
    Done,
    /// The worker leaves because it is unfit.
    Useless(String),
    /// The worker was found dead.
    Found,
}

impl Link {
    pub(crate) fn new(access: AccessConfig) -> Self {
        Self { access, open: Mutex::new(None) }
    }

    /// Returns a client and its route.
    fn client(&self) -> Result<(Client, ResolvedAccess), Refusal> {
        let route = self.access.read()?;
        let bearer = route.bearer.clone();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match &*open {
            Some((at, channel)) if *at == route => channel.clone(),
            _ => {
                let channel = endpoint(&route)?.connect_lazy();
                *open = Some((route.clone(), channel.clone()));
                channel
            }
        };
        let client = Client::new(AuthorizedChannel::new(channel, bearer))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        Ok((client, route))
    }

    /// Returns the refusal of a call on `route`. If the coordinator was restarted with other
    /// credentials during the call, the refusal is transient, because the new ones may work.
    fn refused(&self, route: &ResolvedAccess, status: &Status) -> Refusal {
        let mut refusal = route.explain(status).unwrap_or_else(|| Refusal::from(status));
        if refusal.is_access() && self.access.read().is_ok_and(|now| now != *route) {
            refusal.transient = true;
        }
        refusal
    }

    /// Joins the coordinator of `state`, or any coordinator if none is given.
    pub(crate) async fn join(
        &self,
        worker: WorkerId,
        info: &WorkerInfo,
        state: Option<StateId>,
    ) -> Result<JoinReply, Refusal> {
        let request = within(CALL_TIMEOUT, wire::join_request(worker, info.clone(), state));
        let (mut client, route) = self.client()?;
        let reply = client.join(request).await.map_err(|status| self.refused(&route, &status))?;
        let joined = JoinReply::try_from(reply.into_inner());
        joined.map_err(|invalid| Refusal::from(&Status::from(invalid)))
    }

    /// Requests trials.
    #[expect(clippy::too_many_arguments, reason = "the fields of the message")]
    pub(crate) async fn acquire(
        &self,
        worker: WorkerId,
        held: &[HeldAttempt],
        free: &FreeResources,
        sweep: Option<&SweepName>,
        wait: Duration,
    ) -> Result<AcquireReply, Refusal> {
        let request = v1::AcquireRequest {
            worker: worker.to_string(),
            held: held.iter().map(Into::into).collect(),
            slots: free.cpus,
            free_gpus: free.gpus.iter().map(|gpu| gpu.thousandths()).collect(),
            free_memory_mb: free.memory_mb,
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            sweep: sweep.map(ToString::to_string),
        };
        let (mut client, route) = self.client()?;
        let reply = client
            .acquire(within(wait + CALL_TIMEOUT, request))
            .await
            .map_err(|status| self.refused(&route, &status))?;
        let reply = reply.into_inner();
        let assignments: Result<_, _> =
            reply.assignments.into_iter().map(Assignment::try_from).collect();
        Ok(AcquireReply {
            assignments: assignments.map_err(|invalid| Refusal::from(&Status::from(invalid)))?,
            nothing_left: reply.nothing_left,
            unfit: reply.unfit,
        })
    }

    /// Renews leases and sends progress and log lines; returns a verdict per attempt.
    pub(crate) async fn renew(
        &self,
        worker: WorkerId,
        held: Vec<(HeldAttempt, Option<Progress>, Vec<LogLine>)>,
        deadline: Duration,
    ) -> Result<Vec<Verdict>, Refusal> {
        let held = held.iter().map(|(held, progress, log)| v1::renew_request::Held {
            attempt: Some(held.into()),
            progress: progress.as_ref().map(Into::into),
            log: log.iter().map(Into::into).collect(),
        });
        let request = v1::RenewRequest { worker: worker.to_string(), held: held.collect() };
        let (mut client, route) = self.client()?;
        let reply = client
            .renew(within(deadline, request))
            .await
            .map_err(|status| self.refused(&route, &status))?;
        let verdicts = reply.into_inner().verdicts.into_iter();
        Ok(verdicts
            .map(|verdict| v1::Verdict::try_from(verdict).unwrap_or_default().into())
            .collect())
    }

    /// Delivers a spooled commit; returns the coordinator's verdict.
    pub(crate) async fn deliver(&self, commit: &SpooledCommit) -> Result<Verdict, Refusal> {
        let claim = Some((&commit.claim).into());
        let log = commit.log.iter().map(Into::into).collect();
        let mut work = None;
        if let Some(payload) = &commit.payload {
            self.put_checkpoint(&commit.claim, payload.work.checkpoint, &payload.checkpoint)
                .await?;
            let (inner, batches) = (payload.work.clone(), payload.batches.clone());
            work = Some(WorkWithRows { work: inner, batches }.into());
        }
        match &commit.ending {
            None => {
                let request = within(CALL_TIMEOUT, v1::CommitRequest { claim, work, log });
                let (mut client, route) = self.client()?;
                let reply =
                    client.commit(request).await.map_err(|status| self.refused(&route, &status))?;
                Ok(reply.into_inner().verdict().into())
            }
            Some(ending) => {
                let ending = Some(ending.clone().into());
                let request = within(CALL_TIMEOUT, v1::FinishRequest { claim, work, log, ending });
                let (mut client, route) = self.client()?;
                client.finish(request).await.map_err(|status| self.refused(&route, &status))?;
                Ok(Verdict::Continue)
            }
        }
    }

    async fn put_checkpoint(
        &self,
        claim: &AttemptClaim,
        digest: Digest,
        bytes: &Bytes,
    ) -> Result<(), Refusal> {
        let (digest, length) = (digest.to_string(), bytes.len() as u64);
        let header = Part::Header(Header { digest, length, claim: Some(claim.into()) });
        let bytes = bytes.clone();
        let pieces = (0..bytes.len()).step_by(CHUNK);
        let chunks =
            pieces.map(move |at| Part::Chunk(bytes.slice(at..bytes.len().min(at + CHUNK))));
        let parts = std::iter::once(header).chain(chunks);
        let parts = parts.map(|part| v1::PutCheckpointRequest { part: Some(part) });
        let request = within(TRANSFER_TIMEOUT, tokio_stream::iter(parts.collect::<Vec<_>>()));
        let (mut client, route) = self.client()?;
        client.put_checkpoint(request).await.map_err(|status| self.refused(&route, &status))?;
        Ok(())
    }

    /// Downloads a checkpoint and verifies its digest.
    pub(crate) async fn get_checkpoint(
        &self,
        claim: &AttemptClaim,
        digest: Digest,
    ) -> Result<Bytes, Refusal> {
        let (digest_text, claim) = (digest.to_string(), Some(claim.into()));
        let request =
            within(TRANSFER_TIMEOUT, v1::GetCheckpointRequest { digest: digest_text, claim });
        let (mut client, route) = self.client()?;
        let refused = |status| self.refused(&route, &status);
        let reply = client.get_checkpoint(request).await.map_err(refused)?;
        let mut chunks = reply.into_inner();
        let mut bytes = Vec::new();
        while let Some(message) = chunks.message().await.map_err(refused)? {
            bytes.extend_from_slice(&message.chunk);
        }
        if Digest::from_bytes(*blake3::hash(&bytes).as_bytes()) != digest {
            return Err(Refusal::unavailable("the checkpoint was truncated in transfer"));
        }
        Ok(bytes.into())
    }

    /// Sends the leave message.
    pub(crate) async fn leave(&self, worker: WorkerId, reason: LeaveReason) -> Result<(), Refusal> {
        let unfit = match &reason {
            LeaveReason::Useless(reason) => Some(reason.as_str()),
            LeaveReason::Done | LeaveReason::Found => None,
        };
        let request =
            within(CALL_TIMEOUT, wire::leave_request(worker, reason == LeaveReason::Found, unfit));
        let (mut client, route) = self.client()?;
        client.leave(request).await.map_err(|status| self.refused(&route, &status))?;
        Ok(())
    }
}

/// Interval of keepalive probes, and timeout of their reply: together much shorter than a lease.
const KEEPALIVE: Duration = Duration::from_secs(5);

pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn endpoint(route: &ResolvedAccess) -> Result<Endpoint, Refusal> {
    Ok(route
        .endpoint()?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true))
}
