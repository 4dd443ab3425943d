//! Types that all layers share: dimensions, inputs, states, output selection and resources.

use crate::Isa;

/// Dimensions of a sequence and its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceDims {
    /// Steps, T.
    pub steps: usize,
    /// Samples, B.
    pub batch: usize,
    /// Inputs, I.
    pub inputs: usize,
    /// Neurons, H.
    pub hidden: usize,
}

/// Input of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a, R> {
    /// Dimensions.
    pub sizes: SequenceDims,
    /// Inputs x [T, B, I].
    pub x: &'a [R],
    /// Extra input current of the neurons.
    pub drive: Option<Drive<'a, R>>,
    /// State before the first step; zeros if none.
    pub from: Option<&'a LayerState<R>>,
}

/// A drive: an extra current [T, B, H] into the neurons, possibly constant over some dimensions.
#[derive(Debug, Clone, Copy)]
pub struct Drive<'a, R> {
    /// Distinct values.
    pub values: &'a [R],
    /// Distance between the values of consecutive steps, samples and neurons; zero where they are
    /// equal. That of neurons is one or zero.
    pub strides: [usize; 3],
}

/// State that a layer carries from one step to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerState<R> {
    /// Output of the neurons, [B, H].
    pub h: Vec<R>,
    /// Inner state, not visible to other layers: controller states g [B, H, S] of adaptive neurons,
    /// c [B, H] of `lstm`, else empty.
    pub inner: Vec<R>,
}

/// Outputs of a forward pass besides the last state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each output is selected on its own")]
pub struct OutputSelection {
    /// h after every step, not only after the last.
    pub every_h: bool,
    /// A tape for the backward pass.
    pub tape: bool,
    /// Moments of the gains and saturations of adaptive neurons.
    pub moments: bool,
    /// Weighted sums of every step, and gains and saturations of adaptive neurons.
    pub trace: bool,
    /// Inner state after every step.
    pub inner: bool,
}

/// Resources of a pass.
#[derive(Debug, Clone, Copy)]
pub struct ComputeResources {
    /// Instruction set.
    pub isa: Isa,
    /// Threads; each takes some rows of the batch. The order of sums over the batch depends on this
    /// number.
    pub threads: usize,
    /// Memory for the tape, in bytes. Steps that do not fit are recomputed, with bit-identical
    /// results.
    pub memory: usize,
}

/// A quantity of the neurons' gains and the same quantity of their saturations: values, sums or
/// derivatives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GainSaturation<T> {
    /// Quantity of the gains n.
    pub n: T,
    /// Quantity of the saturations s.
    pub s: T,
}

/// Gain statistics of adaptive neurons; empty for other neurons.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GainStats {
    /// Gains that the guard replaced because they were too close to zero.
    pub guard_hits: u64,
    /// Gains below zero.
    pub negative_gains: u64,
    /// Sums of n, n^2, s and s^2 over steps and samples, each [H]; empty unless requested.
    pub moments: [Vec<f64>; 4],
}

/// Values of single steps, each [T, B, H] or empty unless stated otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepTrace<R> {
    /// Weighted sums of neurons with one input.
    pub a: Vec<R>,
    /// Gains of adaptive neurons.
    pub n: Vec<R>,
    /// Saturations of adaptive neurons.
    pub s: Vec<R>,
    /// Inner states of every step, in the layout of [`LayerState::inner`].
    pub inner: Vec<R>,
}
