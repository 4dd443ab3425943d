//! The schema of networks: fields, words and needs.

use serde_json::json;

use super::*;
use crate::config::{Device, Evaluation, EvaluationKind, NetworkKind, Resources, Task, TaskKind};
use rheo_core::needs::{AvailableDataset, Inventory};
use rheo_core::schema::field::{FieldSchema, FieldType, ObjectSchema};
use rheo_core::suggest::nearest;

/// Returns every field, with the object that holds it.
fn all(object: &ObjectSchema) -> Vec<(&str, &FieldSchema, &ObjectSchema)> {
    let mut fields = Vec::new();
    for (name, field) in &object.fields {
        fields.push((name.as_str(), field, object));
        let ty = if let FieldType::List { item, .. } = &field.ty { &item.ty } else { &field.ty };
        if let FieldType::Object(inner) = ty {
            fields.extend(all(inner));
        }
    }
    fields
}

#[test]
fn every_field_has_a_type_and_documentation() {
    for (name, field, _) in all(&schema().fields) {
        assert!(!field.docs.is_empty(), "{name} has no documentation");
        assert_ne!(field.ty, FieldType::Any, "{name} has a schema that is not understood");
        if let FieldType::List { item, .. } = &field.ty {
            assert_ne!(item.ty, FieldType::Any, "{name} has items that are not understood");
        }
    }
}

#[test]
fn kinds_name_values_of_the_neighbouring_field() {
    for (name, field, object) in all(&schema().fields) {
        let Some(kinds) = &field.kinds else { continue };
        let Some(FieldSchema { ty: FieldType::Choice(known), .. }) = object.get("kind") else {
            panic!("`{name}` has kinds but no neighbour `kind`");
        };
        assert!(kinds.iter().all(|kind| known.contains(kind)), "{name}: {kinds:?}");
    }
}

#[test]
fn types_and_ranges_match_the_structs() {
    let cases = [
        ("network.hidden", "a whole number from 1 to 16384"),
        ("task.seed", "a whole number from 0 on"),
        ("training.optimizer.lr", "a number greater than 0"),
        ("training.optimizer.beta1", "a number of at least 0 and less than 1"),
        (
            "network.kind",
            "one of `fixed`, `homogeneous`, `heterogeneous`, `adaptive`, `relu`, `tanh`, `sigmoid`, `softplus`, `linear`, `modrelu`, `lstm` or `gru`",
        ),
        ("training.shuffle", "`true` or `false`"),
        ("task.data", "text"),
        ("evaluate", "a list"),
        ("network", "a mapping"),
    ];
    for (path, expected) in cases {
        assert_eq!(schema().fields.at(path).unwrap().ty.to_string(), expected, "{path}");
    }
    assert!(schema().fields.at("network.n0").unwrap().nullable);
    assert!(schema().fields.at("network.hiden").is_none());
}

fn of(kind: TaskKind) -> Vec<Need> {
    let task =
        Task { kind, train_size: 300, validation_size: 50, test_size: 50, ..Task::default() };
    let config = TrialConfig { task, ..TrialConfig::default() };
    schema().needs(&serde_json::to_value(config).unwrap())
}

#[test]
fn generated_tasks_need_no_data() {
    for kind in [TaskKind::Digits, TaskKind::Copy, TaskKind::Evidence, TaskKind::CharLm] {
        let needs = of(kind);
        let data = |need: &Need| matches!(need, Need::Data { .. } | Need::Samples { .. });
        assert!(!needs.iter().any(data), "{kind:?}: {needs:?}");
    }
}

#[test]
fn needs_are_checked_against_the_inventory() {
    let found = AvailableDataset { set: "mnist".to_owned(), sizes: Some([500, 100, 100]) };
    let full = Inventory {
        data: vec![found.clone()],
        devices: vec![Device::Cpu.name().to_owned()],
        memory_mb: Some(2048),
        ..Inventory::default()
    };
    let lacks = |inventory: &Inventory, kind| {
        of(kind).iter().filter_map(|need| inventory.unmet_need(need)).collect::<Vec<_>>()
    };
    assert_eq!(lacks(&full, TaskKind::Psmnist), [""; 0]);
    assert_eq!(lacks(&full, TaskKind::Gscifar10), ["no data set `cifar10`"]);
    let few = AvailableDataset { sizes: Some([50, 10, 100]), ..found };
    let reduced = Inventory { data: vec![few], ..full.clone() };
    assert_eq!(
        lacks(&reduced, TaskKind::Smnist),
        ["task.train_size: `300`, but the data have only 50"]
    );
    let small = Inventory { memory_mb: Some(512), ..full };
    assert_eq!(
        lacks(&small, TaskKind::Digits),
        ["resources.memory_mb: `1024`, but there are only 512 MB of memory"]
    );
}

#[test]
fn a_trial_takes_a_whole_gpu_or_its_share() {
    let gpus = |device, gpus| {
        let resources = Resources { device, gpus, threads: 3, ..Resources::default() };
        let config = TrialConfig { resources, ..TrialConfig::default() };
        let takes = resources_of(&config);
        assert_eq!((takes.cpus, takes.memory_mb), (3, 1024));
        takes.gpus.thousandths()
    };
    assert_eq!(gpus(Device::Cpu, None), 0);
    assert_eq!(gpus(Device::Cuda, None), 1000);
    assert_eq!(gpus(Device::Cuda, Some(0.25)), 250);
    // The sweep file is refused. A worker that receives the configuration all the same has no unmet
    // need.
    assert_eq!(gpus(Device::Cpu, Some(0.25)), 0);
}

#[test]
fn an_unset_gpu_share_leaves_the_configuration_unchanged() {
    let resolved = |given: Json| schema().resolve(&json!({"resources": given})).unwrap();
    let plain = resolved(json!({}));
    assert_eq!(resolved(json!({"gpus": null})), plain);
    assert_eq!(plain["resources"].get("gpus"), None);
    let shared = resolved(json!({"device": "cuda", "gpus": 0.5}));
    assert_eq!(shared["resources"]["gpus"], 0.5);
}

#[test]
fn unmet_needs_are_monotonic() {
    let samples = |train| {
        let set = "mnist".to_owned();
        Need::Samples { set, directory: None, sizes: [train, 10, 10] }
    };
    assert!(samples(100).includes(&samples(100)));
    assert!(samples(100).includes(&samples(200)));
    assert!(!samples(100).includes(&samples(50)));
    assert!(!Need::Memory { mb: 100 }.includes(&Need::Memory { mb: 50 }));
    assert!(!Need::Disk.includes(&Need::System));
}

#[test]
fn only_some_fields_change_what_a_trial_needs() {
    for (path, expected) in [
        ("task", true),
        ("task.kind", true),
        ("resources.device", true),
        ("task.k", false),
        ("task.delay", false),
        ("training.optimizer.lr", false),
    ] {
        assert_eq!(schema().decides_needs(path), expected, "{path}");
    }
}

#[test]
fn terms_of_other_tools_mean_the_general_field() {
    let schema = schema();
    let leaves = schema.fields.leaves();
    let known = || leaves.iter().map(|(path, _)| path.as_str());
    for (text, expected) in [
        ("lr", "training.optimizer.lr"),
        ("learning_rate", "training.optimizer.lr"),
        ("learningRate", "training.optimizer.lr"),
        ("training.lr", "training.optimizer.lr"),
        ("training.optimizer.learning_rate", "training.optimizer.lr"),
        ("training.optimizer.readout.learning_rate", "training.optimizer.readout.lr"),
        ("readout.lr", "training.optimizer.readout.lr"),
        ("optimizer.learning_rate", "training.optimizer.lr"),
        ("weight_decay", "training.optimizer.weight_decay"),
        ("momentum", "training.optimizer.momentum"),
        ("optimizer", "training.optimizer.kind"),
        ("batch_size", "training.batch"),
        ("training.batch_size", "training.batch"),
        ("epochs", "training.epochs"),
        ("num_epochs", "training.epochs"),
        ("hidden_size", "network.hidden"),
        ("hidden_units", "network.hidden"),
        ("num_hidden", "network.hidden"),
        ("network.hidden_size", "network.hidden"),
        ("random_state", "seed"),
        ("model", "network.kind"),
        ("activation", "network.kind"),
        ("seq_len", "task.length"),
        ("grad_clip", "training.clip_norm"),
        ("kind", "network.kind"),
        ("hiden", "network.hidden"),
        ("optimiser.lr", "training.optimizer.lr"),
    ] {
        assert_eq!(nearest(WORDS.aliases, text, known()), Some(expected), "{text}");
    }
    for text in ["dropout", "training.optimizer.nesterov", "network.layers", "colour"] {
        assert_eq!(nearest(WORDS.aliases, text, known()), None, "{text}");
    }
}

#[test]
fn metrics_of_other_tools_mean_validation_metrics() {
    let known = || Metric::ALL.into_iter().map(Metric::name);
    for (text, expected) in [
        ("accuracy", "validation.accuracy"),
        ("acc", "validation.accuracy"),
        ("val_acc", "validation.accuracy"),
        ("val/accuracy", "validation.accuracy"),
        ("validation_accuracy", "validation.accuracy"),
        ("valid.acc", "validation.accuracy"),
        ("loss", "validation.loss"),
        ("val_loss", "validation.loss"),
        ("eval/loss", "validation.loss"),
        ("train_loss", "train.loss"),
        ("train.acc", "train.accuracy"),
        ("test_acc", "test.accuracy"),
        ("test_loss", "test.loss"),
        ("validation.acuracy", "validation.accuracy"),
    ] {
        assert_eq!(nearest(WORDS.aliases, text, known()), Some(expected), "{text}");
    }
}

#[test]
fn every_alias_names_an_existing_field() {
    let schema = schema();
    let leaves = schema.fields.leaves();
    for (_, meant) in WORDS.aliases {
        let is_field = leaves.iter().any(|(path, _)| path == meant);
        let is_metric = Metric::ALL.into_iter().any(|metric| metric.name() == *meant);
        let is_value = leaves
            .iter()
            .any(|(_, field)| matches!(&field.ty, FieldType::Choice(known) if known.iter().any(|k| k == meant)));
        assert!(is_field || is_metric || is_value, "{meant}");
    }
}

/// The engine fills in defaults by the schema alone; the result equals that of the type.
#[test]
fn schema_defaults_equal_those_of_the_type() {
    let given = [
        json!({}),
        json!({"network": {"kind": "adaptive", "hidden": 3}, "seed": 7}),
        json!({"training": {"optimizer": {"lr": 1, "kind": "sgd"}, "readapt": {"epochs": 2}}}),
        json!({"task": {"kind": "char_lm"}, "network": {"kind": "lstm", "n0": 2}}),
        json!({"evaluate": [{"kind": "sine", "level": [0, 1]}], "analyze": [{"kind": "lyapunov"}]}),
        json!({"resources": {"timeout": 5}, "checkpoint": {"keep": "none"}}),
    ];
    for given in given {
        let typed: TrialConfig = serde_json::from_value(given.clone()).unwrap();
        assert_eq!(
            schema().fill(&given).unwrap(),
            serde_json::to_value(&typed).unwrap(),
            "{given}"
        );
    }
    for wrong in [
        json!({"network": {"hiden": 3}}),
        json!({"network": {"hidden": 3.5}}),
        json!({"network": {"kind": "x"}}),
        json!({"network": 3}),
        json!({"seed": -1}),
        json!({"evaluate": {}}),
    ] {
        assert!(serde_json::from_value::<TrialConfig>(wrong.clone()).is_err(), "{wrong}");
        assert!(schema().fill(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn number_indices_name_existing_fields() {
    fn has(object: &ObjectSchema, name: &str) -> bool {
        let inner =
            |field: &FieldSchema| matches!(&field.ty, FieldType::Object(inner) if has(inner, name));
        object.get(name).is_some() || object.fields.iter().any(|(_, field)| inner(field))
    }
    for name in WORDS.numbers {
        assert!(has(&schema().fields, name), "{name}");
    }
}

#[test]
fn metrics_of_other_tools_have_their_goal() {
    for (text, expected) in [
        ("val_loss", "name: validation.loss, goal: minimize"),
        ("validation.accuracy", "name: validation.accuracy, goal: maximize"),
        ("acc", "name: validation.accuracy, goal: maximize"),
        ("test_loss", "name: test.loss, goal: minimize"),
    ] {
        let file = format!("name: demo\nmetric: {text}\n");
        let mistakes = rheo_core::spec::parse(&workloads(), "demo.yaml", &file).unwrap_err();
        let help = mistakes.list()[0].help.clone().unwrap();
        assert_eq!(help, format!("write `metric: {{{expected}}}`"));
    }
}

#[test]
fn values_of_other_tools_are_not_inverted() {
    for (text, known, expected) in [
        ("gpu", ["cpu", "cuda"], "cuda"),
        ("fp32", ["float64", "float32"], "float32"),
        ("double", ["float32", "float64"], "float64"),
    ] {
        assert_eq!(nearest(WORDS.aliases, text, known), Some(expected));
    }
}

#[test]
fn fields_of_other_kinds_are_absent() {
    let mut config = TrialConfig::default();
    config.network.kind = NetworkKind::Relu;
    config.evaluate = vec![Evaluation { kind: EvaluationKind::StepDrive, ..Evaluation::default() }];
    let used = schema().resolve(&serde_json::to_value(&config).unwrap()).unwrap();
    for (path, present) in [
        ("/network/hidden", true),
        ("/network/controller", false),
        ("/network/n0", false),
        ("/task/side", true),
        ("/task/delay", false),
        ("/evaluate/0/level", true),
        ("/evaluate/0/frequency", false),
        ("/training/optimizer/lr", true),
    ] {
        assert_eq!(used.pointer(path).is_some(), present, "{path}");
    }
}
