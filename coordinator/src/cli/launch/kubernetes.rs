//! `rheo launch kubernetes`: runs workers in Jobs of Kubernetes.

use std::path::PathBuf;

use rheo_core::fleet::FleetSpec;
use rheo_core::resources::ResourceOffer;
use rheo_launch::Error;
use rheo_launch::kubernetes::{KubernetesLauncher, KubernetesSettings, Toleration};

use super::coordinator::Reachability;
use super::{FleetArgs, example_pilot, start_fleet};
use crate::cli::failure::Failure;
use crate::cli::{GlobalArgs, env, format};
use crate::paths;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    common: FleetArgs,
    /// Image with `rheo-worker` in it: deploy/docker builds one.
    #[arg(long, env = env::IMAGE, value_name = "IMAGE")]
    image: String,
    /// Namespace; by default that of the context, or the coordinator's own.
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// File that says where the cluster is; the coordinator reads it again and again.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Processors of a pilot, and its slots.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    cpus: u32,
    /// Memory of a pilot, such as 4Gi; by default 1Gi, and 1Gi more for each processor.
    #[arg(long, value_name = "QUANTITY")]
    memory: Option<String>,
    /// GPUs of a pilot, all offered by its one worker. Pilots with one each are easier to place.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=64))]
    gpus: u32,
    /// Label that nodes must have; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    node_selector: Vec<(String, String)>,
    /// Taint that pilots do not mind, KEY[=VALUE][:EFFECT]; may be repeated.
    #[arg(long, value_name = "TAINT")]
    toleration: Vec<Toleration>,
    /// Priority class.
    #[arg(long, value_name = "NAME")]
    priority_class: Option<String>,
    /// Service account of pilots; they get no token of it.
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// Secret to pull the image with; may be repeated.
    #[arg(long, value_name = "NAME")]
    image_pull_secret: Vec<String>,
    /// When to pull it.
    #[arg(long, value_name = "WHEN", value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: Option<String>,
    /// Volume claim with data files; pilots see it, read-only, at --data or at /data.
    #[arg(long, value_name = "NAME")]
    data_claim: Option<String>,
    /// Seconds to commit for a pilot that is evicted.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    grace: u32,
    /// URL at which pods reach the coordinator, if it is not the one at which it says it listens.
    #[arg(long, value_name = "URL")]
    pod_server: Option<String>,
    /// File with the certificates that pods are to trust, if not the coordinator's own.
    #[arg(long, value_name = "FILE")]
    pod_ca_file: Option<PathBuf>,
    /// File with the token of workers, if not the coordinator's own.
    #[arg(long, env = env::WORKER_TOKEN_FILE, value_name = "FILE")]
    worker_token_file: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, as in `kubernetes.io/arch=amd64`".to_owned()),
    }
}

impl Args {
    fn settings(&self, global: &GlobalArgs) -> KubernetesSettings {
        let absolute = |path: &PathBuf| paths::resolve(path);
        let mut environment = self.common.environment();
        environment.remove(env::DATA);
        KubernetesSettings {
            server: self.pod_server.clone(),
            ca_file: self.pod_ca_file.as_ref().map(absolute),
            token_file: self.worker_token_file.as_ref().map(absolute),
            kubeconfig: self.kubeconfig(global),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            image: self.image.clone(),
            pull_policy: self.image_pull_policy.clone(),
            pull_secrets: self.image_pull_secret.clone(),
            cpus: self.cpus,
            memory: self.memory.clone().unwrap_or_else(|| format!("{}Gi", self.cpus + 1)),
            gpus: self.gpus,
            node_selector: self.node_selector.iter().cloned().collect(),
            tolerations: self.toleration.clone(),
            priority_class: self.priority_class.clone(),
            service_account: self.service_account.clone(),
            data_claim: self.data_claim.clone(),
            data: self.common.data.clone(),
            grace: self.grace,
            environment,
        }
    }

    /// Returns the kubeconfig files for the coordinator. A remote coordinator has its own files, so
    /// it gets only those named on the command line.
    fn kubeconfig(&self, global: &GlobalArgs) -> Vec<PathBuf> {
        let named = match (&self.kubeconfig, &global.server) {
            (Some(path), _) => vec![path.clone()],
            (None, Some(_)) => Vec::new(),
            (None, None) => {
                let list = env::get(env::KUBECONFIG).unwrap_or_default();
                let paths = list.split(':').filter(|path| !path.is_empty());
                paths.map(PathBuf::from).collect()
            }
        };
        named.iter().map(|path| paths::resolve(path)).collect()
    }
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let common = &args.common;
    let settings = args.settings(global);
    let name = common.name("kubernetes")?;
    let max = common.max()?;
    let json = serde_json::to_string(&settings).map_err(anyhow::Error::from)?;
    let launcher = KubernetesLauncher::new(settings, &paths::resolve(&global.state));
    let refused = |error: Error| Failure::usage(error.to_string());
    if common.dry_run {
        format::note(format!("one Secret, and one Job for each of at most {max} pilots:"));
        return Ok(format::print(launcher.dry_run(&example_pilot(&name)).map_err(refused)?)?);
    }
    // A remote coordinator has its own access to the cluster.
    if global.server.is_none() {
        match launcher.check(&example_pilot(&name)).await {
            Ok(()) => {}
            Err(error @ Error::Refused(_)) => return Err(refused(error)),
            // The coordinator retries, and the problem may be temporary.
            Err(error) => format::note(format!("warning: {error}")),
        }
    }
    let spec = FleetSpec {
        name,
        launcher: "kubernetes".to_owned(),
        settings: json,
        min: common.min,
        max,
        workers: 1,
        worker: ResourceOffer { cpus: args.cpus, gpus: args.gpus, memory_mb: common.memory_mb },
        sweep: common.sweep.clone(),
    };
    start_fleet(global, common, spec, Reachability::Network).await
}
