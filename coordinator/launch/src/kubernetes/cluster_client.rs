//! The client of the cluster, with timeouts and explained errors.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};
use rheo_proto::file;

use super::KubernetesSettings;
use crate::Error;

/// The timeout of a call. A busy server needs seconds for a list of thousands of pods.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The timeout of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for one namespace of a cluster.
#[derive(Clone)]
pub(super) struct ClusterClient {
    pub(super) client: Client,
    pub(super) namespace: String,
}

impl ClusterClient {
    /// Reads the address of the cluster and the credentials, without a request.
    pub(super) async fn open(settings: &KubernetesSettings) -> Result<Self, Error> {
        let mut config = config(settings).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.write_timeout = Some(CALL_TIMEOUT);
        // The caller retries, and reports the error meanwhile.
        config.default_retry = false;
        let namespace = settings.namespace.clone().unwrap_or(config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| {
            Error::Refused(format!(
                "cannot connect to the cluster with these settings: {}",
                chain(&error)
            ))
        })?;
        Ok(Self { client, namespace })
    }
}

async fn config(settings: &KubernetesSettings) -> Result<Config, Error> {
    let wrong = |error: &dyn std::error::Error| {
        Error::Refused(format!(
            "no cluster is configured: {}; name a file by `--kubeconfig`, or run the coordinator in a pod with a service account",
            chain(error)
        ))
    };
    let options = KubeConfigOptions { context: settings.context.clone(), ..Default::default() };
    if !settings.kubeconfig.is_empty() {
        let mut merged = Kubeconfig::default();
        for path in &settings.kubeconfig {
            let next = kubeconfig(path).map_err(|error| wrong(error.as_ref()))?;
            merged = merged.merge(next).map_err(|error| wrong(&error))?;
        }
        let config = Config::from_custom_kubeconfig(merged, &options).await;
        return config.map_err(|error| wrong(&error));
    }
    // As in `kubectl`, a file takes precedence over the service account of a pod.
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        Err(error) if options.context.is_some() => Err(wrong(&error)),
        Err(error) => Config::incluster().map_err(|_| wrong(&error)),
    }
}

/// Reads one kubeconfig file.
fn kubeconfig(path: &Path) -> Result<Kubeconfig, Box<dyn std::error::Error>> {
    // The library reads without a size limit, and a pipe can be read only once.
    let text = file::read_text(path, file::KUBECONFIG)
        .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    if path.is_file() {
        Ok(Kubeconfig::read_from(path)?)
    } else {
        Ok(Kubeconfig::from_yaml(&text)?)
    }
}

/// A request, for error messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct ApiRequest<'a> {
    /// The verb of the required permission.
    pub(super) verb: &'a str,
    /// The resource, as RBAC names it.
    pub(super) resource: &'a str,
    /// The namespace.
    pub(super) namespace: &'a str,
}

/// Awaits a call with a timeout and converts its errors.
pub(super) async fn call<T>(
    request: ApiRequest<'_>,
    future: impl Future<Output = Result<T, kube::Error>> + Send,
) -> Result<T, ApiError> {
    match tokio::time::timeout(CALL_TIMEOUT, future).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(kube::Error::Api(status))) => Err(ApiError::Status(status)),
        Ok(Err(error @ (kube::Error::Auth(_) | kube::Error::RustlsTls(_)))) => {
            Err(ApiError::Unreachable(format!("the cluster denied access: {}", chain(&error))))
        }
        Ok(Err(error)) => {
            Err(ApiError::Unreachable(format!("the cluster cannot be reached: {}", chain(&error))))
        }
        Err(_) => {
            let ApiRequest { verb, resource, .. } = request;
            let seconds = CALL_TIMEOUT.as_secs();
            Err(ApiError::Unreachable(format!(
                "the cluster did not answer within {seconds} s: {verb} {resource}"
            )))
        }
    }
}

/// An error of a call.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The server replied with an error.
    Status(Box<Status>),
    /// The server did not reply.
    Unreachable(String),
}

impl ApiError {
    /// Whether the object does not exist.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 404)
    }

    /// Whether the object already exists.
    pub(super) fn already_exists(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 409 && status.reason == "AlreadyExists")
    }

    /// Whether the cluster does not support dry runs of this request.
    pub(super) fn lacks_dry_run(&self) -> bool {
        matches!(self, Self::Status(status) if status.message.contains("dry run"))
    }

    /// Whether the credentials are invalid, perhaps expired.
    pub(super) fn is_unauthenticated(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 401)
    }

    /// Converts the error for the fleet, with advice.
    pub(super) fn into_fleet_error(self, request: ApiRequest<'_>) -> Error {
        let status = match self {
            Self::Unreachable(text) => return Error::Unavailable(text),
            Self::Status(status) => status,
        };
        let ApiRequest { verb, resource, namespace } = request;
        let said = format!("the cluster said: {}", status.message);
        match status.code {
            403 if status.message.contains("exceeded quota") => Error::Limit(format!(
                "{said}: no more pods are accepted at present; raise the quota, or lower the limit of the fleet by `rheo launch scale FLEET --max N`"
            )),
            403 if status.message.contains("is being terminated") => Error::Refused(said),
            // Policies and admission controllers refuse with the same code and state their reason.
            403 if !status.message.contains("cannot ") => Error::Refused(said),
            403 => Error::Refused(format!(
                "{said}; grant the permission to `{verb}` `{resource}` in namespace `{namespace}`: deploy/kubernetes/manifests/rbac.yaml has all required permissions"
            )),
            401 => Error::Refused(format!(
                "{said}; the credentials are invalid or expired: check `kubectl -n {namespace} get jobs` with the same --kubeconfig and --context"
            )),
            404 => Error::Refused(format!("{said}; is `{namespace}` the right --namespace?")),
            400 | 405 | 409 | 413 | 415 | 422 => Error::Refused(said),
            _ => Error::Unavailable(said),
        }
    }
}

/// The text of an error with all its causes, without repetitions.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn into_fleet_error(code: u16, message: &str) -> Error {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        let request = ApiRequest { verb: "create", resource: "jobs.batch", namespace: "ml" };
        ApiError::Status(Box::new(status)).into_fleet_error(request)
    }

    #[test]
    fn errors_of_the_server_are_distinguished() {
        let quota = "jobs.batch \"x\" is forbidden: exceeded quota: few, requested: count/jobs.batch=1, used: count/jobs.batch=1, limited: count/jobs.batch=1";
        assert!(matches!(into_fleet_error(403, quota), Error::Limit(_)));
        let rbac = "jobs.batch is forbidden: User \"system:serviceaccount:ml:default\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"ml\"";
        let Error::Refused(text) = into_fleet_error(403, rbac) else { panic!("{rbac}") };
        assert!(text.contains("permission to `create` `jobs.batch` in namespace `ml`"), "{text}");
        let policy = "admission webhook \"policy\" denied the request: images must be signed";
        let Error::Refused(text) = into_fleet_error(403, policy) else { panic!("{policy}") };
        assert!(!text.contains("permission"), "{text}");
        for (code, away) in
            [(401, false), (404, false), (422, false), (429, true), (500, true), (503, true)]
        {
            assert_eq!(
                matches!(into_fleet_error(code, "no"), Error::Unavailable(_)),
                away,
                "{code}"
            );
        }
    }
}
