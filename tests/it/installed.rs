//! Installed programs: what they need lies beside them, and copies of files reach who must read them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rheo_tests::{RunningProgram, TestBench, program, wait_for};

use crate::sweeps::{SMALL, SMALL_EPOCHS};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Installs what was built beside the tests.
pub(crate) fn install(prefix: &Path) {
    let programs = program("rheo").parent().unwrap().to_owned();
    let mut script = Command::new(repository().join("deploy/install.sh"));
    let said = script.arg(programs).arg(prefix).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_installed_worker_loads_its_libraries_from_beside_it_and_trains() {
    let bench = TestBench::default();
    let prefix = bench.path().join("prefix");
    install(&prefix);
    // Again, over what is there.
    install(&prefix);
    let worker = prefix.join("bin/rheo-worker");
    let loaded = Command::new(&worker).arg("--version").env("LD_DEBUG", "libs").output().unwrap();
    assert!(loaded.status.success());
    let loaded = text(&loaded);
    let libraries: Vec<&str> = loaded
        .lines()
        .filter_map(|line| line.split("calling init: ").nth(1))
        .filter(|path| {
            path.contains("torch") || path.contains("libc10") || path.contains("libgomp")
        })
        .collect();
    assert!(!libraries.is_empty(), "{loaded}");
    let home = prefix.join("lib/rheobase");
    for library in libraries {
        let library = fs::canonicalize(library).unwrap();
        assert!(library.starts_with(&home), "{} is not an installed one", library.display());
    }
    let file = bench.file("small.yaml", SMALL);
    let run = Command::new(prefix.join("bin/rheo"))
        .args(["run", file])
        .current_dir(bench.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", text(&run));
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
}

/// The user of whom the documentation speaks.
const OWNER: u32 = 12_345;

/// A shell command of that user, or of another.
fn shell(user: &str, directory: &Path, command: &str) -> Command {
    let (uid, gid) = user.split_once(':').unwrap();
    let mut setpriv = Command::new("setpriv");
    setpriv.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
    setpriv.args(["--clear-groups", "--", "sh", "-euc", command]).current_dir(directory);
    setpriv.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    setpriv
}

/// The commands of the page about Docker for one more worker.
fn documented() -> Vec<String> {
    let page = fs::read_to_string(repository().join("docs/docker.md")).unwrap();
    let section = page.split("## One worker more, elsewhere").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```").skip(1).step_by(2);
    blocks.flat_map(str::lines).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The user in a container: the one that `docker run` names, or that of the image.
fn user_of(run: &str, directory: &Path) -> String {
    let Some(rest) = run.split("--user ").nth(1) else {
        let image = fs::read_to_string(repository().join("deploy/docker/Dockerfile")).unwrap();
        let user = image.lines().find_map(|line| line.strip_prefix("USER "));
        return user.unwrap().to_owned();
    };
    // The words of the shell in quotes, or one plain word.
    let word = match rest.strip_prefix('"') {
        Some(quoted) => format!("\"{}\"", quoted.split('"').next().unwrap()),
        None => rest.split(' ').next().unwrap().to_owned(),
    };
    let said = shell(&format!("{OWNER}:{OWNER}"), directory, &format!("echo {word}"));
    text(&{ said }.output().unwrap()).trim().to_owned()
}

/// A directory of the owner.
fn owned(path: PathBuf) -> PathBuf {
    fs::create_dir(&path).unwrap();
    chown(&path, Some(OWNER), Some(OWNER)).unwrap();
    path
}

#[test]
fn the_documented_container_can_read_the_token_that_was_copied_for_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: taking the place of other users needs root");
        return;
    }
    let bench = TestBench::default();
    fs::set_permissions(bench.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let prefix = bench.path().join("prefix");
    install(&prefix);
    let home = owned(bench.path().join("home"));
    let owner = format!("{OWNER}:{OWNER}");
    let bin = prefix.join("bin").display().to_string();
    let serve = format!("exec {bin}/rheo serve --listen 0.0.0.0:0 --advertise localhost");
    let _serve = RunningProgram::start(shell(&owner, &home, &serve));
    wait_for("the coordinator", || home.join(".rheo/server").exists().then_some(()));
    fs::write(home.join("small.yaml"), SMALL).unwrap();
    let submit = shell(&owner, &home, &format!("{bin}/rheo submit small.yaml")).output().unwrap();
    assert!(submit.status.success(), "{}", text(&submit));

    let commands = documented();
    let (docker, copying): (Vec<_>, Vec<_>) =
        commands.iter().partition(|line| line.starts_with("docker "));
    assert!(!copying.is_empty(), "the page says how to copy the files: {commands:?}");
    for line in copying {
        let said = shell(&owner, &home, line).output().unwrap();
        assert!(said.status.success(), "{line}\n{}", text(&said));
    }
    let mode = fs::metadata(home.join("state/tls/worker.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the token is for its owner alone");
    let run = docker.iter().find(|line| line.contains(" rheo-worker:")).unwrap();
    // What the container has: the files read-only, and a /tmp of its own.
    let scratch = bench.path().join("tmp");
    fs::create_dir(&scratch).unwrap();
    fs::set_permissions(&scratch, fs::Permissions::from_mode(0o1777)).unwrap();
    let container = format!(
        "export TMPDIR={0} RHEO_SPOOL={0}/spool RHEO_STATE={1}/state; exec {bin}/rheo-worker --slots 2",
        scratch.display(),
        home.display()
    );
    let said = RunningProgram::start(shell(&user_of(run, &home), &scratch, &container)).end();
    assert_eq!(said.code(), 0, "{}", said.err);
    let status = shell(&owner, &home, &format!("{bin}/rheo wait small")).output().unwrap();
    assert!(status.status.success(), "{}", text(&status));
}
