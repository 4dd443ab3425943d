//! Networks learn: well above chance within seconds, with bit-identical results every time.
use rheo_model::config::Metric;
use rheo_model::config::{Network, NetworkKind, Task, TaskKind, Training, TrialConfig};
use rheo_train::TorchTrainer;

use crate::support::{KINDS, oracles, train};

fn digits(kind: NetworkKind) -> TrialConfig {
    let mut config = TrialConfig {
        task: Task {
            kind: TaskKind::Digits,
            side: 8,
            pool: 2,
            train_size: 800,
            validation_size: 200,
            test_size: 200,
            ..Task::default()
        },
        network: Network { kind, hidden: 24, controller: 4, ..Network::default() },
        training: Training { epochs: 6, batch: 20, ..Training::default() },
        seed: 400,
        ..TrialConfig::default()
    };
    config.training.optimizer.lr = 3e-3;
    config
}

#[test]
fn every_kind_of_network_learns_to_tell_digits_apart() {
    for kind in KINDS {
        let (finish, _) = train(&TorchTrainer::default(), &digits(kind));
        let rows = &finish.commit.rows.epochs;
        let accuracy = finish.metrics[&Metric::TestAccuracy.to_name()];
        let fall = rows[rows.len() - 1].train_loss / rows[0].train_loss;
        // The slope of the logistic function is at most 1/4: over 16 steps the gradient vanishes.
        if kind == NetworkKind::Sigmoid {
            assert!(fall < 1.0, "{kind:?}: {fall}");
            continue;
        }
        // Chance is 0.1, and ten standard errors above it are 0.31.
        assert!(accuracy > 0.31, "{kind:?}: {accuracy}");
        assert!(fall < 0.8, "{kind:?}: {fall}");
    }
}

#[test]
fn learning_is_repeatable_to_the_bit_across_trainers() {
    let mut config = digits(NetworkKind::Heterogeneous);
    config.training.epochs = 2;
    let [a, b] = [(); 2].map(|()| train(&TorchTrainer::default(), &config).0);
    assert_eq!(a.commit, b.commit);
    config.seed += 1;
    let (other, _) = train(&TorchTrainer::default(), &config);
    assert_ne!(other.commit.rows.epochs[0].val_loss, a.commit.rows.epochs[0].val_loss);
}

#[test]
fn the_copy_task_is_learned_below_the_memoryless_baseline() {
    // K ln 8 / T for K = 10, D = 200 is the value of the reference.
    let baseline = |symbols: f64, steps: f64| symbols * 8f64.ln() / steps;
    let expected = oracles()["tasks"]["copy_baseline_nats"].as_f64().unwrap();
    assert!((baseline(10.0, 220.0) - expected).abs() < 1e-12);
    let mut config = digits(NetworkKind::Heterogeneous);
    config.task = Task {
        kind: TaskKind::Copy,
        symbols: 2,
        delay: 3,
        updates: 100,
        one_hot: true,
        validation_size: 200,
        test_size: 200,
        ..Task::default()
    };
    config.training.epochs = 4;
    let (finish, _) = train(&TorchTrainer::default(), &config);
    let loss = finish.metrics[&Metric::TestLoss.to_name()];
    assert!(loss < 0.7 * baseline(2.0, 7.0), "{loss}");
    assert!(finish.metrics[&Metric::TestAccuracy.to_name()] > 2.0 / 8.0, "{:?}", finish.metrics);
}
