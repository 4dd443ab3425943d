//! Refuses plaintext clients on a TLS port: a gRPC client gets a status, any other HTTP client a
//! text. No call reaches a service.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rheo_proto::refusal::{self, Reason};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::codegen::http::header::CONNECTION;
use tonic::codegen::http::{HeaderValue, Request, Response, StatusCode, Version};

/// The timeout of a plaintext connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The message to the client.
const TEXT: &str = "this port speaks TLS and nothing else: use https:// in the address of the coordinator, and name its CA, which is in `tls/ca.pem` of its state directory, by RHEO_CA_FILE or that directory by --state";

/// Replies that the port needs TLS, and closes the connection.
pub(crate) async fn refuse(stream: TcpStream) {
    let service = tower::service_fn(|request: Request<_>| {
        ready(Ok::<_, Infallible>(answer(request.version(), request.into_body())))
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(service);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    // The connection is closed in any case.
    let _ = tokio::time::timeout(PATIENCE, connection).await;
    tracing::debug!("a client spoke plaintext");
}

fn answer<B>(version: Version, _: B) -> Response<Body> {
    if version == Version::HTTP_2 {
        return refusal::status(&Reason::TlsRequired, TEXT, None).into_http();
    }
    let mut response = Response::new(Body::new(format!("{TEXT}\n")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
