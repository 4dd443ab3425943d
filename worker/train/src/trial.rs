//! One trial as a resumable state machine: analyses of the untrained network, epochs of updates
//! with a validation and analyses after each, then the cells of the evaluation.
//!
//! Each [`Trial::step`] runs one batch or one analysis and ends where a checkpoint can be taken. A
//! step is determined by the configuration, the weights and the [`TrialState`]; so a trial that
//! resumes from a checkpoint repeats, bit for bit, the uninterrupted run.

mod evaluate;
mod export;
mod readapt;
mod recipe;
mod report;
mod snapshot;
mod state;
mod training_feed;

use rheo_core::metric::MetricReport;
use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{Analysis, AnalysisKind, TrialConfig};
use rheo_model::row::Rows;
use rheo_model::trainer::{NextAction, Session};

use crate::Error;
use crate::analysis::{self, EpochPosition, Study, shapes};
use crate::evaluation::{self, Augmenter, EvaluationCell};
use crate::network::{self, ExecutionBackend, Network};
use crate::optimizer::Optimizer;
use crate::shape_stats::{NeuronShapes, ShapeStats};
use crate::step::{self, Batch, Score, StepInput};
use crate::task::{SampleLibrary, Split, Task};
use crate::tensor::kind;
pub use export::{config_of, export};
use state::{Stage, TrialState};
use training_feed::TrainingFeed;

/// Samples per batch of a pass without gradients; more is not measurably faster.
const PASS_SAMPLES: u32 = 256;

/// Maximum elements of the drive [T, B, H] of a batch, to limit the memory of a pass.
const PASS_CURRENTS: u32 = 1 << 24;

/// A trial in progress.
pub(crate) struct Trial<'a> {
    config: &'a TrialConfig,
    task: Task,
    network: Network,
    optimizer: Optimizer,
    feed: TrainingFeed,
    augmenter: Augmenter,
    /// Mean of the training inputs if a perturbation needs it, else 0.
    mean: f64,
    cells: Vec<EvaluationCell>,
    state: TrialState,
    /// State of the network after the last window of a text.
    carried: Option<network::LayerState>,
    /// Shape statistics of the current pass.
    stats: ShapeStats,
    /// Shapes of the untrained network, once measured.
    initial: Option<NeuronShapes>,
    /// Shapes of frozen neurons, once measured.
    frozen: Option<NeuronShapes>,
    /// Rows since the last commit.
    rows: Rows,
    /// Reports since the last commit.
    reports: Vec<MetricReport>,
    /// Seconds of this attempt that the state already includes.
    clock: f64,
}

/// Outcome of a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StepOutcome {
    /// More steps follow.
    More,
    /// The trial is complete.
    Done,
    /// A loss or a gradient was not finite; the trial ends.
    Diverged {
        /// Description of the value and its position.
        detail: String,
    },
}

impl<'a> Trial<'a> {
    /// Returns the trial of `config` before its first step, with its network on `device`.
    pub(crate) fn begin(
        config: &'a TrialConfig,
        library: &SampleLibrary,
        device: tch::Device,
    ) -> Result<Self, Error> {
        let task = Task::load(config, library)?;
        let mut rng = TrialRng::new(config.seeds.of(Purpose::Init, config.seed), Purpose::Init);
        let kind = kind(config.training.precision);
        let mut network = Network::new(&config.network, task.interface(), kind, &mut rng)?;
        network.set_backend(ExecutionBackend::new(&config.resources));
        network.move_to(device)?;
        let optimizer = Optimizer::new(&config.training.optimizer, &network.parameters())?;
        let mut trial = Self {
            feed: TrainingFeed::new(config, &task),
            augmenter: augmenter(config),
            mean: evaluate::input_mean(config, &task),
            cells: evaluation::cells(&config.evaluate, task.units(Split::Test)),
            state: TrialState::start(),
            carried: None,
            stats: ShapeStats::counting(),
            initial: None,
            frozen: None,
            rows: Rows::default(),
            reports: Vec::new(),
            clock: 0.0,
            config,
            task,
            network,
            optimizer,
        };
        trial.enter(Stage::Analyze)?;
        Ok(trial)
    }

    /// Runs one batch or one analysis.
    pub(crate) fn step(&mut self, session: &mut dyn Session) -> Result<StepOutcome, Error> {
        let step = match self.state.stage {
            Stage::Analyze => self.analyze(session),
            Stage::Train => self.train(),
            Stage::Validate => self.validate(session),
            Stage::Evaluate => self.evaluate(),
            Stage::Done => Ok(StepOutcome::Done),
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

    /// Runs the next analysis that is due after the epoch; after the last one, continues with
    /// training or evaluation.
    fn analyze(&mut self, session: &mut dyn Session) -> Result<StepOutcome, Error> {
        let mut check_stop = || match session.next() {
            NextAction::Continue | NextAction::Commit => Ok(()),
            NextAction::Stop | NextAction::Abandon => Err(Error::Interrupted),
        };
        if self.initial.is_none() && self.needs_initial() {
            self.initial = shapes::measure(&self.network, &self.task, &mut check_stop)?;
            return Ok(StepOutcome::More);
        }
        let Some(analysis) = self.due().nth(self.state.analysis as usize) else {
            self.advance()?;
            return Ok(StepOutcome::More);
        };
        let on_processor = self.on_processor()?;
        let network = on_processor.as_ref().unwrap_or(&self.network);
        let rows = self.study(analysis, network).run(&mut check_stop)?;
        self.rows.append(rows);
        self.state.analysis += 1;
        Ok(StepOutcome::More)
    }

    /// Returns the rows of `analyses` for the current network, whose untrained state was `initial`.
    pub(crate) fn analyses(
        &mut self,
        analyses: &[Analysis],
        initial: &Network,
    ) -> Result<Rows, Error> {
        if self.initial.is_none() {
            self.initial = shapes::measure(initial, &self.task, &mut || Ok(()))?;
        }
        let mut rows = Rows::default();
        for analysis in analyses {
            let on_processor = self.on_processor()?;
            let network = on_processor.as_ref().unwrap_or(&self.network);
            rows.append(self.study(analysis, network).run(&mut || Ok(()))?);
        }
        Ok(rows)
    }

    /// Returns the network.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Returns a copy of the network on the CPU, where analyses run, if it is elsewhere.
    fn on_processor(&self) -> Result<Option<Network>, Error> {
        let is_elsewhere = self.network.device() != tch::Device::Cpu;
        Ok(is_elsewhere.then(|| self.network.with(&[])).transpose()?)
    }

    fn study<'b>(&'b self, analysis: &'b Analysis, network: &'b Network) -> Study<'b> {
        Study {
            config: self.config,
            analysis,
            epoch: self.state.epoch,
            task: &self.task,
            network,
            initial: self.initial.as_ref(),
            phase: self.phase(),
        }
    }

    /// Whether an analysis needs the gains and saturations of the untrained network.
    fn needs_initial(&self) -> bool {
        let asks = |analysis: &Analysis| analysis.kind == AnalysisKind::Shapes;
        self.network.kind().has_shape() && self.config.analyze.iter().any(asks)
    }

    /// Returns the analyses that are due after the current epoch.
    fn due(&self) -> impl Iterator<Item = &'a Analysis> + use<'a> {
        let place = EpochPosition {
            epoch: self.state.epoch,
            is_turn: self.is_turn(),
            is_last: self.is_last(),
        };
        self.config.analyze.iter().filter(move |analysis| analysis::is_due(analysis, place))
    }

    fn train(&mut self) -> Result<StepOutcome, Error> {
        let mut batch = self.feed.batch(&self.task, self.state.batch)?;
        self.turn(&mut batch)?;
        let data = evaluate::data(&self.task, &self.network, self.mean);
        if let Some(perturbed) = self.augmenter.perturb(&batch.inputs, &data)? {
            (batch.inputs, batch.drive) = (perturbed.inputs, perturbed.drive);
        }
        let mut stats = ShapeStats::counting();
        let recipe = self.recipe();
        let input = StepInput { batch: &batch, from: self.left_by_the_last(&batch) };
        let update = step::update(&self.network, &mut self.optimizer, input, &recipe, &mut stats)?;
        self.carry(update.last);
        let state = &mut self.state;
        let place = || format!("in update {} of epoch {}", state.batch, state.epoch);
        let Some(grad_norm) = update.grad_norm else {
            return Ok(diverged("loss", update.score.loss, &place()));
        };
        if !grad_norm.is_finite() {
            return Ok(diverged("norm of the gradient", grad_norm, &place()));
        }
        state.train.add(&update.score, batch.weight);
        state.grad_norms += grad_norm;
        state.guard_hits += stats.guard_hits;
        state.negative_gains += stats.negative_gains;
        state.batch += 1;
        if u64::from(state.batch) >= self.task.updates() {
            self.enter(Stage::Validate)?;
        }
        Ok(StepOutcome::More)
    }

    fn validate(&mut self, session: &mut dyn Session) -> Result<StepOutcome, Error> {
        let size = self.task.size(Split::Validation);
        let score = self.pass(Split::Validation)?;
        if !score.loss.is_finite() {
            let place = format!("in the validation after epoch {}", self.state.epoch);
            return Ok(diverged("loss", score.loss, &place));
        }
        if !self.is_complete(size) {
            return Ok(StepOutcome::More);
        }
        self.tick(session);
        self.report_epoch()?;
        self.hear_validation_loss();
        self.enter(Stage::Analyze)?;
        Ok(StepOutcome::More)
    }

    /// Scores the network on the next batch of a split.
    fn pass(&mut self, split: Split) -> Result<Score, Error> {
        let units = u32::try_from(self.task.units(split)).unwrap_or(u32::MAX);
        let chunk = if self.task.windows(split).is_some() { 1 } else { self.chunk() };
        let first = self.state.batch.saturating_mul(chunk).min(units);
        let samples: Vec<u32> = (first..first.saturating_add(chunk).min(units)).collect();
        let mut batch = self.task.batch(split, &samples)?;
        self.turn(&mut batch)?;
        let input = StepInput { batch: &batch, from: self.left_by_the_last(&batch) };
        let (score, last) = step::evaluate(&self.network, input, &mut self.stats)?;
        self.carry(last);
        self.state.pass.add(&score, batch.weight);
        self.state.batch += 1;
        Ok(score)
    }

    /// Returns the initial state for a batch; none for rest.
    fn left_by_the_last(&mut self, batch: &Batch) -> Option<network::LayerState> {
        self.carried.take().filter(|_| !batch.from_rest)
    }

    /// Keeps the state after a window of a text for the next window.
    fn carry(&mut self, last: network::LayerState) {
        if self.task.windows(Split::Train).is_some() {
            self.carried = Some(last);
        }
    }

    /// Whether the current pass has seen `size` samples.
    fn is_complete(&self, size: u64) -> bool {
        self.state.pass.samples() >= size
    }

    /// Returns the samples per batch of a pass. The batch size affects the last bits of sums, so it
    /// is a function of the configuration alone.
    fn chunk(&self) -> u32 {
        let currents = self.task.steps().saturating_mul(self.network.hidden());
        (PASS_CURRENTS / currents.max(1)).clamp(16, PASS_SAMPLES)
    }

    /// Continues with the next epoch, or with the evaluation after the last.
    fn advance(&mut self) -> Result<(), Error> {
        if self.is_last() {
            return self.enter(Stage::Evaluate);
        }
        let next = self.state.epoch + 1;
        self.feed.begin_epoch(&self.task);
        self.state.begin_epoch(next);
        if self.begins_again() {
            self.optimizer = self.second_optimizer()?;
            // Accuracies on other images are not comparable.
            self.state.best = None;
        }
        self.enter(Stage::Train)
    }

    fn enter(&mut self, stage: Stage) -> Result<(), Error> {
        self.state.enter(stage);
        self.carried = None;
        self.stats = match stage {
            Stage::Validate => ShapeStats::measuring(self.network.hidden())?,
            Stage::Evaluate if self.measures_frozen()? => {
                ShapeStats::measuring(self.network.hidden())?
            }
            Stage::Analyze | Stage::Train | Stage::Evaluate | Stage::Done => ShapeStats::counting(),
        };
        Ok(())
    }
}

/// Returns the augmenter of training batches of a trial.
fn augmenter(config: &TrialConfig) -> Augmenter {
    let seed = config.seeds.of(Purpose::Augment, config.seed);
    Augmenter::new(&config.training.augment, TrialRng::new(seed, Purpose::Augment))
}

fn diverged(what: &str, value: f64, place: &str) -> StepOutcome {
    let kind = if value.is_nan() { "not a number" } else { "infinite" };
    StepOutcome::Diverged { detail: format!("the {what} is {kind} {place}") }
}
