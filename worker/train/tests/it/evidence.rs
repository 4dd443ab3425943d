//! The evidence task, and mean inputs of tasks.

use rheo_model::config::{
    Network, NetworkKind, Precision, Task as TaskConfig, TaskKind, Training, TrialConfig,
};
use rheo_train::TorchTrainer;
use rheo_train::network::Readout;
use rheo_train::task::{Split, Task};

use crate::data::{doubles, load, sequence};
use crate::support::{oracles, train};

fn config(change: impl Fn(&mut TaskConfig)) -> TrialConfig {
    let mut task = TaskConfig {
        kind: TaskKind::Evidence,
        train_size: 20_000,
        validation_size: 500,
        test_size: 500,
        ..TaskConfig::default()
    };
    change(&mut task);
    let mut config = TrialConfig { task, ..TrialConfig::default() };
    config.training.precision = Precision::Float64;
    config
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn evidence_stands_between_silences_and_its_label_is_its_sign() {
    let task = load(&config(|task| (task.silence, task.stimulus, task.noise) = (3, 5, 0.0)));
    assert_eq!(task.steps(), 11);
    let interface = task.interface();
    assert_eq!((interface.inputs, interface.classes), (1, 2));
    assert_eq!((interface.readout, interface.embedding), (Readout::Last, None));
    let samples: Vec<u32> = (0..500).collect();
    let batch = task.batch(Split::Test, &samples).unwrap();
    assert_eq!(batch.inputs.size(), [11, 500, 1]);
    assert_eq!((batch.samples, batch.weight, batch.from_rest), (500, 500, true));
    let (inputs, targets) = (doubles(&batch.inputs), doubles(&batch.targets));
    let conditions = batch.conditions.unwrap();
    for (sample, &coherence) in conditions.iter().enumerate() {
        let column: Vec<f64> = (0..11).map(|step| inputs[step * 500 + sample]).collect();
        let stimulus = [coherence; 5];
        assert_eq!(column, [&[0.0; 3][..], &stimulus, &[0.0; 3]].concat(), "{sample}");
        assert_eq!(targets[sample], f64::from(u8::from(coherence > 0.0)), "{sample}");
    }
    let mut values = conditions;
    values.sort_by(f64::total_cmp);
    values.dedup();
    let levels = numbers(&oracles()["tasks"]["evidence"]["coherence"]);
    let signed: Vec<f64> = levels.iter().rev().map(|c| -c).chain(levels.clone()).collect();
    assert_eq!(values, signed);
}

#[test]
fn an_evidence_sample_depends_only_on_seed_split_and_index() {
    let embed_inputs =
        |change: fn(&mut TaskConfig), split, index| sequence(&load(&config(change)), split, index);
    let first = embed_inputs(|_| {}, Split::Train, 4);
    assert_eq!(first, embed_inputs(|task| task.train_size = 5, Split::Train, 4));
    assert_ne!(first, embed_inputs(|_| {}, Split::Validation, 4));
    assert_ne!(first, embed_inputs(|_| {}, Split::Train, 3));
    assert_ne!(first, embed_inputs(|task| task.seed = 1, Split::Train, 4));
    // The noise scales the drawn numbers.
    let [none, one, two] = [
        embed_inputs(|task| task.noise = 0.0, Split::Train, 4),
        first,
        embed_inputs(|task| task.noise = 2.0, Split::Train, 4),
    ];
    for step in 0..100 {
        let (once, twice) = (one[step] - none[step], two[step] - none[step]);
        assert!((twice - 2.0 * once).abs() < 1e-12, "{step}");
    }
}

/// Returns condition, correct samples and all samples if the sign of the sum decides; one entry per
/// condition and one for all.
fn ideal(task: &Task) -> Vec<(f64, u32, u32)> {
    let levels = numbers(&oracles()["tasks"]["evidence"]["coherence"]);
    let mut counts: Vec<(f64, u32, u32)> = levels.iter().map(|&level| (level, 0, 0)).collect();
    let all: Vec<u32> = (0..20_000).collect();
    for samples in all.chunks(1000) {
        let batch = task.batch(Split::Train, samples).unwrap();
        let sums = doubles(&batch.inputs.sum_dim_intlist([0i64].as_slice(), false, None));
        let labels = doubles(&batch.targets);
        for ((sum, label), condition) in sums.iter().zip(labels).zip(batch.conditions.unwrap()) {
            let count = counts.iter_mut().find(|count| count.0 == condition.abs()).unwrap();
            count.1 += u32::from((*sum > 0.0) == (label > 0.5));
            count.2 += 1;
        }
    }
    counts
}

#[test]
fn the_ideal_observer_has_the_reference_accuracy() {
    let oracle = &oracles()["tasks"]["evidence"];
    let counts = ideal(&load(&config(|_| {})));
    for ((level, right, count), p) in counts.iter().zip(numbers(&oracle["ideal_accuracy"])) {
        let [right, count] = [*right, *count].map(f64::from);
        // A fifth of the samples, and an accuracy within five standard errors, plus one sample
        // where hardly any is wrong.
        assert!((count - 4000.0).abs() < 5.0 * (20_000.0 * 0.2 * 0.8f64).sqrt(), "{level}");
        let bound = 5.0 * (p * (1.0 - p) / count).sqrt() + 1.0 / count;
        assert!((right / count - p).abs() < bound, "{level}: {}, not {p}", right / count);
    }
    let of = |noise: &str| oracle["mean_at_sigma"][noise].as_f64();
    let means =
        [(0.5, of("0.5")), (1.0, oracle["mean"].as_f64()), (1.5, of("1.5")), (2.0, of("2.0"))];
    for (noise, mean) in means {
        let counts = ideal(&load(&config(|task| task.noise = noise)));
        let found = f64::from(counts.iter().map(|count| count.1).sum::<u32>()) / 20_000.0;
        let mean = mean.unwrap();
        let bound = 5.0 * (mean * (1.0 - mean) / 20_000.0).sqrt();
        assert!((found - mean).abs() < bound, "noise {noise}: {found}, not {mean}");
    }
}

/// Returns the standard normal distribution function, by Simpson's rule from 0.
fn below(z: f64) -> f64 {
    let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let step = z / 200.0;
    let pairs = (0..100).map(|pair| {
        let from = f64::from(2 * pair) * step;
        density(from) + 4.0 * density(from + step) + density(from + 2.0 * step)
    });
    0.5 + pairs.sum::<f64>() * step / 3.0
}

#[test]
fn a_trained_network_does_not_beat_the_ideal_observer() {
    let oracle = &oracles()["tasks"]["evidence"];
    let levels = numbers(&oracle["coherence"]);
    let ideal = |level: f64, steps: f64| below(level * steps.sqrt());
    for (level, expected) in levels.iter().zip(numbers(&oracle["ideal_accuracy"])) {
        assert!((ideal(*level, 80.0) - expected).abs() < 1e-9);
    }
    let mut config = TrialConfig {
        task: TaskConfig {
            kind: TaskKind::Evidence,
            stimulus: 30,
            silence: 2,
            train_size: 2000,
            validation_size: 200,
            test_size: 2000,
            ..TaskConfig::default()
        },
        network: Network { kind: NetworkKind::Heterogeneous, hidden: 24, ..Network::default() },
        training: Training { epochs: 8, batch: 50, ..Training::default() },
        seed: 400,
        ..TrialConfig::default()
    };
    config.training.optimizer.lr = 3e-3;
    config.analyze.clear();
    let (finish, _) = train(&TorchTrainer::default(), &config);
    let rows = &finish.commit.rows.evaluations;
    let (mut all, mut bound) = (0.0, 0.0);
    for level in levels {
        let of_level = |row: &&rheo_model::row::EvaluationRow| {
            row.condition.is_some_and(|condition| condition.abs() == level)
        };
        let parts: Vec<_> = rows.iter().filter(of_level).collect();
        let count: f64 = parts.iter().map(|row| row.count as f64).sum();
        let right: f64 = parts.iter().map(|row| row.count as f64 * row.accuracy).sum();
        let (found, best) = (right / count, ideal(level, 30.0));
        let stderr = (best * (1.0 - best) / count).sqrt();
        assert!(found <= best + 4.0 * stderr, "{level}: {found}, ideal {best}");
        (all, bound) = (all + right / 2000.0, bound + best * count / 2000.0);
    }
    let stderr = (bound * (1.0 - bound) / 2000.0).sqrt();
    assert!(all <= bound + 4.0 * stderr, "{all}, ideal {bound}");
    // Close enough to test the bound: chance is .27 below it.
    assert!(all > bound - 0.05, "{all}, ideal {bound}");
}

#[test]
fn the_mean_input_is_that_of_the_batches() {
    let copy = |one_hot| {
        config(|task| {
            (task.kind, task.one_hot) = (TaskKind::Copy, one_hot);
            (task.symbols, task.delay, task.validation_size) = (5, 6, 4000);
        })
    };
    let digits = config(|task| {
        (task.kind, task.train_size, task.permute) = (TaskKind::Digits, 40, true);
        task.pool = 2;
    });
    // Generated samples have the mean of their distribution: 20,000 symbols with a standard
    // deviation of 2.3 each, of which 5 appear in 16 steps.
    let bound = 5.0 * 2.3 / 20_000f64.sqrt() * 5.0 / 16.0;
    for (config, split, bound) in [
        (copy(false), Split::Validation, bound),
        (copy(true), Split::Validation, 1e-12),
        (digits, Split::Train, 1e-9),
        (config(|_| {}), Split::Validation, 5.0 * 0.26 / 500f64.sqrt()),
    ] {
        let task = load(&config);
        let all: Vec<u32> = (0..task.size(split) as u32).collect();
        let inputs = doubles(&task.batch(split, &all).unwrap().inputs);
        let mean = inputs.iter().sum::<f64>() / inputs.len() as f64;
        assert_eq!(config.task.steps(), task.steps());
        let said = task.input_mean().unwrap();
        assert!((said - mean).abs() < bound, "{}: {said}, not {mean}", config.task.kind.name());
        let is_image = config.task.kind.has_images();
        assert_eq!((task.order().is_some(), task.image_side().is_some()), (is_image, is_image));
    }
}
