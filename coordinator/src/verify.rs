//! `rheo verify`: verifies the journal, the parts and the checkpoints, and repairs damage.
//!
//! A repair is one command per sweep. Trials that may have rows in a damaged part, or whose
//! checkpoint is damaged, lose all their rows and start over, and the part no longer counts. Its
//! file is set aside afterwards; a crash in between leaves a file that nobody names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use rheo_core::id::{Digest, RequestId, SweepName, TrialId};
use rheo_core::machine::{Caller, Command, Event, State, SweepRequest};
use rheo_core::part::Part;
use rheo_core::sweep::TrialsStartedOver;
use rheo_core::time::Timestamp;
use rheo_query::dataset::{self, Defect};
use rheo_store::{PendingFilter, checkpoint};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::app::Coordinator;
use crate::engine;
use crate::report::report;

/// A defect found by a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The journal contradicts itself or cannot be read.
    Journal {
        /// The defect.
        detail: String,
    },
    /// A part is missing, damaged or unverified.
    Part {
        /// The part in the journal.
        part: Part,
        /// The file of the part.
        file: String,
        /// `missing` or `damaged`; `unverified` if the journal has no digest.
        state: &'static str,
        /// The defect.
        detail: String,
    },
    /// A referenced checkpoint is missing or damaged.
    Checkpoint {
        /// The digest.
        digest: Digest,
        /// The trials that refer to it.
        trials: Vec<TrialId>,
        /// `missing` or `damaged`.
        state: &'static str,
        /// The defect.
        detail: String,
    },
}

/// The state of a part whose digest the journal does not have.
pub(crate) const UNVERIFIED: &str = "unverified";

impl Finding {
    /// Whether the finding is damage, not only a missing digest.
    pub(crate) fn is_damage(&self) -> bool {
        !matches!(self, Self::Part { state, .. } if *state == UNVERIFIED)
    }
}

/// The repair of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SweepRepair {
    /// The sweep.
    pub sweep: SweepName,
    /// Number of trials that start over.
    pub trials: u64,
    /// New paths of damaged files.
    pub set_aside: Vec<String>,
}

/// The totals of a verification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct VerifySummary {
    /// Number of events in the journal, from the first.
    pub events: u64,
    /// Number of parts.
    pub parts: u64,
    /// Bytes of all parts.
    pub part_bytes: u64,
    /// Number of checkpoints.
    pub checkpoints: u64,
}

/// An update of a running verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VerifyUpdate {
    /// A defect was found.
    Finding(Finding),
    /// A sweep was repaired.
    Repaired(SweepRepair),
    /// The verification is complete.
    Summary(VerifySummary),
}

/// A verification could not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] rheo_store::Error),
    /// A part cannot be read or set aside.
    #[error("cannot read or move a part")]
    Dataset(#[from] dataset::Error),
    /// A checkpoint cannot be read.
    #[error("cannot read a checkpoint")]
    Checkpoint(#[from] checkpoint::Error),
    /// The coordinator is stopping.
    #[error("the coordinator is stopping")]
    Stopping,
}

/// The channel of updates. If its receiver is gone, updates are lost and the verification finishes.
type UpdateSender = mpsc::Sender<VerifyUpdate>;

impl Coordinator {
    /// Verifies everything and, with `repair`, restarts trials with damaged rows or checkpoints.
    pub(crate) async fn verify(&self, repair: bool, updates: &UpdateSender) -> Result<(), Error> {
        let mut summary = VerifySummary::default();
        let mut damage = self.verify_journal(&mut summary).await?;
        for finding in &damage {
            send_update(updates, VerifyUpdate::Finding(finding.clone())).await;
        }
        damage.extend(self.verify_parts(&mut summary, updates).await?);
        damage.extend(self.verify_checkpoints(&mut summary, updates).await?);
        if repair {
            for repaired in self.repair(&damage).await? {
                send_update(updates, VerifyUpdate::Repaired(repaired)).await;
            }
        }
        send_update(updates, VerifyUpdate::Summary(summary)).await;
        Ok(())
    }

    /// Replays the journal and reads its pending rows.
    async fn verify_journal(&self, summary: &mut VerifySummary) -> Result<Vec<Finding>, Error> {
        let defects = self.handle.read(State::defects).await?;
        let journal = Arc::clone(&self.journal);
        let workloads = self.settings.workloads.clone();
        let replayed = tokio::task::spawn_blocking(move || {
            let loaded = journal.load(&workloads)?;
            let mut findings = loaded.state.defects();
            // One blob at a time: all of them may not fit into memory.
            journal.pending(&PendingFilter::default(), &mut |rows| {
                if let Err(error) = rheo_query::check_readable(&rows.to_batch()) {
                    let (at, why) = (rows.key.position, report(&error));
                    findings.push(format!("the rows of event {at} cannot be read: {why}"));
                }
                ControlFlow::Continue(())
            })?;
            Ok::<_, rheo_store::Error>((loaded.position, findings))
        });
        let mut findings: BTreeSet<String> = defects.into_iter().collect();
        match replayed.await.map_err(|_| Error::Stopping)? {
            Ok((events, found)) => {
                summary.events = events;
                findings.extend(found);
            }
            Err(error) => _ = findings.insert(report(&error)),
        }
        Ok(findings.into_iter().map(|detail| Finding::Journal { detail }).collect())
    }

    /// Reads every part that the journal names.
    async fn verify_parts(
        &self,
        summary: &mut VerifySummary,
        updates: &UpdateSender,
    ) -> Result<Vec<Finding>, Error> {
        let mut damage = Vec::new();
        for part in self.journal.parts()? {
            summary.parts += 1;
            summary.part_bytes += part.bytes;
            let finding = match self.inspect(&part).await? {
                Ok(()) if part.digest.is_some() => continue,
                Ok(()) => Finding::Part {
                    file: part.path(),
                    part,
                    state: UNVERIFIED,
                    detail: "no digest recorded (an older version wrote it): it can be read, and has its number of rows".to_owned(),
                },
                Err(dataset::Error::Damaged(damaged)) => Finding::Part {
                    part,
                    file: damaged.file.clone(),
                    state: damaged.defect.name(),
                    detail: detail(&damaged.defect, &damaged.detail()),
                },
                Err(error) => return Err(error.into()),
            };
            send_update(updates, VerifyUpdate::Finding(finding.clone())).await;
            damage.push(finding);
        }
        damage.retain(Finding::is_damage);
        Ok(damage)
    }

    /// Reads a part. A damaged one is read again while no part can change, because it may have been
    /// replaced in between.
    async fn inspect(&self, part: &Part) -> Result<Result<(), dataset::Error>, Error> {
        let look = || {
            let (dataset, part) = (Arc::clone(&self.dataset), part.clone());
            tokio::task::spawn_blocking(move || dataset.inspect(&part))
        };
        let looked = look().await.map_err(|_| Error::Stopping)?;
        if looked.is_ok() {
            return Ok(looked);
        }
        let _no_changes = self.sink.pause().await;
        if !self.journal.parts()?.contains(part) {
            return Ok(Ok(()));
        }
        look().await.map_err(|_| Error::Stopping)
    }

    /// Reads every referenced checkpoint.
    async fn verify_checkpoints(
        &self,
        summary: &mut VerifySummary,
        updates: &UpdateSender,
    ) -> Result<Vec<Finding>, Error> {
        let mut damage = Vec::new();
        let referenced = self.handle.read(referenced_checkpoints).await?;
        for (digest, trials) in referenced {
            summary.checkpoints += 1;
            let (state, error) = match self.checkpoints.get(digest).await {
                Ok(_) => continue,
                Err(error @ checkpoint::Error::Missing(_)) => ("missing", error),
                Err(error @ checkpoint::Error::Damaged { .. }) => ("damaged", error),
                Err(error) => return Err(error.into()),
            };
            // A running trial may have replaced this checkpoint.
            let now = self.handle.read(referenced_checkpoints).await?;
            if !now.contains_key(&digest) {
                continue;
            }
            let finding = Finding::Checkpoint { digest, trials, state, detail: report(&error) };
            send_update(updates, VerifyUpdate::Finding(finding.clone())).await;
            damage.push(finding);
        }
        Ok(damage)
    }

    /// Restarts the affected trials and sets damaged files aside.
    async fn repair(&self, damage: &[Finding]) -> Result<Vec<SweepRepair>, Error> {
        let _no_changes = self.sink.pause().await;
        self.sink.require_reconcile();
        let mut plans: BTreeMap<SweepName, RepairPlan> = BTreeMap::new();
        for finding in damage {
            match finding {
                Finding::Journal { .. } => {}
                Finding::Part { part, .. } => {
                    plans.entry(part.sweep.clone()).or_default().parts.push(part.clone());
                }
                Finding::Checkpoint { trials, .. } => {
                    for trial in trials {
                        let plan = plans.entry(trial.sweep.clone()).or_default();
                        plan.trials.insert(trial.index);
                    }
                }
            }
        }
        let mut repaired = Vec::new();
        for (sweep, plan) in plans {
            repaired.push(self.start_over(sweep, plan).await?);
        }
        Ok(repaired)
    }

    async fn start_over(&self, sweep: SweepName, plan: RepairPlan) -> Result<SweepRepair, Error> {
        let (name, RepairPlan { parts, mut trials }) = (sweep.clone(), plan);
        let held = parts.clone();
        let in_parts = move |state: &State| -> Vec<u64> {
            let started = state.sweeps.get(&name).map_or(0, |sweep| sweep.next);
            (0..started).filter(|index| held.iter().any(|part| part.may_hold(*index))).collect()
        };
        trials.extend(self.handle.read(in_parts).await?);
        let (id, trials) = (RequestId(Uuid::now_v7()), trials.into_iter().collect());
        let request =
            SweepRequest::StartOver { id, sweep: sweep.clone(), trials, parts: parts.clone() };
        let count = |_: &State, events: &[Event]| {
            let trials = events.iter().map(|event| match event {
                Event::TrialsStartedOver(TrialsStartedOver { trials, .. }) => trials.len() as u64,
                _ => 0,
            });
            trials.sum()
        };
        let trials = self
            .handle
            .execute(Caller::Coordinator, Command::Client(request), Vec::new(), count)
            .await?;
        let suffix = format!("damaged-{}", file_date(self.clock.now()));
        let dataset = Arc::clone(&self.dataset);
        let moved = tokio::task::spawn_blocking(move || {
            let moved = parts.iter().map(|part| dataset.set_aside(part, &suffix));
            moved.collect::<Result<Vec<_>, _>>()
        });
        let set_aside = moved.await.map_err(|_| Error::Stopping)??.into_iter().flatten().collect();
        Ok(SweepRepair { sweep, trials, set_aside })
    }
}

/// The damage of a sweep that a repair handles.
#[derive(Debug, Default)]
struct RepairPlan {
    parts: Vec<Part>,
    trials: BTreeSet<u64>,
}

async fn send_update(updates: &UpdateSender, update: VerifyUpdate) {
    // The client may be gone.
    let _ = updates.send(update).await;
}

fn detail(defect: &Defect, text: &str) -> String {
    match defect {
        Defect::Missing => "the file is not there".to_owned(),
        _ => text.trim_start_matches("is damaged: ").to_owned(),
    }
}

/// Formats a time for a file name.
fn file_date(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX));
    instant.unwrap_or_default().strftime("%Y-%m-%dT%H%M%SZ").to_string()
}

/// Returns the referenced checkpoints with their trials.
fn referenced_checkpoints(state: &State) -> BTreeMap<Digest, Vec<TrialId>> {
    let mut referenced: BTreeMap<Digest, Vec<TrialId>> = BTreeMap::new();
    for sweep in state.sweeps.values() {
        let live = sweep.live.iter().chain(&sweep.parked).chain(&sweep.retryable);
        let live = live.map(|(index, trial)| (*index, trial.checkpoint));
        let done = sweep.done.iter().map(|(index, done)| (*index, done.checkpoint));
        for (index, checkpoint) in live.chain(done) {
            let Some(digest) = checkpoint else { continue };
            let trials = referenced.entry(digest).or_default();
            let trial = TrialId::new(sweep.name().clone(), index);
            if !trials.contains(&trial) {
                trials.push(trial);
            }
        }
    }
    referenced
}
