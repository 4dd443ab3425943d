//! Settings of a Kubernetes fleet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The settings of all pilots of a Kubernetes fleet. Paths are on the coordinator's machine, unless
/// stated otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubernetesSettings {
    /// The URL of the coordinator for pods, if it differs from that in the state directory.
    pub server: Option<String>,
    /// The certificates that pods trust, if they differ from those in the state directory.
    pub ca_file: Option<PathBuf>,
    /// The file with the token of workers, if it differs from that in the state directory.
    pub token_file: Option<PathBuf>,
    /// The kubeconfig files; empty for the default file in the home directory or the service account
    /// of the coordinator's pod.
    pub kubeconfig: Vec<PathBuf>,
    /// The context in those files; none for the current one.
    pub context: Option<String>,
    /// The namespace; none for that of the context or of the coordinator's pod.
    pub namespace: Option<String>,
    /// The image with `rheo-worker`.
    pub image: String,
    /// The pull policy of the image; none for the default of Kubernetes.
    pub pull_policy: Option<String>,
    /// The Secrets for pulling the image.
    pub pull_secrets: Vec<String>,
    /// The number of processors, and of slots, of a pilot.
    pub cpus: u32,
    /// The memory of a pilot, as a Kubernetes quantity.
    pub memory: String,
    /// The number of GPUs of a pilot.
    pub gpus: u32,
    /// The labels that nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// The tolerated taints.
    pub tolerations: Vec<Toleration>,
    /// The priority class.
    pub priority_class: Option<String>,
    /// The service account, for policies that a cluster ties to it. Pilots never call the cluster and
    /// get no token.
    pub service_account: Option<String>,
    /// A volume claim with data files.
    pub data_claim: Option<String>,
    /// The path of data files in a pod.
    pub data: Option<PathBuf>,
    /// The grace period of a pod, in seconds.
    pub grace: u32,
    /// Environment variables of the worker, such as `RHEO_IDLE_TIMEOUT`.
    pub environment: BTreeMap<String, String>,
}

/// A tolerated taint, written `KEY[=VALUE][:EFFECT]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toleration {
    /// The key of the taint.
    pub key: String,
    /// The value of the taint; none for any.
    pub value: Option<String>,
    /// The effect of the taint; none for any.
    pub effect: Option<String>,
}

/// The error for a text that is not a toleration.
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
    fn tolerations_have_the_syntax_of_kubectl() {
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
