//! Rows of a trial, checked against each other and against the configuration.
use rheo_model::config::Metric;
use rheo_model::config::{
    Analysis, AnalysisKind, Augmentation, Evaluation, EvaluationKind, NetworkKind, Precision,
    Readaptation, Seeds, TrialConfig,
};
use rheo_model::row::Rows;
use rheo_model::trainer::{FinalCommit, NextAction, RunOutcome, Trainer as _};
use rheo_train::TorchTrainer;

use crate::support::{KINDS, ScriptedSession, joined, stop_at, tiny, tiny_copy, train};

fn rows(config: &TrialConfig) -> (Rows, FinalCommit) {
    let (finish, _) = train(&TorchTrainer::default(), config);
    (finish.commit.rows.clone(), finish)
}

#[test]
fn every_epoch_cell_and_neuron_has_one_row() {
    for config in KINDS.into_iter().flat_map(|kind| [tiny(kind), tiny_copy(kind)]) {
        let (rows, _) = rows(&config);
        let epochs: Vec<i32> = rows.epochs.iter().map(|row| row.epoch).collect();
        assert_eq!(epochs, [0, 1]);
        let cells: Vec<(&str, f64, Option<f64>)> = rows
            .evaluations
            .iter()
            .map(|row| (row.perturbation.as_str(), row.level, row.frequency))
            .collect();
        let sine = |level| ("sine", level, Some(1.0));
        assert_eq!(cells, [("none", 0.0, None), sine(0.0), sine(0.5), ("step_drive", 5.0, None)]);
        let shapes: Vec<(i32, u32)> =
            rows.shapes.iter().map(|row| (row.epoch, row.neuron)).collect();
        let expected: Vec<(i32, u32)> = if config.network.kind.has_shape() {
            [-1, 1].into_iter().flat_map(|epoch| (0..5).map(move |i| (epoch, i))).collect()
        } else {
            Vec::new()
        };
        assert_eq!(shapes, expected, "{:?}", config.network.kind);
    }
}

#[test]
fn the_unperturbed_network_is_evaluated_first_and_once() {
    let mut config = tiny(NetworkKind::Relu);
    let none = Evaluation::default();
    let step = Evaluation {
        kind: EvaluationKind::StepDrive,
        level: Some(vec![1.0, 2.0, 1.0]),
        ..Evaluation::default()
    };
    config.evaluate = vec![step.clone(), none.clone(), step, none];
    let (rows, _) = rows(&config);
    let cells: Vec<(&str, f64)> =
        rows.evaluations.iter().map(|row| (row.perturbation.as_str(), row.level)).collect();
    assert_eq!(cells, [("none", 0.0), ("step_drive", 1.0), ("step_drive", 2.0)]);
}

#[test]
fn a_perturbation_of_level_zero_changes_nothing() {
    for config in [tiny(NetworkKind::Adaptive), tiny_copy(NetworkKind::Homogeneous)] {
        let (rows, _) = rows(&config);
        let [none, zero, sine, step] = &rows.evaluations[..] else { panic!("{rows:?}") };
        // Cells are computed side by side, which changes the last bits of single precision.
        assert!((none.loss - zero.loss).abs() < 1e-6, "{none:?} {zero:?}");
        assert_eq!(none.accuracy, zero.accuracy);
        assert_ne!(none.loss, sine.loss);
        assert_ne!(none.loss, step.loss);
        for row in &rows.evaluations {
            assert_eq!(row.count, 300);
            let p = row.accuracy;
            assert_eq!(row.stderr, (p * (1.0 - p) / 300.0).sqrt());
            assert_eq!(
                (row.epoch, row.split.as_str(), row.shape_mode.as_str()),
                (1, "test", "own")
            );
        }
        // T = 16 in one task and 7 in the other: onsets at 4 and 2.
        let onset = if config.network.kind == NetworkKind::Adaptive { 4 } else { 2 };
        assert_eq!([none.from_step, sine.from_step, step.from_step], [0, 0, onset + 1]);
    }
}

#[test]
fn metrics_and_reports_are_those_of_the_rows() {
    let (rows, finish) = rows(&tiny(NetworkKind::Heterogeneous));
    let last = rows.epochs.last().unwrap();
    let clean = &rows.evaluations[0];
    let expected = [
        (Metric::TrainLoss.to_name(), last.train_loss),
        (Metric::TrainAccuracy.to_name(), last.train_accuracy),
        (Metric::ValidationLoss.to_name(), last.val_loss),
        (Metric::ValidationAccuracy.to_name(), last.val_accuracy),
        (Metric::TestLoss.to_name(), clean.loss),
        (Metric::TestAccuracy.to_name(), clean.accuracy),
    ];
    assert_eq!(finish.metrics, expected.into());
    assert_eq!(finish.commit.reports.len(), 2);
    for (report, row) in finish.commit.reports.iter().zip(&rows.epochs) {
        assert_eq!(i64::from(report.epoch), i64::from(row.epoch));
        assert_eq!(report.metrics[&Metric::ValidationLoss.to_name()], row.val_loss);
        assert_eq!(report.metrics.len(), 4);
    }
    let best = rows.epochs.iter().map(|row| row.val_accuracy).fold(f64::MIN, f64::max);
    assert_eq!(finish.summary.best_val_accuracy, Some(best));
    assert_eq!((finish.summary.steps, finish.summary.inputs, finish.summary.epochs), (16, 1, 2));
}

#[test]
fn statistics_of_the_shape_are_those_of_the_neurons() {
    let mut config = tiny(NetworkKind::Heterogeneous);
    config.network.n0_spread = 1.0;
    let (rows, finish) = rows(&config);
    let last = rows.epochs.last().unwrap();
    let trained: Vec<f64> = rows.shapes.iter().filter(|row| row.epoch == 1).map(|r| r.n).collect();
    let mean = trained.iter().sum::<f64>() / 5.0;
    let variance = trained.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 5.0;
    assert!((last.n_mean.unwrap() - mean).abs() < 1e-12);
    assert!((last.n_std.unwrap() - variance.sqrt()).abs() < 1e-12);
    // The initial spread is visible, and training has moved every neuron.
    let n0 = finish.summary.n0.unwrap();
    assert!(rows.shapes.iter().all(|row| row.n_init != n0));
    assert!(rows.shapes[5..].iter().all(|row| row.n != row.n_init));
    assert!(rows.shapes[..5].iter().all(|row| row.n == row.n_init && row.s == row.s_init));
}

#[test]
fn neurons_of_a_homogeneous_network_share_one_shape() {
    let (rows, finish) = rows(&tiny(NetworkKind::Homogeneous));
    let last = rows.epochs.last().unwrap();
    assert_eq!((last.n_std, last.s_std), (Some(0.0), Some(0.0)));
    assert!(rows.shapes[5..].iter().all(|row| Some(row.n) == last.n_mean));
    let n0 = finish.summary.n0.unwrap();
    assert!(rows.shapes.iter().all(|row| (row.n_init - n0).abs() < 1e-6));
}

#[test]
fn adaptive_neurons_start_near_n0_and_relu_neurons_have_no_shape() {
    let (rows, finish) = rows(&tiny(NetworkKind::Adaptive));
    let n0 = finish.summary.n0.unwrap();
    // The controller's readout starts with weights of a tenth.
    assert!(rows.shapes[..5].iter().all(|row| (row.n - n0).abs() < 1.0 && row.n != n0));
    let last = rows.epochs.last().unwrap();
    assert!(last.n_std.unwrap() > 0.0 && last.s_std.unwrap() > 0.0);
    let (relu, finish) = self::rows(&tiny(NetworkKind::Relu));
    let last = relu.epochs.last().unwrap();
    assert_eq!((last.n_mean, last.n_std, last.s_mean, last.s_std), (None, None, None, None));
    assert_eq!(finish.summary.n0, None);
}

#[test]
fn shapes_are_measured_at_the_epochs_asked_for() {
    let mut config = tiny(NetworkKind::Adaptive);
    config.analyze = vec![Analysis { epochs: Some(vec![0, 1]), ..Analysis::default() }];
    let (rows, _) = rows(&config);
    let epochs: Vec<i32> = rows.shapes.iter().map(|row| row.epoch).collect();
    assert_eq!(epochs, [[0; 5], [1; 5]].concat());
    // The initial shape is known although its own rows were not requested.
    assert!(rows.shapes.iter().all(|row| row.n != row.n_init));
}

#[test]
fn guarded_and_negative_gains_are_counted_per_update() {
    // 25 samples in batches of 10 are 3 updates an epoch; T = 16 steps, 5 neurons.
    let cases = [
        (NetworkKind::Homogeneous, 5e-4, 3, 0),
        (NetworkKind::Heterogeneous, 5e-4, 15, 0),
        (NetworkKind::Heterogeneous, -2.0, 0, 15),
        (NetworkKind::Adaptive, -9.0, 0, 25 * 16 * 5),
    ];
    for (kind, n0, hits, negatives) in cases {
        let mut config = tiny(kind);
        config.network.n0 = Some(n0);
        // No update moves a gain out of the guard.
        config.training.optimizer.lr = 0.0;
        let (rows, _) = rows(&config);
        for row in &rows.epochs {
            assert_eq!((row.gain_guard_hits, row.negative_gains), (hits, negatives), "{kind:?}");
        }
    }
}

#[test]
fn frozen_shapes_stay_and_are_not_counted_as_parameters() {
    let mut config = tiny(NetworkKind::Heterogeneous);
    let (_, learned) = rows(&config);
    config.network.learn_shape = false;
    let (rows, frozen) = rows(&config);
    assert!(rows.shapes.iter().all(|row| row.n == row.n_init && row.s == row.s_init));
    assert_eq!(learned.summary.parameters, frozen.summary.parameters + 10);
}

#[test]
fn a_homogeneous_network_with_a_frozen_shape_equals_a_fixed_one() {
    let mut still = tiny(NetworkKind::Homogeneous);
    still.network.learn_shape = false;
    let ((still, as_homogeneous), (fixed, as_fixed)) =
        (rows(&still), rows(&tiny(NetworkKind::Fixed)));
    assert_eq!(still, fixed);
    assert_eq!(as_homogeneous.summary, as_fixed.summary);
    assert_eq!(as_homogeneous.metrics, as_fixed.metrics);
}

#[test]
fn a_smaller_last_batch_has_its_weight_in_the_means() {
    // Without learning, the mean over the training samples does not depend on the batches.
    let mut config = tiny(NetworkKind::Relu);
    config.training.optimizer.lr = 0.0;
    config.training.precision = Precision::Float64;
    let (in_tens, _) = rows(&config);
    config.training.batch = 25;
    let (whole, _) = rows(&config);
    let (a, b) = (&in_tens.epochs[0], &whole.epochs[0]);
    assert!((a.train_loss - b.train_loss).abs() < 1e-12);
    assert_eq!(a.train_accuracy, b.train_accuracy);
}

#[test]
fn a_diverged_trial_is_a_result_with_its_rows() {
    let mut config = tiny(NetworkKind::Relu);
    config.training.epochs = 50;
    config.training.optimizer.lr = 1e12;
    config.network.bias_init = rheo_model::config::BiasInit::Zero;
    let mut session = ScriptedSession::new(|_| NextAction::Continue);
    let ended = TorchTrainer::default().run(&config, None, &mut session).unwrap();
    let RunOutcome::Diverged { finish, detail } = ended else { panic!("{ended:?}") };
    assert!(detail.starts_with("the loss is "), "{detail}");
    assert!(detail.contains(" epoch "), "{detail}");
    assert_eq!(finish.commit.rows.epochs.len() as u64, u64::from(finish.summary.epochs));
    assert!(finish.commit.rows.evaluations.is_empty());
    assert!(finish.metrics.values().all(|value| value.is_finite()));
    // Resuming from its checkpoint ends the same way.
    let resume = Some(finish.commit.checkpoint.as_slice());
    let again = TorchTrainer::default().run(
        &config,
        resume,
        &mut ScriptedSession::new(|_| NextAction::Continue),
    );
    assert!(matches!(again.unwrap(), RunOutcome::Diverged { detail: same, .. } if same == detail));
}

#[test]
fn progress_grows_from_nothing_to_all() {
    let mut session = ScriptedSession::new(|_| NextAction::Continue);
    let config = tiny(NetworkKind::Adaptive);
    TorchTrainer::default().run(&config, None, &mut session).unwrap();
    let fractions: Vec<f64> = session.progress.iter().map(|progress| progress.fraction).collect();
    assert!(fractions.is_sorted(), "{fractions:?}");
    assert!(fractions[0] == 0.0 && *fractions.last().unwrap() < 1.0, "{fractions:?}");
    let seen: Vec<&str> = session.progress.iter().map(|progress| &*progress.phase).collect();
    for phase in ["analysing", "training", "validating", "evaluating"] {
        assert!(seen.contains(&phase), "{phase}: {seen:?}");
    }
    let first = seen.iter().position(|phase| *phase == "training").unwrap();
    let during = &session.progress[first + 1];
    assert!(during.metrics.contains_key(&Metric::TrainLoss.to_name()));
    assert!(!during.metrics.contains_key(&Metric::ValidationLoss.to_name()));
    assert_eq!(session.progress.last().unwrap().epoch, 2);
}

#[test]
fn the_time_of_a_trial_adds_up_over_its_attempts() {
    let torch = TorchTrainer::default();
    let config = tiny(NetworkKind::Heterogeneous);
    let ticking = |stop: Option<usize>| {
        let mut session = ScriptedSession::new(move |asked| match stop {
            Some(at) if at == asked => NextAction::Stop,
            _ => NextAction::Continue,
        });
        session.tick = 1.0;
        session
    };
    let RunOutcome::Stopped(first) = torch.run(&config, None, &mut ticking(Some(6))).unwrap()
    else {
        panic!("not stopped")
    };
    let rest = torch.run(&config, Some(&first.checkpoint), &mut ticking(None)).unwrap();
    let RunOutcome::Completed(finish) = rest else { panic!("not completed") };
    let (_, asked) = train(&torch, &config);
    // The clock shows the questions asked: one less than the steps of each attempt.
    assert_eq!(finish.summary.wall_s, (6 + asked - 7) as f64);
    let epochs = first.rows.epochs.iter().chain(&finish.commit.rows.epochs);
    let total: f64 = epochs.map(|row| row.wall_s).sum();
    assert!(total > 0.0 && total < finish.summary.wall_s, "{total}");
}

#[test]
fn without_epochs_the_untrained_network_is_analysed_and_evaluated() {
    let mut config = tiny(NetworkKind::Heterogeneous);
    config.training.epochs = 0;
    let (finish, asked) = train(&TorchTrainer::default(), &config);
    let rows = &finish.commit.rows;
    assert!(rows.epochs.is_empty());
    assert_eq!(rows.shapes.iter().map(|row| row.epoch).collect::<Vec<_>>(), [-1; 5]);
    assert!(rows.evaluations.iter().all(|row| row.epoch == -1));
    assert!(!rows.evaluations.is_empty());
    assert_eq!((finish.summary.epochs, finish.summary.best_val_epoch), (0, None));
    for at in 0..asked {
        let RunOutcome::Stopped(first) =
            stop_at(&TorchTrainer::default(), &config, None, at).unwrap()
        else {
            panic!("it ended at {at}");
        };
        let mut session = ScriptedSession::new(|_| NextAction::Continue);
        let rest =
            TorchTrainer::default().run(&config, Some(&first.checkpoint), &mut session).unwrap();
        let RunOutcome::Completed(rest) = rest else { panic!("not completed") };
        assert_eq!(joined([&first, &rest.commit]), *rows);
    }
}

#[test]
fn shapes_are_kept_before_and_after_a_second_training() {
    let mut config = tiny(NetworkKind::Heterogeneous);
    config.training.readapt = Some(Readaptation { epochs: 2, lr: 1e-2, ..Readaptation::default() });
    let (rows, finish) = rows(&config);
    let told: Vec<(i32, &str)> =
        rows.shapes.iter().step_by(5).map(|row| (row.epoch, row.phase.as_str())).collect();
    assert_eq!(told, [(-1, "trained"), (1, "before"), (3, "after")]);
    // The best epoch of the second training; the first training saw other images.
    assert!(finish.summary.best_val_epoch >= Some(2));
}

#[test]
fn an_analysis_beside_the_trial_knows_where_the_network_started() {
    let mut config = tiny(NetworkKind::Adaptive);
    config.analyze.clear();
    let torch = TorchTrainer::default();
    let (finish, _) = train(&torch, &config);
    let beside = torch.analyze(&config, &finish.commit.checkpoint, &[Analysis::default()]).unwrap();
    config.analyze = vec![Analysis { epochs: Some(vec![1]), ..Analysis::default() }];
    let (inside, _) = train(&torch, &config);
    assert_eq!(beside.shapes, inside.commit.rows.shapes);
    assert!(beside.shapes.iter().all(|row| row.n != row.n_init));
}

/// Returns, as text, the output of a trial that depends on each of its random streams. Its weights
/// do not change.
fn traces(mut config: TrialConfig, seeds: Seeds) -> [(&'static str, String); 4] {
    config.seeds = seeds;
    config.training.optimizer.lr = 0.0;
    config.training.precision = Precision::Float64;
    config.training.augment = Augmentation {
        kind: EvaluationKind::InputNoise,
        probability: 0.5,
        ..Augmentation::default()
    };
    let noise = EvaluationKind::InputNoise;
    config.evaluate =
        vec![Evaluation { kind: noise, level: Some(vec![1.0]), ..Evaluation::default() }];
    let exponents = AnalysisKind::Lyapunov;
    config.analyze = vec![
        Analysis::default(),
        Analysis { kind: exponents, exponents: 2, steps: 5, ..Analysis::default() },
    ];
    let (rows, _) = rows(&config);
    let trained: Vec<f64> = rows.epochs.iter().map(|row| row.grad_norm).collect();
    let validated: Vec<f64> = rows.epochs.iter().map(|row| row.val_loss).collect();
    let tested: Vec<f64> = rows.evaluations.iter().map(|row| row.loss).collect();
    let found: Vec<f64> = rows.lyapunov.iter().map(|row| row.nats).collect();
    assert_eq!((trained.len(), tested.len(), found.len()), (2, 4, 4));
    [
        ("weights", format!("{:?} {validated:?} {}", rows.shapes, tested[0])),
        ("batches", format!("{trained:?}")),
        ("noise", format!("{:?}", &tested[1..])),
        ("exponents", format!("{found:?}")),
    ]
}

#[test]
fn each_seed_changes_only_its_own_stream() {
    let everything = vec!["weights", "batches", "noise", "exponents"];
    let seven = Some(7);
    let nine = Some(9);
    // The trials have seed 7; samples of `digits` have an order, those of `copy` are generated
    // afresh.
    let cases = [
        (Seeds { init: nine, ..Seeds::default() }, everything.clone(), everything),
        (Seeds { order: nine, ..Seeds::default() }, vec!["batches"], vec![]),
        (Seeds { fresh: nine, ..Seeds::default() }, vec![], vec!["batches"]),
        (Seeds { augment: nine, ..Seeds::default() }, vec!["batches"], vec!["batches"]),
        (Seeds { noise: nine, ..Seeds::default() }, vec!["noise"], vec!["noise"]),
        (Seeds { analysis: nine, ..Seeds::default() }, vec!["exponents"], vec!["exponents"]),
        (
            Seeds {
                init: seven,
                order: seven,
                fresh: seven,
                augment: seven,
                noise: seven,
                analysis: seven,
            },
            vec![],
            vec![],
        ),
    ];
    let [digits, copy] = [tiny, tiny_copy].map(|config| config(NetworkKind::Heterogeneous));
    let [of_digits, of_copy] =
        [&digits, &copy].map(|config| traces(config.clone(), Seeds::default()));
    for (seeds, in_digits, in_copy) in cases {
        for (config, before, expected) in
            [(&digits, &of_digits, in_digits), (&copy, &of_copy, in_copy)]
        {
            let after = traces(config.clone(), seeds.clone());
            let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
            let changed: Vec<&str> = changed.map(|(before, _)| before.0).collect();
            assert_eq!(changed, expected, "{seeds:?} of {}", config.task.kind.name());
        }
    }
}
