//! The update rules against scalar loops written from their published definitions, and the effect
//! of a recipe on a trial.

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{
    self, GroupOptions as Own, NetworkKind, OptimizerKind, Schedule, ScheduleKind,
};
use rheo_model::config::{Optimizer as Config, TrialConfig};
use rheo_train::network::{Network, Parameter, ParameterGroup};
use rheo_train::optimizer::Optimizer;
use rheo_train::step::{self, Batch, LearnedParameters, StepInput, Update, UpdateRecipe};
use rheo_train::task::{SampleLibrary, Split, Task};
use rheo_train::{ShapeStats, TorchTrainer};
use tch::{Device, Kind, Tensor, no_grad};

use crate::support::{assert_close, tiny, tiny_copy, train};

const GROUPS: [(&str, ParameterGroup); 4] = [
    ("w_hh", ParameterGroup::Recurrent),
    ("b_gn", ParameterGroup::Controller),
    ("n", ParameterGroup::Shape),
    ("w_out", ParameterGroup::Readout),
];

const UPDATES: usize = 7;

/// Returns every rule with and without its options, for groups that differ.
fn rules() -> Vec<Config> {
    let mut rules = Vec::new();
    for kind in
        [OptimizerKind::Adam, OptimizerKind::Adamw, OptimizerKind::Sgd, OptimizerKind::Rmsprop]
    {
        for (momentum, weight_decay) in [(0.0, 0.0), (0.8, 0.0), (0.0, 0.3), (0.8, 0.3)] {
            rules.push(Config {
                kind,
                lr: 0.05,
                beta1: 0.7,
                beta2: 0.95,
                epsilon: 1e-3,
                momentum,
                weight_decay,
                controller: Own { lr: Some(0.2), weight_decay: None },
                shape: Own { lr: None, weight_decay: Some(0.01) },
                readout: Own { lr: Some(0.01), weight_decay: Some(0.0) },
            });
        }
    }
    rules
}

/// Returns the learning rate and weight decay that [`rules`] gives to a group.
fn constants(rule: &Config, group: ParameterGroup) -> (f64, f64) {
    match group {
        ParameterGroup::Recurrent => (0.05, rule.weight_decay),
        ParameterGroup::Controller => (0.2, rule.weight_decay),
        ParameterGroup::Shape => (0.05, 0.01),
        ParameterGroup::Readout => (0.01, 0.0),
    }
}

/// Returns the gradient of an element in an update; some are large, one is always 0.
fn gradient(place: usize, update: usize) -> f64 {
    if place == 2 { 0.0 } else { 3.0 * ((place * 5 + update * 3) as f64).sin().powi(3) }
}

/// Returns the factor of the schedule in an update.
fn factor(update: usize) -> f64 {
    1.0 / (1.0 + update as f64)
}

/// Returns one element after the updates with the given indices, operation by operation: Adam as in
/// Kingma and Ba (2015), algorithm 1; AdamW, descent and RMSprop as in the documentation of
/// PyTorch.
fn scalar(
    rule: &Config,
    group: ParameterGroup,
    (place, start): (usize, f64),
    updates: &[usize],
) -> f64 {
    let (lr, decay) = constants(rule, group);
    let (mut w, mut m, mut v) = (start, 0.0, 0.0);
    for (t, &update) in (1..).zip(updates) {
        let rate = lr * factor(update);
        let mut g = gradient(place, update);
        if rule.kind == OptimizerKind::Adamw {
            w -= rate * decay * w;
        } else {
            g += decay * w;
        }
        w -= rate
            * match rule.kind {
                OptimizerKind::Adam | OptimizerKind::Adamw => {
                    m = rule.beta1 * m + (1.0 - rule.beta1) * g;
                    v = rule.beta2 * v + (1.0 - rule.beta2) * g * g;
                    let mean = m / (1.0 - rule.beta1.powi(t));
                    let square: f64 = v / (1.0 - rule.beta2.powi(t));
                    mean / (square.sqrt() + rule.epsilon)
                }
                OptimizerKind::Sgd => {
                    m = rule.momentum * m + g;
                    m
                }
                OptimizerKind::Rmsprop => {
                    v = rule.beta2 * v + (1.0 - rule.beta2) * g * g;
                    m = rule.momentum * m + g / (v.sqrt() + rule.epsilon);
                    m
                }
            };
    }
    w
}

/// Initial elements of a parameter.
const START: [f64; 4] = [1.0, -0.5, 2.0, 0.0];

fn tensors() -> Vec<Tensor> {
    GROUPS.map(|_| Tensor::from_slice(&START)).into()
}

fn parameters(tensors: &[Tensor]) -> Vec<Parameter<'_>> {
    let parameters = GROUPS.iter().zip(tensors);
    parameters
        .map(|(&(name, group), tensor)| Parameter { name, tensor, trained: true, group })
        .collect()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).contiguous().view(-1)).unwrap()
}

/// Makes one update of the parameters in `groups`.
fn update(optimizer: &mut Optimizer, tensors: &[Tensor], index: usize, groups: &[ParameterGroup]) {
    let mut learning = parameters(tensors);
    learning.retain(|parameter| groups.contains(&parameter.group));
    let values: Vec<f64> = (0..START.len()).map(|place| gradient(place, index)).collect();
    let gradients: Vec<Tensor> = learning.iter().map(|_| Tensor::from_slice(&values)).collect();
    optimizer.update(&learning, &gradients, factor(index)).unwrap();
}

#[track_caller]
fn assert_scalar(
    rule: &Config,
    tensors: &[Tensor],
    updates: impl Fn(ParameterGroup) -> Vec<usize>,
) {
    for ((name, group), tensor) in GROUPS.into_iter().zip(tensors) {
        let updates = updates(group);
        let element = |element| scalar(rule, group, element, &updates);
        let expected: Vec<f64> = START.into_iter().enumerate().map(element).collect();
        assert_close(&format!("{name} {rule:?}"), &numbers(tensor), &expected);
    }
}

#[test]
fn every_rule_is_its_published_definition() {
    let all = GROUPS.map(|(_, group)| group);
    for rule in rules() {
        let tensors = tensors();
        let mut optimizer = Optimizer::new(&rule, &parameters(&tensors)).unwrap();
        for index in 0..UPDATES {
            update(&mut optimizer, &tensors, index, &all);
        }
        assert_scalar(&rule, &tensors, |_| (0..UPDATES).collect());
    }
}

#[test]
fn a_late_parameter_group_starts_like_a_new_one() {
    let early = [ParameterGroup::Recurrent, ParameterGroup::Controller, ParameterGroup::Readout];
    let all = GROUPS.map(|(_, group)| group);
    for rule in rules() {
        let tensors = tensors();
        let mut optimizer = Optimizer::new(&rule, &parameters(&tensors)).unwrap();
        for index in 0..3 {
            update(&mut optimizer, &tensors, index, &early);
        }
        assert_eq!(numbers(&tensors[2]), START);
        for (name, slot) in optimizer.slots() {
            let is_late = name.rsplit_once('.').unwrap().1 == "n";
            assert_eq!(numbers(&slot) == [0.0; 4], is_late, "{name}");
        }
        for index in 3..UPDATES {
            update(&mut optimizer, &tensors, index, &all);
        }
        let from = |group| if group == ParameterGroup::Shape { 3 } else { 0 };
        assert_scalar(&rule, &tensors, |group| (from(group)..UPDATES).collect());
    }
}

#[test]
fn the_averages_have_the_names_of_their_rule_and_parameter() {
    let names = |kind, momentum| {
        let rule = Config { kind, momentum, ..Config::default() };
        let tensors = tensors();
        let mut parameters = parameters(&tensors);
        parameters[3].trained = false;
        let optimizer = Optimizer::new(&rule, &parameters[2..]).unwrap();
        optimizer.slots().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(OptimizerKind::Adam, 0.0), ["adam.mean.n", "adam.square.n"]);
    assert_eq!(names(OptimizerKind::Adamw, 0.0), ["adam.mean.n", "adam.square.n"]);
    assert_eq!(names(OptimizerKind::Sgd, 0.0), [] as [&str; 0]);
    assert_eq!(names(OptimizerKind::Sgd, 0.5), ["sgd.momentum.n"]);
    assert_eq!(names(OptimizerKind::Rmsprop, 0.0), ["rmsprop.square.n"]);
    assert_eq!(names(OptimizerKind::Rmsprop, 0.5), ["rmsprop.square.n", "rmsprop.momentum.n"]);
}

#[test]
fn an_unknown_parameter_is_an_error() {
    let tensors = tensors();
    let parameters = parameters(&tensors);
    let mut optimizer = Optimizer::new(&Config::default(), &parameters[1..]).unwrap();
    let error = optimizer.update(&parameters[..1], &[tensors[0].ones_like()], 1.0).unwrap_err();
    assert!(error.to_string().contains("`w_hh`"), "{error}");
}

/// A small network in double precision with a batch.
struct TinyNetwork {
    network: Network,
    batch: Batch,
}

impl TinyNetwork {
    fn new(kind: NetworkKind, precision: Kind) -> Self {
        // One thread, as most trials have; more threads busy-wait, which starves other tests.
        let _ = tch::get_num_threads();
        tch::set_num_threads(1);
        let config = tiny(kind);
        let task = Task::load(&config, &SampleLibrary::default()).unwrap();
        let mut rng = TrialRng::new(7, Purpose::Init);
        let network = Network::new(&config.network, task.interface(), precision, &mut rng).unwrap();
        let mut batch = task.batch(Split::Train, &(0..10).collect::<Vec<u32>>()).unwrap();
        batch.inputs = batch.inputs.to_kind(precision);
        Self { network, batch }
    }

    /// Returns all numbers of the network, by parameter.
    fn values(&self) -> Vec<(&'static str, ParameterGroup, Vec<f64>)> {
        let parameters = self.network.parameters().into_iter();
        parameters
            .map(|parameter| (parameter.name, parameter.group, numbers(parameter.tensor)))
            .collect()
    }

    fn set(&self, value: impl Fn(&str) -> f64) {
        for parameter in self.network.parameters() {
            let mut tensor = parameter.tensor.shallow_clone();
            let _ = no_grad(|| tensor.fill_(value(parameter.name)));
        }
    }

    /// Makes a number of updates with one optimizer.
    fn update(&self, rule: &Config, recipe: &UpdateRecipe, updates: usize) -> Update {
        let mut optimizer = Optimizer::new(rule, &self.network.parameters()).unwrap();
        let mut once = || {
            let mut stats = ShapeStats::counting();
            step::update(
                &self.network,
                &mut optimizer,
                StepInput { batch: &self.batch, from: None },
                recipe,
                &mut stats,
            )
            .unwrap()
        };
        for _ in 1..updates {
            once();
        }
        once()
    }
}

/// Returns plain descent with a rate of 1, whose change is the gradient.
fn descent() -> Config {
    Config { kind: OptimizerKind::Sgd, lr: 1.0, ..Config::default() }
}

/// Returns the change of every number by one update of plain descent, and the reported norm.
fn change(clip_norm: Option<f64>) -> (Vec<f64>, f64) {
    let bench = TinyNetwork::new(NetworkKind::Adaptive, Kind::Double);
    let flat = |bench: &TinyNetwork| -> Vec<f64> {
        bench.values().into_iter().flat_map(|(_, _, values)| values).collect()
    };
    let before = flat(&bench);
    let update =
        bench.update(&descent(), &UpdateRecipe { clip_norm, ..UpdateRecipe::default() }, 1);
    let change = flat(&bench).iter().zip(&before).map(|(after, before)| before - after).collect();
    (change, update.grad_norm.unwrap())
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn only_gradients_above_the_limit_are_clipped() {
    let (whole, found) = change(None);
    assert_close("norm", &[norm(&whole)], &[found]);
    assert_eq!(change(Some(found)), (whole.clone(), found));
    assert_eq!(change(Some(2.0 * found)), (whole.clone(), found));
    let limit = 0.01 * found;
    let (clipped, reported) = change(Some(limit));
    assert_eq!(reported, found);
    assert_close("clipped norm", &[norm(&clipped)], &[limit]);
    for (clipped, whole) in clipped.iter().zip(&whole) {
        // Both are differences of weights around 1, which have 16 digits.
        assert!((clipped - 0.01 * whole).abs() < 1e-14, "{clipped}, not {}", 0.01 * whole);
    }
}

#[test]
fn parameters_that_do_not_learn_stay_to_the_bit() {
    let cases = [(false, true), (true, false), (false, false)];
    for rule in rules().into_iter().filter(|rule| rule.momentum > 0.0 && rule.weight_decay > 0.0) {
        for (shape, others) in cases {
            let bench = TinyNetwork::new(NetworkKind::Heterogeneous, Kind::Float);
            let before = bench.values();
            let learned = LearnedParameters { shape, others };
            let update =
                bench.update(&rule, &UpdateRecipe { learned, ..UpdateRecipe::default() }, 3);
            assert_eq!(update.grad_norm.unwrap() > 0.0, shape || others);
            for (before, after) in before.iter().zip(bench.values()) {
                let learns = if before.1 == ParameterGroup::Shape { shape } else { others };
                assert_eq!(*before != after, learns, "{} {learned:?} {rule:?}", before.0);
            }
        }
    }
}

/// Returns a one-step network in single precision whose loss is finite and whose input-matrix
/// gradient is about `gradient`.
fn steep(gradient: f64) -> TinyNetwork {
    let mut bench = TinyNetwork::new(NetworkKind::Relu, Kind::Float);
    bench.set(|name| if name == "b_xh" { 1e-20 } else { 0.0 });
    for parameter in bench.network.parameters() {
        if parameter.name == "w_out" {
            let tensor = parameter.tensor;
            let _ = no_grad(|| tensor.get(0).fill_(1e20));
            let _ = no_grad(|| tensor.get(1).fill_(-1e20));
        }
    }
    let options = (Kind::Float, Device::Cpu);
    let inputs = bench.batch.inputs.size()[2];
    let embed_inputs = &mut bench.batch;
    embed_inputs.inputs = Tensor::ones([1, 2, inputs], options) * (gradient * 1e-20);
    embed_inputs.targets = Tensor::zeros([2], (Kind::Int64, Device::Cpu));
    (embed_inputs.scored, embed_inputs.samples, embed_inputs.weight) = (2, 2, 2);
    bench
}

#[test]
fn an_infinite_gradient_of_a_finite_loss_makes_no_update() {
    for clip_norm in [None, Some(1.0)] {
        let bench = steep(1e45);
        let before = bench.values();
        for rule in rules() {
            let update =
                bench.update(&rule, &UpdateRecipe { clip_norm, ..UpdateRecipe::default() }, 1);
            assert!(update.score.loss.is_finite());
            assert!(!update.grad_norm.unwrap().is_finite());
            assert_eq!(bench.values(), before);
        }
    }
}

#[test]
fn a_gradient_whose_square_overflows_is_clipped_or_refused() {
    for rule in rules() {
        let bench = steep(1e25);
        let before = bench.values();
        let refused = bench.update(&rule, &UpdateRecipe::default(), 1);
        assert!(refused.grad_norm.unwrap().is_infinite());
        assert_eq!(bench.values(), before);
        let recipe = UpdateRecipe { clip_norm: Some(1.0), ..UpdateRecipe::default() };
        let clipped = bench.update(&rule, &recipe, 1).grad_norm.unwrap();
        assert!(clipped.is_finite() && clipped > 1e20, "{clipped}");
        assert_ne!(bench.values(), before);
        assert!(bench.values().iter().all(|(_, _, all)| all.iter().all(|x| x.is_finite())));
    }
}

fn learning_rates(config: &TrialConfig) -> Vec<f64> {
    let (finish, _) = train(&TorchTrainer::default(), config);
    finish.commit.rows.epochs.iter().map(|row| row.lr).collect()
}

#[test]
fn epochs_show_the_rate_of_their_last_update() {
    // Three updates per epoch.
    let mut config = tiny_copy(NetworkKind::Relu);
    config.training.epochs = 4;
    config.training.optimizer.lr = 0.5;
    assert_eq!(learning_rates(&config), [0.5; 4]);
    config.training.schedule.warmup = 5;
    assert_close("warm-up", &learning_rates(&config), &[0.3, 0.5, 0.5, 0.5]);
    config.training.schedule =
        Schedule { kind: ScheduleKind::Step, every: 2, factor: 0.1, ..Schedule::default() };
    assert_close("step", &learning_rates(&config), &[0.5, 0.5, 0.05, 0.05]);
    config.training.schedule =
        Schedule { kind: ScheduleKind::Cosine, floor: 0.2, ..Schedule::default() };
    let cosine = |update: f64| 0.6 + 0.4 * (std::f64::consts::PI * update / 11.0).cos();
    let expected = [2.0, 5.0, 8.0, 11.0].map(|update| 0.5 * cosine(update));
    assert_close("cosine", &learning_rates(&config), &expected);
}

/// Returns a trial whose weights, and hence whose losses, do not change.
fn idle(kind: NetworkKind) -> TrialConfig {
    let mut config = tiny(kind);
    config.training.optimizer = config::Optimizer { lr: 1e-30, ..descent() };
    config.training.epochs = 8;
    config
}

#[test]
fn a_plateau_drops_the_rate_after_the_epoch_that_exceeds_the_patience() {
    let mut config = idle(NetworkKind::Relu);
    config.training.schedule =
        Schedule { kind: ScheduleKind::Plateau, patience: 1, factor: 0.5, ..Schedule::default() };
    let expected = [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125].map(|factor| factor * 1e-30);
    assert_eq!(learning_rates(&config), expected);
}

#[test]
fn a_trial_that_stops_early_is_analysed_and_evaluated_where_it_stops() {
    let mut config = idle(NetworkKind::Heterogeneous);
    config.training.early_stop = Some(2);
    let (finish, _) = train(&TorchTrainer::default(), &config);
    assert_eq!((finish.commit.rows.epochs.len(), finish.summary.epochs), (3, 3));
    let evaluations = &finish.commit.rows.evaluations;
    assert_eq!(evaluations.len(), 4);
    assert!(evaluations.iter().all(|row| row.epoch == 2));
    let shapes: Vec<i32> = finish.commit.rows.shapes.iter().map(|row| row.epoch).collect();
    assert_eq!(shapes, [[-1; 5], [2; 5]].concat());
}

#[test]
fn shapes_are_learned_from_their_epoch_on() {
    for only_shape in [false, true] {
        let mut config = tiny(NetworkKind::Heterogeneous);
        config.training.epochs = 3;
        config.training.learn_shape_from = 2;
        config.training.only_shape = only_shape;
        let (finish, _) = train(&TorchTrainer::default(), &config);
        let rows = &finish.commit.rows;
        let gains: Vec<f64> = rows.epochs.iter().map(|row| row.n_mean.unwrap()).collect();
        assert_eq!(gains[0], gains[1]);
        assert_ne!(gains[1], gains[2]);
        let losses: Vec<f64> = rows.epochs.iter().map(|row| row.val_loss).collect();
        assert_eq!(losses[0] == losses[1], only_shape);
    }
}
