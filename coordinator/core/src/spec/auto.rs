//! `method: auto`: a rule that chooses the method from the space and the number of points.

use crate::definition::{SearchMethod, SweepDefinition};

/// The smallest number of points from which a model can learn.
const MIN_MODELLED: u64 = 20;

/// Returns the method for a sweep, and the reason. `total` is the number of points of its space, if
/// it is finite.
pub(super) fn choose(definition: &SweepDefinition, total: Option<u64>) -> (SearchMethod, String) {
    let seeds = (definition.seeds.len() as u64).max(1);
    let trials = definition.run_cap.into_iter().chain(definition.stop.trials).min();
    let cap = trials.map(|cap| cap.div_ceil(seeds));
    match (total, cap) {
        (Some(total), cap) if cap.is_none_or(|cap| cap >= total) => {
            (SearchMethod::Grid, format!("all {total} points of the space run"))
        }
        (_, Some(cap)) if cap < MIN_MODELLED => {
            let reason = format!("{cap} points are too few for a model to learn from");
            (SearchMethod::Sobol, reason)
        }
        (Some(total), Some(cap)) => {
            (SearchMethod::Tpe, format!("{cap} of {total} points run, chosen by results"))
        }
        (None, cap) => {
            let points = cap.map_or_else(|| "points".to_owned(), |cap| format!("{cap} points"));
            (SearchMethod::Tpe, format!("{points} of an infinite space run, chosen by results"))
        }
        (Some(_), None) => (SearchMethod::Grid, "all points of the space run".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SweepName;
    use crate::metric::{Goal, Objective};
    use crate::name::{MetricName, WorkloadName};
    use crate::space::Space;

    #[test]
    fn the_method_follows_from_the_space_and_the_number_of_points() {
        let name = MetricName::of("loss");
        let definition = |seeds: u64, run_cap| SweepDefinition {
            name: SweepName::parse("demo").unwrap(),
            workload: WorkloadName::of("anything"),
            description: None,
            method: SearchMethod::Auto,
            objective: Objective { name: name.clone(), goal: Goal::Minimize, target: None },
            base: serde_json::json!({}),
            space: Space::default(),
            seeds: (0..seeds).collect(),
            aggregate: crate::ranking::AggregateRule::default(),
            seed: 0,
            run_cap,
            enqueue: Vec::new(),
            max_failed_trials: None,
            stop: crate::definition::StopRules::default(),
            retry: crate::definition::RetryPolicy::default(),
            early_terminate: None,
        };
        for (seeds, cap, total, method) in [
            (1, None, Some(12), SearchMethod::Grid),
            (3, Some(36), Some(12), SearchMethod::Grid),
            (3, Some(33), Some(12), SearchMethod::Sobol),
            (1, Some(19), None, SearchMethod::Sobol),
            (1, Some(20), None, SearchMethod::Tpe),
            (2, Some(200), Some(1_000), SearchMethod::Tpe),
            (1, None, None, SearchMethod::Tpe),
        ] {
            let (chosen, reason) = choose(&definition(seeds, cap), total);
            assert_eq!(chosen, method, "{seeds} {cap:?} {total:?}: {reason}");
        }
    }
}
