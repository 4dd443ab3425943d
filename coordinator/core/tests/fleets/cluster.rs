//! A simulated cluster for one fleet: its queue, its nodes, and the failures of jobs and of its
//! controller. Like the Slurm launcher, it finds jobs by the name of their pilot.

use std::collections::BTreeMap;
use std::time::Duration;

use rheo_core::fleet::{PilotEndCause, PilotStatus};
use rheo_core::time::Timestamp;

/// The time after which a running job that ignores a request to stop is cancelled.
const PATIENCE: Duration = Duration::from_secs(90);

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Queued,
    Running,
    Ended(PilotEndCause),
}

/// A job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) pilot: u64,
    pub(crate) stage: Stage,
    pub(crate) since: Timestamp,
    pub(crate) restarts: u32,
    /// The time of the first request to stop it.
    pub(crate) asked: Option<Timestamp>,
}

/// The kinds of calls to the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) number: u64,
    pub(crate) handle: Option<u64>,
    pub(crate) runs: bool,
}

/// The result of a submission.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Taken(String),
    /// The reply was lost; the submission may have succeeded.
    Lost,
    Refused,
    Limit,
}

/// The numbers of calls by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) observe: u64,
    pub(crate) submit: u64,
    pub(crate) remove: u64,
}

impl Calls {
    pub(crate) fn total(self) -> u64 {
        self.observe + self.submit + self.remove
    }
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Live jobs, and ended ones while they are remembered.
    pub(crate) jobs: BTreeMap<u64, Job>,
    by_pilot: BTreeMap<u64, Vec<u64>>,
    next: u64,
    pub(crate) calls: Calls,
    /// The largest number of running jobs.
    pub(crate) nodes: usize,
    /// The largest number of accepted jobs.
    pub(crate) limit: usize,
    /// Whether no job starts.
    pub(crate) held: bool,
    /// Whether the controller does not reply.
    pub(crate) away: bool,
    /// Which submissions have their replies lost: successful ones, others, or none.
    pub(crate) loses: Option<bool>,
    /// Whether submissions with lost replies succeed only later, when they may have been repeated.
    pub(crate) late: Option<Duration>,
    overdue: Vec<(Timestamp, u64)>,
    /// Whether no job is accepted.
    pub(crate) refuses: bool,
    pub(crate) walltime: Duration,
    /// The time for which ended jobs are remembered.
    pub(crate) memory: Duration,
    /// The shortest waiting time of a job.
    pub(crate) delay: Duration,
}

impl Cluster {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            jobs: BTreeMap::new(),
            by_pilot: BTreeMap::new(),
            next: 1,
            calls: Calls::default(),
            nodes,
            limit: usize::MAX,
            held: false,
            away: false,
            loses: None,
            late: None,
            overdue: Vec::new(),
            refuses: false,
            walltime: Duration::from_hours(4),
            memory: Duration::from_mins(5),
            delay: Duration::from_secs(2),
        }
    }

    /// Stops all failures.
    pub(crate) fn heal(&mut self) {
        (self.nodes, self.limit) = (100, usize::MAX);
        (self.held, self.away, self.refuses, self.loses, self.late) =
            (false, false, false, None, None);
    }

    pub(crate) fn count(&self, stage: Stage) -> usize {
        self.jobs.values().filter(|job| job.stage == stage).count()
    }

    /// Returns the jobs that are queued or running.
    pub(crate) fn living(&self) -> usize {
        self.jobs.values().filter(|job| job.lives()).count()
    }

    /// Returns the live jobs of `pilot`: more than one is a duplicate.
    pub(crate) fn lives(&self, pilot: u64) -> usize {
        self.of(pilot).filter(|(_, job)| job.lives()).count()
    }

    fn of(&self, pilot: u64) -> impl Iterator<Item = (u64, &Job)> {
        let ids = self.by_pilot.get(&pilot).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.jobs.get(id)?)))
    }

    /// Returns the status of these pilots, and removes duplicates. It costs one call, and one more
    /// if there are duplicates.
    pub(crate) fn observe(
        &mut self,
        pilots: &[Known],
        now: Timestamp,
    ) -> Option<BTreeMap<u64, PilotStatus>> {
        if pilots.is_empty() {
            return Some(BTreeMap::new());
        }
        self.calls.observe += 1;
        if self.away {
            return None;
        }
        let mut doubles = Vec::new();
        let mut statuses = BTreeMap::new();
        for pilot in pilots {
            let ours: Vec<(u64, &Job)> = self.of(pilot.number).collect();
            let living = || ours.iter().filter(|(_, job)| job.lives());
            let known = living().find(|(id, _)| Some(*id) == pilot.handle);
            let chosen = known.or_else(|| living().next()).or(ours.last()).copied();
            doubles.extend(living().map(|(id, _)| *id).filter(|id| chosen.unwrap().0 != *id));
            statuses.insert(
                pilot.number,
                chosen.map_or(PilotStatus::Unknown, |(id, job)| job.status(id)),
            );
        }
        if !doubles.is_empty() {
            self.calls.remove += 1;
        }
        for id in doubles {
            self.end(id, PilotEndCause::Cancelled, now);
        }
        Some(statuses)
    }

    pub(crate) fn submit(&mut self, pilot: u64, now: Timestamp) -> Answer {
        self.calls.submit += 1;
        if self.away {
            return Answer::Lost;
        }
        if self.refuses {
            return Answer::Refused;
        }
        if self.living() >= self.limit {
            return Answer::Limit;
        }
        match (self.loses, self.late) {
            (Some(true), Some(delay)) => self.overdue.push((now + delay, pilot)),
            (Some(true), None) => {
                self.accept(pilot, now);
            }
            (Some(false), _) => {}
            (None, _) => return Answer::Taken(self.accept(pilot, now).to_string()),
        }
        Answer::Lost
    }

    fn accept(&mut self, pilot: u64, now: Timestamp) -> u64 {
        let id = self.next;
        self.next += 1;
        let job = Job { pilot, stage: Stage::Queued, since: now, restarts: 0, asked: None };
        self.jobs.insert(id, job);
        self.by_pilot.entry(pilot).or_default().push(id);
        id
    }

    /// Removes pilots: queued ones at once; running ones are asked to stop, and cancelled after a
    /// while.
    pub(crate) fn remove(&mut self, pilots: &[Known], now: Timestamp) -> Option<()> {
        let nameless = pilots.iter().filter(|pilot| pilot.handle.is_none()).count() as u64;
        let asks = pilots.iter().any(|pilot| pilot.handle.is_some() && pilot.runs);
        let cancels = pilots.iter().any(|pilot| pilot.handle.is_some() && !pilot.runs);
        self.calls.remove += nameless + u64::from(asks) + u64::from(cancels);
        if self.away {
            return None;
        }
        for pilot in pilots {
            let ids: Vec<u64> = self.of(pilot.number).map(|(id, _)| id).collect();
            for id in ids {
                let job = self.jobs.get_mut(&id).unwrap();
                let over = job.asked.is_some_and(|asked| now.since(asked) > PATIENCE);
                if job.stage == Stage::Queued || (job.stage == Stage::Running && over) {
                    self.end(id, PilotEndCause::Cancelled, now);
                } else {
                    job.asked = job.asked.or(Some(now));
                }
            }
        }
        Some(())
    }

    /// Ends a live job.
    pub(crate) fn end(&mut self, id: u64, cause: PilotEndCause, now: Timestamp) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.lives()) {
            (job.stage, job.since) = (Stage::Ended(cause), now);
        }
    }

    /// Requeues a running job under the same name.
    pub(crate) fn requeue(&mut self, id: u64, now: Timestamp) {
        let job = self.jobs.get_mut(&id).unwrap();
        (job.stage, job.since) = (Stage::Queued, now);
        job.restarts += 1;
        job.asked = None;
    }

    /// Advances time: forgets ended jobs, and starts queued ones, which are returned.
    pub(crate) fn pass(&mut self, now: Timestamp) -> Vec<u64> {
        for (_, pilot) in self.overdue.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            self.accept(pilot, now);
        }
        let memory = self.memory;
        let forgotten = |job: &Job| !job.lives() && now.since(job.since) > memory;
        for (id, job) in self.jobs.extract_if(.., |_, job| forgotten(job)).collect::<Vec<_>>() {
            if let Some(ids) = self.by_pilot.get_mut(&job.pilot) {
                ids.retain(|known| *known != id);
            }
        }
        self.by_pilot.retain(|_, ids| !ids.is_empty());
        if self.held {
            return Vec::new();
        }
        let mut free = self.nodes.saturating_sub(self.count(Stage::Running));
        let mut started = Vec::new();
        for (id, job) in &mut self.jobs {
            let ready = job.stage == Stage::Queued && now.since(job.since) >= self.delay;
            if free > 0 && ready {
                (job.stage, job.since) = (Stage::Running, now);
                free -= 1;
                started.push(*id);
            }
        }
        started
    }

    /// Returns the `n`-th running job, modulo their number.
    pub(crate) fn nth_running(&self, n: usize) -> Option<u64> {
        let running: Vec<u64> = self.running().collect();
        running.get(n.checked_rem(running.len())?).copied()
    }

    pub(crate) fn running(&self) -> impl DoubleEndedIterator<Item = u64> {
        self.jobs.iter().filter(|(_, job)| job.stage == Stage::Running).map(|(id, _)| *id)
    }
}

impl Job {
    pub(crate) fn lives(&self) -> bool {
        !matches!(self.stage, Stage::Ended(_))
    }

    fn status(&self, id: u64) -> PilotStatus {
        let handle = id.to_string();
        match self.stage {
            Stage::Queued => PilotStatus::Waiting { handle, reason: "Resources".to_owned() },
            Stage::Running => PilotStatus::Running { handle },
            Stage::Ended(cause) => PilotStatus::Ended { cause, detail: String::new() },
        }
    }
}
