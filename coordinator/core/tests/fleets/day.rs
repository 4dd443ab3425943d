//! A simulated day of a fleet of up to 500 pilots: sweeps arrive; nodes come and go; pilots are
//! preempted, reach their time limit and lose their nodes; the controller has an outage and the
//! coordinator restarts.
//!
//! The seed is fixed, so the day is always the same. The documentation shows its figure and costs,
//! and the test checks that they are those of this code.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rheo_core::fleet::PilotEndCause;
use rheo_core::machine::Demand;
use rheo_core::sweep::TrialOutcome;
use rheo_core::time::Timestamp;

use crate::cluster::{Calls, Stage};
use crate::plot::{self, Stretch};
use crate::world::{POLL, World, replayed};

/// The largest number of pilots.
const MAX: u32 = 500;

/// The slots of a pilot; a trial takes all of them.
const SLOTS: u32 = 4;

/// The number of polls in a day.
const LOOKS: u64 = 24 * 3600 / 10;

/// The number of polls in a minute.
pub(crate) const PER_MINUTE: usize = 6;

/// The largest number of submissions in one poll.
const BURST: u64 = 100;

/// The observations of one poll.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Look {
    /// The number of pilots that the unfinished trials would fill.
    pub(crate) wanted: u64,
    pub(crate) queued: u64,
    pub(crate) running: u64,
    pub(crate) calls: Calls,
}

/// Whether the controller is down.
const AWAY: Stretch = (14 * 60, 14 * 60 + 20, "controller away");

/// Whether the coordinator is down.
const DOWN: Stretch = (17 * 60 + 30, 17 * 60 + 35, "restart");

/// The minutes of the controller's outage.
fn is_away(minute: u64) -> bool {
    (AWAY.0..AWAY.1).contains(&minute)
}

/// The minutes of the coordinator's outage.
fn is_down(minute: u64) -> bool {
    (DOWN.0..DOWN.1).contains(&minute)
}

/// Returns the number of nodes that other users leave free.
fn nodes(minute: u64) -> usize {
    match minute / 60 {
        0..5 => 520,
        5..8 => 420,
        8..11 => 260,
        11..13 => 340,
        13..18 => 300,
        18..20 => 450,
        _ => 560,
    }
}

/// The numbers of trials of the sweeps, by minute of submission.
const SWEEPS: [(u64, u32); 6] = [
    (20, 1500),
    (6 * 60, 150),
    (8 * 60, 1700),
    (13 * 60 + 10, 500),
    (17 * 60, 300),
    (19 * 60, 900),
];

fn sweep(minute: u64, trials: u32) -> String {
    format!(
        "
name: sweep-{minute}
parameters:
  grams: {{values: [8]}}
replicates: {trials}
resources: {{threads: {SLOTS}}}
retry: {{lost: 20, error: 0, out_of_memory: 0}}
"
    )
}

struct Day {
    world: World,
    rng: ChaCha8Rng,
    looks: Vec<Look>,
}

impl Day {
    fn new() -> Self {
        let mut world = World::new(0);
        world.now = Timestamp(0);
        world.thorough = false;
        // Leases are long, so that trials return only by the cluster's reports.
        world.lease = Duration::from_hours(48);
        world.threads = SLOTS;
        world.trial = (Duration::from_mins(30), Duration::from_mins(90));
        world.cluster.walltime = Duration::from_hours(4);
        world.cluster.delay = Duration::from_secs(20);
        world.launch((0, MAX), SLOTS);
        Self { world, rng: ChaCha8Rng::seed_from_u64(500), looks: Vec::new() }
    }

    /// Whether an event with `rate` occurrences per hour occurs now.
    fn happens(&mut self, rate: f64) -> bool {
        let uniform = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        uniform < rate * POLL.as_secs_f64() / 3600.0
    }

    fn pick(&mut self) -> Option<u64> {
        let n = self.rng.next_u32() as usize;
        self.world.cluster.nth_running(n)
    }

    /// Advances the cluster and the coordinator by one poll.
    fn happen(&mut self, minute: u64) {
        if !self.world.up && !is_down(minute) {
            self.world.restart();
        } else if self.world.up && is_down(minute) {
            self.world.crash();
        }
        self.world.cluster.away = is_away(minute);
        self.world.cluster.nodes = nodes(minute);
        // Other users take their nodes back: the newest jobs go, and most of them are requeued.
        let surplus = self.world.cluster.count(Stage::Running).saturating_sub(nodes(minute));
        let victims: Vec<u64> = self.world.cluster.running().rev().take(surplus).collect();
        for id in victims {
            let requeued = !self.rng.next_u32().is_multiple_of(4);
            self.world.preempt(id, requeued, true);
        }
        if self.happens(6.0)
            && let Some(id) = self.pick()
        {
            self.world.preempt(id, true, true);
        }
        if self.happens(2.0)
            && let Some(id) = self.pick()
        {
            self.world.kill(id, PilotEndCause::NodeLost);
        }
    }

    fn look(&mut self, number: u64) {
        let minute = number / 6;
        if number.is_multiple_of(6)
            && let Some((_, trials)) = SWEEPS.iter().find(|(at, _)| *at == minute)
        {
            self.world.submit(&sweep(minute, *trials));
        }
        self.happen(minute);
        let before = self.world.cluster.calls;
        // No work may wait for lack of a pilot.
        self.world.round();
        let after = self.world.cluster.calls;
        let calls = Calls {
            observe: after.observe - before.observe,
            submit: after.submit - before.submit,
            remove: after.remove - before.remove,
        };
        let counts = |stage| self.world.cluster.count(stage) as u64;
        let (queued, running) = (counts(Stage::Queued), counts(Stage::Running));
        let last = self.looks.last().map_or(0, |look| look.wanted);
        let wanted = if self.world.up { self.wanted() } else { last };
        self.looks.push(Look { wanted, queued, running, calls });
        self.world.now = self.world.now + POLL;
        self.world.step();
    }

    fn wanted(&self) -> u64 {
        let state = &self.world.state;
        let claimable = Demand::of(state, self.world.fleet(), self.world.now).unleased.trials();
        let sweeps = state.sweeps.values().flat_map(|sweep| sweep.live.values());
        let leased = sweeps.filter(|trial| trial.lease.is_some()).count() as u64;
        claimable + leased
    }

    fn run() -> Self {
        let mut day = Self::new();
        for number in 0..LOOKS {
            day.look(number);
        }
        day
    }
}

/// Returns the number of calls in each minute.
fn per_minute(looks: &[Look]) -> Vec<u64> {
    let sum = |looks: &[Look]| looks.iter().map(|look| look.calls.total()).sum();
    looks.chunks(PER_MINUTE).map(sum).collect()
}

fn figures(day: &Day) -> String {
    let (looks, world) = (&day.looks, &day.world);
    let minutes = per_minute(looks);
    let mut sorted = minutes.clone();
    sorted.sort_unstable();
    let calls = world.cluster.calls;
    let ended = &world.fleet().ended;
    let mut text = String::new();
    let mut row = |what: &str, value: String| writeln!(text, "| {what} | {value} |").unwrap();
    let most = looks.iter().map(|look| look.queued + look.running).max().unwrap_or(0);
    row("most pilots at a time, queued and running (bound: 500)", most.to_string());
    row("pilots that were planned", (world.fleet().next - 1).to_string());
    for (cause, count) in ended {
        row(&format!("pilots that ended as `{}`", cause.name()), count.to_string());
    }
    let completed = |sweep: &rheo_core::sweep::Sweep| sweep.count(TrialOutcome::Completed);
    let done: u64 = world.state.sweeps.values().map(completed).sum();
    row("trials completed", done.to_string());
    row("`squeue` in the day", calls.observe.to_string());
    row("`sbatch` in the day", calls.submit.to_string());
    row("`scancel` in the day", calls.remove.to_string());
    row("calls per minute, median", sorted[sorted.len() / 2].to_string());
    row("calls per minute, 99th percentile", sorted[sorted.len() * 99 / 100].to_string());
    row("calls per minute, most", sorted[sorted.len() - 1].to_string());
    text
}

/// Checks the rate of calls: at most one `squeue`, two `scancel` and a burst of submissions per
/// poll; and over an hour, few more calls than polls and pilots.
fn check_the_cost(day: &Day) {
    for look in &day.looks {
        assert!(look.calls.observe <= 1 && look.calls.remove <= 2, "{look:?}");
        assert!(look.calls.submit <= BURST, "{look:?}");
    }
    for minute in per_minute(&day.looks) {
        assert!(minute <= (1 + 2 + BURST) * PER_MINUTE as u64, "{minute} calls in a minute");
    }
    let calls = day.world.cluster.calls;
    assert!(calls.observe <= LOOKS, "{calls:?}");
    // Each pilot is submitted once.
    assert_eq!(calls.submit, day.world.fleet().next - 1, "{calls:?}");
    let steady = per_minute(&day.looks).iter().filter(|calls| **calls <= 12).count();
    assert!(steady * 100 >= day.looks.len() / PER_MINUTE * 90, "{steady} quiet minutes");
}

/// Returns the text between two marks of a document.
const MARKS: [&str; 2] = ["<!-- figures of the day -->\n", "<!-- end of the figures -->\n"];

#[test]
#[expect(clippy::disallowed_methods, reason = "the variable is for the person who runs this test")]
fn a_day_of_five_hundred_pilots_is_as_the_documentation_says() {
    let day = Day::run();
    let world = &day.world;
    check_the_cost(&day);
    let completed = world.state.sweeps.values().all(|sweep| {
        sweep.ended.is_some() && sweep.count(TrialOutcome::Completed) == sweep.planned.plan.trials()
    });
    assert!(completed, "{:?}", figures(&day));
    assert!(world.fleet().pilots.is_empty() && world.cluster.living() == 0);
    assert_eq!(world.state.defects(), [""; 0]);
    assert!(replayed(&world.events) == world.state, "replay gives another state");

    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let (image, page) = (docs.join("images/fleet-day.svg"), docs.join("fleets.md"));
    let drawn = plot::draw(&day.looks, u64::from(MAX), &[AWAY, DOWN]);
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).unwrap();
    let (_, after) = rest.split_once(MARKS[1]).unwrap();
    let table = format!("| | |\n|---|---|\n{}", figures(&day));
    let written = format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]);
    if std::env::var("RHEO_BLESS").is_ok() {
        std::fs::create_dir_all(image.parent().unwrap()).unwrap();
        std::fs::write(&image, &drawn).unwrap();
        std::fs::write(&page, &written).unwrap();
    }
    let committed = std::fs::read_to_string(&image).unwrap_or_default();
    let committed = (committed, std::fs::read_to_string(&page).unwrap());
    assert!(
        committed == (drawn, written),
        "docs/fleets.md or its figure is out of date: run `make bless` and commit both"
    );
}
