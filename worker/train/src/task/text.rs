//! The language task: predict every next symbol of a text (science reference, section 4).
//!
//! A text is cut into B consecutive columns of equal length L, and these into windows of W steps
//! that are read in order; one window of all columns is one batch, and the state may be carried
//! from window to window. The target of a symbol is the next one; for the last of a column, the
//! first of the next column. So L = (N - 1) / B without the remainder, and a pass predicts every
//! symbol except the first and the remainder exactly once.

use std::sync::Arc;

use rheo_model::config::TrialConfig;
use tch::Kind;

use super::corpus::Corpus;
use super::{Error, SampleLibrary, Split, assemble, buffer, symbols};
use crate::Error as TrainError;
use crate::step::Batch;

/// Names of the texts in messages, by split.
const NAMES: [&str; 3] = ["training", "validation", "test"];
/// Fields that configure the number of columns, by split.
const FIELDS: [&str; 3] = ["training.batch", "task.eval_batch", "task.eval_batch"];

/// A language task.
pub(super) struct TextTask {
    corpus: Arc<Corpus>,
    /// Number of columns B, by split.
    columns: [usize; 3],
    /// Window length W.
    window: usize,
    /// Whether the state is carried from window to window.
    carry: bool,
    /// Length of a symbol's embedding vector.
    embedding: u32,
}

impl TextTask {
    pub(super) fn load(config: &TrialConfig, library: &SampleLibrary) -> Result<Self, TrainError> {
        let task = &config.task;
        let corpus = symbols::load(task, library)?;
        let batches = [config.training.batch, task.eval_batch, task.eval_batch];
        let columns = batches.map(|columns| columns.max(1) as usize);
        for ((text, columns), (name, field)) in
            corpus.texts.iter().zip(columns).zip(NAMES.into_iter().zip(FIELDS))
        {
            let (symbols, needed) = (text.len(), columns + 1);
            if symbols < needed {
                return Err(Error::ShortText { name, symbols, columns, needed, field }.into());
            }
        }
        let window = task.window.max(1) as usize;
        Ok(Self { corpus, columns, window, carry: task.carry, embedding: task.embedding })
    }

    /// Returns the steps of a window; the last one of a column may have fewer.
    pub(super) fn steps(&self) -> u32 {
        u32::try_from(self.window).unwrap_or(u32::MAX)
    }

    /// Returns the number of symbols, V.
    pub(super) fn vocabulary(&self) -> u32 {
        self.corpus.vocabulary
    }

    pub(super) fn embedding(&self) -> u32 {
        self.embedding
    }

    /// Returns the number of predicted symbols in a pass over a split, L B.
    pub(super) fn size(&self, split: Split) -> u64 {
        (self.column(split) * self.columns[split as usize]) as u64
    }

    /// Returns the number of windows in a pass over a split.
    pub(super) fn windows(&self, split: Split) -> u64 {
        self.column(split).div_ceil(self.window) as u64
    }

    /// Returns the length of a column of a split, L.
    fn column(&self, split: Split) -> usize {
        let split = split as usize;
        (self.corpus.texts[split].len() - 1) / self.columns[split]
    }

    /// Returns a window of a split, with symbol indices as inputs [T, B, 1].
    pub(super) fn batch(&self, split: Split, window: u32, kind: Kind) -> Result<Batch, TrainError> {
        let text = &self.corpus.texts[split as usize];
        let (columns, length) = (self.columns[split as usize], self.column(split));
        let first = (window as usize).saturating_mul(self.window).min(length);
        let steps = self.window.min(length - first);
        let rows = steps * columns;
        let mut inputs: Vec<f64> = buffer("the inputs of a batch", rows)?;
        let mut targets: Vec<i64> = buffer("the targets of a batch", rows)?;
        for column in 0..columns {
            let symbols = &text[column * length + first..][..=steps];
            for (step, pair) in symbols.windows(2).enumerate() {
                inputs[step * columns + column] = f64::from(pair[0]);
                targets[step * columns + column] = i64::from(pair[1]);
            }
        }
        let batch = assemble(&inputs, [steps, columns, 1], &targets, rows, kind)?;
        Ok(Batch { weight: rows as u64, from_rest: window == 0 || !self.carry, ..batch })
    }
}
