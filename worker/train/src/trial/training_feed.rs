//! Training batches in the order of training: a function of the seed and of the position in a
//! random stream, so a resumed trial sees the same batches.

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::TrialConfig;

use crate::Error;
use crate::step::Batch;
use crate::task::{Split, Task};

/// Source of training batches.
pub(super) struct TrainingFeed {
    rng: TrialRng,
    shuffle: bool,
    /// Order of the samples in the current epoch; empty if they are generated afresh or are windows
    /// of a text.
    order: Vec<u32>,
    /// Stream position to resume from.
    position: u128,
}

impl TrainingFeed {
    pub(super) fn new(config: &TrialConfig, task: &Task) -> Self {
        let purpose = if task.is_fresh() { Purpose::Fresh } else { Purpose::Order };
        let rng = TrialRng::new(config.seeds.of(purpose, config.seed), purpose);
        let position = rng.position();
        Self { rng, shuffle: config.training.shuffle, order: Vec::new(), position }
    }

    /// Returns the stream position to resume from: before the draw of the current epoch's order, or
    /// after the last fresh sample.
    pub(super) fn position(&self) -> u128 {
        self.position
    }

    /// Continues from a position; `in_epoch` tells whether an epoch has begun there.
    pub(super) fn resume(&mut self, task: &Task, position: u128, in_epoch: bool) {
        self.rng.seek(position);
        self.position = position;
        if in_epoch {
            self.begin_epoch(task);
        }
    }

    /// Draws the order of the samples for the next epoch.
    pub(super) fn begin_epoch(&mut self, task: &Task) {
        if task.is_fresh() || task.windows(Split::Train).is_some() {
            return;
        }
        self.position = self.rng.position();
        let size = usize::try_from(task.size(Split::Train)).unwrap_or(usize::MAX);
        self.order =
            if self.shuffle { self.rng.permutation(size) } else { (0..).take(size).collect() };
    }

    /// Returns the samples of an update of the current epoch; to be called in order.
    pub(super) fn batch(&mut self, task: &Task, update: u32) -> Result<Batch, Error> {
        if let Some(batch) = task.fresh(&mut self.rng)? {
            self.position = self.rng.position();
            return Ok(batch);
        }
        // The windows of a text have a fixed order.
        if task.windows(Split::Train).is_some() {
            return task.batch(Split::Train, &[update]);
        }
        let size = task.batch_size() as usize;
        let samples = self.order.iter().skip(update as usize * size).take(size);
        task.batch(Split::Train, &samples.copied().collect::<Vec<_>>())
    }
}
