//! The first call on a new connection, after which the coordinator lets the connection stay.
//!
//! While very many connections are opened that say nothing, the coordinator closes the oldest of those
//! that have shown no token, and that may be this one: then another one is opened.

use std::time::Duration;

use rheo_proto::access::BearerToken;
use rheo_proto::refusal::Refusal;
use tonic::transport::{Channel, Endpoint, Error};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// The most connections that are opened.
const MAX_TRIES: u32 = 10;

/// The pause after the first try; it grows with each.
const PAUSE: Duration = Duration::from_millis(50);

/// Connects, and tries again if the connection is closed before its first call is answered.
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

/// Whether a call is answered, whatever the answer is: the calls that follow tell better what is wrong.
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
