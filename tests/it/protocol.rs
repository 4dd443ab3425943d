//! Clients that were not written here find the protocol alive and described.

use rheo_tests::{RunningProgram, TestBench, wait_for};
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

#[tokio::test]
async fn health_and_reflection_are_served() {
    let bench = TestBench::default();
    let _serve = RunningProgram::start(bench.rheo(&["serve"]));
    let url = wait_for("the coordinator", || bench.url());
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    // What another client would be told to send.
    let token: AsciiMetadataValue = bench.bearer("admin").parse().unwrap();
    let with_token = move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", token.clone());
        Ok(request)
    };

    let mut health = HealthClient::with_interceptor(channel.clone(), with_token.clone());
    for service in ["rheobase.v1.WorkerService", "rheobase.v1.SweepService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }

    let mut reflection = ServerReflectionClient::with_interceptor(channel, with_token);
    let list = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let replies = reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let reply = replies.into_inner().message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = reply else { panic!("{reply:?}") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for expected in
        ["rheobase.v1.WorkerService", "rheobase.v1.SweepService", "grpc.health.v1.Health"]
    {
        assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
    }
}
