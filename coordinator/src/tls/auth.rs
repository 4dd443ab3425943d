//! Authentication and authorization in front of every service; [`authorize`] alone decides. An
//! admitted request is bounded in size and carries its [`Caller`], which every command names.
//!
//! A token has only a role so far; expiry and revocation would be checked here.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, Either};
use rheo_core::excerpt::excerpt;
use rheo_core::machine::Caller;
use rheo_proto::access::Role;
use rheo_proto::bounds::request_size;
use rheo_proto::refusal::{self, Reason};
use rheo_proto::v1::worker_service_server;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

use super::Tokens;
use crate::connections::{BoundedBody, ConnectionHandle, ConnectionLimit, RequestBounds};

/// The policy that admits calls.
#[derive(Debug, Clone)]
pub(crate) enum AuthPolicy {
    /// Admits every call: within this process, or with `--insecure`.
    Open,
    /// Admits calls with a token of the right role.
    Tokens(Arc<Tokens>),
}

/// The method of a call, from a path like `/package.Service/Name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Method<'p> {
    service: &'p str,
    /// The name within the service, for rules about single methods.
    name: &'p str,
}

impl<'p> Method<'p> {
    /// Parses a path; an invalid one gives empty names, which no service has.
    fn of(path: &'p str) -> Self {
        let (service, name) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        Self { service, name }
    }
}

/// Whether this role may call a method.
fn authorize(role: Role, method: Method<'_>) -> bool {
    match role {
        Role::Admin => true,
        Role::Worker => {
            method.service == worker_service_server::SERVICE_NAME && !method.name.is_empty()
        }
    }
}

/// Returns the caller that the state machine sees for a role.
fn caller(role: Role) -> Caller {
    match role {
        Role::Admin => Caller::Admin,
        Role::Worker => Caller::Worker,
    }
}

impl AuthPolicy {
    /// Returns the role of an admitted call, by its headers and its path,
    /// `/package.Service/Method`.
    fn admit(&self, headers: &HeaderMap, path: &str) -> Result<Role, Status> {
        let tokens = match self {
            Self::Open => return Ok(Role::Admin),
            Self::Tokens(tokens) => tokens,
        };
        let unauthenticated = |text: &str| {
            let text = format!(
                "{text}: it is in the state directory of the coordinator, in `tls/admin.token` for people and in `tls/worker.token` for workers; name the directory by --state, or a copy of the file by RHEO_TOKEN_FILE"
            );
            refusal::status(&Reason::Unauthenticated, text, None)
        };
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Err(unauthenticated("this coordinator answers nobody without its token"));
        };
        let token = header.to_str().ok().and_then(|header| header.strip_prefix("Bearer "));
        let Some(role) = token.and_then(|token| tokens.role(token)) else {
            return Err(unauthenticated("this is not the token of this coordinator"));
        };
        if authorize(role, Method::of(path)) {
            return Ok(role);
        }
        let text = "the token of workers is good for the calls of workers only: people use `tls/admin.token` of the state directory, or a copy of it that RHEO_TOKEN_FILE names";
        Err(refusal::status(&Reason::PermissionDenied, text, None))
    }
}

/// Adds authentication and request bounds to a service.
#[derive(Debug, Clone)]
pub(crate) struct AuthLayer {
    /// The policy that admits calls.
    pub(crate) auth: AuthPolicy,
    /// The bounds of each request.
    pub(crate) bounds: RequestBounds,
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService { auth: self.auth.clone(), bounds: self.bounds.clone(), inner }
    }
}

/// A reply without a call of the inner service.
type ReadyReply<R, E> = Ready<Result<Response<R>, E>>;

/// A service with authentication and request bounds.
#[derive(Debug, Clone)]
pub(crate) struct AuthService<S> {
    auth: AuthPolicy,
    bounds: RequestBounds,
    inner: S,
}

impl<S, R> Service<Request<Body>> for AuthService<S>
where
    S: Service<Request<Body>, Response = Response<R>, Future: Send + 'static>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future =
        Either<BoxFuture<'static, Result<Response<R>, S::Error>>, ReadyReply<R, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let admitted = self.auth.admit(request.headers(), path);
        let connection = request.extensions().get::<ConnectionHandle>();
        let role = match admitted.and_then(|role| admit_connection(connection, role).map(|()| role))
        {
            Ok(role) => role,
            Err(refused) => {
                tracing::debug!(path = excerpt(path), text = refused.message(), "refused");
                return Either::Right(ready(Ok(refused.into_http())));
            }
        };
        let size = request_size(path);
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(caller(role));
        let (body, share) = BoundedBody::new(body, size, self.bounds.clone());
        let reply = self.inner.call(Request::from_parts(parts, Body::new(body)));
        // The request's memory counts until the reply exists.
        Either::Left(Box::pin(async move {
            let reply = reply.await;
            drop(share);
            reply
        }))
    }
}

/// Marks the connection of an admitted call as authenticated, unless its token has too many.
fn admit_connection(connection: Option<&ConnectionHandle>, role: Role) -> Result<(), Status> {
    let Some(connection) = connection else { return Ok(()) };
    connection.authenticate(role).map_err(|ConnectionLimit(most)| {
        let text = format!(
            "{most} connections show the token `{}` already, the most that this coordinator allows: end programs that use it, or raise the limit of open files of the coordinator (`ulimit -n`)",
            role.token_file()
        );
        refusal::status(&Reason::Full, text, None)
    })
}

#[cfg(test)]
mod tests {
    use rheo_proto::refusal::Refusal;
    use tonic::codegen::http::HeaderValue;

    use super::*;

    const ADMIN: &str = "rheo_admin_0123456789abcdef";
    const WORKER: &str = "rheo_worker_0123456789abcdef";

    fn admit(authorization: Option<&str>, path: &str) -> Result<Role, Option<Reason>> {
        let auth = AuthPolicy::Tokens(Arc::new(Tokens::of(ADMIN, WORKER)));
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        auth.admit(&headers, path).map_err(|status| Refusal::from(&status).reason)
    }

    #[test]
    fn each_role_may_call_its_own_services_only() {
        let (admin, worker) = (format!("Bearer {ADMIN}"), format!("Bearer {WORKER}"));
        let unauthenticated: Result<Role, Option<Reason>> = Err(Some(Reason::Unauthenticated));
        for path in [
            "/rheobase.v1.WorkerService/Join",
            "/rheobase.v1.SweepService/Submit",
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/",
        ] {
            assert_eq!(admit(Some(&admin), path), Ok(Role::Admin), "{path}");
            let expected = if path.contains("WorkerService") {
                Ok(Role::Worker)
            } else {
                Err(Some(Reason::PermissionDenied))
            };
            assert_eq!(admit(Some(&worker), path), expected, "{path}");
            for wrong in ["", "Bearer ", "Basic abc", ADMIN, "Bearer rheo_admin_0123456789abcdeF"] {
                assert_eq!(admit(Some(wrong), path), unauthenticated, "{path} {wrong}");
            }
            assert_eq!(admit(None, path), unauthenticated, "{path}");
        }
        assert!(admit(Some(&worker), "/rheobase.v1.WorkerServiceX/Join").is_err());
        assert!(admit(Some(&worker), "/x/rheobase.v1.WorkerService/Join").is_err());
        assert!(AuthPolicy::Open.admit(&HeaderMap::new(), "/anything").is_ok());
    }
}
