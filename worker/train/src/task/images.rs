//! Images as sequences of pixels: the samples of the digits, MNIST and CIFAR-10 tasks.
//!
//! Pixels are stored row by row in shared memory; the order of the steps is applied when a batch is
//! built, so trials with different permutations share the samples.

use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;
use tch::Kind;

use super::lru_cache::ByteSize;
use super::number_array::NumberArray;
use super::store::SampleArrays;
use super::{Split, assemble, buffer};
use crate::Error;
use crate::step::Batch;

/// Images of one size with their labels.
#[derive(Debug)]
pub(super) struct ImageSamples {
    /// Row-major images, one after the other, to be multiplied by `scale`. Single precision holds
    /// sums of bytes exactly, so a double-precision network reads exact pixels.
    pub(super) pixels: NumberArray<f32>,
    /// Factor from stored numbers to pixels.
    pub(super) scale: f64,
    /// Label of each image.
    pub(super) labels: NumberArray<u8>,
}

impl ByteSize for ImageSamples {
    fn bytes(&self) -> usize {
        self.pixels.bytes() + self.labels.bytes()
    }
}

impl SampleArrays for ImageSamples {
    fn parts(&self) -> (Vec<&[u8]>, u64) {
        (vec![bytemuck::cast_slice(&self.pixels), &self.labels], self.scale.to_bits())
    }

    fn open(map: &Arc<Mmap>, arrays: &[Range<usize>], number: u64) -> Option<Self> {
        let [pixels, labels] = arrays else { return None };
        let pixels = NumberArray::mapped(map, pixels.clone())?;
        let labels = NumberArray::mapped(map, labels.clone())?;
        Some(Self { pixels, scale: f64::from_bits(number), labels })
    }
}

/// Images of one split.
pub(super) struct ImageSplit {
    pub(super) samples: Arc<ImageSamples>,
    /// Indices of the samples in the split, in order; all if none.
    pub(super) chosen: Option<Vec<u32>>,
}

/// Images of a task.
pub(super) struct TaskImages {
    /// Training, validation and test images.
    pub(super) parts: [ImageSplit; 3],
    /// Pixel index at each step.
    pub(super) order: Vec<u32>,
    /// Side of the square image in pixels.
    pub(super) side: u32,
}

/// Half of a data set: its training or its test files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileHalf {
    /// Training and validation images.
    Train,
    /// Test images.
    Test,
}

/// Key of the generated digits of one split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DigitSet {
    pub(super) split: Split,
    pub(super) size: u32,
    pub(super) side: u32,
    pub(super) pool: u32,
    /// Bits of the deformation level, so that keys can be compared.
    pub(super) deformation: u64,
    pub(super) seed: u64,
}

impl TaskImages {
    pub(super) fn steps(&self) -> u32 {
        u32::try_from(self.order.len()).unwrap_or(u32::MAX)
    }

    /// Returns the mean over all pixels of the training files, validation images included, so that
    /// it does not depend on the split.
    pub(super) fn mean(&self) -> f64 {
        let samples = &self.parts[Split::Train as usize].samples;
        let sum: f64 = samples.pixels.iter().copied().map(f64::from).sum();
        sum * samples.scale / samples.pixels.len() as f64
    }

    pub(super) fn batch(&self, split: Split, samples: &[u32], kind: Kind) -> Result<Batch, Error> {
        let part = &self.parts[split as usize];
        let steps = self.order.len();
        let mut values: Vec<f64> = buffer("the inputs of a batch", steps * samples.len())?;
        let mut targets = Vec::with_capacity(samples.len());
        for (column, &sample) in samples.iter().enumerate() {
            let row = match &part.chosen {
                Some(chosen) => chosen[sample as usize] as usize,
                None => sample as usize,
            };
            let image = &part.samples.pixels[row * steps..(row + 1) * steps];
            for (step, &pixel) in self.order.iter().enumerate() {
                let value = f64::from(image[pixel as usize]) * part.samples.scale;
                values[step * samples.len() + column] = value;
            }
            targets.push(i64::from(part.samples.labels[row]));
        }
        assemble(&values, [steps, samples.len(), 1], &targets, samples.len(), kind)
    }
}

/// Converts `value` to single precision, in which pixels are stored.
#[expect(clippy::cast_possible_truncation, reason = "pixels are far from the limits of the type")]
pub(super) fn single(value: f64) -> f32 {
    value as f32
}

/// Returns the sums of all squares of `pool` x `pool` pixels of an image of `side` x `side`, row by
/// row.
pub(super) fn pool_sums<T: Copy + Into<f64>>(
    image: &[T],
    side: usize,
    pool: usize,
) -> impl Iterator<Item = f64> + '_ {
    let pooled = side / pool;
    (0..pooled * pooled).map(move |square| {
        let first = square / pooled * pool * side + square % pooled * pool;
        let rows = (0..pool).map(|row| &image[first + row * side..][..pool]);
        rows.flatten().map(|&pixel| pixel.into()).sum()
    })
}
