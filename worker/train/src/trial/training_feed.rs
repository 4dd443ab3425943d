//! The training samples in the order in which they are learned: a function of the seed and of the
//! position in a random stream, so that a resumed trial sees what it would have seen.

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::TrialConfig;

use crate::Error;
use crate::step::Batch;
use crate::task::{Split, Task};

/// Gives the batches of training.
pub(super) struct TrainingFeed {
    rng: TrialRng,
    shuffle: bool,
    /// The order of the samples in the epoch in work; empty where they are made afresh
    /// or are windows of a text.
    order: Vec<u32>,
    /// Where `rng` must stand to go on.
    position: u128,
}

impl TrainingFeed {
    pub(super) fn new(config: &TrialConfig, task: &Task) -> Self {
        let purpose = if task.is_fresh() { Purpose::Fresh } else { Purpose::Order };
        let rng = TrialRng::new(config.seeds.of(purpose, config.seed), purpose);
        let position = rng.position();
        Self { rng, shuffle: config.training.shuffle, order: Vec::new(), position }
    }

    /// Where the random stream must stand to go on: before the order of the epoch in work was drawn,
    /// or behind the last sample made afresh.
    pub(super) fn position(&self) -> u128 {
        self.position
    }

    /// Goes on from a position; `in_epoch` says whether an epoch has begun there.
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

    /// The samples of an update of the epoch in work; to be asked for in order.
    pub(super) fn batch(&mut self, task: &Task, update: u32) -> Result<Batch, Error> {
        if let Some(batch) = task.fresh(&mut self.rng)? {
            self.position = self.rng.position();
            return Ok(batch);
        }
        // The windows of a text come in their own order.
        if task.windows(Split::Train).is_some() {
            return task.batch(Split::Train, &[update]);
        }
        let size = task.batch_size() as usize;
        let samples = self.order.iter().skip(update as usize * size).take(size);
        task.batch(Split::Train, &samples.copied().collect::<Vec<_>>())
    }
}
