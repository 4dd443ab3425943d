//! The language task: foretell every next symbol of a text (science reference, section 4).
//!
//! A text is cut into B columns of equal length L that follow each other in the text, and those into
//! windows of W steps that come in order; a window of all columns is one batch, and the state may be
//! carried from one to the next. The target of a symbol is the one after it, that of the last of a
//! column the first of the next column, so that L = (N - 1) / B without the remainder, and every
//! symbol but the first and the remainder is foretold exactly once in a pass.

use std::sync::Arc;

use rheo_model::config::TrialConfig;
use tch::Kind;

use super::corpus::Corpus;
use super::{Error, SampleLibrary, Split, assemble, buffer, symbols};
use crate::Error as TrainError;
use crate::step::Batch;

/// What the texts of the splits are called.
const NAMES: [&str; 3] = ["training", "validation", "test"];
/// The fields that say into how many columns they are cut.
const FIELDS: [&str; 3] = ["training.batch", "task.eval_batch", "task.eval_batch"];

/// A language task.
pub(super) struct TextTask {
    corpus: Arc<Corpus>,
    /// B of every split.
    columns: [usize; 3],
    /// W.
    window: usize,
    /// Whether the state is carried from window to window.
    carry: bool,
    /// Numbers by which a symbol is shown.
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

    /// Steps of a window; the last one of a column may have fewer.
    pub(super) fn steps(&self) -> u32 {
        u32::try_from(self.window).unwrap_or(u32::MAX)
    }

    /// Number of symbols, V.
    pub(super) fn vocabulary(&self) -> u32 {
        self.corpus.vocabulary
    }

    pub(super) fn embedding(&self) -> u32 {
        self.embedding
    }

    /// Symbols that are foretold in a pass over a split, L B.
    pub(super) fn size(&self, split: Split) -> u64 {
        (self.column(split) * self.columns[split as usize]) as u64
    }

    /// Windows in a pass over a split.
    pub(super) fn windows(&self, split: Split) -> u64 {
        self.column(split).div_ceil(self.window) as u64
    }

    /// The length of a column of a split, L.
    fn column(&self, split: Split) -> usize {
        let split = split as usize;
        (self.corpus.texts[split].len() - 1) / self.columns[split]
    }

    /// A window of a split: the numbers of the symbols as inputs [T, B, 1].
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
