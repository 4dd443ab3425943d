//! Connects and makes a first call, which authenticates the connection.
//!
//! During a flood of connections the coordinator closes the oldest unauthenticated one, which may
//! be this one. Then another connection is opened.

use std::time::Duration;

use rheo_proto::access::BearerToken;
use rheo_proto::refusal::Refusal;
use tonic::transport::{Channel, Endpoint, Error};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// The largest number of tries.
const MAX_TRIES: u32 = 10;

/// The pause after the first try; it grows with each try.
const PAUSE: Duration = Duration::from_millis(50);

/// Connects, and retries if the connection is closed before its first call is answered.
pub(super) async fn connect(endpoint: &Endpoint, bearer: &BearerToken) -> Result<Channel, Error> {
    for number in 1..MAX_TRIES {
        let channel = endpoint.connect().await?;
        if is_admitted(channel.clone(), bearer.clone()).await {
            return Ok(channel);
        }
        tokio::time::sleep(PAUSE * number).await;
    }
    endpoint.connect().await
}

/// Whether a first call is answered. Any answer will do: later calls give the better error.
async fn is_admitted(channel: Channel, bearer: BearerToken) -> bool {
    let mut health = HealthClient::with_interceptor(channel, bearer);
    match health.check(HealthCheckRequest::default()).await {
        Ok(_) => true,
        Err(status) => {
            let refusal = Refusal::from(&status);
            !(refusal.transient && refusal.reason.is_none())
        }
    }
}
