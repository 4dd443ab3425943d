//! Rules that the compiler does not see: which crate may depend on what, how long a file may be, and that no modules
//! name each other in a circle.

#![expect(clippy::unwrap_used, reason = "tests")]

mod circles;
mod type_names;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// Lines of a source file without its tests.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file of the repository that git knows or would take, with one of these endings.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let git = ["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"];
    let listed = Command::new("git").args(git).current_dir(root()).output().unwrap();
    assert!(listed.status.success(), "git lists the files");
    let text = String::from_utf8(listed.stdout).unwrap();
    let files = text.lines().map(|name| root().join(name));
    let wanted = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        path.is_file() && endings.contains(&ending.as_str())
    };
    let files: Vec<PathBuf> = files.filter(wanted).collect();
    assert!(!files.is_empty(), "there are files that end in {endings:?}");
    files
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The packages of the workspace, as cargo describes them.
fn packages() -> Vec<Value> {
    let cargo = ["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"];
    let metadata = Command::new(env!("CARGO")).args(cargo).current_dir(root()).output().unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The crates of the workspace and what each depends on directly, tests aside.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |package: &Value| {
        let list = package["dependencies"].as_array().unwrap().iter();
        let used = list.filter(|one| one["kind"].is_null()).map(|one| text(&one["name"]));
        (text(&package["name"]), used.collect())
    };
    packages().iter().map(of).collect()
}

/// The root files of the libraries and programs of the workspace.
fn roots() -> Vec<PathBuf> {
    let packages = packages();
    let targets = packages.iter().flat_map(|package| package["targets"].as_array().unwrap());
    let ours = targets
        .filter(|target| target["kind"] == json!(["lib"]) || target["kind"] == json!(["bin"]));
    ours.map(|target| PathBuf::from(target["src_path"].as_str().unwrap())).collect()
}

#[test]
fn each_crate_depends_only_on_what_it_may() {
    let dependencies = dependencies();
    // The crates that may depend on these; nobody else may.
    let reserved: [(&[&str], &[&str]); 10] = [
        (&["tch", "torch-sys"], &["rheo-train"]),
        (&["arrow", "parquet", "datafusion"], &["rheo-query"]),
        (&["prost", "prost-types", "tonic-types", "tonic-prost"], &["rheo-proto"]),
        (&["redb"], &["rheo-store"]),
        (&["object_store"], &["rheo-store", "rheo-query"]),
        (&["kube", "k8s-openapi"], &["rheo-launch"]),
        (&["tonic"], &["rheo-proto", "rheo-coordinator", "rheo-worker", "rheo-load"]),
        (&["rheo-train"], &["rheo-worker"]),
        (&["rheo-kernels", "pulp"], &["rheo-train", "rheo-kernels"]),
        (&["rheo-launch", "rheo-store"], &["rheo-coordinator"]),
    ];
    for (reserved, allowed) in reserved {
        for (package, used) in &dependencies {
            for name in reserved {
                let may = allowed.contains(&package.as_str());
                assert!(may || !used.contains(*name), "`{package}` depends on `{name}`");
            }
        }
    }
}

#[test]
fn the_core_and_the_model_are_pure() {
    let dependencies = dependencies();
    for package in ["rheo-core", "rheo-model"] {
        let used = &dependencies[package];
        for banned in ["tokio", "tonic", "redb", "arrow", "tracing", "object_store", "tempfile"] {
            assert!(!used.contains(banned), "{package} depends on `{banned}`");
        }
    }
    let banned = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::time::Instant",
        "SystemTime",
        "rand::rng(",
    ];
    let is_pure = |path: &&PathBuf| {
        let name = name(path);
        name.starts_with("coordinator/core/src") || name.starts_with("worker/model/src")
    };
    for path in files(&["rs"]).iter().filter(is_pure) {
        let text = fs::read_to_string(path).unwrap();
        for word in banned {
            assert!(!text.contains(word), "{}: `{word}`", name(path));
        }
    }
}

/// The engine of sweeps knows no workload: whatever is trained is a crate of its own.
#[test]
fn the_core_has_no_word_of_neuroscience() {
    assert!(!dependencies()["rheo-core"].contains("rheo-model"));
    let beginnings = [
        "network", "neuron", "synap", "dendri", "spik", "gamma", "lyapunov", "jacobian",
        "recurren", "relu", "lstm", "mnist", "psmnist", "torch", "libtorch", "tensor",
    ];
    let core = files(&["rs"]);
    for path in core.iter().filter(|path| name(path).starts_with("coordinator/core/")) {
        let text = fs::read_to_string(path).unwrap().to_lowercase();
        for (number, line) in (1..).zip(text.lines()) {
            let words = line.split(|letter: char| !letter.is_ascii_alphabetic());
            let known = |word: &&str| beginnings.iter().any(|begin| word.starts_with(begin));
            let word = words.into_iter().find(known);
            assert_eq!(word, None, "{}:{number}", name(path));
        }
    }
}

#[test]
fn no_modules_name_each_other_in_a_circle() {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let roots = roots();
    assert!(roots.len() > dependencies().len(), "a library or program of each crate: {roots:?}");
    let found: Vec<String> = roots.iter().flat_map(|root| circles::circles(root, &read)).collect();
    let here = root().display().to_string() + "/";
    assert!(found.is_empty(), "{}", found.join("\n").replace(&here, ""));
}

#[test]
fn types_have_names_that_say_their_noun_once_in_a_crate() {
    let all = files(&["rs"]);
    let is_test = |path: &Path| {
        path.components()
            .any(|part| Path::new(&part).file_stem().is_some_and(|stem| stem == "tests"))
    };
    let mut mistakes = Vec::new();
    for package in packages() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let sources = manifest.parent().unwrap().join("src");
        let ours = all
            .iter()
            .filter(|path| path.strip_prefix(&sources).is_ok_and(|inside| !is_test(inside)));
        let ours = ours.map(|path| (PathBuf::from(name(path)), fs::read_to_string(path).unwrap()));
        mistakes.extend(type_names::mistakes(&ours.collect::<Vec<_>>()));
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in files(&["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} opens with `//!`", name(&path));
    }
}

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for path in files(&["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = code.lines().count();
        if lines > LONGEST {
            long.push(format!("{}: {lines}", name(&path)));
        }
    }
    assert!(long.is_empty(), "more than {LONGEST} lines without tests: {long:?}");
}

#[test]
fn tests_wait_for_conditions_and_not_for_time() {
    let word = ["sleep", "("].concat();
    for path in files(&["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let in_tests = name(&path).contains("tests/") || name(&path).contains("test");
        assert!(!in_tests || !text.contains(&word), "{} sleeps", name(&path));
    }
}

/// Editors find the schema of a sweep file by its first line.
#[test]
fn every_sweep_names_its_schema() {
    for path in files(&["yaml"]).iter().filter(|path| name(path).starts_with("sweeps/")) {
        let text = fs::read_to_string(path).unwrap();
        let schema = text.lines().next().unwrap().strip_prefix("# yaml-language-server: $schema=");
        let schema = schema.map(|schema| path.with_file_name(schema));
        let is_there = schema.is_some_and(|schema| schema.is_file());
        assert!(is_there, "{} names no schema in its first line", name(path));
    }
}

#[test]
fn every_sweep_is_among_the_experiments() {
    let page = fs::read_to_string(root().join("docs/experiments.md")).unwrap();
    for path in files(&["yaml"]).iter().filter(|path| name(path).starts_with("sweeps/")) {
        assert!(page.contains(&name(path)), "docs/experiments.md does not mention {}", name(path));
    }
}

/// Paths that ARCHITECTURE.md names lead somewhere, so that the map of the code stays true.
#[test]
fn the_map_of_the_code_names_files_that_exist() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let is_path = |word: &&str| {
        word.contains('/')
            && word
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || "/._0123456789".contains(letter))
    };
    let paths: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_path).collect();
    assert!(paths.len() > 30, "{paths:?}");
    let lost: Vec<&&str> = paths.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(lost.is_empty(), "ARCHITECTURE.md names {lost:?}");
}

/// Links between pages lead to files and headings that exist.
#[test]
fn links_between_pages_lead_somewhere() {
    let mut lost = Vec::new();
    for path in files(&["md"]) {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") || link.contains(char::is_whitespace) {
                continue;
            }
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let has_heading = || {
                heading.is_empty()
                    || anchors(&fs::read_to_string(&target).unwrap()).contains(heading)
            };
            if !target.exists() || !has_heading() {
                lost.push(format!("{}: {link}", name(&path)));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// The headings of a page as links name them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| -> String {
        let letters = line.trim_start_matches('#').trim().to_lowercase();
        let kept =
            letters.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_page_is_in_the_index() {
    let index = fs::read_to_string(root().join("docs/README.md")).unwrap();
    for path in files(&["md"]).iter().filter(|path| name(path).starts_with("docs/")) {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_there = file == "README.md" || index.contains(&format!("]({file})"));
        assert!(is_there, "docs/README.md does not list {file}");
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 120, "README.md has more than 120 lines");
}

#[test]
fn nothing_names_this_machine() {
    let here = root().parent().unwrap().display().to_string() + "/";
    for path in files(&["rs", "md", "toml", "yaml", "yml", "sh", "proto", "json", "py"]) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(here.len() < 3 || !text.contains(&here), "{} names {here}", name(&path));
    }
}
