//! Kubernetes: a pilot is a Job of one pod, and a trial is nothing that the cluster knows.
//!
//! All pilots of a fleet are looked at with one list of Jobs and one of pods. A Job carries the tag of
//! its pilot as its name, so that submitting it twice is impossible. A Job that has ended is removed
//! once that is durable here. Nothing that Kubernetes 1.20 lacks is needed.

mod access;
mod manifest;
mod settings;
mod sight;

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

pub use settings::{NotAToleration, Settings, Toleration};

use crate::{Error, Known, Order};
use access::{Access, Ask, Failure, call};
use manifest::{FLEET_ID, Family, Keys, PILOT};
use sight::{Patience, Seen};

/// Who sets the fields of our objects.
const MANAGER: &str = "rheobase";

/// Objects in one answer.
const PAGE: u32 = 500;

/// Calls at the same time.
const AT_ONCE: usize = 8;

/// How long after its grace period a pod may still be listed before it is taken for gone.
const OVERDUE: Duration = Duration::from_secs(15);

/// How long what keeps a pod from starting may last.
const STUCK: Duration = Duration::from_mins(1);

/// After so long the Secret is written again, should somebody have removed or changed it.
const REFRESH: Duration = Duration::from_mins(5);

/// Pilots as Jobs of Kubernetes.
pub struct Launcher {
    settings: Settings,
    /// The state directory of the coordinator: it says where that is, and has the CA and the token.
    state: PathBuf,
    memory: Mutex<Memory>,
}

/// What was seen, and since when. All of it may be forgotten.
#[derive(Default)]
struct Memory {
    access: Option<Access>,
    /// Since when pods have been going, or stuck, by uid.
    since: BTreeMap<(String, bool), Instant>,
    /// Jobs that are there and not going.
    jobs: BTreeSet<String>,
    /// What the Secret holds, and since when.
    secret: Option<(Keys, Instant)>,
}

impl Launcher {
    /// A launcher with these settings for the coordinator with this state directory.
    pub fn new(settings: Settings, state: &Path) -> Self {
        Self { settings, state: state.to_owned(), memory: Mutex::default() }
    }

    /// The objects of a pilot in YAML; the token is not shown.
    pub fn dry_run(&self, order: &Order) -> Result<String, Error> {
        manifest::yaml(&self.settings, order, &self.keys_or_example())
    }

    /// Has the cluster check whether it would take such a pilot, without making one.
    pub async fn check(&self, order: &Order) -> Result<(), Error> {
        let access = self.access().await?;
        let job = manifest::job(&self.settings, order, &self.keys_or_example());
        let jobs: Api<Job> = Api::namespaced(access.client.clone(), &access.namespace);
        let ask = Ask { verb: "create", resource: "jobs.batch", namespace: &access.namespace };
        let try_only = PostParams { dry_run: true, ..PostParams::default() };
        match call(ask, jobs.create(&try_only, &job)).await {
            Err(failure) if !failure.is_untried() => Err(failure.explained(ask)),
            _ => Ok(()),
        }
    }

    fn keys(&self) -> Result<Keys, Error> {
        manifest::keys(&self.settings, &self.state)
    }

    /// What pods must know, or what it would look like.
    fn keys_or_example(&self) -> Keys {
        let example =
            || Keys::from([("server".to_owned(), b"(where the coordinator is)".to_vec())]);
        self.keys().unwrap_or_else(|_| example())
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn access(&self) -> Result<Access, Error> {
        if let Some(access) = self.memory().access.clone() {
            return Ok(access);
        }
        let access = Access::open(&self.settings).await?;
        self.memory().access = Some(access.clone());
        Ok(access)
    }

    /// What a failure means. Who is a stranger looks for newer credentials next time.
    fn explained(&self, failure: Failure, ask: Ask<'_>) -> Error {
        if failure.is_stranger() {
            self.memory().access = None;
        }
        failure.explained(ask)
    }

    /// All objects of the fleet, page by page.
    async fn list<K>(
        &self,
        access: &Access,
        resource: &str,
        selected: ListParams,
    ) -> Result<Vec<K>, (Failure, String)>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send,
    {
        let api: Api<K> = Api::namespaced(access.client.clone(), &access.namespace);
        let ask = Ask { verb: "list", resource, namespace: &access.namespace };
        let mut params = selected.limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = call(ask, api.list(&params)).await;
            let page = page.map_err(|failure| (failure, resource.to_owned()))?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    async fn look(&self, family: &Family) -> Result<(Vec<Job>, Vec<Pod>), Error> {
        let access = self.access().await?;
        let selected = ListParams::default().labels(&family.selector());
        let failed = |(failure, resource): (Failure, String)| {
            let ask = Ask { verb: "list", resource: &resource, namespace: &access.namespace };
            self.explained(failure, ask)
        };
        // Pods first: one that is made in between belongs to a Job that is seen.
        let pods = self.list::<Pod>(&access, "pods", selected.clone()).await.map_err(failed)?;
        let jobs = self.list::<Job>(&access, "jobs.batch", selected).await.map_err(failed)?;
        Ok((jobs, pods))
    }

    /// Why Jobs have no pods, by name of the Job, as far as we may know it.
    async fn unborn(&self) -> BTreeMap<String, String> {
        let Ok(access) = self.access().await else { return BTreeMap::new() };
        let wanted = ListParams::default().fields("involvedObject.kind=Job,reason=FailedCreate");
        // Without the permission nothing is missing but the reason.
        let listed = self.list::<Event>(&access, "events", wanted).await;
        let mut events = listed.unwrap_or_default();
        events.sort_by_key(|event| event.last_timestamp.clone());
        let told = |event: Event| Some((event.involved_object.name?, event.message?));
        events.into_iter().filter_map(told).collect()
    }

    /// Writes what pods must know, if it has changed.
    async fn keep_secret(&self, family: &Family) -> Result<(), Error> {
        let keys = self.keys()?;
        let current = self
            .memory()
            .secret
            .as_ref()
            .is_some_and(|(held, since)| *held == keys && since.elapsed() < REFRESH);
        if current {
            return Ok(());
        }
        let access = self.access().await?;
        let secrets: Api<Secret> = Api::namespaced(access.client.clone(), &access.namespace);
        let secret = manifest::secret(family, &keys);
        let ask = Ask { verb: "patch", resource: "secrets", namespace: &access.namespace };
        let params = PatchParams::apply(MANAGER).force();
        let (name, patch) = (family.secret(), Patch::Apply(&secret));
        let applied = secrets.patch(&name, &params, &patch);
        call(ask, applied).await.map_err(|failure| self.explained(failure, ask))?;
        self.memory().secret = Some((keys, Instant::now()));
        Ok(())
    }

    /// Deletes Jobs; their pods get a signal and their grace period.
    async fn delete(&self, names: Vec<String>) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let access = self.access().await?;
        let jobs: Api<Job> = Api::namespaced(access.client.clone(), &access.namespace);
        let ask = Ask { verb: "delete", resource: "jobs.batch", namespace: &access.namespace };
        let delete = |name: String| {
            let jobs = &jobs;
            async move {
                match call(ask, jobs.delete(&name, &DeleteParams::background())).await {
                    Err(failure) if !failure.is_missing() => Err(self.explained(failure, ask)),
                    _ => {
                        self.memory().jobs.remove(&name);
                        Ok(())
                    }
                }
            }
        };
        futures_util::stream::iter(names).map(delete).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// A Job of that name is there: ours, because the answer was lost, or somebody else's.
    async fn adopt(&self, access: &Access, order: &Order) -> Result<String, Error> {
        let jobs: Api<Job> = Api::namespaced(access.client.clone(), &access.namespace);
        let ask = Ask { verb: "get", resource: "jobs.batch", namespace: &access.namespace };
        let found = call(ask, jobs.get(&order.tag)).await;
        let found = found.map_err(|failure| self.explained(failure, ask))?;
        let labels = found.metadata.labels.unwrap_or_default();
        if labels.get(FLEET_ID) == Some(&manifest::family(order).id) {
            return Ok(order.tag.clone());
        }
        let (tag, namespace) = (&order.tag, &access.namespace);
        Err(Error::Refused(format!(
            "the Job `{tag}` in namespace `{namespace}` is not one of this fleet: remove or rename it"
        )))
    }
}

#[async_trait]
impl crate::Launcher for Launcher {
    async fn observe(&self, pilots: &[Known]) -> Result<BTreeMap<u64, PilotStatus>, Error> {
        let seen = pilots.first().and_then(|pilot| Family::of(&pilot.tag));
        let Some(family) = seen else { return Ok(BTreeMap::new()) };
        // A coordinator that was started again is elsewhere: its pods must find it.
        self.keep_secret(&family).await?;
        let (jobs, pods) = self.look(&family).await?;
        let born: BTreeSet<&str> = pods.iter().filter_map(|pod| label(pod, "job-name")).collect();
        let bare =
            |job: &Job| job.metadata.name.as_deref().is_some_and(|name| !born.contains(name));
        let unborn = if jobs.iter().any(bare) { self.unborn().await } else { BTreeMap::new() };
        let named = jobs.iter().filter_map(|job| Some((job.metadata.name.as_deref()?, job)));
        let named: BTreeMap<&str, &Job> = named.collect();
        let mut numbered: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        for pod in &pods {
            numbered.entry(label(pod, PILOT).unwrap_or_default()).or_default().push(pod);
        }
        let patience = Watch { since: self.watch(&pods) };
        let mut sights = BTreeMap::new();
        for pilot in pilots {
            let seen = Seen {
                job: named.get(pilot.tag.as_str()).copied(),
                pods: numbered.remove(pilot.number.to_string().as_str()).unwrap_or_default(),
                unborn: unborn.get(&pilot.tag).cloned(),
            };
            let sight = sight::read(&seen, pilot.handle.as_deref(), &patience);
            sights.insert(pilot.number, sight);
        }
        let living = jobs.iter().filter(|job| job.metadata.deletion_timestamp.is_none());
        let living: BTreeSet<String> = living.filter_map(|job| job.metadata.name.clone()).collect();
        // Those that ended before the coordinator was stopped, and could not be removed any more.
        let known = |name: &String| pilots.iter().any(|pilot| pilot.tag == *name);
        let left = living.iter().filter(|name| !known(name)).cloned().collect();
        self.memory().jobs = living;
        self.delete(left).await?;
        Ok(sights)
    }

    async fn submit(&self, order: &Order) -> Result<String, Error> {
        let family = manifest::family(order);
        self.keep_secret(&family).await?;
        let access = self.access().await?;
        let job = manifest::job(&self.settings, order, &self.keys()?);
        let jobs: Api<Job> = Api::namespaced(access.client.clone(), &access.namespace);
        let ask = Ask { verb: "create", resource: "jobs.batch", namespace: &access.namespace };
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), dry_run: false };
        match call(ask, jobs.create(&params, &job)).await {
            Ok(_) => Ok(order.tag.clone()),
            Err(failure) if failure.is_there() => self.adopt(&access, order).await,
            Err(failure) => Err(self.explained(failure, ask)),
        }
    }

    async fn remove(&self, pilots: &[Known]) -> Result<(), Error> {
        // The others are on their way out: `observe` was asked just before.
        let there = self.memory().jobs.clone();
        let names = pilots.iter().map(|pilot| pilot.tag.clone());
        self.delete(names.filter(|name| there.contains(name)).collect()).await
    }

    async fn forget(&self, ended: &[Known]) -> Result<(), Error> {
        self.remove(ended).await
    }

    async fn close(&self, tag: &str) -> Result<(), Error> {
        let Some(family) = Family::of(tag) else { return Ok(()) };
        self.memory().secret = None;
        let access = self.access().await?;
        let secrets: Api<Secret> = Api::namespaced(access.client.clone(), &access.namespace);
        let ask = Ask { verb: "delete", resource: "secrets", namespace: &access.namespace };
        match call(ask, secrets.delete(&family.secret(), &DeleteParams::default())).await {
            Err(failure) if !failure.is_missing() => Err(self.explained(failure, ask)),
            _ => Ok(()),
        }
    }
}

impl Launcher {
    /// Notes since when pods are going or stuck.
    fn watch(&self, pods: &[Pod]) -> BTreeMap<(String, bool), Instant> {
        let now = Instant::now();
        let mut memory = self.memory();
        let mut since = BTreeMap::new();
        for pod in pods {
            let going = pod.metadata.deletion_timestamp.is_some();
            let stuck = sight::why_pending(pod).1;
            for (holds, key) in [(going, (uid(pod), true)), (stuck, (uid(pod), false))] {
                if holds {
                    let first = memory.since.get(&key).copied().unwrap_or(now);
                    since.insert(key, first);
                }
            }
        }
        memory.since.clone_from(&since);
        since
    }
}

struct Watch {
    since: BTreeMap<(String, bool), Instant>,
}

impl Patience for Watch {
    fn is_over(&self, pod: &Pod) -> bool {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0)) + OVERDUE;
        self.since.get(&(uid(pod), true)).is_some_and(|since| since.elapsed() > grace)
    }

    fn is_stuck(&self, pod: &Pod) -> bool {
        self.since.get(&(uid(pod), false)).is_some_and(|since| since.elapsed() > STUCK)
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}
