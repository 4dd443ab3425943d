//! How pilots of a fleet are put on Kubernetes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What every pilot of a fleet is made of. Paths are of the coordinator's machine, unless they say
/// otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubernetesSettings {
    /// Where pods reach the coordinator, if it is not what the state directory says.
    pub server: Option<String>,
    /// The certificates that pods trust, if they are not those of the state directory.
    pub ca_file: Option<PathBuf>,
    /// The token of workers, if it is not that of the state directory.
    pub token_file: Option<PathBuf>,
    /// Files that say where the cluster is and who asks; empty: the coordinator's own pod, or the usual
    /// place in the home directory.
    pub kubeconfig: Vec<PathBuf>,
    /// The context of those files, if it is not the current one.
    pub context: Option<String>,
    /// The namespace, if it is not that of the context or of the coordinator's own pod.
    pub namespace: Option<String>,
    /// The image with `rheo-worker` in it.
    pub image: String,
    /// When the image is pulled, if not as Kubernetes has it by default.
    pub pull_policy: Option<String>,
    /// Secrets to pull it with.
    pub pull_secrets: Vec<String>,
    /// Processors, and slots, of a pilot.
    pub cpus: u32,
    /// Memory of a pilot, as Kubernetes writes it.
    pub memory: String,
    /// GPUs of a pilot.
    pub gpus: u32,
    /// Labels that nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that do not matter.
    pub tolerations: Vec<Toleration>,
    /// Priority class.
    pub priority_class: Option<String>,
    /// Service account, for what a cluster ties to it. Pilots never call the cluster, and get no token.
    pub service_account: Option<String>,
    /// A volume claim with data files.
    pub data_claim: Option<String>,
    /// Where data files are in a pod.
    pub data: Option<PathBuf>,
    /// Seconds that a pod has to leave.
    pub grace: u32,
    /// Variables for the worker, such as `RHEO_IDLE_TIMEOUT`.
    pub environment: BTreeMap<String, String>,
}

/// A taint that does not keep pilots from a node, written `KEY[=VALUE][:EFFECT]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toleration {
    /// The key of the taint.
    pub key: String,
    /// Its value; any if none.
    pub value: Option<String>,
    /// Its effect; any if none.
    pub effect: Option<String>,
}

/// A word that is not a toleration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a toleration: `{0}` (KEY, KEY=VALUE or KEY=VALUE:EFFECT, where EFFECT is NoSchedule, PreferNoSchedule or NoExecute)"
)]
pub struct InvalidToleration(String);

impl FromStr for Toleration {
    type Err = InvalidToleration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidToleration(text.to_owned());
        let (taint, effect) = match text.rsplit_once(':') {
            Some((taint, effect)) => (taint, Some(effect.to_owned())),
            None => (text, None),
        };
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if effect.as_ref().is_some_and(|effect| !effects.contains(&effect.as_str())) {
            return Err(invalid());
        }
        let (key, value) = match taint.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (taint, None),
        };
        if key.is_empty() {
            return Err(invalid());
        }
        Ok(Self { key: key.to_owned(), value, effect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_are_written_as_kubectl_writes_taints() {
        let parsed = |text: &str| {
            let toleration: Toleration = text.parse().unwrap();
            (toleration.key, toleration.value, toleration.effect)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parsed("gpu"), ("gpu".to_owned(), None, None));
        assert_eq!(parsed("gpu:NoSchedule"), ("gpu".to_owned(), None, some("NoSchedule")));
        assert_eq!(
            parsed("cloud.google.com/gke-spot=true:NoSchedule"),
            ("cloud.google.com/gke-spot".to_owned(), some("true"), some("NoSchedule"))
        );
        for wrong in ["", ":NoSchedule", "a=b:Never", "=b"] {
            assert!(wrong.parse::<Toleration>().is_err(), "{wrong}");
        }
    }
}
