//! One trial as a resumable state machine: analyses of the untrained network, epochs of updates with a
//! validation and analyses after each, then the cells of the evaluation.
//!
//! Every [`Trial::step`] does one batch or one analysis and ends where a checkpoint can be taken.
//! What a step does is determined by the configuration, the weights and the [`State`]; hence a trial
//! that goes on from a checkpoint repeats, bit for bit, what it would have done without the
//! interruption.

mod feed;
mod report;
mod snapshot;
mod state;

use rheo_core::config::{Analysis, AnalysisKind, TrialConfig};
use rheo_core::metric::Report;
use rheo_core::rng::{Purpose, TrialRng};
use rheo_core::row::Rows;
use rheo_core::trainer::{Next, Session};

use crate::Error;
use crate::adam::Adam;
use crate::analysis::{self, Study, shapes};
use crate::evaluation::{self, Perturbation};
use crate::gauge::{Gauge, Shape};
use crate::network::Network;
use crate::step::{self, Score};
use crate::task::{Library, Split, Task};
use crate::tensor::kind;
use feed::Feed;
use state::{Stage, State};

/// Samples per batch of a pass without gradients: more is not measurably faster.
const PASS_SAMPLES: u32 = 256;

/// Most elements of the currents [T, B, H] of a batch of a pass, which bounds its memory.
const PASS_CURRENTS: u32 = 1 << 24;

/// A trial in work.
pub(crate) struct Trial<'a> {
    config: &'a TrialConfig,
    task: Task,
    network: Network,
    adam: Adam,
    feed: Feed,
    cells: Vec<Perturbation>,
    state: State,
    /// What the pass in work has measured.
    gauge: Gauge,
    /// The shapes of the untrained network, once measured.
    initial: Option<Shape>,
    /// Rows since the last commit.
    rows: Rows,
    /// Reports since the last commit.
    reports: Vec<Report>,
    /// Seconds of this attempt that are in the state.
    clock: f64,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// There is more to do.
    More,
    /// That was the last one.
    Done,
    /// A loss was not finite: the trial ends here.
    Diverged {
        /// Where.
        detail: String,
    },
}

impl<'a> Trial<'a> {
    /// The trial of `config` before its first step.
    pub(crate) fn begin(config: &'a TrialConfig, library: &Library) -> Result<Self, Error> {
        let task = Task::load(config, library)?;
        let mut rng = TrialRng::new(config.seeds.of(Purpose::Init, config.seed), Purpose::Init);
        let kind = kind(config.training.precision);
        let network = Network::new(&config.network, task.interface(), kind, &mut rng)?;
        let adam = Adam::new(&config.training.optimizer, &network.trained())?;
        let mut trial = Self {
            feed: Feed::new(config, &task),
            cells: evaluation::cells(&config.evaluate),
            state: State::start(),
            gauge: Gauge::counting(),
            initial: None,
            rows: Rows::default(),
            reports: Vec::new(),
            clock: 0.0,
            config,
            task,
            network,
            adam,
        };
        trial.enter(Stage::Analyze)?;
        Ok(trial)
    }

    /// Does one batch of whatever comes next.
    pub(crate) fn step(&mut self, session: &mut dyn Session) -> Result<Step, Error> {
        let step = match self.state.stage {
            Stage::Analyze => self.analyze(session),
            Stage::Train => self.train(),
            Stage::Validate => self.validate(session),
            Stage::Evaluate => self.evaluate(),
            Stage::Done => Ok(Step::Done),
        };
        self.tick(session);
        step
    }

    /// Adds the seconds since the last call to the time of the trial.
    fn tick(&mut self, session: &dyn Session) {
        let now = session.elapsed();
        let passed = now - self.clock;
        self.clock = now;
        self.state.seconds += passed;
        self.state.epoch_seconds += passed;
    }

    /// Makes the next analysis that is due after the epoch; after the last one, goes on.
    fn analyze(&mut self, session: &mut dyn Session) -> Result<Step, Error> {
        let mut pause = || match session.next() {
            Next::Continue | Next::Commit => Ok(()),
            Next::Stop | Next::Abandon => Err(Error::Interrupted),
        };
        if self.initial.is_none() && self.needs_initial() {
            self.initial = shapes::measure(&self.network, &self.task, &mut pause)?;
            return Ok(Step::More);
        }
        let Some(analysis) = self.due().nth(self.state.analysis as usize) else {
            self.advance()?;
            return Ok(Step::More);
        };
        let study = Study {
            config: self.config,
            analysis,
            epoch: self.state.epoch,
            task: &self.task,
            network: &self.network,
            initial: self.initial.as_ref(),
            phase: "trained",
        };
        let rows = study.run(&mut pause)?;
        self.rows.append(rows);
        self.state.analysis += 1;
        Ok(Step::More)
    }

    /// Whether the gains and saturations that the network starts with will be asked for.
    fn needs_initial(&self) -> bool {
        let asks = |analysis: &Analysis| analysis.kind == AnalysisKind::Shapes;
        self.network.kind().has_shape() && self.config.analyze.iter().any(asks)
    }

    /// The analyses that are made after the epoch of the state.
    fn due(&self) -> impl Iterator<Item = &'a Analysis> + use<'a> {
        let epoch = self.state.epoch;
        let last = i32::try_from(self.config.epochs()).unwrap_or(i32::MAX) - 1;
        let is_due = move |a: &&Analysis| analysis::epochs(a, last).contains(&epoch);
        self.config.analyze.iter().filter(is_due)
    }

    fn train(&mut self) -> Result<Step, Error> {
        let batch = self.feed.batch(&self.task, self.state.batch)?;
        let mut gauge = Gauge::counting();
        let update = step::update(&self.network, &mut self.adam, &batch, &mut gauge)?;
        let state = &mut self.state;
        let Some(grad_norm) = update.grad_norm else {
            let place = format!("in update {} of epoch {}", state.batch, state.epoch);
            return Ok(diverged(update.score.loss, &place));
        };
        state.train.add(&update.score, batch.samples);
        state.grad_norms += grad_norm;
        state.guard_hits += gauge.guard_hits;
        state.negative_gains += gauge.negative_gains;
        state.batch += 1;
        if u64::from(state.batch) >= self.task.updates() {
            self.enter(Stage::Validate)?;
        }
        Ok(Step::More)
    }

    fn validate(&mut self, session: &mut dyn Session) -> Result<Step, Error> {
        let size = self.task.size(Split::Validation);
        let score = self.pass(Split::Validation, size, Perturbation::None)?;
        if !score.loss.is_finite() {
            let place = format!("in the validation after epoch {}", self.state.epoch);
            return Ok(diverged(score.loss, &place));
        }
        if !self.is_complete(size) {
            return Ok(Step::More);
        }
        self.tick(session);
        self.report_epoch()?;
        self.enter(Stage::Analyze)?;
        Ok(Step::More)
    }

    fn evaluate(&mut self) -> Result<Step, Error> {
        let Some(&cell) = self.cells.get(self.state.cell as usize) else {
            return Ok(Step::Done);
        };
        let size = self.task.size(Split::Test);
        self.pass(Split::Test, size, cell)?;
        if !self.is_complete(size) {
            return Ok(Step::More);
        }
        // Only the loss of an unperturbed network says that training went wrong.
        let loss = self.state.pass.loss();
        if cell == Perturbation::None && !loss.is_finite() {
            return Ok(diverged(loss, "on the unperturbed test data"));
        }
        self.report_cell(cell);
        self.state.cell += 1;
        if self.state.cell as usize == self.cells.len() {
            self.enter(Stage::Done)?;
            return Ok(Step::Done);
        }
        self.enter(Stage::Evaluate)?;
        Ok(Step::More)
    }

    /// Scores the network on the next batch of the first `size` samples of a split.
    fn pass(&mut self, split: Split, size: u64, cell: Perturbation) -> Result<Score, Error> {
        let chunk = self.chunk();
        let end = u32::try_from(size).unwrap_or(u32::MAX);
        let first = self.state.batch.saturating_mul(chunk).min(end);
        let samples: Vec<u32> = (first..first.saturating_add(chunk).min(end)).collect();
        let mut batch = self.task.batch(split, &samples)?;
        let (steps, kind) = (self.task.steps(), kind(self.config.training.precision));
        if let Some(factor) = cell.factor(steps, kind)? {
            batch.inputs = batch.inputs.f_mul(&factor)?;
        }
        let drive = cell.drive(steps, kind)?;
        let score = step::evaluate(&self.network, &batch, drive.as_ref(), &mut self.gauge)?;
        self.state.pass.add(&score, batch.samples);
        self.state.batch += 1;
        Ok(score)
    }

    /// Whether the pass in work has seen `size` samples.
    fn is_complete(&self, size: u64) -> bool {
        self.state.pass.samples() >= size
    }

    /// Samples per batch of a pass. Part of what determines the last bits of the sums, hence a
    /// function of the configuration alone.
    fn chunk(&self) -> u32 {
        let currents = self.task.steps().saturating_mul(self.network.hidden());
        (PASS_CURRENTS / currents.max(1)).clamp(16, PASS_SAMPLES)
    }

    /// Goes on to the next epoch, or to the evaluation after the last.
    fn advance(&mut self) -> Result<(), Error> {
        let next = self.state.epoch + 1;
        if i64::from(next) >= i64::from(self.config.epochs()) {
            return self.enter(Stage::Evaluate);
        }
        self.feed.begin_epoch(&self.task);
        self.state.begin_epoch(next);
        self.enter(Stage::Train)
    }

    fn enter(&mut self, stage: Stage) -> Result<(), Error> {
        self.state.enter(stage);
        self.gauge = match stage {
            Stage::Validate => Gauge::measuring(self.network.hidden())?,
            Stage::Analyze | Stage::Train | Stage::Evaluate | Stage::Done => Gauge::counting(),
        };
        Ok(())
    }
}

fn diverged(loss: f64, place: &str) -> Step {
    let what = if loss.is_nan() { "not a number" } else { "infinite" };
    Step::Diverged { detail: format!("the loss is {what} {place}") }
}
