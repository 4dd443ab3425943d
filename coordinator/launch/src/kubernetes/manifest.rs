//! The Kubernetes objects of a fleet: one Secret, and one Job per pilot.
//!
//! They work from Kubernetes 1.20 on. Pods comply with the `restricted` pod security standard: no root,
//! a read-only image, no privileges, no token of the cluster.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, KeyToPath,
    LocalObjectReference, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec,
    PodTemplateSpec, ResourceRequirements, SeccompProfile, Secret, SecretVolumeSource,
    SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rheo_proto::file;

use super::KubernetesSettings;
use crate::{Error, PilotSubmission};

/// The label with the id of the fleet, which selects its objects.
pub(super) const FLEET_ID: &str = "rheobase.dev/fleet-id";

/// The label with the number of the pilot.
pub(super) const PILOT: &str = "rheobase.dev/pilot";

/// The path in a pod of the copies of state directory files.
const STATE_PATH: &str = "/etc/rheo";

/// The path of the worker token below [`STATE_PATH`].
const TOKEN_PATH: &str = "tls/worker.token";

/// The writable path in a pod.
const SCRATCH_PATH: &str = "/tmp";

/// The default path of data files.
const DATA_PATH: &str = "/data";

/// The user and group of the images in `deploy/docker`. Any would work.
const USER: i64 = 65532;

/// Seconds after which a pod on an unreachable node is evicted; the default of Kubernetes is five
/// minutes.
const UNREACHABLE_SECONDS: i64 = 30;

/// Seconds of the grace period that are reserved for the cluster.
const GRACE_MARGIN: u32 = 5;

/// Seconds after which Kubernetes 1.23 and later remove an ended Job.
const JOB_TTL_SECONDS: i32 = 86_400;

/// The name and id of a fleet, as in the labels of its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FleetLabels {
    pub(super) fleet: String,
    pub(super) id: String,
}

impl FleetLabels {
    /// Parses the fleet from the tag of a pilot, `rheo-FLEET-ID-NUMBER`.
    pub(super) fn of(tag: &str) -> Option<Self> {
        let mut parts = tag.strip_prefix("rheo-")?.rsplitn(3, '-');
        let (_number, id, fleet) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { fleet: fleet.to_owned(), id: id.to_owned() })
    }

    /// The name of the Secret.
    pub(super) fn secret(&self) -> String {
        format!("rheo-{}-{}", self.fleet, self.id)
    }

    /// The label selector of the fleet's objects.
    pub(super) fn selector(&self) -> String {
        format!("{FLEET_ID}={}", self.id)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let labels = [
            ("app.kubernetes.io/name", "rheobase"),
            ("app.kubernetes.io/component", "worker"),
            ("app.kubernetes.io/managed-by", "rheo"),
            ("rheobase.dev/fleet", &self.fleet),
            (FLEET_ID, &self.id),
        ];
        labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }
}

/// The files that pods need to reach the coordinator: contents by path below [`STATE_PATH`].
pub(super) type SecretFiles = BTreeMap<String, Vec<u8>>;

/// Reads the files for pods. CA and token exist only with TLS.
pub(super) fn secret_files(
    settings: &KubernetesSettings,
    state: &Path,
) -> Result<SecretFiles, Error> {
    let read = |path: &Path, bound| match file::read(path, bound) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Error::Unavailable(format!("`{}` cannot be read: {error}", path.display())))
        }
    };
    let server = match &settings.server {
        Some(url) => Some(url.clone().into_bytes()),
        None => read(&state.join("server"), file::SERVER)?.as_deref().map(address),
    };
    let Some(server) = server else {
        return Err(Error::Unavailable(format!(
            "`{}` does not contain the URL of the coordinator",
            state.join("server").display()
        )));
    };
    let mut files = SecretFiles::from([("server".to_owned(), server)]);
    for (key, named, bound) in [
        ("tls/ca.pem", &settings.ca_file, file::CERTIFICATES),
        (TOKEN_PATH, &settings.token_file, file::TOKEN),
    ] {
        let path = named.clone().unwrap_or_else(|| state.join(key));
        match read(&path, bound)? {
            Some(bytes) => drop(files.insert(key.to_owned(), bytes)),
            None if named.is_some() => {
                return Err(Error::Refused(format!("`{}` does not exist", path.display())));
            }
            None => {}
        }
    }
    Ok(files)
}

/// The first line of a `server` file, its URL. The other lines identify a process on this machine.
fn address(file: &[u8]) -> Vec<u8> {
    file.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default().to_vec()
}

/// The key of a path in a Secret, which allows no slashes.
fn key_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// The Secret of a fleet.
pub(super) fn secret(fleet_labels: &FleetLabels, files: &SecretFiles) -> Secret {
    let data = files.iter().map(|(path, bytes)| (key_of(path), ByteString(bytes.clone())));
    Secret {
        metadata: ObjectMeta {
            name: Some(fleet_labels.secret()),
            labels: Some(fleet_labels.labels()),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// The Job of a pilot.
pub(super) fn job(
    settings: &KubernetesSettings,
    submission: &PilotSubmission,
    files: &SecretFiles,
) -> Job {
    let fleet_labels = fleet_labels(submission);
    let mut labels = fleet_labels.labels();
    labels.insert(PILOT.to_owned(), submission.pilot.number.to_string());
    let meta = |name: Option<String>| ObjectMeta {
        name,
        labels: Some(labels.clone()),
        ..ObjectMeta::default()
    };
    Job {
        metadata: meta(Some(submission.tag.clone())),
        spec: Some(JobSpec {
            completions: Some(1),
            parallelism: Some(1),
            // A failed worker is replaced by another pilot, after a pause of the whole fleet.
            backoff_limit: Some(0),
            ttl_seconds_after_finished: Some(JOB_TTL_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(meta(None)),
                spec: Some(pod(settings, submission, &fleet_labels, files)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The fleet of a submission.
pub(super) fn fleet_labels(submission: &PilotSubmission) -> FleetLabels {
    FleetLabels::of(&submission.tag).unwrap_or_else(|| FleetLabels {
        fleet: submission.pilot.fleet.to_string(),
        id: String::new(),
    })
}

fn pod(
    settings: &KubernetesSettings,
    submission: &PilotSubmission,
    fleet_labels: &FleetLabels,
    files: &SecretFiles,
) -> PodSpec {
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let pull = some(&settings.pull_secrets)
        .map(|names| names.into_iter().map(|name| LocalObjectReference { name }).collect());
    let selector = &settings.node_selector;
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        termination_grace_period_seconds: Some(i64::from(settings.grace)),
        // A worker needs neither, and both widen the attack surface.
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        service_account_name: settings.service_account.clone(),
        priority_class_name: settings.priority_class.clone(),
        image_pull_secrets: pull,
        node_selector: (!selector.is_empty()).then(|| selector.clone()),
        tolerations: Some(tolerations(settings)),
        affinity: node_affinity(&submission.exclude),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(settings, submission)],
        volumes: Some(volumes(settings, fleet_labels, files)),
        ..PodSpec::default()
    }
}

fn container(settings: &KubernetesSettings, submission: &PilotSubmission) -> Container {
    let mount = |name: &str, path: String, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path,
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![
        mount("coordinator", STATE_PATH.to_owned(), true),
        mount("scratch", SCRATCH_PATH.to_owned(), false),
    ];
    if settings.data_claim.is_some() {
        mounts.push(mount("data", data(settings), true));
    }
    Container {
        name: "worker".to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: settings.pull_policy.clone(),
        command: Some(vec!["rheo-worker".to_owned()]),
        env: Some(environment(settings, submission)),
        resources: Some(resources(settings)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            ..SecurityContext::default()
        }),
        // Reports the last output of a worker with its exit code.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn data(settings: &KubernetesSettings) -> String {
    settings.data.as_ref().map_or_else(|| DATA_PATH.to_owned(), |data| data.display().to_string())
}

fn environment(settings: &KubernetesSettings, submission: &PilotSubmission) -> Vec<EnvVar> {
    let mut all: BTreeMap<&str, String> = BTreeMap::from([
        ("RHEO_PILOT", submission.pilot.to_string()),
        ("RHEO_STATE", STATE_PATH.to_owned()),
        ("RHEO_SPOOL", format!("{SCRATCH_PATH}/spool")),
        ("RHEO_SLOTS", settings.cpus.max(1).to_string()),
        ("RHEO_GRACE", settings.grace.saturating_sub(GRACE_MARGIN).max(1).to_string()),
    ]);
    if settings.gpus > 0 {
        // A worker that sees fewer reports it.
        all.insert("RHEO_GPU_COUNT", settings.gpus.to_string());
    }
    if settings.data_claim.is_some() || settings.data.is_some() {
        all.insert("RHEO_DATA", data(settings));
    }
    for (name, value) in &settings.environment {
        all.insert(name, value.clone());
    }
    let plain = all.into_iter().map(|(name, value)| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    });
    let fields = [
        ("RHEO_JOB", "metadata.name"),
        ("RHEO_NODE", "spec.nodeName"),
        ("RHEO_PARTITION", "metadata.namespace"),
    ];
    let fields = fields.map(|(name, path)| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: None, field_path: path.to_owned() }),
            ..EnvVarSource::default()
        }),
    });
    plain.chain(fields).collect()
}

/// The resources of a pod. Requests equal limits, because such pods are evicted last, and a namespace
/// with a quota requires limits.
fn resources(settings: &KubernetesSettings) -> ResourceRequirements {
    let mut all = BTreeMap::from([
        ("cpu".to_owned(), Quantity(settings.cpus.max(1).to_string())),
        ("memory".to_owned(), Quantity(settings.memory.clone())),
    ]);
    if settings.gpus > 0 {
        all.insert("nvidia.com/gpu".to_owned(), Quantity(settings.gpus.to_string()));
    }
    ResourceRequirements { requests: Some(all.clone()), limits: Some(all), claims: None }
}

fn tolerations(settings: &KubernetesSettings) -> Vec<Toleration> {
    // A worker on an unreachable node loses its leases anyway.
    let silent = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    let silent = silent.map(|key| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(UNREACHABLE_SECONDS),
        value: None,
    });
    let asked = settings.tolerations.iter().map(|one| Toleration {
        key: Some(one.key.clone()),
        operator: Some(if one.value.is_some() { "Equal" } else { "Exists" }.to_owned()),
        value: one.value.clone(),
        effect: one.effect.clone(),
        toleration_seconds: None,
    });
    asked.chain(silent).collect()
}

/// The node affinity that excludes nodes of unfit pilots.
fn node_affinity(exclude: &[String]) -> Option<Affinity> {
    if exclude.is_empty() {
        return None;
    }
    let others = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(exclude.to_vec()),
    };
    // A requirement of `matchFields` takes only one name.
    let term = |name: &String| NodeSelectorRequirement {
        values: Some(vec![name.clone()]),
        ..others.clone()
    };
    let fields = exclude.iter().map(term).collect();
    let term = NodeSelectorTerm { match_fields: Some(fields), ..NodeSelectorTerm::default() };
    Some(Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![term],
            }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    })
}

fn volumes(
    settings: &KubernetesSettings,
    fleet_labels: &FleetLabels,
    files: &SecretFiles,
) -> Vec<Volume> {
    let item =
        |path: &String| KeyToPath { key: key_of(path), path: path.clone(), ..KeyToPath::default() };
    let mut volumes = vec![
        Volume {
            name: "coordinator".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(fleet_labels.secret()),
                // A missing key would keep the pod from starting, so only existing ones are listed.
                items: Some(files.keys().map(item).collect()),
                default_mode: Some(0o440),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "scratch".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
    ];
    if let Some(claim) = &settings.data_claim {
        volumes.push(Volume {
            name: "data".to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.clone(),
                read_only: Some(true),
            }),
            ..Volume::default()
        });
    }
    volumes
}

/// The objects of a pilot in YAML, without secrets.
pub(super) fn yaml(
    settings: &KubernetesSettings,
    submission: &PilotSubmission,
    files: &SecretFiles,
) -> Result<String, Error> {
    let mut secret = secret(&fleet_labels(submission), files);
    secret.data = None;
    let shown = |(path, bytes): (&String, &Vec<u8>)| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let text = if path == TOKEN_PATH { "(not shown)".to_owned() } else { text };
        (key_of(path), text)
    };
    secret.string_data = Some(files.iter().map(shown).collect());
    let job = job(settings, submission, files);
    let written = serde_saphyr::to_string(&secret)
        .and_then(|secret| Ok(format!("{secret}---\n{}", serde_saphyr::to_string(&job)?)));
    written.map_err(|error| Error::Refused(format!("cannot write the objects as YAML: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_identifies_its_fleet() {
        let fleet_labels = FleetLabels::of("rheo-gpu-a100-0123456789-17").unwrap();
        assert_eq!(
            (fleet_labels.fleet.as_str(), fleet_labels.id.as_str()),
            ("gpu-a100", "0123456789")
        );
        assert_eq!(fleet_labels.secret(), "rheo-gpu-a100-0123456789");
        assert_eq!(FleetLabels::of("somebody-elses"), None);
    }

    #[test]
    fn the_token_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir(path.join("tls")).unwrap();
        std::fs::write(path.join("server"), "https://rheo.ns.svc:7070\npid 1\n").unwrap();
        std::fs::write(path.join("tls/ca.pem"), "CERTIFICATE").unwrap();
        std::fs::write(path.join("tls/worker.token"), "hunter2").unwrap();
        let settings = KubernetesSettings::default();
        let files = secret_files(&settings, path).unwrap();
        assert_eq!(
            files["server"], b"https://rheo.ns.svc:7070\n",
            "the process is of this machine"
        );
        let (pilot, tag) = ("k/1".parse().unwrap(), "rheo-k-0123456789-1".to_owned());
        let submission = PilotSubmission { pilot, tag, exclude: vec!["node-7".to_owned()] };
        let text = yaml(&settings, &submission, &files).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("aHVudGVyMg"), "{text}");
        assert!(text.contains("NotIn") && text.contains("node-7"), "{text}");
        assert!(text.contains("CERTIFICATE") && text.contains("tls/worker.token"), "{text}");
        assert_eq!(
            secret(&fleet_labels(&submission), &files).data.unwrap()["worker.token"].0,
            b"hunter2"
        );
    }
}
