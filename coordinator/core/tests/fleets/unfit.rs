//! Pilots on nodes that do not meet the needs of trials.

use std::collections::BTreeMap;
use std::time::Duration;

use rheo_core::fleet::{
    Fleet, FleetCommand, FleetName, FleetSpec, PilotEndCause, PilotId, PilotStatus, WorkerLocation,
};
use rheo_core::id::{RequestId, WorkerId};
use rheo_core::machine::{Caller, Command, State, WorkerInfo, execute};
use rheo_core::needs::Inventory;
use rheo_core::resources::{FreeResources, ResourceOffer};
use rheo_core::time::Timestamp;
use uuid::Uuid;

use crate::brewing::{BREWING, workloads};
use crate::definition;

struct World {
    state: State,
    now: Timestamp,
}

fn name() -> FleetName {
    FleetName::parse("f").unwrap()
}

impl World {
    /// Creates a fleet of up to `max` pilots that has work.
    fn new(max: u32) -> Self {
        let mut world = Self { state: State::new(workloads()), now: Timestamp(1_000) };
        let text = "{name: s, replicates: 50, parameters: {grams: {values: [8]}}}";
        let definition = definition(text);
        world.send(&Command::Submit { definition, source: text.to_owned() });
        let spec = Box::new(FleetSpec {
            name: name(),
            launcher: "slurm".to_owned(),
            settings: String::new(),
            min: 0,
            max,
            workers: 1,
            worker: ResourceOffer { cpus: 1, ..ResourceOffer::default() },
            sweep: None,
        });
        let request = RequestId(Uuid::from_u128(1));
        world.ask(FleetCommand::Launch { spec, id: Uuid::nil(), request });
        world
    }

    fn send(&mut self, command: &Command) {
        execute(&mut self.state, Caller::Coordinator, command, self.now).unwrap();
        assert_eq!(self.state.defects(), [""; 0]);
    }

    fn ask(&mut self, command: FleetCommand) {
        self.send(&Command::Fleet(command));
    }

    fn fleet(&self) -> &Fleet {
        &self.state.fleets[&name()]
    }

    /// Polls the pilots: planned ones run, except for these, which have ended.
    fn look(&mut self, ended: &[u64]) {
        let status = |number: &u64| {
            if ended.contains(number) {
                let detail = "exit code 1".to_owned();
                return PilotStatus::Ended { cause: PilotEndCause::Failed, detail };
            }
            PilotStatus::Running { handle: number.to_string() }
        };
        let pilots = self.fleet().pilots.keys();
        let statuses: BTreeMap<u64, PilotStatus> = pilots.map(|n| (*n, status(n))).collect();
        self.ask(FleetCommand::Reconcile { fleet: name(), statuses });
    }

    /// Has a worker of a pilot join on a node and ask for a trial.
    fn join(&mut self, number: u64, node: &str, devices: Vec<String>) -> WorkerId {
        let worker = WorkerId(Uuid::from_u128(u128::from(number) + 100));
        let pilot = Some(PilotId { fleet: name(), number });
        let place =
            WorkerLocation { pilot, node: Some(node.to_owned()), ..WorkerLocation::default() };
        let inventory = Some(Inventory { devices, ..Inventory::default() });
        let info = WorkerInfo {
            offer: ResourceOffer { cpus: 1, ..ResourceOffer::default() },
            place,
            inventory,
            workloads: vec![BREWING],
            ..WorkerInfo::default()
        };
        self.send(&Command::Join { worker, info, state: None });
        let (held, lease) = (Vec::new(), Duration::from_secs(30));
        self.send(&Command::Acquire {
            worker,
            held,
            free: FreeResources::slots(1),
            only: None,
            lease,
        });
        worker
    }

    /// Starts a pilot on a node without any device; it leaves as unfit.
    fn fail_on(&mut self, node: &str) {
        self.look(&[]);
        self.look(&[]);
        let number = *self.fleet().pilots.keys().last().unwrap();
        let worker = self.join(number, node, Vec::new());
        let reason = "no device `cpu`".to_owned();
        self.send(&Command::LeaveUnfit { worker, reason });
        self.now = self.now + Duration::from_secs(10);
        self.look(&[number]);
    }
}

#[test]
fn u42_a_fleet_avoids_a_node_after_two_unfit_pilots_there() {
    let mut world = World::new(1);
    for expected in [&[][..], &["n1"]] {
        world.fail_on("n1");
        assert_eq!(world.fleet().excluded(), expected);
        world.now = world.fleet().not_before;
    }
    world.fail_on("n2");
    assert_eq!(world.fleet().excluded(), ["n1"], "one is no proof");
    // Scaling up resets the excluded nodes.
    let request = RequestId(Uuid::from_u128(2));
    let (min, max) = (None, Some(3));
    world.ask(FleetCommand::Scale { fleet: name(), min, max, request });
    assert_eq!(world.fleet().excluded(), [""; 0]);
}

#[test]
fn u42_a_fleet_whose_pilots_are_all_unfit_pauses_and_says_why() {
    let mut world = World::new(1);
    let mut pauses = Vec::new();
    for node in ["n1", "n2", "n3"] {
        world.fail_on(node);
        pauses.push(world.fleet().not_before.since(world.now).as_secs());
        assert!(world.fleet().pilots.is_empty(), "none is planned during the pause");
        let text = &world.fleet().problem.as_ref().unwrap().text;
        assert!(text.contains(&format!("on `{node}` was unfit: no device")), "{text}");
        world.now = world.fleet().not_before;
    }
    assert_eq!(pauses, [15, 30, 60]);
}

#[test]
fn u42_one_unfit_pilot_pauses_no_fleet_that_works() {
    let mut world = World::new(2);
    world.look(&[]);
    world.look(&[]);
    assert_eq!(world.fleet().pilots.len(), 2);
    world.join(1, "n1", vec!["cpu".to_owned()]);
    world.fail_on("n2");
    assert_eq!((world.fleet().failures, &world.fleet().problem), (0, &None));
    assert_eq!(world.fleet().pilots.len(), 2, "another takes its place at once");
    assert_eq!(world.fleet().unfit["n2"], 1);
}
