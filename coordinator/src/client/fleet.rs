//! Calls of the fleet service.

use rheo_core::fleet::{FleetName, FleetSpec};
use rheo_core::machine::FleetView;
use rheo_proto::v1;

use super::{CALL_TIMEOUT, Client, Error, request_id, with_timeout};

impl Client {
    /// Launches or changes a fleet.
    pub(crate) async fn launch(&mut self, spec: FleetSpec) -> Result<(), Error> {
        let request = v1::LaunchRequest { request_id: request_id(), spec: Some(spec.into()) };
        self.fleets.launch(with_timeout(CALL_TIMEOUT, request)).await?;
        Ok(())
    }

    /// Returns all fleets.
    pub(crate) async fn fleets(&mut self) -> Result<Vec<FleetView>, Error> {
        let request = with_timeout(CALL_TIMEOUT, v1::ListFleetsRequest {});
        let reply = self.fleets.list_fleets(request).await?.into_inner();
        let fleets: Result<_, _> = reply.fleets.into_iter().map(FleetView::try_from).collect();
        Ok(fleets?)
    }

    /// Changes the number of pilots that a fleet may have.
    pub(crate) async fn scale(
        &mut self,
        fleet: &FleetName,
        min: Option<u32>,
        max: Option<u32>,
    ) -> Result<(), Error> {
        let (request_id, fleet) = (request_id(), fleet.to_string());
        let request = v1::ScaleRequest { request_id, fleet, min, max };
        self.fleets.scale(with_timeout(CALL_TIMEOUT, request)).await?;
        Ok(())
    }

    /// Drains a fleet: no further pilot starts.
    pub(crate) async fn drain(&mut self, fleet: &FleetName) -> Result<(), Error> {
        let request = v1::DrainRequest { request_id: request_id(), fleet: fleet.to_string() };
        self.fleets.drain(with_timeout(CALL_TIMEOUT, request)).await?;
        Ok(())
    }

    /// Stops the pilots of a fleet.
    pub(crate) async fn stop(&mut self, fleet: &FleetName) -> Result<(), Error> {
        let request = v1::StopRequest { request_id: request_id(), fleet: fleet.to_string() };
        self.fleets.stop(with_timeout(CALL_TIMEOUT, request)).await?;
        Ok(())
    }
}
