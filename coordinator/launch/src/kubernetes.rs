//! Kubernetes launcher: a pilot is a Job with one pod. Trials are not Kubernetes objects.
//!
//! One list of Jobs and one of pods show all pilots of a fleet. The name of a Job is the tag of its
//! pilot, so that it cannot be submitted twice. An ended Job is removed once its end is journaled.
//! Kubernetes 1.20 or later is required.

mod cluster_client;
mod manifest;
mod observation;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use rheo_core::fleet::PilotStatus;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

pub use settings::{InvalidToleration, KubernetesSettings, Toleration};

use crate::{Error, PilotRef, PilotSubmission};
use cluster_client::{ApiError, ApiRequest, ClusterClient, call};
use manifest::{FLEET_ID, FleetLabels, PILOT, SecretFiles};
use observation::{PilotObservation, PodDeadlines};

/// The field manager of our objects.
const FIELD_MANAGER: &str = "rheobase";

/// The number of objects per page of a list.
const PAGE_SIZE: u32 = 500;

/// The number of concurrent calls.
const CONCURRENT_CALLS: usize = 8;

/// The time after its grace period from which a pod that is still listed counts as gone.
const OVERDUE_AFTER: Duration = Duration::from_secs(15);

/// The time after which a pod with a permanent start error counts as failed.
const STUCK_AFTER: Duration = Duration::from_mins(1);

/// The interval at which the Secret is written again, in case it was removed or changed.
const SECRET_REFRESH: Duration = Duration::from_mins(5);

/// Runs pilots as Kubernetes Jobs.
pub struct KubernetesLauncher {
    settings: KubernetesSettings,
    /// The state directory of the coordinator, with its URL, CA and token.
    state: PathBuf,
    cache: Mutex<LauncherCache>,
}

/// Observations of earlier calls. All of them may be lost.
#[derive(Default)]
struct LauncherCache {
    cluster: Option<ClusterClient>,
    /// The times since which pods are terminating (true) or stuck (false), by uid.
    since: BTreeMap<(String, bool), Instant>,
    /// The existing Jobs that are not being deleted.
    jobs: BTreeSet<String>,
    /// The content of the Secret and the time of its last write.
    secret: Option<(SecretFiles, Instant)>,
}

impl KubernetesLauncher {
    /// Creates a launcher for the coordinator with the state directory `state`.
    pub fn new(settings: KubernetesSettings, state: &Path) -> Self {
        Self { settings, state: state.to_owned(), cache: Mutex::default() }
    }

    /// The objects of a pilot in YAML, without the token.
    pub fn dry_run(&self, submission: &PilotSubmission) -> Result<String, Error> {
        manifest::yaml(&self.settings, submission, &self.secret_files_or_example())
    }

    /// Checks by a dry run whether the cluster accepts such a pilot.
    pub async fn check(&self, submission: &PilotSubmission) -> Result<(), Error> {
        let cluster = self.cluster().await?;
        let job = manifest::job(&self.settings, submission, &self.secret_files_or_example());
        let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let request =
            ApiRequest { verb: "create", resource: "jobs.batch", namespace: &cluster.namespace };
        let try_only = PostParams { dry_run: true, ..PostParams::default() };
        match call(request, jobs.create(&try_only, &job)).await {
            Err(failure) if !failure.lacks_dry_run() => Err(failure.into_fleet_error(request)),
            _ => Ok(()),
        }
    }

    fn secret_files(&self) -> Result<SecretFiles, Error> {
        manifest::secret_files(&self.settings, &self.state)
    }

    /// The files of the Secret, or an example without a running coordinator.
    fn secret_files_or_example(&self) -> SecretFiles {
        let example =
            || SecretFiles::from([("server".to_owned(), b"(URL of the coordinator)".to_vec())]);
        self.secret_files().unwrap_or_else(|_| example())
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, LauncherCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn cluster(&self) -> Result<ClusterClient, Error> {
        if let Some(cluster) = self.cache().cluster.clone() {
            return Ok(cluster);
        }
        let cluster = ClusterClient::open(&self.settings).await?;
        self.cache().cluster = Some(cluster.clone());
        Ok(cluster)
    }

    /// Converts an error. After an authentication error, the next call reads the credentials anew.
    fn explain(&self, failure: ApiError, request: ApiRequest<'_>) -> Error {
        if failure.is_unauthenticated() {
            self.cache().cluster = None;
        }
        failure.into_fleet_error(request)
    }

    /// Lists all selected objects, page by page.
    async fn list<K>(
        &self,
        cluster: &ClusterClient,
        resource: &str,
        selected: ListParams,
    ) -> Result<Vec<K>, (ApiError, String)>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send,
    {
        let api: Api<K> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let request = ApiRequest { verb: "list", resource, namespace: &cluster.namespace };
        let mut params = selected.limit(PAGE_SIZE);
        let mut all = Vec::new();
        loop {
            let page = call(request, api.list(&params)).await;
            let page = page.map_err(|failure| (failure, resource.to_owned()))?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    async fn list_objects(
        &self,
        fleet_labels: &FleetLabels,
    ) -> Result<(Vec<Job>, Vec<Pod>), Error> {
        let cluster = self.cluster().await?;
        let selected = ListParams::default().labels(&fleet_labels.selector());
        let failed = |(failure, resource): (ApiError, String)| {
            let request =
                ApiRequest { verb: "list", resource: &resource, namespace: &cluster.namespace };
            self.explain(failure, request)
        };
        // Pods first, so that the Job of every listed pod is listed, too.
        let pods = self.list::<Pod>(&cluster, "pods", selected.clone()).await.map_err(failed)?;
        let jobs = self.list::<Job>(&cluster, "jobs.batch", selected).await.map_err(failed)?;
        Ok((jobs, pods))
    }

    /// The reasons for which Jobs have no pod, by Job name. Empty without permission to list events.
    async fn creation_errors(&self) -> BTreeMap<String, String> {
        let Ok(cluster) = self.cluster().await else { return BTreeMap::new() };
        let wanted = ListParams::default().fields("involvedObject.kind=Job,reason=FailedCreate");
        // Without the permission only the reasons are missing.
        let listed = self.list::<Event>(&cluster, "events", wanted).await;
        let mut events = listed.unwrap_or_default();
        events.sort_by_key(|event| event.last_timestamp.clone());
        let told = |event: Event| Some((event.involved_object.name?, event.message?));
        events.into_iter().filter_map(told).collect()
    }

    /// Writes the Secret, if it has changed or needs a refresh.
    async fn ensure_secret(&self, fleet_labels: &FleetLabels) -> Result<(), Error> {
        let files = self.secret_files()?;
        let current = self
            .cache()
            .secret
            .as_ref()
            .is_some_and(|(held, since)| *held == files && since.elapsed() < SECRET_REFRESH);
        if current {
            return Ok(());
        }
        let cluster = self.cluster().await?;
        let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let secret = manifest::secret(fleet_labels, &files);
        let request =
            ApiRequest { verb: "patch", resource: "secrets", namespace: &cluster.namespace };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let (name, patch) = (fleet_labels.secret(), Patch::Apply(&secret));
        let applied = secrets.patch(&name, &params, &patch);
        call(request, applied).await.map_err(|failure| self.explain(failure, request))?;
        self.cache().secret = Some((files, Instant::now()));
        Ok(())
    }

    /// Deletes Jobs; their pods get SIGTERM and their grace period.
    async fn delete(&self, names: Vec<String>) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let cluster = self.cluster().await?;
        let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let request =
            ApiRequest { verb: "delete", resource: "jobs.batch", namespace: &cluster.namespace };
        let delete = |name: String| {
            let jobs = &jobs;
            async move {
                match call(request, jobs.delete(&name, &DeleteParams::background())).await {
                    Err(failure) if !failure.is_not_found() => Err(self.explain(failure, request)),
                    _ => {
                        self.cache().jobs.remove(&name);
                        Ok(())
                    }
                }
            }
        };
        futures_util::stream::iter(names)
            .map(delete)
            .buffer_unordered(CONCURRENT_CALLS)
            .try_collect()
            .await
    }

    /// Handles an existing Job of that name: ours, after a lost reply, or a foreign one.
    async fn claim_existing_job(
        &self,
        cluster: &ClusterClient,
        submission: &PilotSubmission,
    ) -> Result<String, Error> {
        let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let request =
            ApiRequest { verb: "get", resource: "jobs.batch", namespace: &cluster.namespace };
        let found = call(request, jobs.get(&submission.tag)).await;
        let found = found.map_err(|failure| self.explain(failure, request))?;
        let labels = found.metadata.labels.unwrap_or_default();
        if labels.get(FLEET_ID) == Some(&manifest::fleet_labels(submission).id) {
            return Ok(submission.tag.clone());
        }
        let (tag, namespace) = (&submission.tag, &cluster.namespace);
        Err(Error::Refused(format!(
            "the Job `{tag}` in namespace `{namespace}` does not belong to this fleet: remove or rename it"
        )))
    }
}

#[async_trait]
impl crate::Launcher for KubernetesLauncher {
    async fn observe(&self, pilots: &[PilotRef]) -> Result<BTreeMap<u64, PilotStatus>, Error> {
        let seen = pilots.first().and_then(|pilot| FleetLabels::of(&pilot.tag));
        let Some(fleet_labels) = seen else { return Ok(BTreeMap::new()) };
        // A restarted coordinator may have another URL, which its pods must find.
        self.ensure_secret(&fleet_labels).await?;
        let (jobs, pods) = self.list_objects(&fleet_labels).await?;
        let born: BTreeSet<&str> = pods.iter().filter_map(|pod| label(pod, "job-name")).collect();
        let bare =
            |job: &Job| job.metadata.name.as_deref().is_some_and(|name| !born.contains(name));
        let creation_errors =
            if jobs.iter().any(bare) { self.creation_errors().await } else { BTreeMap::new() };
        let named = jobs.iter().filter_map(|job| Some((job.metadata.name.as_deref()?, job)));
        let named: BTreeMap<&str, &Job> = named.collect();
        let mut numbered: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        for pod in &pods {
            numbered.entry(label(pod, PILOT).unwrap_or_default()).or_default().push(pod);
        }
        let deadlines = PodTimers { since: self.watch(&pods) };
        let mut statuses = BTreeMap::new();
        for pilot in pilots {
            let seen = PilotObservation {
                job: named.get(pilot.tag.as_str()).copied(),
                pods: numbered.remove(pilot.number.to_string().as_str()).unwrap_or_default(),
                creation_error: creation_errors.get(&pilot.tag).cloned(),
            };
            let status = observation::pilot_status(&seen, pilot.handle.as_deref(), &deadlines);
            statuses.insert(pilot.number, status);
        }
        let living = jobs.iter().filter(|job| job.metadata.deletion_timestamp.is_none());
        let living: BTreeSet<String> = living.filter_map(|job| job.metadata.name.clone()).collect();
        // Jobs that ended before the coordinator stopped and were not removed.
        let known = |name: &String| pilots.iter().any(|pilot| pilot.tag == *name);
        let left = living.iter().filter(|name| !known(name)).cloned().collect();
        self.cache().jobs = living;
        self.delete(left).await?;
        Ok(statuses)
    }

    async fn submit(&self, submission: &PilotSubmission) -> Result<String, Error> {
        let fleet_labels = manifest::fleet_labels(submission);
        self.ensure_secret(&fleet_labels).await?;
        let cluster = self.cluster().await?;
        let job = manifest::job(&self.settings, submission, &self.secret_files()?);
        let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let request =
            ApiRequest { verb: "create", resource: "jobs.batch", namespace: &cluster.namespace };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run: false };
        match call(request, jobs.create(&params, &job)).await {
            Ok(_) => Ok(submission.tag.clone()),
            Err(failure) if failure.already_exists() => {
                self.claim_existing_job(&cluster, submission).await
            }
            Err(failure) => Err(self.explain(failure, request)),
        }
    }

    async fn remove(&self, pilots: &[PilotRef]) -> Result<(), Error> {
        // The other Jobs are already being deleted, as `observe` has just seen.
        let there = self.cache().jobs.clone();
        let names = pilots.iter().map(|pilot| pilot.tag.clone());
        self.delete(names.filter(|name| there.contains(name)).collect()).await
    }

    async fn forget(&self, ended: &[PilotRef]) -> Result<(), Error> {
        self.remove(ended).await
    }

    async fn close(&self, tag: &str) -> Result<(), Error> {
        let Some(fleet_labels) = FleetLabels::of(tag) else { return Ok(()) };
        self.cache().secret = None;
        let cluster = self.cluster().await?;
        let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let request =
            ApiRequest { verb: "delete", resource: "secrets", namespace: &cluster.namespace };
        match call(request, secrets.delete(&fleet_labels.secret(), &DeleteParams::default())).await
        {
            Err(failure) if !failure.is_not_found() => Err(self.explain(failure, request)),
            _ => Ok(()),
        }
    }
}

impl KubernetesLauncher {
    /// Records the times since which pods are terminating or stuck.
    fn watch(&self, pods: &[Pod]) -> BTreeMap<(String, bool), Instant> {
        let now = Instant::now();
        let mut cache = self.cache();
        let mut since = BTreeMap::new();
        for pod in pods {
            let going = pod.metadata.deletion_timestamp.is_some();
            let stuck = observation::why_pending(pod).1;
            for (holds, key) in [(going, (uid(pod), true)), (stuck, (uid(pod), false))] {
                if holds {
                    let first = cache.since.get(&key).copied().unwrap_or(now);
                    since.insert(key, first);
                }
            }
        }
        cache.since.clone_from(&since);
        since
    }
}

struct PodTimers {
    since: BTreeMap<(String, bool), Instant>,
}

impl PodDeadlines for PodTimers {
    fn is_overdue(&self, pod: &Pod) -> bool {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0)) + OVERDUE_AFTER;
        self.since.get(&(uid(pod), true)).is_some_and(|since| since.elapsed() > grace)
    }

    fn is_stuck(&self, pod: &Pod) -> bool {
        self.since.get(&(uid(pod), false)).is_some_and(|since| since.elapsed() > STUCK_AFTER)
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}
