//! Criterion benches: every layer family over a sequence on one thread, forward and backward, with
//! a full tape and with state checkpoints only.

#![expect(clippy::expect_used, reason = "a bench that cannot run panics")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rheo_kernels::{
    AdaptiveLayer, BackwardRequest, ComputeResources, Controller, Gru, Isa, Layer, Lstm,
    NeuronFunction, OutputSelection, PlainLayer, Real, Sequence, SequenceDims, Tape, Weights,
};

const SIZES: SequenceDims = SequenceDims { steps: 98, batch: 50, inputs: 1, hidden: 128 };
const UNITS: usize = 50;

/// Returns deterministic pseudo-random numbers.
fn numbers(count: usize, scale: f64) -> Vec<f32> {
    let wave = |i: usize| f32::of(scale * (i as f64 * 12.9898).sin());
    (0..count).map(wave).collect()
}

fn layers(criterion: &mut Criterion) {
    let SequenceDims { batch, inputs, hidden, .. } = SIZES;
    let most = 4 * hidden;
    let (w_x, w_h) = (numbers(most * inputs, 1.0), numbers(most * hidden, 0.1));
    let (bias, n, s) = (numbers(most, 0.1), vec![5.0; hidden], vec![0.1; hidden]);
    let (units, square) = (numbers(UNITS, 0.3), numbers(UNITS * UNITS, 0.14));
    let of = |gates: usize| Weights {
        w_x: &w_x[..gates * hidden * inputs],
        w_h: &w_h[..gates * hidden * hidden],
        bias: &bias[..gates * hidden],
    };
    let plain = |neurons| Layer::Plain(PlainLayer { weights: of(1), neurons });
    let controller = Controller {
        u: &units,
        bias: &units,
        w: &square,
        w_n: &units,
        b_n: 5.0,
        w_s: &units,
        b_s: 0.0,
    };
    let cases = [
        ("relu", 1, plain(NeuronFunction::Relu)),
        ("tanh", 1, plain(NeuronFunction::Tanh)),
        ("gamma", 1, plain(NeuronFunction::Gamma { n: &n, s: &s })),
        ("adaptive", 1, Layer::Adaptive(AdaptiveLayer { weights: of(1), controller })),
        ("lstm", 4, Layer::Lstm(Lstm { weights: of(4), driven: &[] })),
        ("gru", 3, Layer::Gru(Gru { weights: of(3), candidate_bias: &n, is_driven: false })),
    ];
    let x = numbers(SIZES.steps * batch * inputs, 1.0);
    let grad_h = numbers(batch * hidden, 0.01);
    let sequence = Sequence { sizes: SIZES, x: &x, drive: None, from: None };
    let mut group = criterion.benchmark_group("layer");
    group.sample_size(10);
    for (name, gates, layer) in cases {
        let controllers = if name == "adaptive" { UNITS * UNITS } else { 0 };
        let products = gates * (hidden + inputs) + controllers;
        // Fused multiply-adds: forward, backward, and weight gradients.
        let work = 3 * SIZES.steps * batch * hidden * products;
        group.throughput(Throughput::Elements(work as u64));
        for (kept, memory) in [("steps", usize::MAX), ("states", 0)] {
            let resources = ComputeResources { isa: Isa::detect(), threads: 1, memory };
            let mut reuse: Option<Tape<f32>> = None;
            group.bench_function(format!("{name}/{kept}"), |bencher| {
                bencher.iter(|| {
                    let wanted = OutputSelection { tape: true, ..OutputSelection::default() };
                    let pass = layer.forward(&sequence, wanted, resources, reuse.take());
                    let mut tape = pass.tape.expect("a tape was requested");
                    let loss = BackwardRequest {
                        grad_h: &grad_h,
                        every: false,
                        wants_x: false,
                        wants_states: false,
                    };
                    black_box(layer.backward(&sequence, &mut tape, loss, resources));
                    reuse = Some(tape);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, layers);
criterion_main!(benches);
