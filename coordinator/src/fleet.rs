//! Reconciles fleets: observes the pilots of each, lets the core decide, and carries out the plan.
//!
//! A pilot is submitted only after its plan is durable and the cluster has reported that it does
//! not know the pilot. So a coordinator that dies at any point neither loses nor doubles pilots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rheo_core::fleet::{self, Fleet, FleetCommand, FleetMode, FleetName, PilotId, PilotPhase};
use rheo_core::machine::{Caller, State};
use rheo_launch::{Error, Launcher, PilotRef, PilotSubmission};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::Coordinator;
use crate::engine;
use crate::throttle::Throttle;

/// The time in which several changes are collected into one step.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// Reconciles all fleets until `stop`.
pub(crate) async fn run(coordinator: Coordinator, stop: CancellationToken) {
    let mut fleets = FleetController {
        coordinator,
        launchers: BTreeMap::new(),
        closed: BTreeSet::new(),
        throttles: BTreeMap::new(),
    };
    loop {
        let stepped = stop.run_until_cancelled(fleets.step()).await;
        match stepped {
            // A full disk may have room later.
            Some(Ok(()) | Err(engine::Error::Storage(_) | engine::Error::Rejected(_))) => {}
            Some(Err(engine::Error::Stopping)) | None => return,
        }
        let poll = fleets.coordinator.settings().poll;
        let woken = async {
            fleets.coordinator.live.fleets_changed().notified().await;
            tokio::time::sleep(DEBOUNCE).await;
        };
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(poll) => {}
            () = stop.cancelled() => return,
        }
    }
}

struct FleetController {
    coordinator: Coordinator,
    /// Launchers in use, with their settings.
    launchers: BTreeMap<FleetName, (String, Arc<dyn Launcher>)>,
    /// Ended fleets of which nothing is left on the cluster.
    closed: BTreeSet<FleetName>,
    /// Limits of the log of unavailable clusters.
    throttles: BTreeMap<FleetName, Throttle>,
}

/// The changes to request from a cluster.
struct ReconcilePlan {
    submit: Vec<PilotSubmission>,
    remove: Vec<PilotRef>,
    /// Numbers of the pilots that the fleet still has.
    numbers: BTreeSet<u64>,
}

impl FleetController {
    async fn step(&mut self) -> Result<(), engine::Error> {
        let fleets = self.coordinator.handle.read(|state| state.fleets.clone()).await?;
        for fleet in fleets.values() {
            let quiet = fleet.pilots.is_empty() && fleet.mode != FleetMode::Active;
            if quiet {
                self.close(fleet).await;
            } else {
                self.closed.remove(&fleet.spec.name);
                self.reconcile(fleet).await?;
            }
        }
        Ok(())
    }

    /// Removes the rest of an ended fleet from its cluster, once.
    async fn close(&mut self, fleet: &Fleet) {
        let name = &fleet.spec.name;
        if self.closed.contains(name) {
            return;
        }
        let closed = match self.launcher(fleet) {
            Ok(launcher) => launcher.close(&fleet.tag(0)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &closed {
            tracing::warn!(fleet = %name, %error, "cannot remove everything of an ended fleet");
        }
        if !matches!(closed, Err(Error::Unavailable(_))) {
            self.closed.insert(name.clone());
        }
    }

    async fn reconcile(&mut self, fleet: &Fleet) -> Result<(), engine::Error> {
        let name = &fleet.spec.name;
        let launcher = match self.launcher(fleet) {
            Ok(launcher) => launcher,
            Err(error) => return self.record_unavailable(name, &error).await,
        };
        let known: Vec<PilotRef> = pilot_refs(fleet, |_| true);
        let sights = match launcher.observe(&known).await {
            Ok(sights) => sights,
            Err(error) => return self.record_unavailable(name, &error).await,
        };
        let command = FleetCommand::Reconcile { fleet: name.clone(), statuses: sights };
        let asked = name.clone();
        let plan = move |state: &State, _: &[_]| state.fleets.get(&asked).map(reconcile_plan);
        let command = rheo_core::machine::Command::Fleet(command);
        let Some(ReconcilePlan { submit, remove, numbers }) =
            self.coordinator.handle.execute(Caller::Coordinator, command, Vec::new(), plan).await?
        else {
            return Ok(());
        };
        self.submit(name, &*launcher, submit).await?;
        if !remove.is_empty()
            && let Err(error) = launcher.remove(&remove).await
        {
            return self.record_unavailable(name, &error).await;
        }
        let mut ended = known;
        ended.retain(|pilot| !numbers.contains(&pilot.number));
        if !ended.is_empty()
            && let Err(error) = launcher.forget(&ended).await
        {
            return self.record_unavailable(name, &error).await;
        }
        Ok(())
    }

    fn launcher(&mut self, fleet: &Fleet) -> Result<Arc<dyn Launcher>, Error> {
        let name = &fleet.spec.name;
        if let Some((settings, launcher)) = self.launchers.get(name)
            && *settings == fleet.spec.settings
        {
            return Ok(Arc::clone(launcher));
        }
        let state = &self.coordinator.settings().state;
        let launcher = rheo_launch::open(&fleet.spec.launcher, &fleet.spec.settings, state)?;
        let entry = (fleet.spec.settings.clone(), Arc::clone(&launcher));
        self.launchers.insert(name.clone(), entry);
        Ok(launcher)
    }

    async fn submit(
        &mut self,
        fleet: &FleetName,
        launcher: &dyn Launcher,
        submissions: Vec<PilotSubmission>,
    ) -> Result<(), engine::Error> {
        let mut left = submissions.iter();
        while let Some(submission) = left.next() {
            let pilot = submission.pilot.clone();
            match launcher.submit(submission).await {
                Ok(handle) => {
                    tracing::info!(%pilot, handle, "submitted a pilot");
                    self.execute(FleetCommand::Submitted { pilot, handle }).await?;
                }
                // The pilot may exist: its tag shows at the next observation.
                Err(error @ Error::Unavailable(_)) => {
                    return self.record_unavailable(fleet, &error).await;
                }
                Err(error) => {
                    tracing::warn!(%pilot, %error, "a pilot was refused");
                    let given_up = std::iter::once(submission).chain(left);
                    let pilots = given_up.map(|submission| submission.pilot.number).collect();
                    let is_limit = matches!(error, Error::Limit(_));
                    let (fleet, text) = (fleet.clone(), error.to_string());
                    return self
                        .execute(FleetCommand::Refused { fleet, pilots, text, is_limit })
                        .await;
                }
            }
        }
        Ok(())
    }

    async fn record_unavailable(
        &mut self,
        fleet: &FleetName,
        error: &Error,
    ) -> Result<(), engine::Error> {
        if self.throttles.entry(fleet.clone()).or_default().is_due(Instant::now()) {
            tracing::warn!(%fleet, %error, "cannot reconcile the fleet: the cluster does not answer");
        }
        self.execute(FleetCommand::Unavailable { fleet: fleet.clone(), text: error.to_string() })
            .await
    }

    async fn execute(&self, command: FleetCommand) -> Result<(), engine::Error> {
        let command = rheo_core::machine::Command::Fleet(command);
        self.coordinator.handle.execute(Caller::Coordinator, command, Vec::new(), |_, _| ()).await
    }
}

fn pilot_refs(fleet: &Fleet, which: impl Fn(&fleet::Pilot) -> bool) -> Vec<PilotRef> {
    let pilots = fleet.pilots.iter().filter(|(_, pilot)| which(pilot));
    pilots
        .map(|(number, pilot)| PilotRef {
            number: *number,
            tag: fleet.tag(*number),
            handle: pilot.handle.clone(),
            runs: pilot.phase == PilotPhase::Running,
        })
        .collect()
}

fn reconcile_plan(fleet: &Fleet) -> ReconcilePlan {
    let unsent = |pilot: &fleet::Pilot| pilot.handle.is_none() && !pilot.removing;
    let submissions =
        fleet.pilots.iter().filter(|(_, pilot)| unsent(pilot)).map(|(number, _)| PilotSubmission {
            pilot: PilotId { fleet: fleet.spec.name.clone(), number: *number },
            tag: fleet.tag(*number),
            exclude: fleet.excluded(),
        });
    ReconcilePlan {
        submit: submissions.collect(),
        remove: pilot_refs(fleet, |pilot| pilot.removing),
        numbers: fleet.pilots.keys().copied().collect(),
    }
}
