//! What all layers read and give: sizes, inputs, states, and how to go about it.

use crate::Isa;

/// Numbers of steps, samples, inputs and neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceDims {
    /// T.
    pub steps: usize,
    /// B.
    pub batch: usize,
    /// I.
    pub inputs: usize,
    /// H.
    pub hidden: usize,
}

/// What a layer reads.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a, R> {
    /// Its sizes.
    pub sizes: SequenceDims,
    /// x [T, B, I].
    pub x: &'a [R],
    /// An extra current d into the neurons.
    pub drive: Option<Drive<'a, R>>,
    /// The state before the first step; without it, all zeros.
    pub from: Option<&'a LayerState<R>>,
}

/// A current [T, B, H] that may be the same over some of the three.
#[derive(Debug, Clone, Copy)]
pub struct Drive<'a, R> {
    /// The different values.
    pub values: &'a [R],
    /// How far the values of successive steps, samples and neurons are apart: zero where they are
    /// the same. Those of neurons are side by side or the same.
    pub strides: [usize; 3],
}

/// What a layer remembers from one step to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerState<R> {
    /// What the neurons emit, [B, H].
    pub h: Vec<R>,
    /// What nobody outside sees: the controllers' g [B, H, S] of adaptive neurons, c [B, H] of
    /// `lstm`, nothing of the others.
    pub inner: Vec<R>,
}

/// What the caller of a forward pass wants besides the last state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that may be wanted or not")]
pub struct OutputSelection {
    /// h after every step, not only after the last.
    pub every_h: bool,
    /// A tape for the backward pass.
    pub tape: bool,
    /// Moments of the gains and saturations of adaptive neurons.
    pub moments: bool,
    /// What the neurons received at every step, and the gains and saturations of adaptive ones.
    pub trace: bool,
    /// The inner state after every step.
    pub inner: bool,
}

/// What a pass may use.
#[derive(Debug, Clone, Copy)]
pub struct ComputeResources {
    /// The instruction set.
    pub isa: Isa,
    /// Threads; each takes some rows of the batch. The order of sums over the batch depends on it.
    pub threads: usize,
    /// Bytes that may be filled with what the backward pass needs. What does not fit is computed
    /// again; the results are the same to the bit.
    pub memory: usize,
}

/// A quantity of the gains of neurons and the same of their saturations: the values, their sums or
/// the derivatives by them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GainSaturation<T> {
    /// Quantity of the gains, n.
    pub n: T,
    /// Quantity of the saturations, s.
    pub s: T,
}

/// What adaptive neurons did; of other neurons, nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GainStats {
    /// Gains that were too close to zero and were replaced.
    pub guard_hits: u64,
    /// Gains below zero.
    pub negative_gains: u64,
    /// Sums over steps and samples of n, n^2, s and s^2, each [H]; empty unless wanted.
    pub moments: [Vec<f64>; 4],
}

/// What single steps did, each [T, B, H] or empty unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepTrace<R> {
    /// What neurons with one input received.
    pub a: Vec<R>,
    /// The gains of adaptive neurons.
    pub n: Vec<R>,
    /// Their saturations.
    pub s: Vec<R>,
    /// The inner states, for every step as in [`LayerState::inner`].
    pub inner: Vec<R>,
}
