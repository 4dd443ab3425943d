//! Samplers that model the space from results, on simulated workers.

use proptest::prelude::*;
use rheo_core::definition::{SearchMethod, SweepDefinition};
use rheo_core::history::{History, TrialEnding};
use rheo_core::plan::Plan;
use rheo_core::rng::{Purpose, TrialRng};
use rheo_core::sampler::Suggestion;
use rheo_core::space::{Condition, Constraint, Domain, Parameter, Point, Space};
use serde_json::json;

use crate::spaces::{brewing, definition, plots, texts};

/// The samplers that model the space.
const MODELS: [SearchMethod; 3] = [SearchMethod::Tpe, SearchMethod::Gp, SearchMethod::Cmaes];

/// A simulated sweep: workers ask for points and report results in random order.
struct SimulatedSweep<'d> {
    definition: &'d SweepDefinition,
    plan: Plan,
    history: History,
    suggestions: Vec<Suggestion>,
    /// Points without a result.
    running: Vec<u64>,
    rng: TrialRng,
}

impl<'d> SimulatedSweep<'d> {
    fn new(definition: &'d SweepDefinition) -> Self {
        let plan = Plan::new(definition, &brewing());
        let history = plan.history();
        let rng = TrialRng::new(definition.seed, Purpose::Noise);
        Self { definition, plan, history, suggestions: Vec::new(), running: Vec::new(), rng }
    }

    /// Starts a trial, if a point is left.
    fn start(&mut self) -> bool {
        let point = self.suggestions.len() as u64;
        let Some(suggestion) = self.plan.suggest(&self.history, point) else { return false };
        self.history.record_suggestion(&suggestion);
        self.suggestions.push(suggestion);
        self.running.push(point);
        true
    }

    /// Ends a running trial.
    fn end(&mut self, loss: &dyn Fn(&Point) -> f64) {
        let which = usize::try_from(self.rng.below(self.running.len() as u64)).unwrap();
        let point = self.running.swap_remove(which);
        let loss = loss(&self.suggestions[usize::try_from(point).unwrap()].point);
        let ending = if loss.is_finite() { TrialEnding::Completed } else { TrialEnding::Diverged };
        for seed in 0..self.definition.seeds.len() as u64 {
            let trial = point * self.definition.seeds.len() as u64 + seed;
            self.history.record_end(trial, ending, Some(loss));
        }
    }

    /// Runs up to `points` points on `workers` workers.
    fn run(&mut self, points: usize, workers: usize, loss: &dyn Fn(&Point) -> f64) {
        while self.suggestions.len() < points {
            while self.running.len() >= workers {
                self.end(loss);
            }
            if !self.start() {
                break;
            }
        }
        while !self.running.is_empty() {
            self.end(loss);
        }
    }

    fn best(&self, loss: &dyn Fn(&Point) -> f64) -> f64 {
        self.suggestions.iter().map(|one| loss(&one.point)).fold(f64::INFINITY, f64::min)
    }
}

fn number(point: &Point, path: &str) -> f64 {
    point.get(path).and_then(serde_json::Value::as_f64).unwrap_or(0.0)
}

/// A loss that depends on every value, and diverges here and there.
fn rugged(point: &Point) -> f64 {
    let text = point.to_string();
    let sum: f64 = point.iter().filter_map(|(_, value)| value.as_f64()).sum();
    if text.len().is_multiple_of(7) { f64::NAN } else { sum + (text.len() as f64).sin() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_point_of_a_finite_space_comes_up_once_and_no_other(
        plot in plots(),
        method in prop::sample::select(MODELS.to_vec()),
        workers in 1..9usize,
    ) {
        let definition = definition(method, plot.space());
        let mut sweep = SimulatedSweep::new(&definition);
        sweep.run(usize::MAX, workers, &rugged);
        let points: Vec<Point> =
            sweep.suggestions.iter().map(|one| Point::clone(&one.point)).collect();
        let expected = plot.points();
        prop_assert_eq!(points.len(), expected.len(), "no point twice");
        prop_assert_eq!(texts(&points), expected, "every point comes up");
    }

    #[test]
    fn a_point_is_a_function_of_the_history_and_the_seed(
        method in prop::sample::select(MODELS.to_vec()),
        workers in 1..9usize,
        seed in 0..1_000u64,
    ) {
        let definition = SweepDefinition { seed, ..definition(method, mixed()) };
        let mut sweep = SimulatedSweep::new(&definition);
        sweep.run(30, workers, &rugged);
        let mut again = SimulatedSweep::new(&definition);
        again.run(30, workers, &rugged);
        prop_assert_eq!(sweep.suggestions, again.suggestions);
        // Asking twice changes nothing.
        let next = sweep.plan.suggest(&sweep.history, 30);
        prop_assert_eq!(next, again.plan.suggest(&again.history, 30));
    }

    /// A sampler may keep what it learned, if it is the same as if it were learned anew: also after
    /// results were taken back, and for a history that went another way.
    #[test]
    fn nothing_that_a_sampler_keeps_changes_a_point(
        seed in 0..1_000u64,
        changes in prop::collection::vec((0..40u64, prop::option::of(-1.0..1.0f64)), 0..6),
    ) {
        let definition = SweepDefinition { seed, ..definition(SearchMethod::Cmaes, mixed()) };
        let mut sweep = SimulatedSweep::new(&definition);
        sweep.run(40, 3, &rugged);
        let fresh = |history: &History| Plan::new(&definition, &brewing()).suggest(history, 40);
        let before = sweep.history.clone();
        for (trial, loss) in changes {
            sweep.history.reopen(trial);
            if let Some(loss) = loss {
                sweep.history.record_end(trial, TrialEnding::Completed, Some(loss));
            }
            let next = sweep.plan.suggest(&sweep.history, 40);
            prop_assert_eq!(next, fresh(&sweep.history));
            prop_assert_eq!(sweep.plan.suggest(&before, 40), fresh(&before));
        }
    }

    #[test]
    fn points_are_within_their_ranges_and_fulfil_constraints(
        method in prop::sample::select(MODELS.to_vec()),
        seed in 0..1_000u64,
    ) {
        let definition = SweepDefinition { seed, ..definition(method, mixed()) };
        let mut sweep = SimulatedSweep::new(&definition);
        sweep.run(40, 4, &rugged);
        for suggestion in sweep.suggestions {
            let point = &suggestion.point;
            let (rate, size) = (number(point, "rate"), number(point, "size"));
            prop_assert!((1e-5..=1.0).contains(&rate) && rate * size < 40.0, "{}", point);
            prop_assert!([8.0, 16.0, 32.0, 64.0].contains(&size), "{}", point);
            prop_assert!((1.0..=40.0).contains(&number(point, "count")), "{}", point);
            let is_momentum = point.get("kind") == Some(&json!("momentum"));
            prop_assert_eq!(point.get("decay").is_some(), is_momentum);
        }
    }
}

/// A space with scales of every kind, a condition and a constraint.
fn mixed() -> Space {
    let condition = Condition { path: "kind".to_owned(), values: vec![json!("momentum")] };
    let parameter = |path: &str, domain, when| Parameter { path: path.to_owned(), domain, when };
    let list = |values: &[serde_json::Value]| Domain::Categorical {
        values: values.to_vec(),
        probabilities: None,
    };
    Space {
        parameters: vec![
            parameter("kind", list(&[json!("plain"), json!("momentum"), json!("none")]), vec![]),
            parameter("decay", Domain::Uniform { min: 0.0, max: 1.0 }, vec![condition]),
            parameter("rate", Domain::LogUniformValues { min: 1e-5, max: 1.0 }, vec![]),
            parameter("size", list(&[json!(8), json!(16), json!(32), json!(64)]), vec![]),
            parameter("count", Domain::IntUniform { min: 1, max: 40 }, vec![]),
        ],
        constraints: vec![Constraint::parse("rate * size < 40").unwrap()],
        ..Space::default()
    }
}

/// A bowl with its lowest value 0 where the kind is momentum, the decay 0.8, the rate 1e-3, the size
/// 32 and the count 12.
fn bowl(point: &Point) -> f64 {
    let kind = if point.get("kind") == Some(&json!("momentum")) {
        (number(point, "decay") - 0.8).powi(2)
    } else {
        0.3
    };
    let rate = ((number(point, "rate").log10() + 3.0) / 5.0).powi(2);
    let size = ((number(point, "size").log2() - 5.0) / 3.0).powi(2);
    let count = ((number(point, "count") - 12.0) / 39.0).powi(2);
    kind + rate + size + count
}

#[test]
fn models_find_better_points_than_random_search() {
    let losses = |method: SearchMethod| -> Vec<f64> {
        let found = (0..12).map(|seed| {
            let definition = SweepDefinition { seed, ..definition(method, mixed()) };
            let mut sweep = SimulatedSweep::new(&definition);
            sweep.run(60, 4, &bowl);
            sweep.best(&bowl)
        });
        found.collect()
    };
    let random = losses(SearchMethod::Random);
    for method in MODELS {
        let found = losses(method);
        let wins = found.iter().zip(&random).filter(|(found, random)| found < random).count();
        // By chance, 10 of 12 or more would come up in 2 % of all cases.
        assert!(wins >= 10, "{method:?}: {found:?}, random: {random:?}");
    }
}
