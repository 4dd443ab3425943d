//! Layers of every kind: gradients against finite differences, and bit-identical results.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as the test does")]

use rheo_kernels::{
    AdaptiveLayer, BackwardRequest, CompiledReal, ComputeResources, Controller, Drive, GainStats,
    Gru, Isa, Layer, LayerState, Lstm, NeuronFunction, OutputSelection, PlainLayer, Real, Sequence,
    SequenceDims, StepTrace, Tape, Weights,
};

/// A kind of layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Relu,
    Tanh,
    Sigmoid,
    Softplus,
    Linear,
    Modrelu,
    Gamma,
    Adaptive,
    Lstm,
    Gru,
}

const KINDS: [Kind; 10] = [
    Kind::Relu,
    Kind::Tanh,
    Kind::Sigmoid,
    Kind::Softplus,
    Kind::Linear,
    Kind::Modrelu,
    Kind::Gamma,
    Kind::Adaptive,
    Kind::Lstm,
    Kind::Gru,
];

/// Returns deterministic pseudo-random numbers.
fn numbers<R: Real>(count: usize, seed: u64, scale: f64) -> Vec<R> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    (0..count).map(|_| R::of(scale * next())).collect()
}

/// A layer's weights and input.
#[derive(Debug, Clone)]
struct Case<R> {
    kind: Kind,
    sizes: SequenceDims,
    /// w_x, w_h, bias, then the other parameters of the kind.
    parameters: Vec<Vec<R>>,
    x: Vec<R>,
    drive: Vec<R>,
    from: LayerState<R>,
}

const UNITS: usize = 7;

/// All results of a forward and a backward pass.
#[derive(Debug, Clone, PartialEq)]
struct Outcome<R> {
    h: Vec<R>,
    last: LayerState<R>,
    observed: GainStats,
    trace: StepTrace<R>,
    /// Gradients of the parameters of [`Case`], then with respect to x.
    gradients: Vec<Vec<R>>,
    /// Gradients with respect to h and to the inner state after every step.
    grad_states: [Vec<R>; 2],
    recomputed: bool,
}

impl<R: Real> Outcome<R> {
    fn all_gradients(&self) -> Vec<Vec<R>> {
        [&self.gradients[..], &self.grad_states].concat()
    }
}

impl<R: CompiledReal> Case<R> {
    fn new(kind: Kind, [hidden, batch, steps, inputs]: [usize; 4]) -> Self {
        let sizes = SequenceDims { steps, batch, inputs, hidden };
        let gates = match kind {
            Kind::Lstm => 4,
            Kind::Gru => 3,
            _ => 1,
        };
        let small = 1.0 / (hidden as f64).sqrt();
        let around = |count, centre: f64, seed| {
            let values: Vec<R> = numbers(count, seed, 0.3);
            values.into_iter().map(|value| R::of(value.into() + centre)).collect()
        };
        let mut parameters = vec![
            numbers(gates * hidden * inputs, 1, 1.0),
            numbers(gates * hidden * hidden, 2, small),
            numbers(gates * hidden, 3, 0.5),
        ];
        match kind {
            Kind::Modrelu => parameters.push(numbers(hidden, 4, 0.2)),
            Kind::Gamma => {
                parameters.push(around(hidden, 2.0, 4));
                parameters.push(around(hidden, 0.3, 5));
            }
            Kind::Adaptive => {
                parameters.push(numbers(UNITS, 4, 1.0));
                parameters.push(numbers(UNITS, 5, 0.5));
                parameters.push(numbers(UNITS * UNITS, 6, 0.5));
                parameters.push(numbers(UNITS, 7, 0.3));
                parameters.push(around(1, 2.0, 8));
                parameters.push(numbers(UNITS, 9, 0.3));
                parameters.push(around(1, 0.2, 10));
            }
            Kind::Gru => parameters.push(numbers(hidden, 4, 0.5)),
            _ => {}
        }
        let inner = match kind {
            Kind::Adaptive => batch * hidden * UNITS,
            Kind::Lstm => batch * hidden,
            _ => 0,
        };
        Self {
            kind,
            sizes,
            parameters,
            x: numbers(steps * batch * inputs, 11, 1.0),
            drive: numbers(steps * batch * hidden, 12, 0.5),
            from: LayerState {
                h: numbers(batch * hidden, 13, 0.5),
                inner: numbers(inner, 14, 0.5),
            },
        }
    }

    fn weights(&self) -> Weights<'_, R> {
        let [w_x, w_h, bias, ..] = self.parameters.as_slice() else { unreachable!() };
        Weights { w_x, w_h, bias }
    }

    fn layer(&self) -> Layer<'_, R> {
        let weights = self.weights();
        let own = &self.parameters[3..];
        let plain = |neurons| Layer::Plain(PlainLayer { weights, neurons });
        match self.kind {
            Kind::Relu => plain(NeuronFunction::Relu),
            Kind::Tanh => plain(NeuronFunction::Tanh),
            Kind::Sigmoid => plain(NeuronFunction::Sigmoid),
            Kind::Softplus => plain(NeuronFunction::Softplus),
            Kind::Linear => plain(NeuronFunction::Linear),
            Kind::Modrelu => plain(NeuronFunction::Modrelu { b: &own[0] }),
            Kind::Gamma => plain(NeuronFunction::Gamma { n: &own[0], s: &own[1] }),
            Kind::Adaptive => {
                let controller = Controller {
                    u: &own[0],
                    bias: &own[1],
                    w: &own[2],
                    w_n: &own[3],
                    b_n: own[4][0],
                    w_s: &own[5],
                    b_s: own[6][0],
                };
                Layer::Adaptive(AdaptiveLayer { weights, controller })
            }
            Kind::Lstm => Layer::Lstm(Lstm { weights, driven: &[0, 1, 2, 3] }),
            Kind::Gru => Layer::Gru(Gru { weights, candidate_bias: &own[0], is_driven: true }),
        }
    }

    fn sequence(&self) -> Sequence<'_, R> {
        let SequenceDims { batch, hidden, .. } = self.sizes;
        Sequence {
            sizes: self.sizes,
            x: &self.x,
            drive: Some(Drive { values: &self.drive, strides: [batch * hidden, hidden, 1] }),
            from: Some(&self.from),
        }
    }

    /// Returns the case restricted to some steps.
    fn part(&self, steps: std::ops::Range<usize>, from: LayerState<R>) -> Self {
        let SequenceDims { batch, inputs, hidden, .. } = self.sizes;
        Self {
            sizes: SequenceDims { steps: steps.len(), ..self.sizes },
            x: self.x[steps.start * batch * inputs..steps.end * batch * inputs].to_vec(),
            drive: self.drive[steps.start * batch * hidden..steps.end * batch * hidden].to_vec(),
            from,
            ..self.clone()
        }
    }

    /// Returns the outcome for the loss sum(`grad_h` h).
    fn run(&self, grad_h: &[R], every: bool, resources: ComputeResources) -> Outcome<R> {
        self.run_again(grad_h, every, resources, None).0
    }

    /// Like [`Case::run`], in the memory of an earlier pass.
    fn run_again(
        &self,
        grad_h: &[R],
        every: bool,
        resources: ComputeResources,
        reuse: Option<Tape<R>>,
    ) -> (Outcome<R>, Tape<R>) {
        let (layer, sequence) = (self.layer(), self.sequence());
        let wanted =
            OutputSelection { every_h: every, tape: true, moments: true, trace: true, inner: true };
        let pass = layer.forward(&sequence, wanted, resources, reuse);
        let mut tape = pass.tape.unwrap();
        let recomputed = tape.recomputes();
        let loss = BackwardRequest { grad_h, every, wants_x: true, wants_states: true };
        let found = layer.backward(&sequence, &mut tape, loss, resources);
        let mut gradients = vec![found.weights.w_x, found.weights.w_h, found.weights.bias];
        gradients.extend(found.own);
        gradients.push(found.x);
        let (h, last, observed, trace) = (pass.h, pass.last, pass.observed, pass.trace);
        let grad_states = [found.h, found.inner];
        (Outcome { h, last, observed, trace, gradients, grad_states, recomputed }, tape)
    }
}

fn ample_resources(isa: Isa) -> ComputeResources {
    ComputeResources { isa, threads: 2, memory: usize::MAX }
}

fn grad_h<R: Real>(sizes: SequenceDims, every: bool) -> Vec<R> {
    let steps = if every { sizes.steps } else { 1 };
    numbers(steps * sizes.batch * sizes.hidden, 20, 1.0)
}

/// Dimensions [H, B, T, I].
const SIZES: [[usize; 4]; 6] =
    [[1, 1, 1, 1], [3, 7, 2, 1], [17, 1, 100, 2], [5, 7, 33, 3], [33, 3, 20, 1], [129, 7, 2, 1]];

#[test]
fn gradients_match_finite_differences() {
    for kind in KINDS {
        for size in SIZES {
            for every in [false, true] {
                let case = Case::<f64>::new(kind, size);
                check_gradients(&case, every);
            }
        }
    }
}

fn check_gradients(case: &Case<f64>, every: bool) {
    let resources = ample_resources(Isa::detect());
    let grad_h = grad_h(case.sizes, every);
    let loss = |case: &Case<f64>| -> f64 {
        case.run(&grad_h, every, resources)
            .h
            .iter()
            .zip(&grad_h)
            .map(|(h, grad_h)| h * grad_h)
            .sum()
    };
    let found = case.run(&grad_h, every, resources).gradients;
    for (which, gradient) in found.iter().enumerate() {
        let places = [0, gradient.len() / 3, gradient.len() / 2, gradient.len() - 1];
        for place in places {
            let shifted = |by: f64| {
                let mut case = case.clone();
                let values = match case.parameters.get_mut(which) {
                    Some(values) => values,
                    None => &mut case.x,
                };
                values[place] += by;
                loss(&case)
            };
            let step = 1e-6;
            let expected = (shifted(step) - shifted(-step)) / (2.0 * step);
            let off = (gradient[place] - expected).abs();
            assert!(
                off <= 1e-7 * (1.0 + expected.abs()),
                "{:?} {:?} every {every} parameter {which} at {place}: {}, not {expected}",
                case.kind,
                case.sizes,
                gradient[place]
            );
        }
    }
}

#[test]
fn state_gradients_match_finite_differences() {
    for kind in KINDS {
        for every in [false, true] {
            // Once with a full tape, once with recomputation.
            for memory in [usize::MAX, 0] {
                let case = Case::<f64>::new(kind, [5, 3, 20, 2]);
                let grad_h = grad_h(case.sizes, every);
                let resources = ComputeResources { memory, ..ample_resources(Isa::detect()) };
                let found = case.run(&grad_h, every, resources);
                for t in [0, 1, 15, 18] {
                    check_grad_h(&case, &found, (&grad_h, every), t);
                }
            }
        }
    }
}

/// Checks the gradient with respect to h after step `t` by restarting from there.
fn check_grad_h(case: &Case<f64>, found: &Outcome<f64>, (grad_h, every): (&[f64], bool), t: usize) {
    let SequenceDims { batch, hidden, .. } = case.sizes;
    let width = batch * hidden;
    let resources = ample_resources(Isa::detect());
    let state =
        case.part(0..t + 1, case.from.clone()).run(&vec![0.0; width], false, resources).last;
    let all =
        |values: &[f64]| if every { values[(t + 1) * width..].to_vec() } else { values.to_vec() };
    let later = all(grad_h);
    for place in 0..width {
        let loss = |by: f64| -> f64 {
            let mut from = state.clone();
            from.h[place] += by;
            let rest = case.part(t + 1..case.sizes.steps, from).run(&later, every, resources);
            rest.h.iter().zip(&later).map(|(h, grad_h)| h * grad_h).sum()
        };
        let own = if every { grad_h[t * width + place] } else { 0.0 };
        let expected = own + (loss(1e-6) - loss(-1e-6)) / 2e-6;
        let found = found.grad_states[0][t * width + place];
        let off = (found - expected).abs();
        assert!(
            off <= 1e-7 * (1.0 + expected.abs()),
            "{:?} {t}: {found}, not {expected}",
            case.kind
        );
    }
}

#[test]
fn controller_state_gradients_sum_to_bias_gradients() {
    for size in SIZES {
        let case = Case::<f64>::new(Kind::Adaptive, size);
        let found = case.run(&grad_h(case.sizes, true), true, ample_resources(Isa::detect()));
        // A bias shifts z, and dg = (1 - g^2) dz.
        let mut sums = [0.0; UNITS];
        for (i, (g, grad_g)) in found.trace.inner.iter().zip(&found.grad_states[1]).enumerate() {
            sums[i % UNITS] += grad_g * (1.0 - g * g);
        }
        for (found, expected) in sums.iter().zip(&found.gradients[4]) {
            let off = (found - expected).abs();
            assert!(off <= 1e-10 * (1.0 + expected.abs()), "{size:?}: {found}, not {expected}");
        }
    }
}

#[test]
fn recomputed_steps_are_bit_identical() {
    for kind in KINDS {
        for size in [[17, 5, 100, 2], [3, 7, 33, 1], [40, 9, 16, 1]] {
            let case = Case::<f32>::new(kind, size);
            for every in [false, true] {
                let grad_h = grad_h(case.sizes, every);
                let all = case.run(&grad_h, every, ample_resources(Isa::detect()));
                assert!(!all.recomputed);
                for memory in [0, 60_000] {
                    let resources = ComputeResources { memory, ..ample_resources(Isa::detect()) };
                    let again = case.run(&grad_h, every, resources);
                    assert!(memory > 0 || again.recomputed, "{kind:?} {size:?}");
                    let recomputed = all.recomputed;
                    assert!(Outcome { recomputed, ..again } == all, "{kind:?} {size:?} {memory}");
                }
            }
        }
    }
}

#[test]
fn two_runs_are_bit_identical() {
    for kind in KINDS {
        let case = Case::<f32>::new(kind, [50, 9, 40, 2]);
        let grad_h = grad_h(case.sizes, true);
        for threads in [1, 2, 3] {
            let resources = ComputeResources { threads, ..ample_resources(Isa::detect()) };
            let (first, tape) = case.run_again(&grad_h, true, resources, None);
            let second = case.run(&grad_h, true, resources);
            assert!(first == second, "{kind:?} on {threads} threads");
            let (third, _) = case.run_again(&grad_h, true, resources, Some(tape));
            assert!(first == third, "{kind:?} on {threads} threads in reused memory");
        }
    }
}

#[test]
fn instruction_sets_and_threads_agree_up_to_rounding() {
    for kind in KINDS {
        for size in SIZES {
            let case = Case::<f64>::new(kind, size);
            let grad_h = grad_h(case.sizes, true);
            let reference = case.run(&grad_h, true, ample_resources(Isa::detect()));
            for isa in Isa::all() {
                for threads in [1, 3] {
                    let resources = ComputeResources { isa, threads, memory: usize::MAX };
                    let found = case.run(&grad_h, true, resources);
                    let what = format!("{kind:?} {size:?} {} {threads}", isa.name());
                    assert_near(&what, &found, &reference);
                }
            }
        }
    }
}

fn assert_near(what: &str, found: &Outcome<f64>, reference: &Outcome<f64>) {
    let numbers = |outcome: &Outcome<f64>| {
        [&outcome.all_gradients().concat()[..], &outcome.h, &outcome.trace.inner].concat()
    };
    for (found, expected) in numbers(found).iter().zip(numbers(reference)) {
        let off = (found - expected).abs();
        assert!(off <= 1e-11 * (1.0 + expected.abs()), "{what}: {found}, not {expected}");
    }
}

#[test]
fn single_precision_is_near_double_precision() {
    for kind in KINDS {
        for size in SIZES {
            let resources = ample_resources(Isa::detect());
            let case = Case::<f32>::new(kind, size);
            let single = case.run(&grad_h(case.sizes, true), true, resources);
            let case = Case::<f64>::new(kind, size);
            let double = case.run(&grad_h(case.sizes, true), true, resources);
            for (single, double) in single.all_gradients().iter().zip(&double.all_gradients()) {
                let scale = double.iter().fold(0.0f64, |most, value| most.max(value.abs()));
                for (single, double) in single.iter().zip(double) {
                    let off = (f64::from(*single) - double).abs();
                    assert!(off <= 1e-4 * scale, "{kind:?} {size:?}: {single}, not {double}");
                }
            }
        }
    }
}

#[test]
fn states_are_carried_from_one_sequence_to_the_next() {
    for kind in KINDS {
        let whole = Case::<f64>::new(kind, [18, 5, 30, 2]);
        let SequenceDims { batch, hidden, .. } = whole.sizes;
        let grad_h = vec![0.0; batch * hidden];
        let resources = ComputeResources { threads: 2, ..ample_resources(Isa::detect()) };
        let expected = whole.run(&grad_h, false, resources);
        let first = whole.part(0..11, whole.from.clone()).run(&grad_h, false, resources);
        let second = whole.part(11..30, first.last).run(&grad_h, false, resources);
        assert_eq!(second.last, expected.last, "{kind:?}");
        let inner = [first.trace.inner, second.trace.inner].concat();
        assert_eq!(inner, expected.trace.inner, "{kind:?}");
        assert!(inner.ends_with(&second.last.inner), "{kind:?}");
    }
}

#[test]
fn gain_statistics_match_the_trace() {
    let mut case = Case::<f64>::new(Kind::Adaptive, [18, 5, 30, 2]);
    // Some gains are below zero, some too close to zero.
    case.parameters[3 + 3] = vec![0.0; UNITS];
    case.parameters[3 + 3][0] = 0.05;
    case.parameters[3 + 4] = vec![0.0];
    let grad_h = vec![0.0; 30 * 5 * 18];
    let Outcome { observed, trace, .. } = case.run(&grad_h, true, ample_resources(Isa::detect()));
    let count = |is: fn(f64) -> bool| trace.n.iter().filter(|n| is(**n)).count() as u64;
    assert_eq!(trace.n.len(), 30 * 5 * 18);
    assert_eq!(observed.negative_gains, count(|n| n < 0.0));
    assert_eq!(observed.guard_hits, count(|n| n.abs() < 1e-3));
    assert!(observed.negative_gains > 100 && observed.guard_hits > 10);
    for neuron in 0..18 {
        let of = |values: &[f64]| -> Vec<f64> {
            values.chunks(18).map(|values| values[neuron]).collect()
        };
        let (n, s) = (of(&trace.n), of(&trace.s));
        let square = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let sums = [n.iter().sum::<f64>(), square(&n), s.iter().sum::<f64>(), square(&s)];
        for (found, expected) in observed.moments.iter().zip(sums) {
            assert!((found[neuron] - expected).abs() < 1e-9 * (1.0 + expected.abs()));
        }
    }
}

#[test]
fn a_drive_may_be_the_same_for_all_neurons_or_samples() {
    let mut case = Case::<f64>::new(Kind::Gamma, [18, 5, 30, 2]);
    let SequenceDims { steps, batch, hidden, .. } = case.sizes;
    let by_step: Vec<f64> = numbers(steps, 30, 1.0);
    case.drive = by_step.iter().flat_map(|value| vec![*value; batch * hidden]).collect();
    let resources = ample_resources(Isa::detect());
    let expected = case.run(&vec![0.0; batch * hidden], false, resources);
    let drive = Some(Drive { values: &by_step, strides: [1, 0, 0] });
    let sequence = Sequence { drive, ..case.sequence() };
    let pass = case.layer().forward(&sequence, OutputSelection::default(), resources, None);
    assert_eq!(pass.h, expected.h);
    assert!(pass.tape.is_none());
}
