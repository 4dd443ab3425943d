//! Every file of `tests/mistakes` has errors; a snapshot beside it shows their messages.

use std::fs;
use std::path::{Path, PathBuf};

use insta::{Settings, assert_snapshot};
use miette::Diagnostic as _;
use rheo_core::spec::{self, Severity};
use rheo_model::networks;

pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

pub(crate) fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

#[test]
fn u35_every_problem_is_named_with_its_place_and_remedy() {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("../mistakes");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in files("mistakes") {
            let text = fs::read_to_string(&path).unwrap();
            let mistakes =
                spec::parse(&networks::workloads(), &format!("{}.yaml", name(&path)), &text)
                    .unwrap_err();
            assert!(mistakes.list().iter().any(|mistake| mistake.severity == Severity::Error));
            assert_snapshot!(name(&path), format!("{mistakes}\n\n{}", mistakes.render()));
        }
    });
}

#[test]
fn too_large_files_are_refused_unread() {
    let text = format!("name: demo\n# {}\n", "x".repeat(2 << 20));
    let mistakes = spec::parse(&networks::workloads(), "large.yaml", &text).unwrap_err();
    assert_eq!(mistakes.list()[0].message, "the file is larger than 1024 KiB");
}

#[test]
fn diagnostics_point_to_their_line() {
    let text = "name: demo\nnetwork: {hiden: 3}\nmetric: {name: test.accuracy}\n";
    let mistakes = spec::parse(&networks::workloads(), "demo.yaml", text).unwrap_err();
    assert_eq!(mistakes.to_string(), "1 mistake in `demo.yaml`");
    let source = mistakes.source_code().unwrap();
    let shown: Vec<_> = mistakes
        .related()
        .unwrap()
        .map(|mistake| {
            let label = mistake.labels().unwrap().next().unwrap();
            let piece = source.read_span(label.inner(), 0, 0).unwrap();
            let piece = String::from_utf8(piece.data().to_vec()).unwrap();
            (mistake.severity(), piece, mistake.help().map(|help| help.to_string()))
        })
        .collect();
    assert_eq!(shown[0].0, Some(miette::Severity::Error));
    assert_eq!(shown[0].1, "hiden");
    assert_eq!(shown[0].2.as_deref(), Some("did you mean `network.hidden`?"));
    assert_eq!(
        (shown[1].0, shown[1].1.as_str()),
        (Some(miette::Severity::Warning), "test.accuracy")
    );
}

#[test]
fn mistakes_are_readable_for_programs_too() {
    let mistakes =
        spec::parse(&networks::workloads(), "demo.yaml", "name: demo\nnetwork: {hiden: 3}\n")
            .unwrap_err();
    assert_snapshot!(serde_json::to_string_pretty(&mistakes).unwrap());
}
