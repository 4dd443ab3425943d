//! The language task: columns, windows, vocabularies, and errors for bad texts.

use std::fs;
use std::path::Path;

use rheo_model::config::{Task as TaskConfig, TaskKind, TextSource, TrialConfig};
use rheo_train::network::{Readout, ReadoutInit};
use rheo_train::task::{Split, Task};

use crate::data::{doubles, load, refusal};
use crate::support::ConfigChange;

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

fn config(source: TextSource, directory: &Path) -> TrialConfig {
    let task = TaskConfig {
        kind: TaskKind::CharLm,
        source,
        data: Some(directory.display().to_string()),
        window: 7,
        eval_batch: 2,
        embedding: 5,
        ..TaskConfig::default()
    };
    let mut config = TrialConfig { task, ..TrialConfig::default() };
    config.training.batch = 4;
    config
}

fn markov(length: u32) -> TrialConfig {
    let mut config = config(TextSource::Markov, Path::new(""));
    config.task.data = None;
    config.task.length = length;
    config
}

/// Writes three texts.
fn write(directory: &Path, prefix: &str, texts: [&[u8]; 3]) {
    for (name, text) in ["train.txt", "valid.txt", "test.txt"].into_iter().zip(texts) {
        fs::write(directory.join(format!("{prefix}{name}")), text).unwrap();
    }
}

/// Returns the columns of a split, assembled from all its windows: symbols and their targets.
fn columns(task: &Task, split: Split) -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut columns = Vec::new();
    let mut weight = 0;
    let windows = task.windows(split).unwrap() as u32;
    for window in 0..windows {
        let batch = task.batch(split, &[window]).unwrap();
        let size = batch.inputs.size();
        let (steps, count) = (size[0] as usize, size[1] as usize);
        assert_eq!(size[2], 1);
        assert_eq!(batch.targets.size(), [size[0] * size[1]]);
        assert_eq!(batch.scored, size[0] * size[1]);
        assert_eq!((batch.samples, batch.weight), (count as u64, (steps * count) as u64));
        let is_last = window + 1 == windows;
        assert!(steps == task.steps() as usize || (is_last && steps > 0), "window {window}");
        weight += batch.weight;
        columns.resize_with(count, Default::default);
        let (inputs, targets) = (doubles(&batch.inputs), doubles(&batch.targets));
        for (place, (symbol, target)) in inputs.into_iter().zip(targets).enumerate() {
            let (symbols, all): &mut (Vec<f64>, Vec<f64>) = &mut columns[place % count];
            symbols.push(symbol);
            all.push(target);
        }
    }
    assert_eq!(weight, task.size(split));
    columns
}

#[test]
fn windows_cover_the_text_exactly_once() {
    let directory = tempfile::tempdir().unwrap();
    // Bytes that encode their position; all appear in the first 250 of the training text.
    let text = |length: usize| -> Vec<u8> {
        (0..length).map(|i| if i < 250 { i } else { i * i / 7 % 250 } as u8).collect()
    };
    // Lengths with and without a remainder, with and without a shorter last window.
    for [train, validation, test] in
        [[1001, 29, 30], [4 * 7 * 9 + 1, 2 * 7 + 1, 2 * 7 * 3 + 2], [251, 3, 4]]
    {
        let texts = [train, validation, test].map(text);
        write(directory.path(), "", [&texts[0], &texts[1], &texts[2]]);
        let task = load(&config(TextSource::Bytes, directory.path()));
        assert_eq!(task.updates(), task.windows(Split::Train).unwrap());
        assert_eq!(task.interface().classes, 250);
        for (split, text) in SPLITS.into_iter().zip(&texts) {
            let columns = columns(&task, split);
            assert_eq!(columns.len(), if split == Split::Train { 4 } else { 2 });
            // Symbols are numbered by first appearance, here by their value.
            let text: Vec<f64> = text.iter().map(|&byte| f64::from(byte)).collect();
            let seen: Vec<f64> = columns.iter().flat_map(|(seen, _)| seen.clone()).collect();
            let next: Vec<f64> = columns.iter().flat_map(|(_, next)| next.clone()).collect();
            assert_eq!(seen.len() as u64, task.size(split));
            assert_eq!(seen, text[..seen.len()]);
            assert_eq!(next, text[1..=seen.len()]);
            assert!(text.len() - 1 - seen.len() < columns.len(), "less than a row is left out");
        }
    }
}

#[test]
fn a_state_starts_from_rest_in_the_first_window_or_in_all() {
    let rest = |carry| {
        let mut config = markov(5000);
        config.task.carry = carry;
        let task = load(&config);
        [0, 1, 5].map(|window| task.batch(Split::Train, &[window]).unwrap().from_rest)
    };
    assert_eq!(rest(true), [true, false, false]);
    assert_eq!(rest(false), [true, true, true]);
}

#[test]
fn a_generated_text_is_a_function_of_its_seed_and_split() {
    let texts = |change: ConfigChange| {
        let mut config = markov(5000);
        change(&mut config);
        let task = load(&config);
        assert_eq!(task.interface().classes, 27);
        SPLITS.map(|split| columns(&task, split).concat_symbols())
    };
    let usual = texts(|_| {});
    assert_eq!(usual.each_ref().map(Vec::len), [4996, 498, 498]);
    assert!(usual.iter().all(|text| text[0] == 0.0));
    assert_ne!(usual[1], usual[2]);
    assert_ne!(usual[0][..498], usual[1]);
    assert_eq!(usual, texts(|config| config.seed = 9));
    assert_ne!(usual, texts(|config| config.task.seed = 9));
    // A longer text begins like a shorter one.
    let longer = texts(|config| config.task.length = 6000);
    assert_eq!(longer[0][..4996], usual[0]);
}

trait ConcatSymbols {
    fn concat_symbols(&self) -> Vec<f64>;
}

impl ConcatSymbols for Vec<(Vec<f64>, Vec<f64>)> {
    fn concat_symbols(&self) -> Vec<f64> {
        self.iter().flat_map(|(symbols, _)| symbols.clone()).collect()
    }
}

#[test]
fn words_are_numbered_as_they_appear_and_lines_end_with_a_symbol() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("ptb");
    fs::create_dir(&below).unwrap();
    // The last line of the test text lacks its end; an empty line is an end-of-line symbol.
    write(&below, "ptb.", [b" a b _ c\n\nc  <unk>\ta\n", b"a a\r\nb\n", b"c b\na"]);
    let mut config = config(TextSource::Ptb, directory.path());
    (config.training.batch, config.task.eval_batch) = (1, 1);
    let task = load(&config);
    let texts = SPLITS.map(|split| {
        let (mut symbols, targets) = columns(&task, split).remove(0);
        symbols.extend(targets.last());
        symbols
    });
    assert_eq!(texts[0], [0., 1., 2., 3., 4., 4., 3., 5., 0., 4.]);
    assert_eq!(texts[1], [0., 0., 4., 1., 4.]);
    assert_eq!(texts[2], [3., 1., 4., 0., 4.]);
    let interface = task.interface();
    assert_eq!((interface.inputs, interface.embedding, interface.classes), (5, Some(6), 6));
    assert_eq!(
        (interface.readout, interface.readout_init),
        (Readout::Every, ReadoutInit::Language)
    );
    assert_eq!((task.input_mean(), task.order(), task.image_side()), (None, None, None));
}

#[test]
fn unknown_symbols_are_refused_with_file_and_line() {
    use TextSource::{Bytes, Ptb};
    let good: &[u8] = b"a b c d e f\n";
    let cases: [(TextSource, [&[u8]; 3], &str, &str); 4] = [
        (Ptb, [good, b"a b\nc dd e\n", good], "valid.txt", "line 2 has the symbol `dd`"),
        (Ptb, [good, good, b"a\n\nb \xff\n"], "test.txt", "line 3 has the symbol `\\xff`"),
        (Bytes, [good, b"a b\nc d e\tf\n", good], "valid.txt", "line 2 has the symbol `\\t`"),
        (Bytes, [good, good, b"A b c d\n"], "test.txt", "line 1 has the symbol `A`"),
    ];
    for (source, texts, file, says) in cases {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "", texts);
        let error = refusal(&config(source, directory.path()));
        let path = directory.path().join(file).display().to_string();
        assert!(error.contains(&path) && error.contains(says), "{error}\nshould say: {says}");
    }
}

#[test]
fn missing_empty_or_short_texts_are_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(TextSource::Bytes, directory.path());
    let looked = directory.path().display().to_string();
    let error = refusal(&config);
    for says in ["no file `train.txt` or `ptb.train.txt`", &looked, "task.source: markov"] {
        assert!(error.contains(says), "{error}\nshould say: {says}");
    }
    let mut nowhere = config.clone();
    nowhere.task.data = None;
    assert!(refusal(&nowhere).contains("name the directory of your texts by `--data DIR`"));
    let cases: [([&[u8]; 3], &str); 4] = [
        ([b"", b"", b""], "the training text has 0 symbols, `training.batch: 4` needs 5"),
        ([b"abcd", b"abc", b"abc"], "the training text has 4 symbols, `training.batch: 4` needs 5"),
        (
            [b"abcde", b"ab", b"abc"],
            "the validation text has 2 symbols, `task.eval_batch: 2` needs 3",
        ),
        ([b"abcde", b"abc", b""], "the test text has 0 symbols, `task.eval_batch: 2` needs 3"),
    ];
    for (texts, says) in cases {
        write(directory.path(), "", texts);
        let error = refusal(&config);
        assert!(error.contains(says), "{error}\nshould say: {says}");
        assert!(error.contains("lower it or take a longer text"), "{error}");
    }
    write(directory.path(), "", [b"abcde", b"abc", b"abc"]);
    assert_eq!(load(&config).size(Split::Train), 4);
}
