//! Shared test code: scripted sessions, tiny trials, the reference values.

use rheo_core::progress::Progress;
use rheo_model::config::{
    Evaluation, EvaluationKind, Network, NetworkKind, Task, TaskKind, Training, TrialConfig,
};
use rheo_model::row::Rows;
use rheo_model::trainer::{Commit, Error, FinalCommit, NextAction, RunOutcome, Session, Trainer};
use rheo_train::TorchTrainer;
use tch::{Kind, Tensor};

/// A session that answers from a script and records what it receives. Its clock stands still unless
/// set, so everything a trial produces can be compared bit by bit.
pub(crate) struct ScriptedSession<F> {
    answer: F,
    asked: usize,
    /// Seconds that pass with every question.
    pub(crate) tick: f64,
    pub(crate) commits: Vec<Commit>,
    pub(crate) progress: Vec<Progress>,
}

impl<F: FnMut(usize) -> NextAction> ScriptedSession<F> {
    /// Creates a session; `answer` receives the number of earlier questions.
    pub(crate) fn new(answer: F) -> Self {
        Self { answer, asked: 0, tick: 0.0, commits: Vec::new(), progress: Vec::new() }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked
    }
}

impl<F: FnMut(usize) -> NextAction> Session for ScriptedSession<F> {
    fn next(&mut self) -> NextAction {
        let answer = (self.answer)(self.asked);
        self.asked += 1;
        answer
    }

    fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }

    fn commit(&mut self, commit: Commit) {
        self.commits.push(commit);
    }

    fn elapsed(&self) -> f64 {
        self.tick * self.asked as f64
    }
}

/// Change of a configuration.
pub(crate) type ConfigChange = fn(&mut TrialConfig);

/// Trains a trial without interruption; also returns the number of questions to the session.
pub(crate) fn train(torch: &TorchTrainer, config: &TrialConfig) -> (FinalCommit, usize) {
    let mut session = ScriptedSession::new(|_| NextAction::Continue);
    match torch.run(config, None, &mut session).unwrap() {
        RunOutcome::Completed(finish) => (finish, session.asked()),
        other => panic!("not completed: {other:?}"),
    }
}

/// Runs a trial until question `at`, where it is stopped.
pub(crate) fn stop_at(
    torch: &TorchTrainer,
    config: &TrialConfig,
    resume: Option<&[u8]>,
    at: usize,
) -> Result<RunOutcome, Error> {
    let mut session =
        ScriptedSession::new(
            |asked| if asked == at { NextAction::Stop } else { NextAction::Continue },
        );
    torch.run(config, resume, &mut session)
}

/// Concatenates the rows of several commits.
pub(crate) fn joined<'a>(commits: impl IntoIterator<Item = &'a Commit>) -> Rows {
    let mut rows = Rows::default();
    for commit in commits {
        rows.append(commit.rows.clone());
    }
    rows
}

/// Returns a digits trial of a few milliseconds, with a smaller last batch in every pass.
pub(crate) fn tiny(kind: NetworkKind) -> TrialConfig {
    TrialConfig {
        task: Task {
            kind: TaskKind::Digits,
            side: 8,
            pool: 2,
            train_size: 25,
            validation_size: 300,
            test_size: 300,
            ..Task::default()
        },
        network: Network { kind, hidden: 5, controller: 3, ..Network::default() },
        training: Training { epochs: 2, batch: 10, ..Training::default() },
        evaluate: vec![
            Evaluation {
                kind: EvaluationKind::Sine,
                level: Some(vec![0.0, 0.5]),
                frequency: Some(vec![1.0]),
                ..Evaluation::default()
            },
            Evaluation {
                kind: EvaluationKind::StepDrive,
                level: Some(vec![5.0]),
                ..Evaluation::default()
            },
        ],
        seed: 7,
        ..TrialConfig::default()
    }
}

/// Returns the same trial with another task.
pub(crate) fn tiny_copy(kind: NetworkKind) -> TrialConfig {
    let mut config = tiny(kind);
    config.task = Task {
        kind: TaskKind::Copy,
        symbols: 2,
        delay: 3,
        updates: 3,
        validation_size: 300,
        test_size: 300,
        ..Task::default()
    };
    config
}

/// All kinds of networks.
pub(crate) const KINDS: [NetworkKind; 12] = NetworkKind::ALL;

/// Returns the reference values.
pub(crate) fn oracles() -> serde_json::Value {
    serde_json::from_str(include_str!("../goldens/oracles.json")).unwrap()
}

/// Returns all numbers in a value, row by row.
pub(crate) fn numbers(value: &serde_json::Value) -> Vec<f64> {
    match value {
        serde_json::Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

/// Compares with relative tolerance 1e-9 and absolute tolerance 1e-12, the precision of the
/// reference values.
#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-9 * b.abs() + 1e-12, "{what}[{place}]: {a}, not {b}");
    }
}

/// Sets one thread, as most trials have; more threads busy-wait, which starves other tests.
pub(crate) fn one_thread() {
    let _ = tch::get_num_threads();
    tch::set_num_threads(1);
}

pub(crate) fn doubles(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_kind(Kind::Double).contiguous().view(-1);
    Vec::try_from(flat).unwrap()
}
