//! An interrupted and resumed trial is bit-identical to an uninterrupted one.

use std::thread;

use rheo_core::metric::MetricReport;
use rheo_model::config::{
    Kernel, NetworkKind, OptimizerKind, Precision, Schedule, ScheduleKind, Training, TrialConfig,
};
use rheo_model::trainer::{Commit, FinalCommit, NextAction, RunOutcome, Trainer as _};
use rheo_train::TorchTrainer;

use crate::support::{KINDS, ScriptedSession, joined, stop_at, tiny, tiny_copy, train};

fn stopped(ended: RunOutcome) -> Commit {
    match ended {
        RunOutcome::Stopped(commit) => commit,
        other => panic!("not stopped: {other:?}"),
    }
}

fn completed(ended: RunOutcome) -> FinalCommit {
    match ended {
        RunOutcome::Completed(finish) => finish,
        other => panic!("not completed: {other:?}"),
    }
}

/// Asserts that `commits` followed by `finish` equal `whole`.
#[track_caller]
fn assert_same(commits: &[Commit], finish: &FinalCommit, whole: &FinalCommit) {
    let all = || commits.iter().chain([&finish.commit]);
    assert_eq!(joined(all()), whole.commit.rows);
    let reports: Vec<MetricReport> = all().flat_map(|commit| commit.reports.clone()).collect();
    assert_eq!(reports, whole.commit.reports);
    assert_eq!(finish.metrics, whole.metrics);
    assert_eq!(finish.summary, whole.summary);
    // Not assert_eq, which would print every byte.
    assert!(finish.commit.checkpoint == whole.commit.checkpoint, "the final weights differ");
}

fn trials() -> Vec<TrialConfig> {
    let mut trials: Vec<TrialConfig> =
        KINDS.into_iter().flat_map(|kind| [tiny(kind), tiny_copy(kind)]).collect();
    let mut double = tiny(NetworkKind::Adaptive);
    double.training.precision = Precision::Float64;
    let mut plain = tiny(NetworkKind::Homogeneous);
    plain.training.shuffle = false;
    plain.analyze.clear();
    plain.network.learn_shape = false;
    trials.extend([double, plain]);
    trials.extend(recipes());
    trials
}

/// Returns trials with state in every part of the recipe.
fn recipes() -> Vec<TrialConfig> {
    let changes: [fn(&mut Training); 5] = [
        |training| {
            training.optimizer.kind = OptimizerKind::Adamw;
            training.optimizer.weight_decay = 0.1;
            training.schedule.kind = ScheduleKind::Cosine;
            training.schedule.warmup = 2;
        },
        |training| {
            training.optimizer.kind = OptimizerKind::Sgd;
            training.optimizer.momentum = 0.9;
            training.clip_norm = Some(0.01);
            training.epochs = 4;
            // No loss is better by half, so the rate drops after every epoch except the first.
            training.schedule = Schedule {
                kind: ScheduleKind::Plateau,
                patience: 0,
                threshold: 0.5,
                ..Schedule::default()
            };
        },
        |training| {
            training.optimizer.kind = OptimizerKind::Rmsprop;
            training.optimizer.momentum = 0.5;
            training.learn_shape_from = 1;
            training.schedule =
                Schedule { kind: ScheduleKind::Step, every: 1, ..Schedule::default() };
        },
        |training| training.learn_shape_from = 1,
        |training| {
            training.only_shape = true;
            training.optimizer.kind = OptimizerKind::Sgd;
            training.optimizer.lr = 1e-30;
            training.epochs = 4;
            training.early_stop = Some(1);
        },
    ];
    let mut trials = Vec::new();
    for change in changes {
        let mut config = tiny_copy(NetworkKind::Heterogeneous);
        config.evaluate.clear();
        change(&mut config.training);
        trials.push(config);
    }
    trials
}

#[test]
fn u01_a_trial_stopped_anywhere_and_resumed_is_bit_identical() {
    let torch = TorchTrainer::default();
    for config in trials() {
        let (whole, asked) = train(&torch, &config);
        assert!(asked > 10, "too few places to stop at: {asked}");
        for at in 0..asked {
            let first = stopped(stop_at(&torch, &config, None, at).unwrap());
            let mut session = ScriptedSession::new(|_| NextAction::Continue);
            let rest = torch.run(&config, Some(&first.checkpoint), &mut session).unwrap();
            assert_same(&[first], &completed(rest), &whole);
            // An interrupted analysis starts over; no other step is repeated.
            let rest = asked - at - 1;
            assert!(session.asked() >= rest, "steps were left out");
            assert!(session.asked() <= rest + 1, "steps were repeated");
        }
    }
}

#[test]
fn a_trial_stopped_after_every_step_is_bit_identical() {
    let torch = TorchTrainer::default();
    for config in [tiny(NetworkKind::Adaptive), tiny_copy(NetworkKind::Heterogeneous)] {
        let (whole, asked) = train(&torch, &config);
        let mut commits: Vec<Commit> = Vec::new();
        let mut at = 0;
        let finish = loop {
            let resume = commits.last().map(|commit| commit.checkpoint.clone());
            match stop_at(&torch, &config, resume.as_deref(), at).unwrap() {
                RunOutcome::Stopped(commit) => {
                    // Stopped inside an analysis, which must get further the next time.
                    let stayed = resume.as_ref() == Some(&commit.checkpoint);
                    at = if stayed { at + 1 } else { 0 };
                    commits.push(commit);
                }
                other => break completed(other),
            }
        };
        assert!(commits.len() >= asked);
        assert_same(&commits, &finish, &whole);
    }
}

#[test]
fn commits_change_nothing_and_each_can_be_resumed() {
    let torch = TorchTrainer::default();
    let config = tiny(NetworkKind::Heterogeneous);
    let (whole, _) = train(&torch, &config);
    let mut session = ScriptedSession::new(|_| NextAction::Commit);
    let finish = completed(torch.run(&config, None, &mut session).unwrap());
    assert_same(&session.commits, &finish, &whole);
    // An attempt that is lost after a commit leaves exactly its commits.
    for (place, commit) in session.commits.iter().enumerate() {
        let rest = torch.run(
            &config,
            Some(&commit.checkpoint),
            &mut ScriptedSession::new(|_| NextAction::Continue),
        );
        assert_same(&session.commits[..=place], &completed(rest.unwrap()), &whole);
    }
}

#[test]
fn an_abandoned_trial_ends_at_once() {
    let torch = TorchTrainer::default();
    let mut session =
        ScriptedSession::new(
            |asked| if asked == 2 { NextAction::Abandon } else { NextAction::Continue },
        );
    stopped(torch.run(&tiny(NetworkKind::Relu), None, &mut session).unwrap());
    assert_eq!(session.asked(), 3);
}

#[test]
fn a_finished_checkpoint_completes_again_without_rows() {
    let torch = TorchTrainer::default();
    let config = tiny(NetworkKind::Homogeneous);
    let (whole, _) = train(&torch, &config);
    let mut session = ScriptedSession::new(|_| NextAction::Continue);
    let again =
        completed(torch.run(&config, Some(&whole.commit.checkpoint), &mut session).unwrap());
    assert!(again.commit.rows.is_empty());
    assert_eq!((&again.metrics, &again.summary), (&whole.metrics, &whole.summary));
    assert!(again.commit.checkpoint == whole.commit.checkpoint);
}

#[test]
fn trials_side_by_side_have_the_bits_they_have_alone() {
    let torch = TorchTrainer::default();
    // One of them computes with two threads, and is wide enough that libtorch uses both.
    let mut wide = tiny(NetworkKind::Adaptive);
    wide.network.hidden = 32;
    wide.network.controller = 16;
    wide.task.train_size = 200;
    wide.training.batch = 100;
    wide.training.epochs = 1;
    wide.evaluate.clear();
    let mut wider = wide.clone();
    wider.resources.threads = 2;
    let configs = [wide, wider, tiny(NetworkKind::Heterogeneous), tiny_copy(NetworkKind::Relu)];
    let alone: Vec<FinalCommit> = configs.iter().map(|config| train(&torch, config).0).collect();
    let together: Vec<FinalCommit> = thread::scope(|scope| {
        let running: Vec<_> = configs
            .iter()
            .map(|config| {
                let torch = &torch;
                scope.spawn(move || train(torch, config).0)
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (a, b) in alone.iter().zip(&together) {
        assert_same(&[], b, a);
    }
}

#[test]
fn each_thread_computes_with_the_threads_of_its_trial() {
    let torch = TorchTrainer::default();
    // Beside the kernels, which have their own threads, libtorch has one.
    let trials = [
        (1, Kernel::Autograd, 1),
        (2, Kernel::Autograd, 2),
        (1, Kernel::Fused, 1),
        (2, Kernel::Fused, 1),
        (2, Kernel::Libtorch, 2),
    ];
    let seen: Vec<(i32, Vec<i32>)> = thread::scope(|scope| {
        let running: Vec<_> = trials
            .map(|(threads, kernel, expected)| {
                let torch = &torch;
                let mut config = tiny(NetworkKind::Heterogeneous);
                config.resources.threads = threads;
                config.resources.kernel = kernel;
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    let mut session = ScriptedSession::new(|_| {
                        seen.push(tch::get_num_threads());
                        NextAction::Continue
                    });
                    torch.run(&config, None, &mut session).unwrap();
                    (expected, seen)
                })
            })
            .into_iter()
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (expected, seen) in seen {
        assert!(seen.iter().all(|&used| used == expected), "{expected}: {seen:?}");
    }
}
