//! The gRPC server. Handlers convert the request, ask the engine, and convert the reply.

mod admin;
mod checkpoint;
mod fleet;
mod sweep;
mod verify;
mod worker;

use std::io;
use std::time::Duration;

use rheo_core::machine::Caller;
use rheo_proto::refusal::{self, Reason};
use rheo_proto::v1::admin_service_server::AdminServiceServer;
use rheo_proto::v1::fleet_service_server::FleetServiceServer;
use rheo_proto::v1::sweep_service_server::SweepServiceServer;
use rheo_proto::v1::worker_service_server::WorkerServiceServer;
use rheo_proto::{MAX_MESSAGE, v1};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

use crate::app::Coordinator;
use crate::connections::RequestBounds;
use crate::engine;
use crate::tls::{AuthLayer, AuthPolicy};

/// The timeout until a reply begins: longer than any deadline of a client, also for the upload of a
/// checkpoint.
const CALL_TIMEOUT: Duration = Duration::from_mins(15);

/// The interval of keepalive probes and the timeout of their replies.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));

/// The largest number of concurrent calls per connection; others wait. A worker needs a few more
/// than its slots.
const MAX_STREAMS: u32 = 512;

/// The largest size of the headers of a call, in bytes.
const MAX_HEADERS: u32 = 16 << 10;

/// Serves `coordinator` on incoming connections, for calls that `auth` admits, until `stop`.
pub(crate) async fn serve<C>(
    coordinator: Coordinator,
    incoming: impl Stream<Item = io::Result<C>> + Send,
    auth: AuthPolicy,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let auth_layer = AuthLayer { auth, bounds: RequestBounds::new(coordinator.settings.request) };
    serve_routes(routes(coordinator, &stop).await, incoming, auth_layer, stop).await
}

/// Returns the routes of all services.
async fn routes(coordinator: Coordinator, stop: &CancellationToken) -> Routes {
    let (health, health_service) = tonic_health::server::health_reporter();
    let workers =
        WorkerServiceServer::new(worker::WorkerHandler::new(coordinator.clone(), stop.clone()))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
    let admin = AdminServiceServer::new(admin::AdminHandler::new(coordinator.clone()))
        .max_encoding_message_size(MAX_MESSAGE);
    let fleets = FleetServiceServer::new(fleet::FleetHandler::new(coordinator.clone()));
    let sweeps = SweepServiceServer::new(sweep::SweepHandler::new(coordinator, stop.clone()))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    health.set_serving::<WorkerServiceServer<worker::WorkerHandler>>().await;
    health.set_serving::<SweepServiceServer<sweep::SweepHandler>>().await;
    health.set_serving::<FleetServiceServer<fleet::FleetHandler>>().await;
    health.set_serving::<AdminServiceServer<admin::AdminHandler>>().await;
    let routes = Routes::new(health_service)
        .add_service(workers)
        .add_service(sweeps)
        .add_service(fleets)
        .add_service(admin);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    match reflection {
        Ok(reflection) => routes.add_service(reflection),
        Err(error) => {
            tracing::warn!(%error, "the server runs without gRPC reflection");
            routes
        }
    }
}

/// Serves `routes` behind `auth_layer`.
async fn serve_routes<C>(
    routes: Routes,
    incoming: impl Stream<Item = io::Result<C>> + Send,
    auth_layer: AuthLayer,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let mut server = Server::builder()
        .timeout(CALL_TIMEOUT)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .layer(auth_layer);
    let router = server.add_routes(routes);
    router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await
}

/// Returns the caller that the auth layer attached to a request; without one, the role with the
/// fewest rights.
fn caller_of<T>(request: &Request<T>) -> Caller {
    request.extensions().get().copied().unwrap_or(Caller::Worker)
}

impl From<engine::Error> for Status {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::Rejected(rejection) => refusal::from_rejection(&rejection),
            engine::Error::Storage(_) => refusal::status(&Reason::Storage, error.to_string(), None),
            engine::Error::Stopping => refusal::status(&Reason::Stopping, error.to_string(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use rheo_proto::v1::worker_service_client::WorkerServiceClient;
    use tokio::net::TcpListener;
    use tonic::Code;
    use tonic::transport::Endpoint;

    use super::*;
    use crate::app::Settings;
    use crate::tls;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stalled_request_is_refused_and_others_are_answered() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::new(directory.path().join("state"));
        let settings = Settings { request: Duration::from_millis(500), ..settings };
        let coordinator = Coordinator::open(settings).unwrap().coordinator;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let serving = tokio::spawn({
            let stop = stop.clone();
            async move { coordinator.serve(listener, tls::without_auth(), stop).await }
        });
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        let mut workers = WorkerServiceClient::new(channel);
        let refused = workers.put_checkpoint(tokio_stream::pending()).await.unwrap_err();
        assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused:?}");
        assert!(refused.message().contains("did not arrive within 0.5 s"), "{refused:?}");
        let worker = "00000000-0000-7000-8000-000000000001".to_owned();
        let join = v1::JoinRequest { worker, slots: 1, ..v1::JoinRequest::default() };
        workers.join(join).await.unwrap();
        stop.cancel();
        serving.await.unwrap().unwrap();
    }

    /// A sketch of a future web page on the same listener and behind the same auth layer. Browsers
    /// without TLS speak only HTTP/1, which the listener would have to accept as well.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_can_be_served_on_the_listener_of_the_protocol() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::new(directory.path().join("state"));
        let coordinator = Coordinator::open(settings).unwrap().coordinator;
        let stop = CancellationToken::new();
        let bounds = RequestBounds::new(Duration::from_secs(10));
        let auth_layer = AuthLayer { auth: tls::without_auth().auth, bounds };
        let pages = routes(coordinator, &stop).await.into_axum_router();
        let pages = pages.route("/sweeps", axum::routing::get(async || "no sweep yet"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let serving = tokio::spawn(serve_routes(pages.into(), incoming, auth_layer, stop.clone()));

        let mut channel = Endpoint::from_shared(url.clone()).unwrap().connect().await.unwrap();
        let request = tonic::codegen::http::Request::get(format!("{url}/sweeps"));
        let request = request.body(tonic::body::Body::empty()).unwrap();
        let reply = tower::ServiceExt::ready(&mut channel).await.unwrap();
        let reply = tower::Service::call(reply, request).await.unwrap();
        assert_eq!(reply.status(), 200);
        let body = http_body_util::BodyExt::collect(reply.into_body()).await.unwrap().to_bytes();
        assert_eq!(body, "no sweep yet");

        let mut sweeps = v1::sweep_service_client::SweepServiceClient::new(channel);
        let listed = sweeps.list_sweeps(v1::ListSweepsRequest::default()).await.unwrap();
        assert_eq!(listed.into_inner().sweeps.len(), 0);
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}
