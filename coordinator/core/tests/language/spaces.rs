//! Finite spaces with conditions, zipped parameters and constraints, compared with brute-force
//! lists of their points.

use std::collections::BTreeSet;

use std::sync::Arc;

use proptest::prelude::*;
use rheo_core::definition::{RetryPolicy, SearchMethod, StopRules, SweepDefinition};
use rheo_core::id::SweepName;
use rheo_core::metric::{Goal, Objective};
use rheo_core::plan::Plan;
use rheo_core::ranking::AggregateRule;
use rheo_core::sampler::Suggestion;
use rheo_core::schema::WorkloadSchema;
use rheo_core::space::{Condition, Constraint, Domain, Parameter, Point, Space};
use rheo_core::spec;
use serde_json::{Value as Json, json};

use crate::brewing::{BITTERNESS, BREWING, TASTE, workloads};

pub(crate) fn brewing() -> Arc<WorkloadSchema> {
    workloads().schema(&BREWING)
}

/// Builds a definition around a space; the paths of its parameters need not be fields.
pub(crate) fn definition(method: SearchMethod, space: Space) -> SweepDefinition {
    SweepDefinition {
        name: SweepName::parse("demo").unwrap(),
        workload: BREWING,
        description: None,
        method,
        objective: Objective { name: BITTERNESS, goal: Goal::Minimize, target: None },
        base: json!({}),
        space,
        seeds: vec![0],
        aggregate: AggregateRule::default(),
        seed: 7,
        run_cap: None,
        enqueue: Vec::new(),
        max_failed_trials: None,
        stop: StopRules::default(),
        retry: RetryPolicy::default(),
        early_terminate: None,
    }
}

/// Returns every point that a plan suggests.
pub(crate) fn suggested(definition: &SweepDefinition) -> Vec<Point> {
    let plan = Plan::new(definition, &brewing());
    let mut history = plan.history();
    let mut points = Vec::new();
    while let Some(suggestion) = plan.suggest(&history, points.len() as u64) {
        history.record_suggestion(&suggestion);
        points.push(Point::clone(&suggestion.point));
        assert!(points.len() <= 100_000, "this space has no end");
    }
    points
}

/// A constraint with its equivalent in Rust; `a` and `b` are the values of its two parameters.
type Rule = (&'static str, fn(i64, i64) -> bool);

const RULES: [Rule; 5] = [
    ("A + B <= 2", |a, b| a + b <= 2),
    ("A != B", |a, b| a != b),
    ("A in [0, 2] or B == 1", |a, b| [0, 2].contains(&a) || b == 1),
    ("not (A * 2 > B)", |a, b| a * 2 <= b),
    ("(A + B) % 2 == 0", |a, b| (a + b) % 2 == 0),
];

/// The ingredients of a random space. Parameter i takes 0..sizes[i].
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    sizes: Vec<i64>,
    /// For each parameter, another one that it depends on and the values required of it.
    when: Vec<Option<(usize, Vec<i64>)>>,
    /// The order of declaration.
    order: Vec<usize>,
    /// Whether the first two parameters step together.
    is_zipped: bool,
    /// A constraint and its two parameters.
    rules: Vec<(usize, usize, usize)>,
}

fn path(parameter: usize) -> String {
    format!("p{parameter}")
}

impl Plot {
    pub(crate) fn space(&self) -> Space {
        let parameters = self.order.iter().map(|&parameter| {
            // Zipped parameters list their values; of the others, odd ones are ranges.
            let is_range = parameter % 2 == 1 && !(self.is_zipped && parameter < 2);
            let domain = if is_range {
                Domain::IntUniform { min: 0, max: self.sizes[parameter] - 1 }
            } else {
                let values = (0..self.sizes[parameter]).map(Json::from).collect();
                Domain::Categorical { values, probabilities: None }
            };
            let when = self.when[parameter].iter().map(|(parent, values)| Condition {
                path: path(*parent),
                values: values.iter().copied().map(Json::from).collect(),
            });
            Parameter { path: path(parameter), domain, when: when.collect() }
        });
        let constraints = self.rules.iter().map(|(rule, a, b)| {
            let text = RULES[*rule].0.replace('A', &path(*a)).replace('B', &path(*b));
            Constraint::parse(&text).unwrap()
        });
        Space {
            parameters: parameters.collect(),
            zip: if self.is_zipped { vec![vec![path(0), path(1)]] } else { Vec::new() },
            constraints: constraints.collect(),
        }
    }

    /// Lists all points by visiting every combination of values.
    pub(crate) fn points(&self) -> BTreeSet<String> {
        let mut points = BTreeSet::new();
        let total: i64 = self.sizes.iter().product();
        for number in 0..total {
            let mut rest = number;
            let values: Vec<i64> = self
                .sizes
                .iter()
                .map(|size| {
                    let value = rest % size;
                    rest /= size;
                    value
                })
                .collect();
            if self.is_zipped && values[0] != values[1] {
                continue;
            }
            let exists = |parameter: usize| self.exists(parameter, &values);
            let holds = |(rule, a, b): &(usize, usize, usize)| {
                !exists(*a) || !exists(*b) || RULES[*rule].1(values[*a], values[*b])
            };
            if self.rules.iter().all(holds) {
                let existing = self.order.iter().filter(|&&parameter| exists(parameter));
                let point: Vec<String> =
                    existing.map(|&p| format!("{}={}", path(p), values[p])).collect();
                points.insert(point.join(" "));
            }
        }
        points
    }

    fn exists(&self, parameter: usize, values: &[i64]) -> bool {
        match &self.when[parameter] {
            None => true,
            Some((parent, wanted)) => {
                self.exists(*parent, values) && wanted.contains(&values[*parent])
            }
        }
    }
}

prop_compose! {
    pub(crate) fn plots()(
        sizes in prop::collection::vec(1..4i64, 2..6),
    )(
        parents in prop::collection::vec(prop::option::of((any::<prop::sample::Index>(), prop::collection::vec(0..4i64, 1..3))), sizes.len()),
        order in Just((0..sizes.len()).collect::<Vec<_>>()).prop_shuffle(),
        is_zipped in any::<bool>(),
        rules in prop::collection::vec((0..RULES.len(), 0..sizes.len(), 0..sizes.len()), 0..3),
        mut sizes in Just(sizes),
    ) -> Plot {
        if is_zipped {
            sizes[1] = sizes[0];
        }
        // Parameter i depends on an earlier one, so that there are no circles.
        let when = parents.into_iter().enumerate().map(|(i, parent)| {
            let first = if is_zipped { 2 } else { 1 };
            parent.filter(|_| i >= first).map(|(index, values)| (index.index(i), values))
        }).collect();
        Plot { sizes, when, order, is_zipped, rules }
    }
}

pub(crate) fn texts(points: &[Point]) -> BTreeSet<String> {
    points.iter().map(ToString::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn u05_a_grid_of_n_cells_enumerates_exactly_n_distinct_cells(plot in plots()) {
        let definition = definition(SearchMethod::Grid, plot.space());
        let expected = plot.points();
        let plan = Plan::new(&definition, &brewing());
        prop_assert_eq!(plan.points(), Some(expected.len() as u64));
        prop_assert!(!plan.records_points());
        let points = suggested(&definition);
        prop_assert_eq!(points.len(), expected.len(), "no cell twice");
        prop_assert_eq!(texts(&points), expected, "no cell missed, none invented");
    }

    #[test]
    fn u08_no_two_trials_of_a_finite_space_share_a_point(
        plot in plots(),
        is_sobol in any::<bool>(),
        weights in prop::option::of(1..9u32),
    ) {
        let method = if is_sobol { SearchMethod::Sobol } else { SearchMethod::Random };
        let mut space = plot.space();
        if let Some(weight) = weights {
            weigh(&mut space, weight);
        }
        let points = suggested(&definition(method, space));
        let expected = plot.points();
        prop_assert_eq!(points.len(), expected.len(), "no point twice");
        prop_assert_eq!(texts(&points), expected, "every point comes up");
    }

    #[test]
    fn u32_a_plan_that_is_read_back_goes_on_with_the_same_suggestions(
        plot in plots(),
        method in prop::sample::select(vec![
            SearchMethod::Grid, SearchMethod::Random, SearchMethod::Sobol, SearchMethod::Tpe,
        ]),
        stop in 0..10usize,
    ) {
        let mut space = plot.space();
        if method != SearchMethod::Grid {
            weigh(&mut space, 3);
        }
        let definition = definition(method, space);
        let whole = suggested(&definition);
        let plan = Plan::new(&definition, &brewing());
        let mut history = plan.history();
        for point in 0..stop.min(whole.len()) {
            let suggestion = plan.suggest(&history, point as u64).unwrap();
            history.record_suggestion(&suggestion);
        }
        // Both are loaded from their stored form, as after a restart.
        let stored = serde_json::to_string(&(&definition, history.suggestions())).unwrap();
        let (definition, suggestions): (SweepDefinition, Vec<Suggestion>) =
            serde_json::from_str(&stored).unwrap();
        let plan = Plan::new(&definition, &brewing());
        let mut history = plan.history();
        for suggestion in &suggestions {
            history.record_suggestion(suggestion);
        }
        for (point, expected) in whole.iter().enumerate().skip(stop) {
            let suggestion = plan.suggest(&history, point as u64).unwrap();
            history.record_suggestion(&suggestion);
            prop_assert_eq!(&*suggestion.point, expected);
        }
    }
}

/// Makes the first value of the first list likelier than the others.
pub(crate) fn weigh(space: &mut Space, weight: u32) {
    let zipped: Vec<String> = space.zip.concat();
    for parameter in &mut space.parameters {
        if let Domain::Categorical { values, probabilities } = &mut parameter.domain
            && !zipped.contains(&parameter.path)
        {
            let sum = f64::from(weight) + values.len() as f64 - 1.0;
            let mut weights = vec![1.0 / sum; values.len()];
            weights[0] = f64::from(weight) / sum;
            *probabilities = Some(weights);
        }
    }
}

#[test]
fn the_last_declared_parameter_varies_fastest_and_parents_come_first() {
    let values = |n: i64| Domain::IntUniform { min: 0, max: n - 1 };
    let parameter =
        |path: &str, n, when| Parameter { path: path.to_owned(), domain: values(n), when };
    let space = Space {
        parameters: vec![
            parameter(
                "child",
                2,
                vec![Condition { path: "parent".to_owned(), values: vec![json!(1)] }],
            ),
            parameter("middle", 2, vec![]),
            parameter("parent", 2, vec![]),
            parameter("last", 2, vec![]),
        ],
        ..Space::default()
    };
    let points = suggested(&definition(SearchMethod::Grid, space));
    let points: Vec<String> = points.iter().map(ToString::to_string).collect();
    assert_eq!(
        points,
        [
            "middle=0 parent=0 last=0",
            "middle=0 parent=0 last=1",
            "middle=1 parent=0 last=0",
            "middle=1 parent=0 last=1",
            "child=0 middle=0 parent=1 last=0",
            "child=0 middle=0 parent=1 last=1",
            "child=0 middle=1 parent=1 last=0",
            "child=0 middle=1 parent=1 last=1",
            "child=1 middle=0 parent=1 last=0",
            "child=1 middle=0 parent=1 last=1",
            "child=1 middle=1 parent=1 last=0",
            "child=1 middle=1 parent=1 last=1",
        ]
    );
}

#[test]
fn a_grid_that_no_list_could_hold_is_counted_and_numbered() {
    let parameters = ["a", "b", "c"].map(|path| Parameter {
        path: path.to_owned(),
        domain: Domain::IntUniform { min: 1, max: 1_000_000 },
        when: Vec::new(),
    });
    let space = Space { parameters: parameters.to_vec(), ..Space::default() };
    let plan = Plan::new(&definition(SearchMethod::Grid, space), &brewing());
    assert_eq!(plan.trials(), 1_000_000_000_000_000_000);
    let last = plan.suggest(&plan.history(), plan.trials() - 1).unwrap();
    assert_eq!(last.point.to_string(), "a=1000000 b=1000000 c=1000000");
    let some = plan.suggest(&plan.history(), 123_456_789_012).unwrap();
    assert_eq!(some.point.to_string(), "a=1 b=123457 c=789013");
    assert!(plan.suggest(&plan.history(), plan.trials()).is_none());
}

#[test]
fn draws_stay_in_their_domains_and_keep_the_constraints() {
    let parameters = [
        ("u", Domain::Uniform { min: -1.0, max: 2.0 }),
        ("l", Domain::LogUniformValues { min: 1e-4, max: 1e-1 }),
        ("n", Domain::Normal { mu: 1.0, sigma: 2.0 }),
        ("q", Domain::QLogUniformValues { min: 1.0, max: 50.0, q: 4.0, whole: true }),
    ]
    .map(|(path, domain)| Parameter { path: path.to_owned(), domain, when: Vec::new() });
    let constraint = Constraint::parse("u < 1 and n * l > -0.01").unwrap();
    let space = Space {
        parameters: parameters.to_vec(),
        constraints: vec![constraint],
        ..Space::default()
    };
    for method in [SearchMethod::Random, SearchMethod::Sobol] {
        let mut definition = definition(method, space.clone());
        definition.run_cap = Some(500);
        let plan = Plan::new(&definition, &brewing());
        let mut history = plan.history();
        for index in 0..plan.trials() {
            let suggestion = plan.suggest(&history, index).unwrap();
            history.record_suggestion(&suggestion);
            let value = |path| suggestion.point.get(path).unwrap().as_f64().unwrap();
            let (u, l, n, q) = (value("u"), value("l"), value("n"), value("q"));
            assert!((-1.0..1.0).contains(&u) && (1e-4..=1e-1).contains(&l), "{u} {l}");
            assert!(n * l > -0.01 && (4.0..=48.0).contains(&q) && q % 4.0 == 0.0, "{n} {q}");
        }
    }
}

#[test]
fn sobol_points_fill_the_square_more_evenly_than_random_ones() {
    let parameters = ["x", "y"].map(|path| Parameter {
        path: path.to_owned(),
        domain: Domain::Uniform { min: 0.0, max: 1.0 },
        when: Vec::new(),
    });
    let space = Space { parameters: parameters.to_vec(), ..Space::default() };
    // 256 points on a board of 16 by 16: a perfectly even sequence has one on each field.
    let empty_fields = |method| {
        let plan = Plan::new(&definition(method, space.clone()), &brewing());
        assert!(!plan.records_points());
        let history = plan.history();
        let field = |index| {
            let point = plan.suggest(&history, index).unwrap().point;
            let value = |path| point.get(path).unwrap().as_f64().unwrap();
            ["x", "y"].map(|path| format!("{}", (value(path) * 16.0).floor()))
        };
        256 - (0..256).map(field).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(empty_fields(SearchMethod::Sobol), 0);
    assert!(empty_fields(SearchMethod::Random) > 64, "random points leave about 94 fields empty");
}

#[test]
fn where_no_continuous_parameter_exists_a_point_comes_up_once() {
    let space = Space {
        parameters: vec![
            Parameter {
                path: "kind".to_owned(),
                domain: Domain::Categorical {
                    values: vec![json!("plain"), json!("curved")],
                    probabilities: None,
                },
                when: Vec::new(),
            },
            Parameter {
                path: "gain".to_owned(),
                domain: Domain::Uniform { min: 0.0, max: 1.0 },
                when: vec![Condition { path: "kind".to_owned(), values: vec![json!("curved")] }],
            },
        ],
        ..Space::default()
    };
    for method in [SearchMethod::Random, SearchMethod::Sobol] {
        let mut definition = definition(method, space.clone());
        definition.run_cap = Some(40);
        let plan = Plan::new(&definition, &brewing());
        assert!(plan.records_points());
        let mut history = plan.history();
        let mut plain = 0;
        for index in 0..plan.trials() {
            let suggestion = plan.suggest(&history, index).unwrap();
            assert!(!history.contains(&suggestion.point));
            plain += usize::from(suggestion.point.get("gain").is_none());
            history.record_suggestion(&suggestion);
        }
        assert_eq!(plain, 1, "{method:?}");
    }
}

#[test]
fn a_sweep_of_another_workload_means_what_its_schema_says() {
    let text = "{name: demo, parameters: {bean: {values: [arabica]}}}";
    let definition = spec::parse(&workloads(), "demo.yaml", text).unwrap().definition;
    assert_eq!((&definition.workload, &definition.objective.name), (&BREWING, &TASTE));
    let plan = Plan::new(&definition, &brewing());
    let trial = plan.trial(0, &plan.suggest(&plan.history(), 0).unwrap()).unwrap();
    let expected = json!({
        "bean": "arabica",
        "grams": 0,
        "grind": 0.0,
        "resources": {"threads": 1, "timeout": null},
        "seed": 0,
    });
    assert_eq!(trial.resolved, expected);
    let text = "name: demo\ngrind: 90\nparameters: {bean: {values: [robusta, instant]}}";
    let mistakes = spec::parse(&workloads(), "demo.yaml", text).unwrap_err();
    let [mistake] = mistakes.list() else { panic!("{}", mistakes.render()) };
    assert_eq!(
        (mistake.line, mistake.message.as_str()),
        (2, "instant coffee is not ground for a minute")
    );
    let mistakes = spec::parse(&workloads(), "demo.yaml", "{name: demo, workload: roasting}");
    let help = mistakes.unwrap_err().list()[0].help.clone();
    assert_eq!(help.as_deref(), Some("write `brewing`"));
}
