//! Texts as sequences of symbol indices: read from files or generated (science reference, section
//! 4).
//!
//! The vocabulary is that of the training text, in the order of first appearance. A text with
//! another symbol is refused, because a network has no class for it.

use std::collections::HashMap;
use std::iter::once;
use std::path::PathBuf;
use std::sync::Arc;

use rheo_core::rng::TrialRng;
use rheo_data::Error as Missing;
use rheo_model::config::{self, TextSource};
use rheo_model::dataset::DataSet;

use super::corpus::{Corpus, CorpusKey};
use super::number_array::NumberArray;
use super::store::SampleRecipe;
use super::{Error, SampleLibrary, Split, file, markov, unusable};
use crate::Error as TrainError;

/// Symbol at the end of a line.
const END_OF_LINE: &[u8] = b"<eos>";
/// Maximum size of a text in bytes.
const MOST: u64 = 1 << 30;

/// Loads the texts of a task.
pub(super) fn load(
    task: &config::Task,
    library: &SampleLibrary,
) -> Result<Arc<Corpus>, TrainError> {
    if task.source == TextSource::Markov {
        return library
            .text(CorpusKey::Markov(task.length, task.seed), || generate(task.length, task.seed));
    }
    let directory = library.directory(task).ok_or(Missing::NoDirectory { set: DataSet::Text });
    let directory = directory.map_err(Error::from)?;
    let key = CorpusKey::Files(directory.clone(), task.source);
    let what = match task.source {
        TextSource::Ptb => "texts of symbols between white space",
        TextSource::Bytes | TextSource::Markov => "texts of bytes",
    };
    library.text(key, || {
        let found = rheo_data::files(DataSet::Text, Some(&directory)).map_err(Error::from)?;
        let files: Vec<PathBuf> = found.all().cloned().collect();
        let recipe = SampleRecipe { name: what.to_owned(), files: &files };
        library.get_or_decode(&recipe, || read(&files, task.source))
    })
}

/// Generates texts. Validation and test text are a tenth of the training text; each split uses the
/// random stream of its sample 0.
fn generate(length: u32, seed: u64) -> Result<Corpus, TrainError> {
    let text = |split: Split, length: u32| {
        markov::text(length as usize, &mut TrialRng::stream(seed, split.stream(0)))
    };
    Ok(Corpus {
        texts: [
            text(Split::Train, length)?.into(),
            text(Split::Validation, length / 10)?.into(),
            text(Split::Test, length / 10)?.into(),
        ],
        vocabulary: u32::try_from(markov::SYMBOLS).unwrap_or(u32::MAX),
    })
}

fn read(files: &[PathBuf], source: TextSource) -> Result<Corpus, TrainError> {
    let mut vocabulary = Vocabulary { numbers: HashMap::new(), is_closed: false };
    let mut texts = [Vec::new(), Vec::new(), Vec::new()];
    for (path, text) in files.iter().zip(&mut texts) {
        let content = file::whole(path, MOST).map_err(|error| unusable(path, error))?;
        // A symbol takes at least one byte, and the last line may lack its end.
        let most = content.len() + 1;
        let memory = |_| TrainError::Memory { what: "a text", bytes: most * size_of::<u32>() };
        text.try_reserve_exact(most).map_err(memory)?;
        vocabulary.read(&content, source, text).map_err(|error| unusable(path, error))?;
        text.shrink_to_fit();
        vocabulary.is_closed = true;
    }
    let vocabulary = u32::try_from(vocabulary.numbers.len()).unwrap_or(u32::MAX);
    Ok(Corpus { texts: texts.map(NumberArray::from), vocabulary })
}

/// Indices of symbols.
struct Vocabulary {
    numbers: HashMap<Vec<u8>, u32>,
    /// Whether new symbols are refused.
    is_closed: bool,
}

impl Vocabulary {
    /// Appends the symbols of `content` to `text`.
    fn read(
        &mut self,
        content: &[u8],
        source: TextSource,
        text: &mut Vec<u32>,
    ) -> Result<(), file::Error> {
        for (line, bytes) in (1..).zip(content.split_inclusive(|&byte| byte == b'\n')) {
            let symbols: Box<dyn Iterator<Item = &[u8]>> = match source {
                TextSource::Ptb => Box::new(words(bytes).chain(once(END_OF_LINE))),
                TextSource::Bytes | TextSource::Markov => Box::new(bytes.chunks(1)),
            };
            for symbol in symbols {
                text.push(self.number(symbol, line)?);
            }
        }
        Ok(())
    }

    fn number(&mut self, symbol: &[u8], line: usize) -> Result<u32, file::Error> {
        if let Some(&number) = self.numbers.get(symbol) {
            return Ok(number);
        }
        if self.is_closed {
            return Err(file::Error::Symbol { line, symbol: symbol.escape_ascii().to_string() });
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(symbol.to_owned(), number);
        Ok(number)
    }
}

/// Returns the words between white space.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}
