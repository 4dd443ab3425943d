//! Every sweep under `sweeps` is valid and has its documented size; a snapshot shows its trials.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use insta::{Settings, assert_snapshot};
use rheo_core::definition::SweepDefinition;
use rheo_core::plan::{Plan, PlanEndReason, PlannedTrial};
use rheo_core::spec;
use rheo_model::config::{NetworkKind, ScheduleKind, TaskKind, TrialConfig};
use rheo_model::networks;
use serde_json::Value as Json;

use crate::config;
use crate::schema;

use crate::mistakes::{files, name};

/// Sweeps of the paper and their numbers of trials. The 1,215 trials of `init_grid` are in two
/// files, and `readapt` trains twice in one trial.
const PAPER: [(&str, u64); 10] = [
    ("copy_grid", 20),
    ("init_grid", 1215 - 270),
    ("init_grid_fine", 720),
    ("init_grid_psmnist", 270),
    ("jacobian_grid", 400),
    ("late_shape", 135),
    ("more_seeds", 3),
    ("networks", 48),
    ("readapt", 1),
    ("smoke", 48),
];

/// Returns the files in `sweeps` and `sweeps/paper`.
fn sweeps() -> Vec<PathBuf> {
    [files("../../../sweeps"), files("../../../sweeps/paper")].concat()
}

fn read(path: &Path) -> SweepDefinition {
    let text = fs::read_to_string(path).unwrap();
    let parsed = spec::parse(&networks::workloads(), name(path), &text)
        .unwrap_or_else(|m| panic!("{}", m.render()));
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    parsed.definition
}

/// Returns trial `index` of a plan whose points are a function of their number.
fn trial(plan: &Plan, index: u64) -> PlannedTrial {
    let suggestion = plan.suggest(&plan.history(), plan.point_of(index)).unwrap();
    plan.trial(index, &suggestion).unwrap()
}

/// Returns the fields of a trial that differ from the defaults, one per line.
fn settings(trial: &PlannedTrial) -> String {
    let usual = serde_json::to_value(TrialConfig::default()).unwrap();
    let mut out = String::new();
    write_changes("", &trial.resolved, Some(&usual), &mut out);
    out
}

fn write_changes(path: &str, value: &Json, usual: Option<&Json>, out: &mut String) {
    if usual == Some(value) || usual.is_none() && value.is_null() {
        return;
    }
    let inner =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                let usual = usual.and_then(|usual| usual.get(name));
                write_changes(&inner(name), value, usual, out);
            }
        }
        Json::Array(items) if items.iter().any(Json::is_object) => {
            for (index, item) in items.iter().enumerate() {
                write_changes(&format!("{path}[{index}]"), item, None, out);
            }
        }
        _ => {
            let _ = writeln!(out, "  {path}: {value}");
        }
    }
}

/// Describes the first, middle and last trial of a sweep. Evaluations and analyses are the same in
/// all.
fn describe(plan: &Plan) -> String {
    let trials = plan.trials();
    let mut out = format!("{trials} trials\n");
    let mut indices = vec![0, trials / 2, trials - 1];
    indices.dedup();
    for index in indices {
        let mut trial = trial(plan, index);
        if let Some(fields) = trial.resolved.as_object_mut().filter(|_| index > 0) {
            fields.retain(|name, _| name != "analyze" && name != "evaluate");
        }
        let _ = writeln!(out, "{index}:\n{}", settings(&trial).trim_end());
    }
    out
}

#[test]
fn the_sweeps_of_the_repository_match_their_snapshots() {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("../repertoire");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in sweeps() {
            let definition = read(&path);
            assert_eq!(definition.name.as_str(), name(&path), "a sweep is called as its file");
            let plan = Plan::new(&definition, &schema());
            assert_eq!(plan.end_reason(), PlanEndReason::Exhausted);
            assert_snapshot!(name(&path), describe(&plan));
        }
    });
}

/// Returns the trials of a sweep of the paper.
fn paper(sweep: &str) -> Vec<PlannedTrial> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sweeps/paper");
    let plan = Plan::new(&read(&folder.join(format!("{sweep}.yaml"))), &schema());
    (0..plan.trials()).map(|index| trial(&plan, index)).collect()
}

#[test]
fn paper_sweeps_have_their_trial_counts_and_small_versions() {
    let mut expected = BTreeSet::new();
    for (sweep, trials) in PAPER {
        assert_eq!(paper(sweep).len() as u64, trials, "{sweep}");
        expected.insert(sweep.to_owned());
        if sweep != "smoke" {
            expected.insert(format!("{sweep}-small"));
        }
    }
    let found = files("../../../sweeps/paper");
    let found: BTreeSet<String> = found.iter().map(|path| name(path).to_owned()).collect();
    assert_eq!(found, expected);
}

/// Key of a cell in the grids of initial values; numbers as bits.
type InitCell = (&'static str, &'static str, u64, u64, u64);

fn cell(trial: &PlannedTrial) -> InitCell {
    let TrialConfig { task, network, .. } = config(trial);
    let n0 = network.n0.unwrap().to_bits();
    (task.kind.name(), network.kind.name(), n0, network.s0.to_bits(), trial.seed)
}

#[test]
fn the_files_of_init_grid_cover_each_cell_once() {
    let trials = [paper("init_grid"), paper("init_grid_psmnist")].concat();
    let mut expected: BTreeSet<InitCell> = BTreeSet::new();
    for task in ["copy", "psmnist", "char_lm"] {
        for net in ["fixed", "homogeneous", "heterogeneous"] {
            for n0 in [1.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 17.5, 20.0_f64] {
                for s0 in [0.0, 0.25, 0.5, 0.75, 1.0_f64] {
                    let runs = [400, 401, 402];
                    expected.extend(runs.map(|run| (task, net, n0.to_bits(), s0.to_bits(), run)));
                }
            }
        }
    }
    assert_eq!(trials.len(), expected.len());
    assert_eq!(trials.iter().map(cell).collect::<BTreeSet<InitCell>>(), expected);
}

/// Checks the recipe of a trial at the scale of the paper (`docs/science.md`, tasks and training).
fn check_recipe(sweep: &str, trial: &PlannedTrial) {
    let TrialConfig { task, network, training, .. } = config(trial);
    let place = format!("{sweep}/{}", trial.index);
    let (hidden, batch, sizes) = match task.kind {
        TaskKind::Copy => (128, 10, None),
        TaskKind::Psmnist => (400, 100, Some([50_000, 10_000, 10_000])),
        TaskKind::Gscifar10 => (400, 100, Some([45_000, 5_000, 10_000])),
        TaskKind::CharLm => (600, 128, None),
        other => panic!("{place}: {other:?}"),
    };
    assert_eq!((network.hidden, training.batch), (hidden, batch), "{place}");
    if let Some(sizes) = sizes {
        assert_eq!([task.train_size, task.validation_size, task.test_size], sizes, "{place}");
    }
    let lr = match (sweep, task.kind) {
        ("copy_grid", _) => 1e-3,
        (_, TaskKind::Gscifar10) => 1e-5,
        _ => 1e-4,
    };
    assert_eq!(training.optimizer.lr.to_bits(), f64::to_bits(lr), "{place}");
    assert_eq!((training.epochs, training.schedule.kind), (100, ScheduleKind::Plateau), "{place}");
    let from = if sweep == "late_shape" { 50 } else { 0 };
    assert_eq!(training.learn_shape_from, from, "{place}");
}

#[test]
fn paper_trials_have_the_recipe_of_their_task() {
    for (sweep, _) in PAPER.iter().filter(|(sweep, _)| !["smoke", "jacobian_grid"].contains(sweep))
    {
        for trial in paper(sweep) {
            check_recipe(sweep, &trial);
        }
    }
}

/// Queries pool trials that differ only in their seed.
#[test]
fn more_seeds_extends_the_adaptive_network_of_networks() {
    for size in ["", "-small"] {
        let more = paper(&format!("more_seeds{size}"));
        let is_alike = |trial: &&PlannedTrial| {
            let (one, other) = (config(trial), config(&more[0]));
            (&one.task, &one.network, &one.training, &one.seeds)
                == (&other.task, &other.network, &other.training, &other.seeds)
        };
        let networks = paper(&format!("networks{size}"));
        let alike: Vec<PlannedTrial> = networks.iter().filter(is_alike).cloned().collect();
        assert_eq!(alike.len(), if size.is_empty() { 3 } else { 1 }, "networks{size}");
        assert_eq!(more.iter().filter(is_alike).count(), 3, "more_seeds{size}");
        let seeds: BTreeSet<u64> =
            alike.iter().chain(&more).map(|trial| config(trial).seed).collect();
        assert_eq!(seeds.len(), alike.len() + more.len(), "different seeds");
    }
}

#[test]
fn smoke_runs_every_kind_of_network() {
    let kinds: BTreeSet<&str> =
        paper("smoke").iter().map(|trial| config(trial).network.kind.name()).collect();
    assert_eq!(kinds.len(), 12);
    assert!(kinds.contains(NetworkKind::default().name()));
}
