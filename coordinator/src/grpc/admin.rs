//! The admin service: workers, disk usage and shutdown.

use rheo_core::machine::State;
use rheo_proto::v1;
use rheo_proto::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use crate::app::Coordinator;
use crate::usage;

/// Handler of the admin service.
pub(crate) struct AdminHandler {
    coordinator: Coordinator,
}

impl AdminHandler {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

#[tonic::async_trait]
impl AdminService for AdminHandler {
    async fn list_workers(
        &self,
        _request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let mut workers = self.coordinator.handle.read(State::worker_views).await?;
        for view in &mut workers {
            let seen = self.coordinator.live.last_seen(view.id);
            view.worker.seen = view.worker.seen.max(seen.unwrap_or_default());
        }
        let workers = workers.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::ListWorkersResponse { workers }))
    }

    async fn disk_usage(
        &self,
        _request: Request<v1::DiskUsageRequest>,
    ) -> Result<Response<v1::DiskUsageResponse>, Status> {
        Ok(Response::new(usage::measure(&self.coordinator).await?.into()))
    }

    async fn shutdown(
        &self,
        _request: Request<v1::ShutdownRequest>,
    ) -> Result<Response<v1::ShutdownResponse>, Status> {
        let workers = self.coordinator.handle.read(State::worker_views).await?;
        let here = workers.iter().filter(|view| view.worker.departed.is_none());
        let running: usize = workers.iter().map(|view| view.held.len()).sum();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        tracing::info!("asked to end");
        self.coordinator.shutdown.cancel();
        Ok(Response::new(v1::ShutdownResponse {
            pid: std::process::id(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            workers: count(here.count()),
            running: count(running),
        }))
    }
}
