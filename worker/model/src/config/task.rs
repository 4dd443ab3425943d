//! Tasks. Every field affects the data, and so the result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Data, and the question asked about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "every switch is a key of the sweep language")]
pub struct Task {
    /// Kind of the task.
    pub kind: TaskKind,
    /// Directory of the data files; by default the environment variable RHEO_DATA.
    #[schemars(extend("x-kinds" = ["smnist", "psmnist", "gscifar10", "char_lm"]))]
    pub data: Option<String>,
    /// Side of the square image in pixels, 14 or 28.
    #[schemars(range(min = 4, max = 64), extend("x-kinds" = ["digits"]))]
    pub side: u32,
    /// Strength of the random deformation of the glyphs; 0 is none, 1.5 is hard.
    #[schemars(range(min = 0.0, max = 5.0), extend("x-kinds" = ["digits"]))]
    pub deformation: f64,
    /// Whether the pixels come in a fixed random order instead of row by row.
    #[schemars(extend("x-kinds" = ["digits"]))]
    pub permute: bool,
    /// Side of the squares of pixels that are averaged into one; 1 keeps the image unchanged.
    #[schemars(range(min = 1, max = 28), extend("x-kinds" = ["digits", "smnist", "psmnist", "gscifar10"]))]
    pub pool: u32,
    /// Number of training samples.
    #[schemars(
        range(min = 1, max = 1_000_000),
        extend("x-kinds" = ["digits", "smnist", "psmnist", "gscifar10", "evidence"])
    )]
    pub train_size: u32,
    /// Updates per epoch; every update draws fresh samples.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-kinds" = ["copy"]))]
    pub updates: u32,
    /// Number of validation samples.
    #[schemars(
        range(min = 1, max = 1_000_000),
        extend("x-kinds" = ["digits", "smnist", "psmnist", "gscifar10", "copy", "evidence"])
    )]
    pub validation_size: u32,
    /// Number of test samples.
    #[schemars(
        range(min = 1, max = 1_000_000),
        extend("x-kinds" = ["digits", "smnist", "psmnist", "gscifar10", "copy", "evidence"])
    )]
    pub test_size: u32,
    /// Number of symbols to remember.
    #[schemars(range(min = 1, max = 1000), extend("x-kinds" = ["copy"]))]
    pub symbols: u32,
    /// Steps from the last symbol to the marker that asks for the symbols.
    #[schemars(range(min = 1, max = 100_000), extend("x-kinds" = ["copy"]))]
    pub delay: u32,
    /// Whether a symbol is encoded as a one-hot vector instead of its number.
    #[schemars(extend("x-kinds" = ["copy"]))]
    pub one_hot: bool,
    /// Standard deviation of the noise in the evidence.
    #[schemars(range(min = 0.0), extend("x-kinds" = ["evidence"]))]
    pub noise: f64,
    /// Steps with evidence.
    #[schemars(range(min = 1, max = 100_000), extend("x-kinds" = ["evidence"]))]
    pub stimulus: u32,
    /// Steps without evidence before it, and the same number after it.
    #[schemars(range(min = 0, max = 100_000), extend("x-kinds" = ["evidence"]))]
    pub silence: u32,
    /// Source of the text.
    #[schemars(extend("x-kinds" = ["char_lm"]))]
    pub source: TextSource,
    /// Symbols of the generated training text; validation and test text have a tenth of it each.
    #[schemars(range(min = 1000, max = 100_000_000), extend("x-kinds" = ["char_lm"]))]
    pub length: u32,
    /// Steps per window of the text; gradients do not reach further back.
    #[schemars(range(min = 1, max = 100_000), extend("x-kinds" = ["char_lm"]))]
    pub window: u32,
    /// Columns into which validation and test text are cut.
    #[schemars(range(min = 1, max = 65_536), extend("x-kinds" = ["char_lm"]))]
    pub eval_batch: u32,
    /// Length of the learned embedding vector of a symbol.
    #[schemars(range(min = 1, max = 16_384), extend("x-kinds" = ["char_lm"]))]
    pub embedding: u32,
    /// Whether the network's state is carried from one window to the next; the published code
    /// starts every window from rest.
    #[schemars(extend("x-kinds" = ["char_lm"]))]
    pub carry: bool,
    /// Seed of generated data; the same in every trial unless it is swept.
    #[schemars(extend("x-kinds" = ["digits", "copy", "evidence", "char_lm"]))]
    pub seed: u64,
    /// Seed of the pixel order; the same in every trial, so that the spread over seeds does not
    /// include permutations.
    #[schemars(extend("x-kinds" = ["digits", "psmnist"]))]
    pub permutation_seed: u64,
    /// Seed of the split of the training file into training and validation.
    #[schemars(extend("x-kinds" = ["smnist", "psmnist", "gscifar10"]))]
    pub split_seed: u64,
    /// Whether permutation and split use the seed of the trial, as in the paper.
    #[schemars(extend("x-kinds" = ["smnist", "psmnist"]))]
    pub paper_seeds: bool,
}

/// Side of the images of MNIST, in pixels.
pub(super) const MNIST_SIDE: u32 = 28;
/// Side of the images of CIFAR-10, in pixels.
pub(super) const CIFAR_SIDE: u32 = 32;

impl Task {
    /// Returns the steps of a sequence, T; the last window of a text may have fewer.
    pub fn steps(&self) -> u32 {
        let pixels = |side: u32| (side / self.pool.max(1)).pow(2);
        match self.kind {
            TaskKind::Digits => pixels(self.side),
            TaskKind::Smnist | TaskKind::Psmnist => pixels(MNIST_SIDE),
            TaskKind::Gscifar10 => pixels(CIFAR_SIDE),
            TaskKind::Copy => self.delay + 2 * self.symbols,
            TaskKind::Evidence => 2 * self.silence + self.stimulus,
            TaskKind::CharLm => self.window,
        }
    }
}

impl Default for Task {
    fn default() -> Self {
        Self {
            kind: TaskKind::Digits,
            data: None,
            side: 14,
            deformation: 1.0,
            permute: false,
            pool: 1,
            train_size: 50_000,
            updates: 1000,
            validation_size: 10_000,
            test_size: 10_000,
            symbols: 10,
            delay: 200,
            one_hot: false,
            noise: 1.0,
            stimulus: 80,
            silence: 10,
            source: TextSource::Markov,
            length: 500_000,
            window: 150,
            eval_batch: 10,
            embedding: 200,
            carry: true,
            seed: 0,
            permutation_seed: 400,
            split_seed: 400,
            paper_seeds: false,
        }
    }
}

/// Kinds of tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Generated drawings of the ten digits, pixel by pixel; needs no download.
    #[default]
    Digits,
    /// MNIST, pixel by pixel, row by row.
    Smnist,
    /// MNIST, pixel by pixel, in one fixed random order.
    Psmnist,
    /// Greyscale CIFAR-10, pixel by pixel, row by row.
    Gscifar10,
    /// Repeat a list of symbols after a delay.
    Copy,
    /// Decide the sign of the mean of a noisy signal; needs no download.
    Evidence,
    /// Predict the next character of a text.
    CharLm,
}

impl TaskKind {
    /// Returns the name in sweep files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Smnist => "smnist",
            Self::Psmnist => "psmnist",
            Self::Gscifar10 => "gscifar10",
            Self::Copy => "copy",
            Self::Evidence => "evidence",
            Self::CharLm => "char_lm",
        }
    }

    /// Whether the sequences are the pixels of square images.
    pub fn has_images(self) -> bool {
        matches!(self, Self::Digits | Self::Smnist | Self::Psmnist | Self::Gscifar10)
    }
}

/// Source of the text of a language task. Files are `train.txt`, `valid.txt` and `test.txt`,
/// optionally with the prefix `ptb.`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextSource {
    /// Generated: a Markov chain over 27 symbols; needs no download.
    #[default]
    Markov,
    /// Files in which every byte is a symbol.
    Bytes,
    /// Files in the format of the Penn corpus by characters: symbols between white space, and one
    /// for the end of a line.
    Ptb,
}
