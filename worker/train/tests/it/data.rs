//! MNIST files: contents of good ones, and errors for bad ones.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rheo_model::config::{Task as TaskConfig, TaskKind, TrialConfig};
use rheo_model::dataset::MNIST;
use rheo_model::trainer;
use rheo_train::task::{DataDirs, SampleLibrary, Split, Task};
use tch::{Kind, Tensor};

use crate::support::{ConfigChange, oracles};

const IMAGE: usize = 28 * 28;

fn idx(dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, u8::try_from(dimensions.len()).unwrap()];
    for size in dimensions {
        file.extend(size.to_be_bytes());
    }
    file.extend(bytes);
    file
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Writes a set of `train` and `test` images. Pixel p of image i is (i + p) mod 251, its label i
/// mod 10.
fn write_set(directory: &Path, train: u32, test: u32) {
    for (images, labels, count) in [
        (MNIST.train_images, MNIST.train_labels, train),
        (MNIST.test_images, MNIST.test_labels, test),
    ] {
        let pixels: Vec<u8> = (0..count as usize)
            .flat_map(|i| (0..IMAGE).map(move |p| ((i + p) % 251) as u8))
            .collect();
        let digits: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
        fs::write(directory.join(images.name), idx(&[count, 28, 28], &pixels)).unwrap();
        fs::write(directory.join(labels.name), idx(&[count], &digits)).unwrap();
    }
}

fn config(kind: TaskKind, directory: &Path) -> TrialConfig {
    let task = TaskConfig {
        kind,
        data: Some(directory.display().to_string()),
        train_size: 50,
        validation_size: 10,
        test_size: 20,
        ..TaskConfig::default()
    };
    TrialConfig { task, ..TrialConfig::default() }
}

pub(crate) fn load(config: &TrialConfig) -> Task {
    Task::load(config, &SampleLibrary::default()).unwrap()
}

pub(crate) fn refusal(config: &TrialConfig) -> String {
    match Task::load(config, &SampleLibrary::default()) {
        Ok(_) => panic!("loaded"),
        Err(error) => trainer::Error::from(error).to_string(),
    }
}

pub(crate) fn doubles(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).contiguous().view(-1)).unwrap()
}

/// Returns the pixels of one sample in the order of the steps.
pub(crate) fn sequence(task: &Task, split: Split, sample: u32) -> Vec<f64> {
    doubles(&task.batch(split, &[sample]).unwrap().inputs)
}

/// Returns the labels of the first samples of a split.
pub(crate) fn labels(task: &Task, split: Split) -> Vec<f64> {
    let all: Vec<u32> = (0..).take(task.size(split) as usize).collect();
    doubles(&task.batch(split, &all).unwrap().targets)
}

#[test]
fn pixels_come_row_by_row_as_shares_of_255() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path(), 60, 20);
    let mut config = config(TaskKind::Smnist, directory.path());
    config.training.precision = rheo_model::config::Precision::Float64;
    let task = load(&config);
    assert_eq!((task.steps(), config.task.steps()), (784, 784));
    let expected: Vec<f64> = (0..IMAGE).map(|p| ((7 + p) % 251) as f64 / 255.0).collect();
    let found = sequence(&task, Split::Test, 7);
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-15));
}

#[test]
fn pooled_pixels_are_means_of_squares() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path(), 60, 20);
    let mut config = config(TaskKind::Smnist, directory.path());
    config.task.pool = 4;
    let task = load(&config);
    assert_eq!(task.steps(), 49);
    let pixel = |row: usize, column: usize| ((3 + row * 28 + column) % 251) as f64 / 255.0;
    for (step, found) in sequence(&task, Split::Test, 3).into_iter().enumerate() {
        let (row, column) = (step / 7 * 4, step % 7 * 4);
        let square = (0..16).map(|i| pixel(row + i / 4, column + i % 4));
        let expected = square.sum::<f64>() / 16.0;
        assert!((found - expected).abs() < 1e-6, "{step}: {found}, not {expected}");
    }
}

#[test]
fn compressed_files_and_files_in_a_subdirectory_are_found() {
    let plain = tempfile::tempdir().unwrap();
    write_set(plain.path(), 60, 20);
    let packed = tempfile::tempdir().unwrap();
    let below = packed.path().join("mnist");
    fs::create_dir(&below).unwrap();
    for file in MNIST.files() {
        let bytes = fs::read(plain.path().join(file.name)).unwrap();
        fs::write(below.join(format!("{}.gz", file.name)), gzip(&bytes)).unwrap();
    }
    let [a, b] = [plain.path(), packed.path()].map(|path| load(&config(TaskKind::Smnist, path)));
    assert_eq!(sequence(&a, Split::Train, 5), sequence(&b, Split::Train, 5));
    // The default directory serves a task that names none.
    let mut anywhere = config(TaskKind::Smnist, plain.path());
    anywhere.task.data = None;
    let library = SampleLibrary::new(DataDirs {
        data: Some(packed.path().to_owned()),
        ..DataDirs::default()
    });
    let c = Task::load(&anywhere, &library).unwrap();
    assert_eq!(sequence(&a, Split::Validation, 5), sequence(&c, Split::Validation, 5));
}

#[test]
fn mapped_samples_are_those_in_memory_to_the_bit() {
    let files = tempfile::tempdir().unwrap();
    write_set(files.path(), 60, 20);
    let kept = tempfile::tempdir().unwrap();
    let places = DataDirs { samples: Some(kept.path().join("samples")), ..DataDirs::default() };
    for (kind, pool) in [(TaskKind::Psmnist, 1), (TaskKind::Smnist, 2)] {
        let mut config = config(kind, files.path());
        config.task.pool = pool;
        let expected = load(&config);
        // Two libraries stand for two processes.
        for _ in 0..2 {
            let found = Task::load(&config, &SampleLibrary::new(places.clone())).unwrap();
            for split in [Split::Train, Split::Validation, Split::Test] {
                let samples: Vec<u32> = (0..expected.size(split) as u32).collect();
                let [found, expected] =
                    [&found, &expected].map(|task| task.batch(split, &samples).unwrap());
                assert_eq!(found.inputs, expected.inputs);
                assert_eq!(found.targets, expected.targets);
            }
            assert_eq!(found.input_mean(), expected.input_mean());
        }
    }
    // Training and test images, each at two sizes.
    let names = fs::read_dir(kept.path().join("samples")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.ends_with(".samples")).count(), 4);
}

#[test]
fn permutation_depends_on_pooling_but_the_split_does_not() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path(), 60, 20);
    let mut config = config(TaskKind::Psmnist, directory.path());
    let whole = load(&config);
    config.task.pool = 2;
    let pooled = load(&config);
    config.task.kind = TaskKind::Smnist;
    let in_rows = load(&config);
    assert_eq!(labels(&whole, Split::Train), labels(&pooled, Split::Train));
    assert_ne!(labels(&whole, Split::Train), labels(&in_rows, Split::Train));
    let mut seen = sequence(&pooled, Split::Test, 0);
    let mut rows = sequence(&in_rows, Split::Test, 0);
    assert_ne!(seen, rows);
    seen.sort_by(f64::total_cmp);
    rows.sort_by(f64::total_cmp);
    assert_eq!(seen, rows);
}

#[test]
fn paper_seeds_take_permutation_and_split_from_the_trial() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path(), 60, 20);
    let base = config(TaskKind::Psmnist, directory.path());
    let with = |seed, paper_seeds| {
        let mut config = base.clone();
        config.seed = seed;
        config.task.paper_seeds = paper_seeds;
        let task = load(&config);
        (sequence(&task, Split::Test, 0), labels(&task, Split::Train))
    };
    assert_eq!(with(1, false), with(2, false));
    assert_ne!(with(1, true), with(2, true));
    assert_eq!(with(400, true), with(1, false));
}

#[test]
fn training_and_validation_images_are_all_images_once() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path(), 60, 20);
    let task = load(&config(TaskKind::Smnist, directory.path()));
    let mut first: Vec<u32> = [(Split::Train, 50), (Split::Validation, 10)]
        .into_iter()
        .flat_map(|(split, size)| (0..size).map(move |sample| (split, sample)))
        .map(|(split, sample)| (sequence(&task, split, sample)[0] * 255.0).round() as u32)
        .collect();
    first.sort_unstable();
    assert_eq!(first, (0..60).collect::<Vec<u32>>());
}

/// File, damage, and expected error text.
pub(crate) type FileDamage = (&'static str, fn(&mut Vec<u8>), &'static str);

#[test]
fn damaged_files_are_refused_by_name_and_reason() {
    let images = MNIST.train_images.name;
    let labels = MNIST.train_labels.name;
    let cases: [FileDamage; 16] = [
        (images, |file| file.clear(), "its header is truncated: `0` bytes"),
        (images, |file| file.truncate(3), "its header is truncated: `3` bytes"),
        (images, |file| file.truncate(15), "its header is truncated: `15` bytes"),
        (images, |file| file[2] = 9, "its magic number is `0x00000903`, not `0x00000803`"),
        (images, |file| file[3] = 1, "its magic number is `0x00000801`, not `0x00000803`"),
        (labels, |file| file[3] = 3, "its magic number is `0x00000803`, not `0x00000801`"),
        (
            images,
            |file| file.truncate(5000),
            "it is truncated: its header says `47040` bytes, it holds `4984`",
        ),
        (images, |file| file.push(0), "it holds more than the `47040` bytes of its header"),
        (images, |file| file[11] = 27, "its items have the size `[27, 28]`, not `[28, 28]`"),
        (images, |file| file[7] = 59, "it holds more than the `46256` bytes of its header"),
        (
            images,
            |file| file[5] = 1,
            "it is truncated: its header says `51427264` bytes, it holds `47040`",
        ),
        (
            images,
            |file| file[4] = 255,
            "its header says `4278190140` items, which no file of this kind has",
        ),
        (labels, |file| file[8 + 17] = 10, "label 17 is `10`, not a digit"),
        (labels, |file| *file = idx(&[59], &[1; 59]), "has 59 labels for 60 images"),
        (
            images,
            |file| {
                *file = gzip(file);
                let half = file.len() / 2;
                file.truncate(half);
            },
            "it cannot be read: ",
        ),
        (
            images,
            |file| {
                *file = gzip(file);
                let sum = file.len() - 6;
                file[sum] ^= 1;
            },
            "it cannot be read: ",
        ),
    ];
    for (name, damage, says) in cases {
        let directory = tempfile::tempdir().unwrap();
        write_set(directory.path(), 60, 20);
        let path = directory.path().join(name);
        let mut file = fs::read(&path).unwrap();
        damage(&mut file);
        fs::write(&path, file).unwrap();
        let error = refusal(&config(TaskKind::Psmnist, directory.path()));
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains(says), "{error}\nshould say: {says}");
    }
}

#[test]
fn a_decompression_bomb_is_not_unpacked() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path(), 60, 20);
    // 64 MB of zeros behind a header that declares 60 images.
    let mut bomb = idx(&[60, 28, 28], &[]);
    bomb.resize(64 << 20, 0);
    let path = directory.path().join(MNIST.train_images.name);
    fs::write(&path, gzip(&bomb)).unwrap();
    let error = refusal(&config(TaskKind::Smnist, directory.path()));
    assert!(error.contains("it holds more than the `47040` bytes"), "{error}");
}

#[test]
fn missing_files_are_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let advice = "name its directory by `--data DIR`, RHEO_DATA or `task.data`; `rheo data fetch mnist` downloads it to `data/mnist`";
    let looked = directory.path().display().to_string();
    let error = refusal(&config(TaskKind::Smnist, directory.path()));
    for part in [advice, &looked, &format!("{looked}/mnist"), MNIST.train_images.name] {
        assert!(error.contains(part), "{error}\nshould say: {part}");
    }
    write_set(directory.path(), 60, 20);
    fs::remove_file(directory.path().join(MNIST.test_labels.name)).unwrap();
    let error = refusal(&config(TaskKind::Smnist, directory.path()));
    assert!(error.contains(MNIST.test_labels.name) && error.contains(advice), "{error}");
    let mut nowhere = config(TaskKind::Smnist, &PathBuf::new());
    nowhere.task.data = None;
    let error = refusal(&nowhere);
    assert_eq!(error, format!("no data directory for mnist: {advice}"));
}

#[test]
fn sizes_beyond_the_data_are_refused_by_field() {
    let directory = tempfile::tempdir().unwrap();
    write_set(directory.path(), 60, 20);
    let cases: [(ConfigChange, &str); 6] = [
        (|c| c.task.train_size = 51, "task.train_size: `51`, but the data have only 50"),
        (|c| c.task.validation_size = 11, "task.validation_size: `11`, but the data have only 10"),
        (|c| c.task.test_size = 21, "task.test_size: `21`, but the data have only 20"),
        (|c| c.task.pool = 3, "task.pool: `3` does not divide the side of the image, `28`"),
        (|c| c.task.split_seed = 1 << 32, "task.split_seed: `4294967296` is not below 2^32"),
        (
            |c| {
                c.seed = 1 << 40;
                c.task.paper_seeds = true;
            },
            "seed: `1099511627776` is not below 2^32",
        ),
    ];
    for (change, says) in cases {
        let mut config = config(TaskKind::Psmnist, directory.path());
        change(&mut config);
        let error = refusal(&config);
        assert!(error.contains(says), "{error}\nshould say: {says}");
    }
}

#[test]
fn permuted_digits_are_the_same_pixels_in_one_other_order() {
    let digits = |permute, permutation_seed| {
        let task = TaskConfig {
            pool: 2,
            permute,
            permutation_seed,
            train_size: 4,
            validation_size: 4,
            test_size: 4,
            ..TaskConfig::default()
        };
        let task = load(&TrialConfig { task, ..TrialConfig::default() });
        [0, 3].map(|sample| sequence(&task, Split::Train, sample))
    };
    let rows = digits(false, 1);
    let permuted = digits(true, 1);
    assert_eq!(rows, digits(false, 2));
    assert_eq!(permuted, digits(true, 1));
    assert_ne!(permuted, digits(true, 2));
    for (mut a, mut b) in rows.into_iter().zip(permuted) {
        assert_ne!(a, b);
        a.sort_by(f64::total_cmp);
        b.sort_by(f64::total_cmp);
        assert_eq!(a, b);
    }
}

#[test]
fn mnist_itself_has_the_pixels_of_the_reference() {
    let Some(directory) = std::env::var_os("RHEO_DATA") else {
        eprintln!("skipped: RHEO_DATA is not set, MNIST is not checked");
        return;
    };
    let mut config = config(TaskKind::Smnist, Path::new(&directory));
    config.task = TaskConfig {
        train_size: 50_000,
        validation_size: 10_000,
        test_size: 10_000,
        ..config.task
    };
    let task = load(&config);
    let (mut sum, mut squares, mut nonzero) = (0.0, 0.0, 0.0);
    for split in [Split::Train, Split::Validation] {
        let all: Vec<u32> = (0..).take(task.size(split) as usize).collect();
        for samples in all.chunks(5000) {
            let inputs = task.batch(split, samples).unwrap().inputs;
            sum += inputs.sum(Kind::Double).double_value(&[]);
            squares += inputs.square().sum(Kind::Double).double_value(&[]);
            nonzero += inputs.count_nonzero(None).double_value(&[]);
        }
    }
    let count = (60_000 * IMAGE) as f64;
    let mean = sum / count;
    let std = (squares / count - mean * mean).sqrt();
    let oracle = &oracles()["tasks"]["mnist"];
    for (found, name) in
        [(mean, "train_mean"), (std, "train_std"), (nonzero / count, "nonzero_fraction")]
    {
        let expected = oracle[name].as_f64().unwrap();
        // Single-precision pixels.
        assert!((found - expected).abs() < 1e-6 * expected, "{name}: {found}, not {expected}");
    }
    let (found, expected) = (task.input_mean().unwrap(), oracle["train_mean"].as_f64().unwrap());
    assert!((found - expected).abs() < 1e-9 * expected, "{found}, not {expected}");
}
