//! Forward and backward pass of a layer over a whole sequence.
//!
//! Rows of the batch are independent: each thread takes some of them through the sequence and waits
//! for no other. Inside a thread, groups of rows run one after the other; a group is small enough
//! for its state to stay in the cache. The grouping and the order of gradient sums depend on the
//! dimensions and the number of threads only.

mod backward;
mod forward;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Real;
use crate::cell::Cell;
use crate::dims::{GroupDims, LayerDims};
use crate::gradients::{BackwardRequest, PassInput};
use crate::memory::{RowExtent, StepMemory, TapePolicy};
use crate::product::WeightProduct;
use crate::sequence::{GainStats, LayerState, OutputSelection, SequenceDims, StepTrace};
use crate::thread_gradients::{GroupGradients, ThreadGradients};
use backward::BackwardTask;
use forward::{ForwardTask, GroupOutput};

/// Output of a forward pass.
#[derive(Debug)]
pub struct LayerOutput<R> {
    /// h after every step [T, B, H], or after the last [B, H].
    pub h: Vec<R>,
    /// State after the last step.
    pub last: LayerState<R>,
    /// Gain statistics of adaptive neurons.
    pub observed: GainStats,
    /// Values of single steps, if requested.
    pub trace: StepTrace<R>,
    /// Tape for the backward pass, if requested.
    pub tape: Option<Tape<R>>,
}

/// Data that a forward pass keeps for the backward pass.
#[derive(Debug)]
pub struct Tape<R> {
    keep: TapePolicy,
    groups: Vec<StoredState<R>>,
}

impl<R> Tape<R> {
    /// Whether the backward pass recomputes steps that did not fit into memory.
    pub fn recomputes(&self) -> bool {
        self.keep != TapePolicy::Steps
    }
}

#[derive(Debug)]
enum StoredState<R> {
    Steps(StepMemory<R>),
    States(Vec<StateCheckpoint<R>>),
}

/// The state of a group before a segment.
#[derive(Debug)]
struct StateCheckpoint<R> {
    u: Vec<R>,
    inner: Vec<R>,
}

/// Gradients from all threads.
pub(crate) struct PassGradients<R, S> {
    /// Gradients per thread, in the order of the threads.
    pub(crate) parts: Vec<ThreadGradients<R, S>>,
    /// Gradient with respect to x [T, B, I], if requested.
    pub(crate) x: Vec<R>,
    /// Gradient with respect to h [T, B, H], if requested.
    pub(crate) h: Vec<R>,
    /// Gradient with respect to the inner state [T, B, ..], if requested.
    pub(crate) inner: Vec<R>,
}

/// Runs a cell over a sequence.
pub(crate) struct LayerRunner<'a, R, C> {
    pub(crate) cell: &'a C,
    pub(crate) task: &'a PassInput<'a, R>,
}

/// Packed weights that all threads share.
struct PreparedProducts<R> {
    products: Vec<WeightProduct<R>>,
    /// Lanes of a vector.
    lanes: usize,
}

impl<R: Real, C: Cell<R>> LayerRunner<'_, R, C> {
    /// Runs the forward pass.
    pub(crate) fn forward(
        &self,
        wanted: OutputSelection,
        reuse: Option<Tape<R>>,
    ) -> LayerOutput<R> {
        let prepared = self.prepare(false);
        let keep = if wanted.tape { self.keep(&prepared) } else { TapePolicy::Nothing };
        let threads = self.threads(&prepared);
        let reuse = reuse.filter(|tape| wanted.tape && tape.keep == keep);
        let mut reuse = reuse.map(|tape| tape.groups).unwrap_or_default().into_iter();
        let work = |groups: &Vec<Range<usize>>| -> Vec<_> {
            groups.iter().map(|rows| (rows.clone(), reuse.next())).collect()
        };
        let work: Vec<_> = threads.iter().map(work).collect();
        let done = run_on_threads(work, |groups| {
            let (runner, prepared) = (self, &prepared);
            self.task.resources.isa.run(ForwardTask { runner, prepared, groups, keep, wanted })
        });
        self.collect(threads.concat(), done.into_iter().flatten(), keep, wanted)
    }

    /// Computes the gradients of a loss.
    pub(crate) fn backward(
        &self,
        tape: &mut Tape<R>,
        loss: BackwardRequest<'_, R>,
    ) -> PassGradients<R, C::Sums> {
        let wants_x = loss.wants_x;
        let prepared = self.prepare(wants_x);
        let threads = self.threads(&prepared);
        let (keep, mut stored) = (tape.keep, tape.groups.iter_mut());
        let work = |groups: &Vec<Range<usize>>| -> Vec<_> {
            groups.iter().cloned().zip(stored.by_ref()).collect()
        };
        let work: Vec<_> = threads.iter().map(work).collect();
        let mut parts = run_on_threads(work, |work| {
            let (runner, prepared) = (self, &prepared);
            self.task.resources.isa.run(BackwardTask { runner, prepared, work, keep, loss })
        });
        let SequenceDims { steps, batch, inputs, hidden } = self.task.sequence.sizes;
        let widths = [inputs, hidden, hidden * self.cell.carried()];
        let wanted = [wants_x, loss.wants_states, loss.wants_states];
        let mut all = [0, 1, 2].map(|which| {
            vec![R::ZERO; if wanted[which] { steps * batch * widths[which] } else { 0 }]
        });
        let outward = parts.iter_mut().flat_map(|part| std::mem::take(&mut part.outward));
        for (rows, GroupGradients { x, h, inner }) in threads.concat().iter().zip(outward) {
            for ((all, some), width) in all.iter_mut().zip([x, h, inner]).zip(widths) {
                if !some.is_empty() {
                    scatter(all, batch * width, rows.start * width, &some, rows.len() * width);
                }
            }
        }
        let [x, h, inner] = all;
        PassGradients { parts, x, h, inner }
    }

    /// Returns the dimensions of the weight gradients.
    pub(crate) fn shape(&self) -> LayerDims {
        let lanes = self.task.resources.isa.run(CountLanes(std::marker::PhantomData::<R>));
        let SequenceDims { hidden, inputs, .. } = self.task.sequence.sizes;
        let padded = hidden.next_multiple_of(lanes);
        LayerDims { hidden, padded, recurrent: hidden, inputs }
    }

    fn prepare(&self, wants_x: bool) -> PreparedProducts<R> {
        self.task.resources.isa.run(PrepareTask { runner: self, wants_x })
    }

    fn size(&self, rows: usize, lanes: usize, wants_x: bool) -> GroupDims {
        let SequenceDims { hidden, inputs, .. } = self.task.sequence.sizes;
        GroupDims { rows, hidden, padded: hidden.next_multiple_of(lanes), inputs, wants_x }
    }

    fn extent(&self, size: &GroupDims, lanes: usize) -> RowExtent {
        let u = (size.hidden + size.inputs + 1).next_multiple_of(lanes).max(size.padded);
        let pre = self.cell.blocks() * size.padded;
        RowExtent { u, pre, inner: self.cell.carried() * size.padded }
    }

    /// Returns the groups of rows, by thread.
    fn threads(&self, prepared: &PreparedProducts<R>) -> Vec<Vec<Range<usize>>> {
        let batch = self.task.sequence.sizes.batch;
        let most = self.cell.group(&self.size(batch, prepared.lanes, false)).max(1);
        divide(0..batch, self.task.resources.threads.clamp(1, batch.max(1)))
            .into_iter()
            .map(|rows| {
                let count = rows.len().div_ceil(most);
                divide(rows, count)
            })
            .collect()
    }

    fn keep(&self, prepared: &PreparedProducts<R>) -> TapePolicy {
        let size = self.size(1, prepared.lanes, false);
        let extent = self.extent(&size, prepared.lanes);
        let threads = self.threads(prepared);
        let largest = |groups: &Vec<Range<usize>>| groups.iter().map(ExactSizeIterator::len).max();
        let at_once = threads.iter().filter_map(largest).sum();
        TapePolicy::within::<R>(
            self.task.resources.memory,
            &self.task.sequence.sizes,
            extent,
            at_once,
        )
    }

    /// Assembles the output of the groups.
    fn collect(
        &self,
        groups: Vec<Range<usize>>,
        done: impl Iterator<Item = GroupOutput<R>>,
        keep: TapePolicy,
        wanted: OutputSelection,
    ) -> LayerOutput<R> {
        let SequenceDims { steps, batch, hidden, .. } = self.task.sequence.sizes;
        let all =
            |is_wanted: bool| vec![R::ZERO; if is_wanted { steps * batch * hidden } else { 0 }];
        let mut pass = LayerOutput {
            h: all(wanted.every_h),
            last: LayerState { h: vec![R::ZERO; batch * hidden], inner: Vec::new() },
            observed: GainStats::default(),
            trace: StepTrace::default(),
            tape: wanted.tape.then(|| Tape { keep, groups: Vec::new() }),
        };
        for (rows, done) in groups.into_iter().zip(done) {
            let (width, first, size) = (batch * hidden, rows.start * hidden, rows.len() * hidden);
            if wanted.every_h {
                scatter(&mut pass.h, width, first, &done.h, size);
            }
            let traces = [
                (&mut pass.trace.a, &done.trace.a),
                (&mut pass.trace.n, &done.trace.n),
                (&mut pass.trace.s, &done.trace.s),
            ];
            for (all_rows, some) in traces {
                if !some.is_empty() {
                    all_rows.resize(steps * batch * hidden, R::ZERO);
                    scatter(all_rows, width, first, some, size);
                }
            }
            if !done.trace.inner.is_empty() {
                let carried = self.cell.carried();
                let all_rows = &mut pass.trace.inner;
                all_rows.resize(steps * width * carried, R::ZERO);
                let (width, first) = (width * carried, first * carried);
                scatter(all_rows, width, first, &done.trace.inner, size * carried);
            }
            pass.last.h[first..first + size].copy_from_slice(&done.last.h);
            pass.last.inner.extend_from_slice(&done.last.inner);
            pass.observed.add(done.observed);
            if let Some(tape) = &mut pass.tape {
                tape.groups.extend(done.stored);
            }
        }
        if !wanted.every_h {
            pass.h.clone_from(&pass.last.h);
        }
        pass
    }
}

impl GainStats {
    fn add(&mut self, other: Self) {
        self.guard_hits += other.guard_hits;
        self.negative_gains += other.negative_gains;
        for (sums, more) in self.moments.iter_mut().zip(other.moments) {
            if sums.is_empty() {
                *sums = more;
            } else {
                sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
    }
}

/// Divides `rows` into parts of about equal size.
fn divide(rows: Range<usize>, parts: usize) -> Vec<Range<usize>> {
    let at = |part: usize| rows.start + rows.len() * part / parts.max(1);
    (0..parts).map(|part| at(part)..at(part + 1)).collect()
}

/// Copies `rows` numbers per step to offset `first` of steps of `width` numbers.
fn scatter<R: Copy>(all: &mut [R], width: usize, first: usize, some: &[R], rows: usize) {
    for (all, some) in all.chunks_exact_mut(width).zip(some.chunks_exact(rows)) {
        all[first..first + rows].copy_from_slice(some);
    }
}

/// Runs `job` on every item of `work`, each on its own thread, and returns the results in order.
fn run_on_threads<W: Send, T: Send>(mut work: Vec<W>, job: impl Fn(W) -> T + Sync) -> Vec<T> {
    let Some(last) = work.pop() else { return Vec::new() };
    std::thread::scope(|scope| {
        let job = &job;
        let others: Vec<_> = work.into_iter().map(|work| scope.spawn(move || job(work))).collect();
        let last = job(last);
        let join = |thread: std::thread::ScopedJoinHandle<'_, T>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        others.into_iter().map(join).chain([last]).collect()
    })
}

struct CountLanes<R>(std::marker::PhantomData<R>);

impl<R: Real> WithSimd for CountLanes<R> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> usize {
        R::lanes::<S>()
    }
}

struct PrepareTask<'a, R, C> {
    runner: &'a LayerRunner<'a, R, C>,
    wants_x: bool,
}

impl<R: Real, C: Cell<R>> WithSimd for PrepareTask<'_, R, C> {
    type Output = PreparedProducts<R>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> PreparedProducts<R> {
        let lanes = R::lanes::<S>();
        let size = self.runner.size(1, lanes, self.wants_x);
        PreparedProducts { products: self.runner.cell.products::<S>(&size), lanes }
    }
}
