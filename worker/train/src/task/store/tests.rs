//! Sample files that are shared, damaged, or impossible to write.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::AtomicU32;
use std::sync::{Barrier, Mutex};
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::task::images::ImageSamples;
use crate::task::number_array::NumberArray;

/// A directory with a source file, and one for samples.
struct TestStore {
    home: TempDir,
    source: Vec<PathBuf>,
    decoded: AtomicU32,
}

impl TestStore {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let source = vec![home.path().join("source")];
        fs::write(&source[0], "one").unwrap();
        Self { home, source, decoded: AtomicU32::new(0) }
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join("samples")
    }

    /// Returns a new store, which stands for another process.
    fn store(&self) -> SampleStore {
        SampleStore::new(Some(self.directory()))
    }

    fn recipe(&self, name: &str) -> SampleRecipe<'_> {
        SampleRecipe { name: name.to_owned(), files: &self.source }
    }

    fn get(&self, store: &SampleStore) -> ImageSamples {
        self.get_named(store, "a test")
    }

    fn get_named(&self, store: &SampleStore, name: &str) -> ImageSamples {
        let decode = || {
            self.decoded.fetch_add(1, Ordering::SeqCst);
            Ok(made())
        };
        store.get_or_decode(&self.recipe(name), decode).unwrap()
    }

    fn decoded(&self) -> u32 {
        self.decoded.load(Ordering::SeqCst)
    }

    /// Returns the names of all files in the directory except the lock.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).unwrap();
        let name =
            |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        entries.map(name).filter(|name| name != LOCK).collect()
    }

    /// Returns the only file.
    fn file(&self) -> PathBuf {
        let names = self.names();
        assert_eq!(names.len(), 1, "{names:?}");
        self.directory().join(&names[0])
    }
}

/// Returns samples with odd counts, and values that differ only in their bits.
fn made() -> ImageSamples {
    let pixels = vec![0.0, -0.0, f32::NAN, 1.0e-42, 0.1, 255.0, f32::MAX];
    ImageSamples { pixels: pixels.into(), scale: 0.1 + 0.2, labels: vec![3, 1, 4, 1, 5].into() }
}

#[track_caller]
fn assert_same(found: &ImageSamples) {
    let bits = |samples: &ImageSamples| -> Vec<u32> {
        samples.pixels.iter().map(|pixel| pixel.to_bits()).collect()
    };
    assert_eq!(bits(found), bits(&made()));
    assert_eq!(found.labels[..], made().labels[..]);
    assert_eq!(found.scale.to_bits(), made().scale.to_bits());
}

fn is_mapped(samples: &ImageSamples) -> bool {
    matches!((&samples.pixels, &samples.labels), (NumberArray::Mapped(_), NumberArray::Mapped(_)))
}

#[test]
fn samples_decoded_by_one_process_are_mapped_by_others() {
    let bench = TestStore::new();
    for _ in 0..2 {
        let samples = bench.get(&bench.store());
        assert!(is_mapped(&samples));
        assert_same(&samples);
    }
    assert_eq!(bench.decoded(), 1);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(bench.directory()), mode(bench.file())), (0o700, 0o600));
}

#[test]
fn other_sources_and_other_recipes_are_other_files() {
    let bench = TestStore::new();
    let store = bench.store();
    bench.get_named(&store, "one");
    bench.get_named(&store, "other");
    assert_eq!(bench.decoded(), 2);
    // Same length as before.
    fs::write(&bench.source[0], "two").unwrap();
    bench.get_named(&store, "one");
    assert_eq!((bench.decoded(), bench.names().len()), (3, 3));
}

#[test]
fn a_damaged_file_is_decoded_again() {
    let bench = TestStore::new();
    let store = bench.store();
    bench.get(&store);
    let path = bench.file();
    let whole = fs::read(&path).unwrap();
    let mut count = 1;
    // Positions all over the file: magic, version, lengths, digests, pixels, last label, trailing
    // padding.
    let places = (0..152).chain([192, 200, 219, 256, 260, whole.len() - 1]);
    let flipped = places.map(|file| {
        let mut bytes = whole.clone();
        bytes[file] ^= 1;
        bytes
    });
    let cut = [0, 1, 100, 191, 192, whole.len() - 1].map(|length| whole[..length].to_vec());
    let longer = [&whole[..], &[0; 64]].concat();
    for bytes in flipped.chain(cut).chain([longer]) {
        // Written to another name and renamed: a mapped file is never written to.
        let aside = bench.home.path().join("aside");
        fs::write(&aside, bytes).unwrap();
        fs::rename(&aside, &path).unwrap();
        let samples = bench.get(&store);
        count += 1;
        assert!(is_mapped(&samples));
        assert_same(&samples);
        assert_eq!(bench.decoded(), count);
        assert_eq!(fs::read(bench.file()).unwrap(), whole);
    }
}

#[test]
fn a_file_under_the_name_of_another_is_refused() {
    let bench = TestStore::new();
    let store = bench.store();
    bench.get_named(&store, "one");
    let one = bench.file();
    bench.get_named(&store, "other");
    let other = bench.names().into_iter().map(|name| bench.directory().join(name));
    let other = other.into_iter().find(|path| *path != one).unwrap();
    fs::rename(&one, &other).unwrap();
    bench.get_named(&store, "other");
    assert_eq!(bench.decoded(), 3);
}

#[test]
fn many_at_once_make_one_good_file() {
    let bench = TestStore::new();
    let gate = Barrier::new(6);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let store = bench.store();
                gate.wait();
                let samples = bench.get(&store);
                assert!(is_mapped(&samples));
                assert_same(&samples);
            });
        }
    });
    assert_eq!(bench.decoded(), 1);
    bench.file();
}

#[test]
fn unfinished_files_of_dead_processes_are_removed() {
    let bench = TestStore::new();
    fs::create_dir(bench.directory()).unwrap();
    fs::set_permissions(bench.directory(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(bench.directory().join("0123.1.0.samples.part"), "half").unwrap();
    bench.get(&bench.store());
    bench.file();
}

#[test]
fn a_mapping_outlives_its_file() {
    let bench = TestStore::new();
    let samples = bench.get(&bench.store());
    fs::remove_dir_all(bench.directory()).unwrap();
    assert_same(&samples);
    assert_same(&bench.get(&bench.store()));
    assert_eq!(bench.decoded(), 2);
}

#[test]
fn an_unusable_directory_is_logged_once_and_samples_are_decoded() {
    // A path below a file, and a directory that everybody can write to.
    let bench = TestStore::new();
    let open = bench.home.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let mut count = 0;
    for directory in [bench.source[0].join("below"), open] {
        let said = LoggedLevels::default();
        tracing::subscriber::with_default(said.clone(), || {
            let store = SampleStore::new(Some(directory));
            for _ in 0..2 {
                let samples = bench.get(&store);
                assert!(!is_mapped(&samples));
                assert_same(&samples);
                count += 1;
            }
        });
        assert_eq!(bench.decoded(), count);
        assert_eq!(*said.0.lock().unwrap(), [tracing::Level::WARN]);
    }
    let nowhere = SampleStore::default();
    assert!(!is_mapped(&bench.get(&nowhere)));
}

#[test]
fn failed_decoding_leaves_no_file() {
    let bench = TestStore::new();
    let store = bench.store();
    let failed: Result<ImageSamples, Error> =
        store.get_or_decode(&bench.recipe("a test"), || Err(Error::Interrupted));
    assert!(matches!(failed, Err(Error::Interrupted)));
    assert!(bench.names().is_empty());
    assert_same(&bench.get(&store));
}

#[test]
fn sources_that_change_during_decoding_are_not_stored() {
    let bench = TestStore::new();
    let decode = || {
        fs::write(&bench.source[0], "two").unwrap();
        Ok(made())
    };
    let samples = bench.store().get_or_decode(&bench.recipe("a test"), decode).unwrap();
    assert!(!is_mapped(&samples));
    assert!(bench.names().is_empty());
}

/// Levels of logged events.
#[derive(Debug, Clone, Default)]
struct LoggedLevels(Arc<Mutex<Vec<tracing::Level>>>);

impl tracing::Subscriber for LoggedLevels {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("rheo_train")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        self.0.lock().unwrap().push(*event.metadata().level());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
