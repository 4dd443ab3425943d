//! Time of one suggestion by the number of points with a result.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should say so and end")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rheo_core::history::TrialEnding;
use rheo_core::spec;
use rheo_core::sweep::PlannedSweep;

#[path = "../tests/brewing/mod.rs"]
mod brewing;

use brewing::workloads;

const FILE: &str = "
name: modelled
method: METHOD
run_cap: 1000000
parameters:
  bean: {values: [arabica, robusta]}
  grams: {distribution: int_uniform, min: 1, max: 1000}
  grind: {distribution: int_uniform, min: 1, max: 1000}
";

fn suggestions(criterion: &mut Criterion) {
    const COUNTS: [u64; 3] = [100, 10_000, 100_000];
    let methods: [(_, &[u64]); 4] =
        [("random", &COUNTS), ("tpe", &COUNTS), ("gp", &[20, 50, 100, 200]), ("cmaes", &COUNTS)];
    for (method, counts) in methods {
        let mut group = criterion.benchmark_group(method);
        let file = FILE.replace("METHOD", method);
        let parsed = spec::parse(&workloads(), "modelled.yaml", &file).expect("a sweep");
        let planned = PlannedSweep::new(parsed.definition, &workloads());
        let filling = spec::parse(&workloads(), "filling.yaml", &FILE.replace("METHOD", "random"));
        let filling = PlannedSweep::new(filling.expect("a sweep").definition, &workloads());
        for &points in counts {
            let mut history = planned.plan.history();
            let none = filling.plan.history();
            for point in 0..points {
                let suggestion = filling.plan.suggest(&none, point).expect("a point");
                history.record_suggestion(&suggestion);
                let value = (point as f64 * 0.618_034).fract();
                history.record_end(point, TrialEnding::Completed, Some(value));
            }
            group.bench_function(BenchmarkId::from_parameter(points), |bench| {
                bench.iter(|| planned.plan.suggest(&history, black_box(points)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, suggestions);
criterion_main!(benches);
