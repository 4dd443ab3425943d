//! The objects of deploy/kubernetes match the types of the newest version of Kubernetes: an unknown
//! field would be lost when an object is read and written again.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The variable with the directory of rendered variants of the chart, if a script has made them.
const RENDERED: &str = "RHEO_RENDERED";

fn again<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(object.clone()).unwrap()).unwrap()
}

/// The object after a round trip through its type.
fn typed(object: &Value) -> Value {
    let kind = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    match kind {
        ("v1", "ConfigMap") => again::<ConfigMap>(object),
        ("v1", "Namespace") => again::<Namespace>(object),
        ("v1", "Service") => again::<Service>(object),
        ("v1", "ServiceAccount") => again::<ServiceAccount>(object),
        ("apps/v1", "StatefulSet") => again::<StatefulSet>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => again::<NetworkPolicy>(object),
        ("policy/v1", "PodDisruptionBudget") => again::<PodDisruptionBudget>(object),
        ("rbac.authorization.k8s.io/v1", "Role") => again::<Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => again::<RoleBinding>(object),
        other => panic!("an object that nothing here knows: {other:?}"),
    }
}

/// Checks that `found` has all values of `wanted`; `place` is the path in messages.
fn compare(place: &str, wanted: &Value, found: &Value) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, value) in wanted {
                let place = format!("{place}.{key}");
                let other = found.get(key).unwrap_or_else(|| panic!("{place}: no such field"));
                compare(&place, value, other);
            }
        }
        (Value::Array(wanted), Value::Array(found)) => {
            assert_eq!(wanted.len(), found.len(), "{place}");
            for (index, (value, other)) in wanted.iter().zip(found).enumerate() {
                compare(&format!("{place}[{index}]"), value, other);
            }
        }
        _ => assert_eq!(wanted, found, "{place}"),
    }
}

fn check(file: &Path) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    for object in &objects {
        let place = format!("{}: {}", file.display(), object["kind"].as_str().unwrap());
        compare(&place, object, &typed(object));
    }
    objects.len()
}

fn check_all(directory: &Path) -> usize {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| check(&path))
        .sum()
}

#[test]
fn the_plain_manifests_have_only_known_fields() {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes/manifests");
    assert_eq!(check_all(&manifests), 9, "objects");
}

#[test]
fn the_rendered_chart_has_only_known_fields() {
    let Some(directory) = std::env::var_os(RENDERED).map(PathBuf::from) else {
        eprintln!("skipped: kubernetes: `make test-kubernetes` renders the chart");
        return;
    };
    assert!(check_all(&directory) > 40, "several sets of values");
}
