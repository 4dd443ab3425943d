//! PyTorch reads exported weights with the code of docs/checkpoint.md and reproduces our class
//! scores and our accuracy.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{NetworkKind, Precision, TaskKind, TextSource, TrialConfig};
use rheo_train::network::{Network, RunConditions};
use rheo_train::task::{Split, Task};
use rheo_train::{ShapeStats, TorchTrainer, export};
use serde::Deserialize;
use tch::{Kind, Tensor, no_grad};

use crate::data::load;
use crate::support::{ConfigChange, KINDS, tiny, tiny_copy, train};

/// Result of `tests/pytorch/reproduce.py` for one file of weights.
#[derive(Deserialize)]
struct Reproduction {
    kind: String,
    task: String,
    epoch: i32,
    /// Lines of the loader.
    lines: usize,
    shapes_as_documented: bool,
    /// Largest |theirs - ours| / (1 + |ours|) of a score.
    error: f64,
    correct: u32,
    scored: u32,
}

/// Returns the directory in which `make test` installs PyTorch; prints a message if it is missing.
fn pytorch() -> Option<PathBuf> {
    let cache = std::env::var_os("RHEO_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/rheobase"));
    let found = cache.or_else(home)?.join("tools/torch");
    if found.is_dir() {
        return Some(found);
    }
    eprintln!("skipped: PyTorch is missing: run `deploy/tools.sh torch`");
    None
}

/// Returns a short trial that learns a little.
fn learning(mut config: TrialConfig) -> TrialConfig {
    config.network.hidden = 12;
    (config.task.train_size, config.task.updates) = (400, 40);
    config.training.epochs = 3;
    config.training.optimizer.lr = 5e-3;
    config.evaluate.clear();
    config
}

/// Returns a language trial whose test text has several windows, the last of them shorter.
fn tiny_text(kind: NetworkKind) -> TrialConfig {
    let mut config = tiny(kind);
    config.task.kind = TaskKind::CharLm;
    config.task.source = TextSource::Markov;
    (config.task.length, config.task.window) = (3000, 11);
    (config.task.eval_batch, config.task.embedding) = (4, 3);
    config
}

/// Returns one case per kind of network and readout, and others that are easy to read wrongly, with
/// their file names.
fn cases() -> Vec<(String, TrialConfig)> {
    use NetworkKind::{Adaptive, Fixed, Gru, Heterogeneous, Lstm, Modrelu, Relu};
    let mut cases = Vec::new();
    let mut add = |about: &str, config: TrialConfig, change: ConfigChange| {
        let mut config = learning(config);
        change(&mut config);
        cases.push((format!("{about}-{}", config.network.kind.name()), config));
    };
    for kind in KINDS {
        add("digits", tiny(kind), |_| {});
    }
    for kind in [Heterogeneous, Adaptive, Lstm, Gru] {
        add("copy", tiny_copy(kind), |_| {});
    }
    for kind in [Modrelu, Adaptive, Lstm, Gru] {
        add("text", tiny_text(kind), |_| {});
    }
    for kind in [Heterogeneous, Adaptive] {
        add("double", tiny(kind), |config| config.training.precision = Precision::Float64);
    }
    add("one_hot", tiny_copy(Relu), |config| config.task.one_hot = true);
    add("guarded", tiny(Fixed), |config| {
        // Values near ln 2 / 1e-3 cost single precision three digits.
        config.training.precision = Precision::Float64;
        (config.network.n0, config.network.s0) = (Some(5e-4), 0.99);
    });
    add("negative", tiny(Heterogeneous), |config| {
        (config.network.n0, config.network.s0) = (Some(-2.0), 0.4);
    });
    add("matched", tiny(Lstm), |config| config.network.match_parameters_of = Some(Adaptive));
    cases
}

/// Returns the network of `config` with the weights of an exported file.
fn network(config: &TrialConfig, task: &Task, kind: Kind, weights: &Path) -> Network {
    let mut rng = TrialRng::new(0, Purpose::Init);
    let network = Network::new(&config.network, task.interface(), kind, &mut rng).unwrap();
    let mut weights: BTreeMap<String, Tensor> =
        Tensor::read_safetensors(weights).unwrap().into_iter().collect();
    for parameter in network.parameters() {
        let value = weights.remove(parameter.name).unwrap();
        assert_eq!((value.kind(), value.size()), (kind, parameter.tensor.size()));
        no_grad(|| parameter.tensor.shallow_clone().copy_(&value));
    }
    assert!(weights.is_empty(), "no parameters: {:?}", weights.keys());
    network
}

/// Returns our results for all test samples, in the format of `tests/pytorch/reproduce.py`.
fn expected(config: &TrialConfig, weights: &Path) -> Vec<(String, Tensor)> {
    let task = load(config);
    let kind = match config.training.precision {
        Precision::Float32 => Kind::Float,
        Precision::Float64 => Kind::Double,
    };
    let network = network(config, &task, kind, weights);
    let all = || vec![(0..task.size(Split::Test) as u32).collect()];
    let windows = |windows| (0..windows as u32).map(|window| vec![window]).collect();
    let parts: Vec<Vec<u32>> = task.windows(Split::Test).map_or_else(all, windows);
    let (mut tensors, mut from) = (Vec::new(), None);
    for (part, samples) in parts.iter().enumerate() {
        let batch = task.batch(Split::Test, samples).unwrap();
        assert_eq!(batch.from_rest, part == 0);
        let conditions = RunConditions { from: from.take(), ..RunConditions::default() };
        let run =
            || network.forward(&batch.inputs, conditions, &mut ShapeStats::counting()).unwrap();
        let (scores, last) = no_grad(run);
        from = Some(last);
        let first = batch.targets.size()[0] - batch.scored;
        let targets = batch.targets.narrow(0, first, batch.scored);
        for (name, tensor) in [("inputs", batch.inputs), ("targets", targets), ("scores", scores)] {
            tensors.push((format!("{name}.{part}"), tensor));
        }
    }
    tensors
}

/// Trains a trial, writes its weights and results, and returns its test accuracy.
fn write(torch: &TorchTrainer, config: &TrialConfig, weights: &Path) -> f64 {
    let commit = train(torch, config).0.commit;
    std::fs::write(weights, export(&commit.checkpoint).unwrap()).unwrap();
    let expected = expected(config, weights);
    Tensor::write_safetensors(&expected, weights.with_extension("expected")).unwrap();
    let row = &commit.rows.evaluations[0];
    assert_eq!((row.perturbation.as_str(), row.condition), ("none", None));
    row.accuracy
}

fn reproduce(pytorch: &Path, directory: &Path) -> BTreeMap<String, Reproduction> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut python = Command::new("python3");
    python.arg(root.join("tests/pytorch/reproduce.py"));
    python.arg(root.join("docs/checkpoint.md")).arg(directory);
    // The second variable makes PyTorch resolve functions lazily: deploy/tools.sh leaves out the
    // GPU libraries.
    python.env("PYTHONPATH", pytorch).env("TORCH_USE_RTLD_GLOBAL", "1").env("OMP_NUM_THREADS", "1");
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn pytorch_reproduces_scores_and_accuracy_of_every_kind_of_network() {
    let directory = tempfile::tempdir().unwrap();
    let torch = TorchTrainer::default();
    let mut trained = Vec::new();
    for (name, config) in cases() {
        let file = directory.path().join(format!("{name}.safetensors"));
        let accuracy = write(&torch, &config, &file);
        trained.push((name, config, accuracy));
    }
    let Some(pytorch) = pytorch() else { return };
    let mut all = reproduce(&pytorch, directory.path());
    for (name, config, accuracy) in trained {
        let found = all.remove(&name).unwrap();
        assert_eq!(found.kind, config.network.kind.name(), "{name}");
        assert_eq!((found.task.as_str(), found.epoch), (config.task.kind.name(), 2), "{name}");
        assert!(found.shapes_as_documented, "{name}");
        assert!(found.lines <= 30, "{name}: {} lines", found.lines);
        let slack = if config.training.precision == Precision::Float64 { 1e-12 } else { 1e-5 };
        assert!(found.error <= slack, "{name}: off by {}", found.error);
        assert_eq!(f64::from(found.correct) / f64::from(found.scored), accuracy, "{name}");
    }
}
