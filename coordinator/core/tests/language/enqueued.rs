//! Points that a sweep file gives.

use proptest::prelude::*;
use rheo_core::definition::{SearchMethod, SweepDefinition};
use rheo_core::plan::Plan;
use rheo_core::space::Point;
use rheo_core::spec;

use crate::brewing::workloads;
use crate::spaces::{brewing, definition, plots, suggested, texts, weigh};

const METHODS: [SearchMethod; 4] =
    [SearchMethod::Grid, SearchMethod::Random, SearchMethod::Sobol, SearchMethod::Tpe];

proptest! {
    #[test]
    fn given_points_come_first_and_every_other_point_once(
        plot in plots(),
        method in prop::sample::select(METHODS.to_vec()),
        which in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        is_weighted in any::<bool>(),
    ) {
        let mut space = plot.space();
        if is_weighted && method != SearchMethod::Grid {
            weigh(&mut space, 3);
        }
        let all = suggested(&definition(SearchMethod::Grid, plot.space()));
        let mut given: Vec<Point> = Vec::new();
        for index in which.into_iter().filter(|_| !all.is_empty()) {
            let point = index.get(&all);
            if !given.contains(point) {
                given.push(point.clone());
            }
        }
        let definition = SweepDefinition { enqueue: given.clone(), ..definition(method, space) };
        if method == SearchMethod::Grid {
            prop_assert!(!Plan::new(&definition, &brewing()).records_points());
        }
        let points = suggested(&definition);
        prop_assert_eq!(&points[..given.len()], &given[..]);
        prop_assert_eq!(points.len(), all.len(), "no point twice");
        prop_assert_eq!(texts(&points), plot.points(), "every point comes up");
    }
}

const FILE: &str = "
name: demo
parameters:
  bean: {values: [arabica, robusta]}
  grams: {min: 1, max: 20}
  resources.timeout: {values: [80, 90], when: {bean: arabica}}
constraints: grams < 15 or bean == 'robusta'
enqueue: POINTS
";

fn parsed(points: &str) -> Result<SweepDefinition, String> {
    let parsed = spec::parse(&workloads(), "demo.yaml", &FILE.replace("POINTS", points));
    parsed.map(|parsed| parsed.definition).map_err(|mistakes| format!("{:?}", mistakes.list()))
}

#[test]
fn points_are_nested_or_dotted_and_have_the_values_that_exist() {
    let points =
        "[{bean: robusta, grams: 20}, {grams: 3, bean: arabica, resources: {timeout: 90}}]";
    let definition = parsed(points).unwrap();
    let texts: Vec<String> = definition.enqueue.iter().map(Point::to_string).collect();
    assert_eq!(texts, ["bean=robusta grams=20", "bean=arabica grams=3 resources.timeout=90.0"]);
    assert!(definition.to_string().contains("enqueue: bean=robusta grams=20"));
    let again: SweepDefinition =
        serde_json::from_str(&serde_json::to_string(&definition).unwrap()).unwrap();
    assert_eq!(again, definition);
}

#[test]
fn a_point_that_is_none_is_refused_with_its_remedy() {
    for (points, message) in [
        ("3", "`enqueue` must be a list of points, not `3`"),
        ("[3]", "a point must be a mapping from parameters to values, not `3`"),
        ("[{bean: robusta}]", "the point has no value of `grams`"),
        ("[{bean: robusta, grams: 21}]", "`21` is not among the values of `grams`"),
        (
            "[{bean: robusta, grams: 3, resources.timeout: 80}]",
            "`resources.timeout` does not exist",
        ),
        ("[{bean: arabica, grams: 15, resources.timeout: 80}]", "violates the constraint"),
        ("[{bean: robusta, gram: 3}]", "unknown parameter `gram`"),
        ("[{bean: robusta, grams: many}]", "`grams` must be"),
        ("[{bean: robusta, grams: 3}, {grams: 3, bean: robusta}]", "is given twice"),
    ] {
        let refused = parsed(points).unwrap_err();
        assert!(refused.contains(message), "{points}: {refused}");
    }
}
