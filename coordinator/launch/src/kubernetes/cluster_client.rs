//! Who asks the cluster, how long that may take, and what its refusals mean.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};
use rheo_proto::file;

use super::KubernetesSettings;
use crate::Error;

/// How long a call may take: a busy server answers lists of thousands of pods in seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long there may be no connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster and a namespace of it.
#[derive(Clone)]
pub(super) struct ClusterClient {
    pub(super) client: Client,
    pub(super) namespace: String,
}

impl ClusterClient {
    /// Finds out where the cluster is and who we are there; asks nothing yet.
    pub(super) async fn open(settings: &KubernetesSettings) -> Result<Self, Error> {
        let mut config = config(settings).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.write_timeout = Some(CALL_TIMEOUT);
        // Whoever calls tries again, and must hear of it meanwhile.
        config.default_retry = false;
        let namespace = settings.namespace.clone().unwrap_or(config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| {
            Error::Refused(format!(
                "the cluster cannot be reached with these settings: {}",
                chain(&error)
            ))
        })?;
        Ok(Self { client, namespace })
    }
}

async fn config(settings: &KubernetesSettings) -> Result<Config, Error> {
    let wrong = |error: &dyn std::error::Error| {
        Error::Refused(format!(
            "there is no way to a cluster: {}; name a file by `--kubeconfig`, or run the coordinator in a pod with a service account",
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
    // As `kubectl` has it: a file wins over the account of a pod.
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        Err(error) if options.context.is_some() => Err(wrong(&error)),
        Err(error) => Config::incluster().map_err(|_| wrong(&error)),
    }
}

/// Reads one file of a configuration.
fn kubeconfig(path: &Path) -> Result<Kubeconfig, Box<dyn std::error::Error>> {
    // The library reads to the end, whatever it is; a pipe can be read only once.
    let text = file::read_text(path, file::KUBECONFIG)
        .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    if path.is_file() {
        Ok(Kubeconfig::read_from(path)?)
    } else {
        Ok(Kubeconfig::from_yaml(&text)?)
    }
}

/// What is asked, for people who read why it failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ApiRequest<'a> {
    /// The verb of the permission that it takes.
    pub(super) verb: &'a str,
    /// The resource, as permissions name it.
    pub(super) resource: &'a str,
    /// The namespace.
    pub(super) namespace: &'a str,
}

/// Asks, and explains what went wrong.
pub(super) async fn call<T>(
    request: ApiRequest<'_>,
    future: impl Future<Output = Result<T, kube::Error>> + Send,
) -> Result<T, ApiError> {
    match tokio::time::timeout(CALL_TIMEOUT, future).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(kube::Error::Api(status))) => Err(ApiError::Status(status)),
        Ok(Err(error @ (kube::Error::Auth(_) | kube::Error::RustlsTls(_)))) => {
            Err(ApiError::Unreachable(format!("the cluster does not let us in: {}", chain(&error))))
        }
        Ok(Err(error)) => {
            Err(ApiError::Unreachable(format!("the cluster cannot be asked: {}", chain(&error))))
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

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The server said so.
    Status(Box<Status>),
    /// It was not heard.
    Unreachable(String),
}

impl ApiError {
    /// Whether what was asked for is not there.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 404)
    }

    /// Whether it is there already.
    pub(super) fn already_exists(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 409 && status.reason == "AlreadyExists")
    }

    /// Whether something there cannot tell beforehand what it would do.
    pub(super) fn lacks_dry_run(&self) -> bool {
        matches!(self, Self::Status(status) if status.message.contains("dry run"))
    }

    /// Whether we are not known there, perhaps no longer.
    pub(super) fn is_unauthenticated(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 401)
    }

    /// What it means for a fleet.
    pub(super) fn into_fleet_error(self, request: ApiRequest<'_>) -> Error {
        let status = match self {
            Self::Unreachable(text) => return Error::Unavailable(text),
            Self::Status(status) => status,
        };
        let ApiRequest { verb, resource, namespace } = request;
        let said = format!("the cluster said: {}", status.message);
        match status.code {
            403 if status.message.contains("exceeded quota") => Error::Limit(format!(
                "{said}: no more is accepted at present; a larger quota, or `rheo launch scale FLEET --max N` with fewer"
            )),
            403 if status.message.contains("is being terminated") => Error::Refused(said),
            // Policies and admission refuse with the same code, and say why themselves.
            403 if !status.message.contains("cannot ") => Error::Refused(said),
            403 => Error::Refused(format!(
                "{said}; it takes the permission to `{verb}` `{resource}` in namespace `{namespace}`: deploy/kubernetes/manifests/rbac.yaml has all that are needed"
            )),
            401 => Error::Refused(format!(
                "{said}; the credentials are wrong or too old: does `kubectl -n {namespace} get jobs` work with the same --kubeconfig and --context?"
            )),
            404 => Error::Refused(format!("{said}; is `{namespace}` the right --namespace?")),
            400 | 405 | 409 | 413 | 415 | 422 => Error::Refused(said),
            _ => Error::Unavailable(said),
        }
    }
}

/// An error with all its causes, each said once.
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
    fn refusals_are_told_apart() {
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
