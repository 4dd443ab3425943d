//! Criterion bench: time of one training update per kind of network, at the size of the demo sweep:
//! forward, backward and optimizer on one thread.

#![expect(clippy::expect_used, reason = "a bench that cannot run panics")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{Network as Config, NetworkKind, Task as TaskConfig, TrialConfig};
use rheo_train::ShapeStats;
use rheo_train::network::Network;
use rheo_train::optimizer::Optimizer;
use rheo_train::step::{self, StepInput, UpdateRecipe};
use rheo_train::task::{SampleLibrary, Split, Task};
use tch::Kind;

fn update(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    let mut group = criterion.benchmark_group("update");
    group.sample_size(20);
    for kind in [
        NetworkKind::Relu,
        NetworkKind::Homogeneous,
        NetworkKind::Heterogeneous,
        NetworkKind::Adaptive,
    ] {
        let config = TrialConfig {
            task: TaskConfig {
                pool: 2,
                train_size: 100,
                validation_size: 1,
                test_size: 1,
                ..TaskConfig::default()
            },
            network: Config { kind, hidden: 32, controller: 10, ..Config::default() },
            ..TrialConfig::default()
        };
        let task = Task::load(&config, &SampleLibrary::default()).expect("digits need no files");
        let mut rng = TrialRng::new(0, Purpose::Init);
        let network = Network::new(&config.network, task.interface(), Kind::Float, &mut rng)
            .expect("the network is small");
        let mut adam = Optimizer::new(&config.training.optimizer, &network.parameters())
            .expect("the network is small");
        let batch = task
            .batch(Split::Train, &(0..100).collect::<Vec<u32>>())
            .expect("the split has 100 samples");
        group.bench_function(kind.name(), |bencher| {
            bencher.iter(|| {
                let (recipe, mut stats) = (UpdateRecipe::default(), ShapeStats::counting());
                let input = StepInput { batch: &batch, from: None };
                black_box(step::update(&network, &mut adam, input, &recipe, &mut stats))
                    .expect("the shapes fit")
            });
        });
    }
    group.finish();
}

/// Assembly of a batch of 100 samples: 784 pixels in the order of psmnist, and 196 pixels.
fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch");
    for pool in [1, 2] {
        let task = TaskConfig {
            side: 28,
            pool,
            permute: true,
            train_size: 2000,
            validation_size: 1,
            test_size: 1,
            ..TaskConfig::default()
        };
        let config = TrialConfig { task, ..TrialConfig::default() };
        let task = Task::load(&config, &SampleLibrary::default()).expect("digits need no files");
        let samples: Vec<u32> = (0..100).map(|i| i * 19 % 2000).collect();
        group.bench_function(format!("{} pixels", task.steps()), |bencher| {
            bencher.iter(|| black_box(task.batch(Split::Train, &samples)).expect("they are there"));
        });
    }
    group.finish();
}

criterion_group!(benches, batch, update);
criterion_main!(benches);
