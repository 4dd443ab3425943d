//! The fleet service.

use rheo_core::fleet;
use rheo_core::machine::{Caller, Command, FleetView};
use rheo_proto::v1;
use rheo_proto::v1::fleet_service_server::FleetService;
use tonic::{Request, Response, Status};

use super::caller_of;
use crate::app::Coordinator;

/// Handler of the fleet service.
pub(crate) struct FleetHandler {
    coordinator: Coordinator,
}

impl FleetHandler {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }

    async fn execute(&self, caller: Caller, command: fleet::FleetCommand) -> Result<(), Status> {
        let command = Command::Fleet(command);
        Ok(self.coordinator.handle.execute(caller, command, Vec::new(), |_, _| ()).await?)
    }
}

#[tonic::async_trait]
impl FleetService for FleetHandler {
    async fn launch(
        &self,
        request: Request<v1::LaunchRequest>,
    ) -> Result<Response<v1::LaunchResponse>, Status> {
        let caller = caller_of(&request);
        let command: fleet::FleetCommand = request.into_inner().try_into()?;
        if let fleet::FleetCommand::Launch { spec, .. } = &command {
            // Invalid settings are refused here, so that the client sees the error.
            let state = &self.coordinator.settings().state;
            let opened = rheo_launch::open(&spec.launcher, &spec.settings, state);
            opened.map_err(|error| Status::invalid_argument(error.to_string()))?;
        }
        self.execute(caller, command).await?;
        Ok(Response::new(v1::LaunchResponse {}))
    }

    async fn list_fleets(
        &self,
        _request: Request<v1::ListFleetsRequest>,
    ) -> Result<Response<v1::ListFleetsResponse>, Status> {
        let view = |state: &rheo_core::machine::State| -> Vec<FleetView> {
            state.fleets.values().map(|fleet| FleetView::of(state, fleet)).collect()
        };
        let fleets = self.coordinator.handle.read(view).await?;
        let fleets = fleets.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::ListFleetsResponse { fleets }))
    }

    async fn scale(
        &self,
        request: Request<v1::ScaleRequest>,
    ) -> Result<Response<v1::ScaleResponse>, Status> {
        self.execute(caller_of(&request), request.into_inner().try_into()?).await?;
        Ok(Response::new(v1::ScaleResponse {}))
    }

    async fn drain(
        &self,
        request: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainResponse>, Status> {
        self.execute(caller_of(&request), request.into_inner().try_into()?).await?;
        Ok(Response::new(v1::DrainResponse {}))
    }

    async fn stop(
        &self,
        request: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopResponse>, Status> {
        self.execute(caller_of(&request), request.into_inner().try_into()?).await?;
        Ok(Response::new(v1::StopResponse {}))
    }
}
