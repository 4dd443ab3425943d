//! Duration of the steps of snapshots and of opening a journal, at 10^4, 10^5 and 10^6 ended trials. 256 workers lease and
//! finish trials of one sweep; their commands share appends, and a snapshot follows every 20,000 events, as in the
//! engine.
//!
//! Then all failed trials, one of fifty, are retried, so that a snapshot has to store old chunks again.
//!
//! The benchmark prints a table instead of using criterion, because the longest snapshot matters, not the median.
//! Arguments: other numbers of trials, and `random` for a sampler that looks back at all chosen points.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should say so and end")]
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures and prints")]

use std::path::Path;
use std::time::{Duration, Instant};

use rheo_core::definition::SearchMethod;
use rheo_core::id::SweepName;
use rheo_core::machine::TrialSelection;
use rheo_store::conformance::test_coordinator::TestCoordinator;
use rheo_store::{MemoryJournal, RedbJournal, SnapshotStep};
use tempfile::TempDir;

/// The number of workers: concurrent trials, and commands per append.
const WORKERS: u64 = 256;

/// The number of events between snapshots, as in the engine.
const SNAPSHOT_EVERY: u64 = 20_000;

/// The number of chunks in the first step of a snapshot, as in the engine.
const STEP_CHUNKS: usize = 1_000;

/// The number of chunks by which each step exceeds the one before, as in the engine.
const STEP_GROWTH: usize = 50;

/// A coordinator, its journal and the measurements since the last row of the table.
struct Bench {
    journal: RedbJournal,
    coordinator: TestCoordinator,
    /// The position of the last snapshot.
    stored: u64,
    ended: u64,
    /// Durations of the steps of snapshots.
    steps: Vec<Duration>,
    /// Durations of appends: the first after a snapshot, and all others.
    after: Vec<Duration>,
    other: Vec<Duration>,
}

fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let value = action();
    (value, began.elapsed())
}

/// A counter of this process in `/proc`.
fn counter(file: &str, name: &str) -> u64 {
    let counters = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let field = counters.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    field.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl Bench {
    fn start(path: &Path, method: SearchMethod) -> Self {
        let journal = RedbJournal::open(path).expect("a journal");
        let mut coordinator = TestCoordinator::start(&journal).expect("a state");
        let sweep = SweepName::parse("million").expect("a name");
        coordinator.submit(&journal, &sweep, method).expect("room on the disk");
        let (steps, after, other) = (Vec::new(), Vec::new(), Vec::new());
        Self { journal, coordinator, stored: 0, ended: 0, steps, after, other }
    }

    /// Lets every worker lease and finish a trial, then takes a snapshot if one is due.
    fn round(&mut self) {
        let is_first = self.coordinator.position == self.stored;
        let (leased, took) = timed(|| self.coordinator.lease(&self.journal, WORKERS));
        let measured = if is_first { &mut self.after } else { &mut self.other };
        measured.push(took);
        let leased = leased.expect("room on the disk");
        let (finished, took) = timed(|| self.coordinator.finish_all(&self.journal, &leased));
        finished.expect("room on the disk");
        self.other.push(took);
        self.ended += leased.len() as u64;
        if self.coordinator.position - self.stored >= SNAPSHOT_EVERY {
            self.snapshot();
        }
    }

    /// Takes a snapshot in steps, as the engine does, and tidies. Returns the number of steps.
    fn snapshot(&mut self) -> usize {
        let mut steps = 0;
        let mut is_taken = false;
        loop {
            let limit = STEP_CHUNKS + steps * STEP_GROWTH;
            let (is_done, took) = timed(|| {
                if is_taken {
                    return self.coordinator.tidy_step(&self.journal, STEP_CHUNKS);
                }
                let step = self.coordinator.snapshot_step(&self.journal, limit)?;
                is_taken = step == SnapshotStep::Taken;
                Ok(false)
            });
            self.steps.push(took);
            steps += 1;
            if is_done.expect("room on the disk") {
                self.stored = self.coordinator.position;
                return steps;
            }
        }
    }

    /// Takes a last snapshot after a usual number of events. Returns the time for encoding and the megabytes written.
    fn last_snapshot(&mut self) -> (Duration, f64) {
        while self.coordinator.position - self.stored < SNAPSHOT_EVERY - 4 * WORKERS {
            self.round();
        }
        let mut state = self.coordinator.state.clone();
        let (memory, position) = (MemoryJournal::default(), self.coordinator.position);
        let (encoded, took) =
            timed(|| rheo_store::Journal::snapshot(&memory, position, &mut state));
        encoded.expect("an encoded state");
        let before = counter("io", "wchar");
        self.snapshot();
        (took, (counter("io", "wchar") - before) as f64 / 1e6)
    }

    /// Retries every failed trial, and prints the duration of the next snapshot.
    fn retry(&mut self) {
        let name = SweepName::parse("million").expect("a name");
        let failed = self.coordinator.state.sweeps[&name].retryable.len();
        let retried = self.coordinator.retry(&self.journal, &name, TrialSelection::Failed);
        retried.expect("room on the disk");
        let before = counter("io", "wchar");
        self.steps.clear();
        let (steps, took) = timed(|| self.snapshot());
        let written = (counter("io", "wchar") - before) as f64 / 1e6;
        println!(
            "\nA snapshot after {failed} trials were to run again: {steps} steps, the longest {:.1} ms, {:.0} ms in all, {written:.1} MB",
            longest(&self.steps),
            took.as_secs_f64() * 1e3,
        );
    }

    /// Runs until `target` trials have ended, and prints a row.
    fn run(&mut self, target: u64, path: &Path) {
        while self.ended < target / 2 {
            self.round();
        }
        (self.steps, self.after, self.other) = (Vec::new(), Vec::new(), Vec::new());
        while self.ended < target {
            self.round();
        }
        let resident = counter("status", "VmRSS") as f64 / 1e3;
        let (encoding, written) = self.last_snapshot();
        // A journal can be open only once.
        self.journal = RedbJournal::open(&path.with_extension("other")).expect("a journal");
        let (journal, opening) = timed(|| {
            let journal = RedbJournal::open(path).expect("a journal");
            // The start rebuilds the order of the points.
            self.coordinator = TestCoordinator::start(&journal).expect("a state");
            journal
        });
        self.journal = journal;
        let size = std::fs::metadata(path).map_or(0, |file| file.len()) as f64 / 1e6;
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {written:.2} | {:.1} | {:.1} | {:.2} | {size:.0} | {resident:.0} |",
            self.ended,
            longest(&self.steps),
            usual(&mut self.steps),
            encoding.as_secs_f64() * 1e3,
            longest(&self.after),
            usual(&mut self.other),
            opening.as_secs_f64(),
        );
    }
}

/// The longest duration, in milliseconds.
fn longest(durations: &[Duration]) -> f64 {
    durations.iter().max().map_or(0.0, |longest| longest.as_secs_f64() * 1e3)
}

/// The median duration, in milliseconds.
fn usual(durations: &mut [Duration]) -> f64 {
    durations.sort_unstable();
    durations.get(durations.len() / 2).map_or(0.0, |median| median.as_secs_f64() * 1e3)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_given = |name: &str| arguments.iter().any(|argument| argument == name);
    // `cargo test --all-targets` runs this program too.
    if !is_given("--bench") {
        return;
    }
    let mut targets: Vec<u64> = arguments.iter().filter_map(|text| text.parse().ok()).collect();
    if targets.is_empty() {
        targets = vec![10_000, 100_000, 1_000_000];
    }
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("journal.redb");
    let method = if is_given("random") { SearchMethod::Random } else { SearchMethod::Grid };
    let mut bench = Bench::start(&path, method);
    println!(
        "| ended trials | snapshot: longest step, ms | usual | encoding | written, MB | commands after it: longest, ms | usual | opening, s | journal, MB | memory, MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for target in targets {
        bench.run(target, &path);
    }
    bench.retry();
}
