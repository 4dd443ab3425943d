//! Greyscale CIFAR-10: contents of good files, and errors for bad ones.

use std::fs;
use std::path::{Path, PathBuf};

use rheo_model::config::{Precision, Task as TaskConfig, TaskKind, TrialConfig};
use rheo_train::task::{DataDirs, SampleLibrary, Split, Task};

use crate::data::{FileDamage, doubles, gzip, labels, load, refusal, sequence};
use crate::support::ConfigChange;

const PLANE: usize = 32 * 32;
const RECORD: usize = 1 + 3 * PLANE;

/// Returns records `first` to `first + count`. Byte p of the planes of record i is (7 i + 3 p) mod
/// 251, its label i mod 10.
fn records(first: usize, count: usize) -> Vec<u8> {
    let record =
        |i: usize| std::iter::once((i % 10) as u8).chain((0..3 * PLANE).map(move |p| byte(i, p)));
    (first..first + count).flat_map(record).collect()
}

fn byte(record: usize, place: usize) -> u8 {
    ((7 * record + 3 * place) % 251) as u8
}

/// Returns the grey value of a pixel of a record, by the formula of the reference.
fn grey(record: usize, pixel: usize) -> f64 {
    let [red, green, blue] = [0, 1, 2].map(|c| f64::from(byte(record, c * PLANE + pixel)));
    (0.299 * red + 0.587 * green + 0.114 * blue) / 255.0
}

/// Writes a set of two training files of 30 and 20 records and a test file of 10.
fn write_set(directory: &Path) {
    fs::write(directory.join("data_batch_1.bin"), records(0, 30)).unwrap();
    fs::write(directory.join("data_batch_2.bin"), records(30, 20)).unwrap();
    fs::write(directory.join("test_batch.bin"), records(50, 10)).unwrap();
}

fn config(directory: &Path) -> TrialConfig {
    let task = TaskConfig {
        kind: TaskKind::Gscifar10,
        data: Some(directory.display().to_string()),
        train_size: 45,
        validation_size: 5,
        test_size: 10,
        ..TaskConfig::default()
    };
    let mut config = TrialConfig { task, ..TrialConfig::default() };
    config.training.precision = Precision::Float64;
    config
}

/// Returns the record that a sequence shows; the first pixels of all records differ.
fn record_of(sequence: &[f64]) -> usize {
    (0..60).find(|&record| (grey(record, 0) - sequence[0]).abs() < 1e-12).unwrap()
}

#[test]
fn grey_pixels_come_row_by_row() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path());
    let task = load(&config(directory.path()));
    assert_eq!((task.steps(), task.image_side()), (1024, Some(32)));
    assert_eq!(task.order().unwrap(), (0..1024).collect::<Vec<u32>>());
    let found = sequence(&task, Split::Test, 7);
    for (pixel, found) in found.into_iter().enumerate() {
        assert!((found - grey(57, pixel)).abs() < 1e-15, "{pixel}: {found}");
    }
    assert_eq!(labels(&task, Split::Test), [0., 1., 2., 3., 4., 5., 6., 7., 8., 9.]);
}

#[test]
fn pooled_pixels_are_means_of_squares() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path());
    let mut config = config(directory.path());
    for pool in [2, 8] {
        config.task.pool = pool;
        let task = load(&config);
        let (pool, side) = (pool as usize, 32 / pool as usize);
        assert_eq!((task.steps() as usize, task.image_side()), (side * side, Some(side as u32)));
        for (step, found) in sequence(&task, Split::Test, 3).into_iter().enumerate() {
            let corner = step / side * pool * 32 + step % side * pool;
            let square = (0..pool * pool).map(|i| corner + i / pool * 32 + i % pool);
            let mean = square.map(|pixel| grey(53, pixel)).sum::<f64>() / (pool * pool) as f64;
            assert!((found - mean).abs() < 1e-14, "pool {pool}, step {step}: {found}, not {mean}");
        }
    }
}

#[test]
fn the_split_seed_partitions_all_training_files() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path());
    let embed_inputs = |config: &TrialConfig| -> Vec<usize> {
        let task = load(config);
        let splits = [Split::Train, Split::Validation].into_iter();
        let all = splits.flat_map(|split| (0..task.size(split) as u32).map(move |i| (split, i)));
        all.map(|(split, i)| record_of(&sequence(&task, split, i))).collect()
    };
    let whole = config(directory.path());
    let order = embed_inputs(&whole);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    // A smaller split is the beginning of the larger one.
    let mut part = whole.clone();
    (part.task.train_size, part.task.validation_size) = (7, 2);
    assert_eq!(embed_inputs(&part), [&order[..7], &order[45..47]].concat());
    // The split depends on its own seed only, not on that of the trial.
    let mut other = whole.clone();
    other.seed = 5;
    assert_eq!(embed_inputs(&other), order);
    other.task.split_seed = 5;
    assert_ne!(embed_inputs(&other), order);
}

#[test]
fn the_mean_input_does_not_depend_on_the_split() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path());
    let mut config = config(directory.path());
    (config.task.train_size, config.task.pool) = (9, 4);
    let pixels = (0..50).flat_map(|record| (0..PLANE).map(move |pixel| grey(record, pixel)));
    let mean = pixels.sum::<f64>() / (50 * PLANE) as f64;
    let found = load(&config).input_mean().unwrap();
    assert!((found - mean).abs() < 1e-12, "{found}, not {mean}");
}

#[test]
fn compressed_files_and_files_in_a_subdirectory_are_found() {
    let plain = tempfile::tempdir().unwrap();
    write_set(plain.path());
    let expected = sequence(&load(&config(plain.path())), Split::Train, 5);
    for (below, packed) in [("cifar10", true), ("cifar-10-batches-bin", false)] {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join(below);
        fs::create_dir(&home).unwrap();
        for name in ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"] {
            let bytes = fs::read(plain.path().join(name)).unwrap();
            if packed {
                fs::write(home.join(format!("{name}.gz")), gzip(&bytes)).unwrap();
            } else {
                fs::write(home.join(name), bytes).unwrap();
            }
        }
        let mut anywhere = config(directory.path());
        anywhere.task.data = None;
        let library = SampleLibrary::new(DataDirs {
            data: Some(directory.path().to_owned()),
            ..DataDirs::default()
        });
        let task = Task::load(&anywhere, &library).unwrap();
        assert_eq!(sequence(&task, Split::Train, 5), expected, "{below}");
    }
}

#[test]
fn damaged_files_are_refused_by_name_and_reason() {
    let cases: [FileDamage; 6] = [
        ("data_batch_1.bin", |file| file.clear(), "it is empty"),
        (
            "data_batch_2.bin",
            |file| file.truncate(RECORD + 5),
            "its `3078` bytes are no whole number of records of `3073` bytes",
        ),
        ("test_batch.bin", |file| file.push(0), "its `30731` bytes are no whole number"),
        (
            "data_batch_2.bin",
            |file| file[3 * RECORD] = 10,
            "record 3 has the label `10`, which is not one of 0 to 9",
        ),
        (
            "data_batch_1.bin",
            |file| {
                *file = gzip(file);
                let half = file.len() / 2;
                file.truncate(half);
            },
            "it cannot be read: ",
        ),
        (
            "data_batch_1.bin",
            // A decompression bomb: half a gigabyte of zeros.
            |file| *file = gzip(&vec![0; 1 << 29]),
            "it exceeds `402784256` bytes",
        ),
    ];
    for (name, damage, says) in cases {
        let directory = tempfile::tempdir().unwrap();
        write_set(directory.path());
        let path = directory.path().join(name);
        let mut file = fs::read(&path).unwrap();
        damage(&mut file);
        fs::write(&path, file).unwrap();
        let error = refusal(&config(directory.path()));
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains(says), "{error}\nshould say: {says}");
    }
}

#[test]
fn missing_files_are_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let looked = directory.path().display().to_string();
    let error = refusal(&config(directory.path()));
    for part in ["`data_batch_1.bin`", "task.data", &looked, &format!("{looked}/cifar10")] {
        assert!(error.contains(part), "{error}\nshould say: {part}");
    }
    write_set(directory.path());
    // A gap in the numbers: a file is missing.
    fs::write(directory.path().join("data_batch_4.bin"), records(0, 1)).unwrap();
    let error = refusal(&config(directory.path()));
    assert!(error.contains("no file `data_batch_3.bin`"), "{error}");
    let mut nowhere = config(&PathBuf::new());
    nowhere.task.data = None;
    assert!(refusal(&nowhere).contains("no data directory for cifar10: name its directory"));
}

#[test]
fn sizes_beyond_the_data_are_refused_by_field() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path());
    let cases: [(ConfigChange, &str); 4] = [
        (|c| c.task.train_size = 46, "task.train_size: `46`, but the data have only 45"),
        (|c| c.task.validation_size = 6, "task.validation_size: `6`, but the data have only 5"),
        (|c| c.task.test_size = 11, "task.test_size: `11`, but the data have only 10"),
        (|c| c.task.pool = 3, "task.pool: `3` does not divide the side of the image, `32`"),
    ];
    for (change, says) in cases {
        let mut config = config(directory.path());
        change(&mut config);
        let error = refusal(&config);
        assert!(error.contains(says), "{error}\nshould say: {says}");
    }
}

/// Returns the directory of real CIFAR-10 files: RHEO_DATA or its parent, or a subdirectory of
/// either.
fn real() -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os("RHEO_DATA")?);
    let parent = directory.parent().map(Path::to_owned);
    let near = [Some(directory), parent].into_iter().flatten();
    let places = near.flat_map(|place| [place.join("cifar10"), place]);
    let names = ["test_batch.bin", "test_batch.bin.gz"];
    places.into_iter().find(|place| names.iter().any(|name| place.join(name).is_file()))
}

#[test]
fn cifar10_itself_has_the_pixels_of_its_files() {
    let Some(directory) = real() else {
        eprintln!("skipped: RHEO_DATA is not set or not near CIFAR-10, which is not checked");
        return;
    };
    let mut config = config(&directory);
    (config.task.train_size, config.task.validation_size) = (5400, 600);
    config.task.test_size = 2000;
    config.task.pool = 4;
    let task = load(&config);
    let all: Vec<u32> = (0..2000).collect();
    let batch = task.batch(Split::Test, &all).unwrap();
    // An independent way: record by record, pixel by pixel.
    let bytes = content(&directory, "test_batch.bin");
    let classes: Vec<f64> = bytes.chunks(RECORD).take(2000).map(|r| f64::from(r[0])).collect();
    assert_eq!(doubles(&batch.targets), classes);
    if bytes.len() == 2000 * RECORD {
        let of = |class: f64| classes.iter().filter(|&&other| other == class).count();
        assert!((0..10).all(|class| of(f64::from(class)) == 200), "the reduced set is balanced");
    }
    let found = doubles(&batch.inputs);
    for (image, record) in bytes.chunks(RECORD).take(2000).enumerate() {
        for step in 0..64 {
            let corner = step / 8 * 4 * 32 + step % 8 * 4;
            let square = (0..16).map(|i| corner + i / 4 * 32 + i % 4);
            let grey = |pixel: usize| {
                let [red, green, blue] =
                    [0, 1, 2].map(|c| f64::from(record[1 + c * PLANE + pixel]));
                (0.299 * red + 0.587 * green + 0.114 * blue) / 255.0
            };
            let mean = square.map(grey).sum::<f64>() / 16.0;
            let found = found[step * 2000 + image];
            assert!((found - mean).abs() < 1e-14, "image {image}, step {step}: {found}");
        }
    }
    // Training and validation images are drawn from the same files.
    let means = [Split::Train, Split::Validation].map(|split| {
        let all: Vec<u32> = (0..600).collect();
        task.batch(split, &all).unwrap().inputs.mean(tch::Kind::Double).double_value(&[])
    });
    // The mean grey of an image varies by about 0.12.
    assert!((means[0] - means[1]).abs() < 5.0 * 0.12 * (2.0f64 / 600.0).sqrt(), "{means:?}");
}

/// Reads a file of the real set.
fn content(directory: &Path, name: &str) -> Vec<u8> {
    use std::io::Read as _;

    if let Ok(bytes) = fs::read(directory.join(name)) {
        return bytes;
    }
    let packed = fs::File::open(directory.join(format!("{name}.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}
