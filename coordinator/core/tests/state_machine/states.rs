//! Several states, and several histories of one state, with sweeps of the same name. Workers
//! deliver their work to any coordinator that answers, and no coordinator records work that it did
//! not lease.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use rheo_core::id::{AttemptId, Digest, IncarnationId, StateId, WorkerId};
use rheo_core::machine::{
    AttemptClaim, AttemptEnd, Caller, Command, Event, HeldAttempt, Origin, Rejection, WorkerInfo,
};
use rheo_core::resources::FreeResources;
use rheo_core::sweep::{TrialLeased, TrialOutcome};
use uuid::Uuid;

use crate::brewing::BREWING;

use crate::world::*;

/// A sweep whose trials are never given up.
const FIRST: &str = "
name: demo
parameters:
  grams: {values: [8, 16, 32]}
replicates: 2
retry: {lost: 1000}
";

/// A sweep of the same name with other values.
const OTHER: &str = "
name: demo
parameters:
  grams: {values: [64, 128, 256]}
replicates: 2
retry: {lost: 1000}
";

/// A coordinator and its own leases.
#[derive(Clone)]
struct Site {
    world: World,
    /// The number of every lease that it granted; a copy shares those from before the copy was
    /// made.
    leased: BTreeMap<AttemptId, u64>,
}

/// A worker's record of one trial.
struct Task {
    worker: WorkerId,
    job: Job,
    /// The lease, which two sites share only if one is a copy of the other.
    lease: u64,
}

/// State A, state B, and an earlier copy of A.
struct Sites {
    all: Vec<Site>,
    backup: Option<Site>,
    tasks: Vec<Task>,
    leases: u64,
    starts: u128,
}

#[derive(Debug, Clone)]
enum Happening {
    Acquire(usize, u8),
    Commit(usize, prop::sample::Index, u64),
    Finish(usize, prop::sample::Index, bool),
    Renew(usize, u8),
    Restart(usize),
    Backup,
    /// Replaces the third site by a copy of A.
    Restore,
    Pass(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{Acquire, Backup, Commit, Finish, Pass, Renew, Restart, Restore};
    let site = || 0..3usize;
    let task = || any::<prop::sample::Index>();
    prop_oneof![
        8 => (site(), 0..3u8).prop_map(|(site, worker)| Acquire(site, worker)),
        10 => (site(), task(), 1..3u64).prop_map(|(site, task, n)| Commit(site, task, n)),
        6 => (site(), task(), any::<bool>()).prop_map(|(site, task, ends)| Finish(site, task, ends)),
        3 => (site(), 0..3u8).prop_map(|(site, worker)| Renew(site, worker)),
        1 => site().prop_map(Restart),
        2 => Just(Backup),
        2 => Just(Restore),
        2 => (1..40u64).prop_map(Pass),
    ]
}

impl Sites {
    fn new() -> Self {
        let site = |id, file| Site { world: World::of(id, file), leased: BTreeMap::new() };
        let (a, b) = (site(1, FIRST), site(2, OTHER));
        let third = site(3, FIRST);
        Self { all: vec![a, b, third], backup: None, tasks: Vec::new(), leases: 0, starts: 0 }
    }

    fn happen(&mut self, happening: &Happening) {
        match *happening {
            Happening::Acquire(site, n) => self.acquire(site, worker(n)),
            Happening::Commit(site, task, epochs) => self.commit(site, task, epochs),
            Happening::Finish(site, task, completes) => self.finish(site, task, completes),
            Happening::Renew(site, n) => self.renew(site, worker(n)),
            Happening::Restart(site) => self.restart(site),
            Happening::Backup => self.backup = Some(self.all[0].clone()),
            Happening::Restore => {
                if let Some(backup) = self.backup.clone() {
                    self.all[2] = backup;
                    self.restart(2);
                }
            }
            Happening::Pass(seconds) => {
                for site in &mut self.all {
                    site.world.now = site.world.now + Duration::from_secs(seconds);
                    site.world.send(Command::Tick).unwrap();
                }
            }
        }
    }

    fn restart(&mut self, site: usize) {
        self.starts += 1;
        let incarnation = IncarnationId(Uuid::from_u128(100_000 + self.starts));
        self.all[site].world.start_as(incarnation);
    }

    fn held(&self, worker: WorkerId) -> Vec<HeldAttempt> {
        let tasks = self.tasks.iter().filter(|task| task.worker == worker);
        let held = |job: &Job| HeldAttempt { attempt: job.attempt.clone(), origin: job.origin };
        tasks.map(|task| held(&task.job)).collect()
    }

    fn acquire(&mut self, site: usize, worker: WorkerId) {
        let held = self.held(worker);
        let Site { world, leased } = &mut self.all[site];
        let info =
            WorkerInfo { offer: slots(2), workloads: vec![BREWING], ..WorkerInfo::default() };
        world.send(Command::Join { worker, info, state: None }).unwrap();
        let (free, only, lease) = (FreeResources::slots(1), None, LEASE);
        let ask = Command::Acquire { worker, held: held.clone(), free, only, lease };
        for event in world.send(ask).unwrap() {
            if let Event::TrialLeased(TrialLeased { attempt, .. }) = event {
                self.leases += 1;
                leased.insert(attempt, self.leases);
            }
        }
        for assignment in world.state.assignments(worker, &held) {
            let lease = leased[&assignment.attempt];
            self.tasks.push(Task { worker, job: job(&assignment), lease });
        }
    }

    fn renew(&mut self, site: usize, worker: WorkerId) {
        let held = self.held(worker);
        let Site { world, leased } = &mut self.all[site];
        for task in self.tasks.iter().filter(|task| task.worker == worker) {
            let held = HeldAttempt { attempt: task.job.attempt.clone(), origin: task.job.origin };
            let is_own = leased.get(&task.job.attempt) == Some(&task.lease);
            assert!(!world.state.is_held(worker, &held) || is_own);
        }
        // A worker that the site does not know is told so.
        let _ = world.send(Command::Renew { worker, held, lease: LEASE });
    }

    fn commit(&mut self, site: usize, index: prop::sample::Index, epochs: u64) {
        let Some(task) = choose(&mut self.tasks, index) else { return };
        let (Task { worker, job, lease }, Site { world, leased }) = (task, &mut self.all[site]);
        let mut next = job.clone();
        let work = next.train(epochs);
        let claim = next.claim(*worker);
        assert_eq!(world.state.admits(&claim).is_ok(), accepts(world, &claim));
        if world.send(Command::Commit { claim, work }).is_ok() {
            assert_eq!(
                leased.get(&job.attempt),
                Some(&*lease),
                "site {site} took a commit of another: {job:?}"
            );
            *job = next;
        }
    }

    fn finish(&mut self, site: usize, index: prop::sample::Index, completes: bool) {
        let Some(task) = choose(&mut self.tasks, index) else { return };
        let (Task { worker, job, lease }, Site { world, leased }) = (task, &mut self.all[site]);
        let (lease, mut next) = (*lease, job.clone());
        let work = next.train(if completes { EPOCHS } else { 1 });
        let (metrics, summary) = Default::default();
        let ending = if completes {
            AttemptEnd::Completed { metrics, summary }
        } else {
            AttemptEnd::Preempted
        };
        let claim = next.claim(*worker);
        if world.send(Command::Finish { claim, work: Some(work), ending }).is_ok() {
            assert_eq!(
                leased.get(&job.attempt),
                Some(&lease),
                "site {site} took the end of another: {job:?}"
            );
            self.tasks.retain(|task| task.lease != lease);
        }
    }
}

/// Whether a message with this claim is, or was, accepted.
fn accepts(world: &World, claim: &AttemptClaim) -> bool {
    let mut state = world.state.clone();
    let work = Job { produced: EPOCHS, durable: EPOCHS, ..blank(claim) }.train(0);
    let command = Command::Commit { claim: claim.clone(), work };
    match rheo_core::machine::execute(&mut state, Caller::Worker, &command, world.now) {
        Ok(_) | Err(Rejection::RowsDiffer { .. }) => true,
        Err(_) => false,
    }
}

fn blank(claim: &AttemptClaim) -> Job {
    let (attempt, origin) = (claim.attempt.clone(), claim.origin);
    Job { attempt, origin, sequence: 0, produced: 0, durable: 0 }
}

fn choose(tasks: &mut [Task], index: prop::sample::Index) -> Option<&mut Task> {
    if tasks.is_empty() { None } else { Some(index.get_mut(tasks)) }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_state_records_what_another_state_or_history_has_leased(
        happenings in prop::collection::vec(happening(), 0..150),
    ) {
        let mut sites = Sites::new();
        for happening in &happenings {
            sites.happen(happening);
        }
        // Refused messages did no harm: each site ends with every row once.
        for mut site in sites.all {
            site.world.run_to_the_end();
            for (index, done) in &site.world.sweep().done {
                prop_assert_eq!(done.outcome, TrialOutcome::Completed);
                prop_assert_eq!(site.world.rows[index], EPOCHS);
            }
        }
    }
}

/// Leases the first trial of a world to the first worker.
fn leased(world: &mut World) -> Job {
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.take(worker(0), 0).unwrap()
}

fn deliver(world: &mut World, job: &Job) -> Result<Vec<Event>, Rejection> {
    let mut job = job.clone();
    let work = job.train(1);
    let claim = job.claim(worker(0));
    world.send(Command::Commit { claim, work })
}

#[test]
fn a_commit_for_another_state_is_refused_and_taken_by_its_own() {
    let (mut a, mut b) = (World::of(1, FIRST), World::of(2, OTHER));
    let job = leased(&mut a);
    let same_name = leased(&mut b);
    assert_eq!(job.attempt, same_name.attempt);
    let refused = deliver(&mut b, &job).unwrap_err();
    assert_eq!(refused, Rejection::ForeignState { named: Some(a.id), own: Some(b.id) });
    let text = refused.to_string();
    assert!(text.contains(&a.id.to_string()) && text.contains(&b.id.to_string()), "{text}");
    assert!(b.rows.is_empty());
    assert_eq!(deliver(&mut a, &job).unwrap().len(), 1);
}

#[test]
fn a_commit_that_names_no_state_is_refused() {
    let mut world = World::new(FIRST);
    let job = Job { origin: None, ..leased(&mut world) };
    let refused = deliver(&mut world, &job).unwrap_err();
    assert_eq!(refused, Rejection::ForeignState { named: None, own: Some(world.id) });
}

#[test]
fn a_restored_copy_refuses_what_was_leased_after_it_was_made() {
    for restarts in [true, false] {
        let mut original = World::new(FIRST);
        let mut copy = original.clone();
        if restarts {
            original.start();
        }
        let job = leased(&mut original);
        copy.start_as(IncarnationId(Uuid::from_u128(77)));
        // Never leased here; leased here under the same name; and ended here under that name.
        let refused = Rejection::UnknownLease(job.attempt.clone());
        assert_eq!(deliver(&mut copy, &job).unwrap_err(), refused);
        assert_eq!(copy.acquire(worker(0), 1), 1);
        assert_eq!(copy.attempts_of(worker(0)), std::slice::from_ref(&job.attempt));
        assert_eq!(deliver(&mut copy, &job).unwrap_err(), refused);
        copy.finish(worker(0), 0, 0);
        assert_eq!(deliver(&mut copy, &job).unwrap_err(), refused);
        deliver(&mut original, &job).unwrap();
    }
}

#[test]
fn a_trial_with_other_values_than_it_was_trained_with_is_refused() {
    let mut world = World::new(FIRST);
    let job = leased(&mut world);
    let configuration = Digest::of(b"of a sweep that was replaced");
    let origin = job.origin.map(|origin| Origin { configuration, ..origin });
    let other = Job { origin, ..job.clone() };
    let refused = deliver(&mut world, &other).unwrap_err();
    assert_eq!(refused, Rejection::ConfigurationDiffers(job.attempt.clone()));
    deliver(&mut world, &job).unwrap();
    assert!(deliver(&mut world, &other).is_err(), "nor as a repetition");
}

#[test]
fn a_worker_with_trials_of_one_state_does_not_join_another() {
    let mut world = World::new(FIRST);
    let join = |state| {
        let (worker, info) = (worker(0), WorkerInfo::default());
        Command::Join { worker, info, state }
    };
    let other = StateId(Uuid::from_u128(2));
    let refused = world.send(join(Some(other))).unwrap_err();
    assert_eq!(refused, Rejection::ForeignState { named: Some(other), own: Some(world.id) });
    world.send(join(None)).unwrap();
    world.send(join(Some(world.id))).unwrap();
}

#[test]
fn a_state_gets_its_id_once_and_pausing_is_no_start() {
    let mut world = World::new(FIRST);
    let id = world.state.id.unwrap();
    let first = world.state.incarnations.newest().unwrap();
    world.start_as(first);
    world.id = StateId(Uuid::from_u128(9));
    world.start();
    assert_eq!(world.state.id, Some(id));
    assert!(world.state.incarnations.contains(first));
    assert_ne!(world.state.incarnations.newest(), Some(first));
    // A lease keeps the start under which it was granted.
    let job = leased(&mut world);
    world.start_as(IncarnationId(Uuid::from_u128(78)));
    deliver(&mut world, &job).unwrap();
}
