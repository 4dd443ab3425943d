//! The training samples in the order in which they are learned: a function of the seed and of the
//! position in a random stream, so that a resumed trial sees what it would have seen.

use rheo_core::config::TrialConfig;
use rheo_core::rng::{Purpose, TrialRng};

use crate::Error;
use crate::step::Batch;
use crate::task::{Split, Task};

/// Gives the batches of training.
pub(super) struct Feed {
    rng: TrialRng,
    shuffle: bool,
    batch: u32,
    /// The order of the samples in the epoch in work; of no use where they are made afresh.
    order: Vec<u32>,
    /// Where `rng` must stand to go on.
    position: u128,
}

impl Feed {
    pub(super) fn new(config: &TrialConfig, task: &Task) -> Self {
        let purpose = if task.is_fresh() { Purpose::Fresh } else { Purpose::Order };
        let rng = TrialRng::new(config.seeds.of(purpose, config.seed), purpose);
        let position = rng.position();
        let batch = config.training.batch;
        Self { rng, shuffle: config.training.shuffle, batch, order: Vec::new(), position }
    }

    /// Where the random stream must stand to go on; see [`Feed::resume`].
    pub(super) fn position(&self) -> u128 {
        self.position
    }

    /// Goes on from a position; `epoch` says whether an epoch is in work.
    pub(super) fn resume(&mut self, task: &Task, position: u128, epoch: bool) {
        self.rng.seek(position);
        self.position = position;
        if epoch && !task.is_fresh() {
            self.begin_epoch(task);
        }
    }

    /// Draws the order of the samples for the next epoch.
    pub(super) fn begin_epoch(&mut self, task: &Task) {
        if task.is_fresh() {
            return;
        }
        self.position = self.rng.position();
        let size = task.size(Split::Train);
        self.order =
            if self.shuffle { self.rng.permutation(size as usize) } else { (0..size).collect() };
    }

    /// How many updates an epoch has.
    pub(super) fn updates(&self, task: &Task) -> u32 {
        task.size(Split::Train).div_ceil(self.batch)
    }

    /// The samples of an update of the epoch in work; must be asked for in order.
    pub(super) fn batch(&mut self, task: &Task, update: u32) -> Result<Batch, Error> {
        if let Some(batch) = task.fresh(&mut self.rng, self.batch)? {
            self.position = self.rng.position();
            return Ok(batch);
        }
        let first = update as usize * self.batch as usize;
        let samples = self.order.iter().skip(first).take(self.batch as usize);
        task.batch(Split::Train, &samples.copied().collect::<Vec<_>>())
    }
}
