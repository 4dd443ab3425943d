//! A namespace of the test cluster, a coordinator that may do there what the chart's Role says, and
//! ways to disturb both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};
use serde_json::Value;

/// The image that the nodes of the test cluster can pull; what runs is the program that was built.
pub(crate) const IMAGE: &str = "registry.test/rheo-worker:0";

/// The variable that names the directory of a running test cluster.
const CLUSTER: &str = "RHEO_TEST_CLUSTER";

pub(crate) struct Lab {
    pub(crate) bench: TestBench,
    pub(crate) namespace: String,
    cluster: PathBuf,
    serve: Option<RunningProgram>,
}

impl Lab {
    /// A namespace with the rights of the plain manifests and a coordinator; none where there is no
    /// cluster.
    pub(crate) fn open(name: &str) -> Option<Self> {
        let lab = Self::bare(name)?;
        lab.grant();
        Some(lab.with_coordinator())
    }

    /// The same with a service account that may do nothing.
    pub(crate) fn bare(name: &str) -> Option<Self> {
        let Some(cluster) = std::env::var_os(CLUSTER).map(PathBuf::from) else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: {name}: no test cluster; `make test-kubernetes` starts one");
            }
            return None;
        };
        let bench = TestBench::default();
        let id = bench.path().file_name().unwrap().to_string_lossy().to_lowercase();
        let id: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
        let lab = Self { bench, namespace: format!("{name}-{id}"), cluster, serve: None };
        lab.admin(&["create", "namespace", &lab.namespace]).expect(0);
        let account = lab.manifest("rbac.yaml", &["ServiceAccount"]);
        lab.apply(&account);
        lab.write_kubeconfig();
        Some(lab)
    }

    /// Gives the rights of the plain manifests.
    pub(crate) fn grant(&self) {
        let rights = self.manifest("rbac.yaml", &["Role", "RoleBinding"]);
        self.apply(&rights);
    }

    pub(crate) fn with_coordinator(mut self) -> Self {
        self.start_coordinator();
        self
    }

    pub(crate) fn start_coordinator(&mut self) {
        let server = self.bench.state().join("server");
        // One that was killed leaves it behind, and then it says nothing.
        let _ = std::fs::remove_file(&server);
        // As pods elsewhere reach it: by TLS, with what they find in their Secret.
        let network = ["serve", "--listen", "0.0.0.0:0", "--advertise", "localhost"];
        let mut serve = self.bench.rheo(&network);
        serve.env("KUBECONFIG", self.kubeconfig());
        self.serve = Some(RunningProgram::start(serve));
        wait_for("the coordinator", || server.exists().then_some(()));
    }

    /// Ends the coordinator as a power cut would.
    pub(crate) fn kill_coordinator(&mut self) {
        self.serve.take().unwrap().kill();
    }

    /// One kind of objects of the plain manifests, in our namespace.
    fn manifest(&self, file: &str, kinds: &[&str]) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/manifests");
        let text = std::fs::read_to_string(path.join(file)).unwrap();
        let text = text.replace(": rheobase\n", &format!(": {}\n", self.namespace));
        let wanted =
            |part: &&str| kinds.iter().any(|kind| part.contains(&format!("\nkind: {kind}\n")));
        text.split("\n---\n").filter(wanted).collect::<Vec<_>>().join("\n---\n")
    }

    pub(crate) fn apply(&self, text: &str) {
        let path = self.bench.path().join("apply.yaml");
        std::fs::write(&path, text).unwrap();
        self.kubectl(&["apply", "-f", path.to_str().unwrap()]).expect(0);
    }

    fn kubeconfig(&self) -> PathBuf {
        self.bench.path().join("kubeconfig")
    }

    /// Who the coordinator is: the service account `rheo`, with the token that its pods would get.
    fn write_kubeconfig(&self) {
        let secret = wait_for("a token of the service account", || {
            let said = self.kubectl(&["get", "serviceaccount", "rheo", "-o", "json"]);
            let name = said.status.success().then(|| said.json()["secrets"][0]["name"].clone())?;
            name.as_str().map(str::to_owned)
        });
        let template = "{{.data.token | base64decode}}";
        let template = format!("--template={template}");
        let said = self.kubectl(&["get", "secret", &secret, &template]).expect(0);
        let admin = std::fs::read_to_string(self.cluster.join("admin.kubeconfig")).unwrap();
        let begin = admin.find("users:").unwrap();
        let namespace = &self.namespace;
        let text = format!(
            "{}users: [{{name: rheo, user: {{token: \"{}\"}}}}]\ncontexts: [{{name: test, context: {{cluster: test, user: rheo, namespace: {namespace}}}}}]\ncurrent-context: test\n",
            &admin[..begin],
            said.out.trim(),
        );
        std::fs::write(self.kubeconfig(), text).unwrap();
    }

    fn admin(&self, args: &[&str]) -> ProgramOutput {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.cluster.join("admin.kubeconfig")).args(args);
        RunningProgram::start({
            command.stdin(Stdio::null());
            command
        })
        .end()
    }

    /// `kubectl` of the administrator in our namespace.
    pub(crate) fn kubectl(&self, args: &[&str]) -> ProgramOutput {
        let mut all = vec!["-n", &self.namespace];
        all.extend(args);
        self.admin(&all)
    }

    /// Objects of a kind in our namespace.
    #[track_caller]
    pub(crate) fn objects(&self, kind: &str) -> Vec<Value> {
        let said = self.kubectl(&["get", kind, "-o", "json"]).expect(0).json();
        said["items"].as_array().unwrap().clone()
    }

    /// Names of the pods in a phase that are not on their way out.
    pub(crate) fn pods(&self, phase: &str) -> Vec<String> {
        let pods = self.objects("pods");
        let stays = |pod: &&Value| {
            pod["status"]["phase"] == phase && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
        pods.iter().filter(stays).map(name).collect()
    }

    /// Runs `rheo`, which asks the cluster as the coordinator does.
    pub(crate) fn rheo(&self, args: &[&str]) -> ProgramOutput {
        let mut command = self.bench.rheo(args);
        command.env("KUBECONFIG", self.kubeconfig());
        RunningProgram::start(command).end()
    }

    /// Wants a fleet for a sweep.
    #[track_caller]
    pub(crate) fn launch(&self, file: &str, more: &[&str]) -> ProgramOutput {
        let mut args = vec!["launch", "kubernetes", file, "--memory", "512Mi"];
        args.extend(["--idle-timeout", "5", "--grace", "20"]);
        if !more.contains(&"--image") {
            args.extend(["--image", IMAGE]);
        }
        args.extend(more);
        self.rheo(&args)
    }

    /// Returns the fleet as `rheo launch list` prints it.
    pub(crate) fn fleet(&self) -> Value {
        self.fleet_called("kubernetes")
    }

    /// The same of one with a name of its own.
    pub(crate) fn fleet_called(&self, name: &str) -> Value {
        let said = self.rheo(&["launch", "list", "--output", "json"]).expect(0).json();
        let fleets = said.as_array().unwrap();
        fleets.iter().find(|fleet| fleet["name"] == name).cloned().unwrap_or_default()
    }

    /// Waits until more epochs are durable.
    #[track_caller]
    pub(crate) fn wait_for_epochs(&self, at_least: u64) {
        wait_for("epochs", || {
            (self.bench.number("select count(*) from epochs") >= at_least).then_some(())
        });
    }

    /// Waits for the end of the sweep, and checks that everything is there once.
    #[track_caller]
    pub(crate) fn complete(&self, sweep: &str, trials: u64, epochs: u64) {
        let ended = wait_for("the end of the sweep", || {
            let said = self.rheo(&["status", sweep, "--output", "json"]).expect(0);
            said.out.contains("\"ended\"").then_some(said)
        });
        self.rheo(&["wait", sweep]).expect(0);
        let number = |sql: &str| self.bench.number(sql);
        assert_eq!(
            number("select count(*) from trials where status = 'completed'"),
            trials,
            "{}",
            ended.out
        );
        for (table, key, rows) in [
            ("trials", "trial", trials),
            ("epochs", "trial, epoch", trials * epochs),
            ("evaluations", "trial, perturbation, level, coalesce(frequency, -1)", trials * 2),
        ] {
            assert_eq!(number(&format!("select count(*) from {table}")), rows, "{table}");
            let distinct = format!("select count(*) from (select distinct {key} from {table})");
            assert_eq!(number(&distinct), rows, "{table}: every row once");
        }
        let failed =
            "select count(*) from attempts where outcome not in ('completed', 'preempted', 'lost')";
        assert_eq!(number(failed), 0, "nothing failed");
    }

    /// Returns the number of attempts with this outcome.
    pub(crate) fn attempts(&self, outcome: &str) -> u64 {
        self.bench.number(&format!("select count(*) from attempts where outcome = '{outcome}'"))
    }

    /// Has the cluster start or stop one of its programs, and waits until that is done.
    pub(crate) fn order(&self, order: &str) {
        let path = self.cluster.join("do").join(order);
        std::fs::write(&path, "").unwrap();
        wait_for(order, || (!path.exists()).then_some(()));
    }

    /// Has a node fail, or come back.
    pub(crate) fn set_dead(&self, node: &str, dead: bool) {
        let path = self.cluster.join("dead").join(node);
        if dead { std::fs::write(path, "").unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.serve.take();
        // Nobody waits: the cluster ends after the tests.
        self.kubectl(&["delete", "jobs", "--all", "--wait=false"]);
    }
}
