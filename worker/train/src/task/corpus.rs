//! Texts as sequences of symbol indices, and the keys that identify them.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use memmap2::Mmap;
use rheo_model::config::TextSource;

use super::lru_cache::ByteSize;
use super::number_array::NumberArray;
use super::store::SampleArrays;

/// Three texts over one vocabulary.
#[derive(Debug)]
pub(super) struct Corpus {
    /// Symbols of the training, validation and test text.
    pub(super) texts: [NumberArray<u32>; 3],
    /// Number of distinct symbols; all symbols are below it.
    pub(super) vocabulary: u32,
}

impl ByteSize for Corpus {
    fn bytes(&self) -> usize {
        self.texts.iter().map(NumberArray::bytes).sum()
    }
}

impl SampleArrays for Corpus {
    fn parts(&self) -> (Vec<&[u8]>, u64) {
        let texts = self.texts.iter().map(|text| bytemuck::cast_slice(text)).collect();
        (texts, self.vocabulary.into())
    }

    fn open(map: &Arc<Mmap>, arrays: &[Range<usize>], number: u64) -> Option<Self> {
        let [training, validation, test] = arrays else { return None };
        let text = |array: &Range<usize>| NumberArray::mapped(map, array.clone());
        let texts = [text(training)?, text(validation)?, text(test)?];
        Some(Self { texts, vocabulary: u32::try_from(number).ok()? })
    }
}

/// Key of a set of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CorpusKey {
    /// A generated chain: length of the training text, seed.
    Markov(u32, u64),
    /// Files: the configured directory, and the kind of symbols.
    Files(PathBuf, TextSource),
}
