//! Calls of the admin service, and the deletion of sweeps.

use rheo_core::id::{SweepName, TrialId, WorkerId};
use rheo_core::log::LogLine;
use rheo_core::machine::WorkerView;
use rheo_core::time::Timestamp;
use rheo_proto::admin::DiskUsage;
use rheo_proto::{InvalidMessage, log, v1};

use super::{
    CALL_TIMEOUT, Client, Error, QUERY_TIMEOUT, TrialWithProgress, request_id, with_timeout,
};

/// The running attempt of a trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunningAttempt {
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Id of the worker.
    pub worker: WorkerId,
    /// Host of the worker.
    pub host: String,
    /// Process id of the worker.
    pub pid: u32,
    /// Start of the attempt.
    pub since: Timestamp,
    /// Log lines that are not durable yet.
    pub log: Vec<LogLine>,
}

/// The reply of a coordinator to a shutdown request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShutdownReply {
    /// Process id of the coordinator.
    pub pid: u32,
    /// Host of the coordinator.
    pub host: String,
    /// Number of workers that have not departed.
    pub workers: u32,
    /// Number of trials that these workers hold.
    pub running: u32,
}

impl TryFrom<v1::RunningAttempt> for RunningAttempt {
    type Error = InvalidMessage;

    fn try_from(wire: v1::RunningAttempt) -> Result<Self, InvalidMessage> {
        let detail = |error: rheo_core::id::Error| error.to_string();
        let worker = wire.worker.parse();
        Ok(Self {
            attempt: wire.attempt,
            worker: worker.map_err(|error| InvalidMessage::Value {
                field: "worker",
                detail: detail(error),
            })?,
            host: wire.host,
            pid: wire.pid,
            since: Timestamp(wire.since_ms),
            log: log::lines(wire.log),
        })
    }
}

impl Client {
    /// Returns a trial and its running attempt.
    pub(crate) async fn trial_with_attempt(
        &mut self,
        id: &TrialId,
    ) -> Result<(TrialWithProgress, Option<RunningAttempt>), Error> {
        let request = v1::GetTrialRequest { sweep: id.sweep.to_string(), trial: id.index };
        let reply = self.inner.get_trial(with_timeout(CALL_TIMEOUT, request)).await?.into_inner();
        let running = reply.running.map(RunningAttempt::try_from).transpose()?;
        Ok((reply.trial.ok_or(InvalidMessage::Missing("trial"))?.try_into()?, running))
    }

    /// Deletes a sweep; false if files remain until the queries that read them have ended.
    pub(crate) async fn delete(&mut self, sweep: &SweepName) -> Result<bool, Error> {
        let (sweep, request_id) = (sweep.to_string(), request_id());
        // The coordinator waits for parts that are being written.
        let request = with_timeout(QUERY_TIMEOUT, v1::DeleteRequest { sweep, request_id });
        Ok(!self.inner.delete(request).await?.into_inner().files_remain)
    }

    /// Returns all known workers.
    pub(crate) async fn worker_views(&mut self) -> Result<Vec<WorkerView>, Error> {
        let request = with_timeout(CALL_TIMEOUT, v1::ListWorkersRequest {});
        let reply = self.admin.list_workers(request).await?.into_inner();
        let workers: Result<_, _> = reply.workers.into_iter().map(WorkerView::try_from).collect();
        Ok(workers?)
    }

    /// Returns the disk usage of the state.
    pub(crate) async fn disk_usage(&mut self) -> Result<DiskUsage, Error> {
        let request = with_timeout(QUERY_TIMEOUT, v1::DiskUsageRequest {});
        Ok(self.admin.disk_usage(request).await?.into_inner().try_into()?)
    }

    /// Asks the coordinator to end.
    pub(crate) async fn shutdown(&mut self) -> Result<ShutdownReply, Error> {
        let request = with_timeout(CALL_TIMEOUT, v1::ShutdownRequest {});
        let v1::ShutdownResponse { pid, host, workers, running } =
            self.admin.shutdown(request).await?.into_inner();
        Ok(ShutdownReply { pid, host, workers, running })
    }
}
