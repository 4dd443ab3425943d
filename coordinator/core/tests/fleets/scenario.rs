//! Scenarios of fleets, one promise each.

use std::time::Duration;

use rheo_core::fleet::{FleetCommand, FleetEvent, PilotEndCause, PilotPhase};
use rheo_core::machine::Event;
use rheo_core::resources::ResourceOffer;
use rheo_core::time::Timestamp;

use crate::cluster::Stage;
use crate::runner::Fate;
use crate::world::{World, name};

/// A sweep of `trials` trials with `threads` threads each.
fn sweep(trials: u32, threads: u32) -> String {
    format!(
        "
name: sim
parameters:
  grams: {{values: [8]}}
replicates: {trials}
resources: {{threads: {threads}}}
"
    )
}

fn planned(world: &World) -> Vec<Timestamp> {
    let planned = |event: &Event| match event {
        Event::Fleet(FleetEvent::PilotPlanned(planned)) => Some(planned.at),
        _ => None,
    };
    world.events.iter().filter_map(planned).collect()
}

#[test]
fn a_fleet_whose_pilots_die_at_once_backs_off_and_recovers() {
    let mut world = World::new(50);
    world.submit(&sweep(200, 1));
    world.launch((0, 40), 4);
    world.fate = Fate::Dies;
    world.until(6 * 60, |world| world.now > Timestamp(3_590_000));
    let times = planned(&world);
    assert_eq!(times.iter().filter(|at| **at == times[0]).count(), 40, "the first are many");
    // 15 s, doubled up to 10 min, and the time that a pilot takes to die.
    assert!((9..16).contains(&(times.len() - 40)), "{}", times.len());
    assert!(world.fleet().problem.as_ref().unwrap().text.contains("before a worker"));
    world.fate = Fate::Works;
    // The longest pause, a pilot that runs for two minutes, and then all the others.
    world.until(6 * 13, |world| world.cluster.count(Stage::Running) > 30);
    assert_eq!((world.fleet().failures, &world.fleet().problem), (0, &None));
}

#[test]
fn pilots_that_die_together_are_one_failure() {
    let mut world = World::new(50);
    world.submit(&sweep(200, 1));
    world.launch((0, 40), 4);
    world.fate = Fate::Dies;
    world.until(10, |world| world.fleet().failures > 0);
    world.round();
    assert!(world.fleet().not_before.since(world.now) <= Duration::from_secs(15));
    world.until(10, |world| world.fleet().pilots.is_empty());
    assert_eq!(world.fleet().failures, 1);
}

#[test]
fn a_pilot_that_runs_but_never_joins_is_replaced() {
    let mut world = World::new(50);
    world.submit(&sweep(8, 1));
    world.launch((0, 2), 4);
    world.fate = Fate::Hangs;
    world.until(10, |world| world.cluster.count(Stage::Running) == 2);
    world.fate = Fate::Works;
    world.until(90, World::all_ended);
    assert!(world.fleet().pilots.keys().all(|number| *number > 2));
}

#[test]
fn a_queue_that_takes_no_more_jobs_is_asked_rarely_with_one() {
    let mut world = World::new(50);
    world.submit(&sweep(400, 1));
    world.trial = (Duration::from_hours(3), Duration::ZERO);
    world.launch((0, 100), 1);
    world.cluster.limit = 30;
    world.until(10, |world| world.cluster.living() == 30);
    let before = (planned(&world).len(), world.cluster.calls);
    world.until(6 * 60, |world| world.now > Timestamp(3_590_000));
    assert_eq!(world.fleet().failures, 0);
    assert!(planned(&world).len() - before.0 <= 60, "{}", planned(&world).len());
    assert!(world.cluster.calls.submit - before.1.submit <= 60);
    world.cluster.limit = 80;
    world.until(20, |world| world.cluster.living() == 80);
}

#[test]
fn u16_a_paused_queue_resumes_and_says_why_nothing_starts() {
    let mut world = World::new(50);
    world.submit(&sweep(40, 1));
    world.launch((0, 5), 4);
    world.cluster.held = true;
    for _ in 0..3 * 360 {
        world.round();
        world.pass(Duration::from_secs(10));
    }
    assert_eq!(world.queued(), 5);
    let view = rheo_core::machine::FleetView::of(&world.state, world.fleet());
    assert_eq!(view.why_idle().unwrap(), "its pilots wait in the queue: Resources");
    world.cluster.held = false;
    world.until(60, World::all_ended);
    assert_eq!(world.fleet().next, 6, "nobody was replaced");
}

#[test]
fn an_outage_changes_nothing_and_what_ended_in_it_is_final() {
    let mut world = World::new(50);
    world.submit(&sweep(400, 1));
    world.trial = (Duration::from_hours(1), Duration::ZERO);
    world.launch((0, 10), 4);
    world.until(10, |world| world.cluster.count(Stage::Running) == 10);
    world.cluster.away = true;
    let gone = world.cluster.nth_running(3).unwrap();
    world.kill(gone, PilotEndCause::NodeLost);
    for _ in 0..6 * 20 {
        world.round();
        world.pass(Duration::from_secs(10));
    }
    assert_eq!((world.fleet().pilots.len(), planned(&world).len()), (10, 10));
    world.cluster.away = false;
    world.until(10, |world| world.cluster.living() == 10 && world.fleet().problem.is_none());
    assert_eq!(world.fleet().ended, [(PilotEndCause::Unknown, 1)].into());
    assert_eq!(planned(&world).len(), 11);
}

#[test]
fn slots_that_no_trial_fits_into_are_not_room() {
    let mut world = World::new(50);
    world.threads = 5;
    world.submit(&sweep(20, 5));
    world.launch((0, 20), 8);
    world.trial = (Duration::from_hours(1), Duration::ZERO);
    world.until(20, |world| world.state.leases().count() == 20);
    assert_eq!(world.fleet().pilots.len(), 20);
}

/// Returns the number of pilots once all 24 trials run that take this much of a GPU each. A worker
/// has eight slots and two GPUs.
fn pilots_for(gpus: f64) -> usize {
    let mut world = World::new(50);
    world.submit(&sweep(24, 1).replace("threads: 1", &format!("threads: 1, gpus: {gpus}")));
    world.launch_offering((0, 40), ResourceOffer { cpus: 8, gpus: 2, memory_mb: None });
    world.trial = (Duration::from_hours(1), Duration::ZERO);
    world.until(20, |world| world.state.leases().count() == 24);
    world.fleet().pilots.len()
}

#[test]
fn pilots_are_as_many_as_trials_need_that_share_gpus() {
    assert_eq!(pilots_for(0.25), 3, "the slots are fewer");
    assert_eq!(pilots_for(0.5), 6);
    assert_eq!(pilots_for(0.6), 12, "two of them would not fit on one");
    assert_eq!(pilots_for(2.0), 24);
}

#[test]
fn a_fleet_without_gpus_reports_too_small_workers_and_starts_none() {
    let mut world = World::new(50);
    world.submit(&sweep(20, 1).replace("threads: 1", "threads: 1, gpus: 0.5"));
    world.launch((0, 20), 8);
    world.until(20, |world| world.fleet().problem.is_some());
    let text = &world.fleet().problem.as_ref().unwrap().text;
    let expected = "a trial of `sim` takes 0.5 of a GPU (`resources.gpus`), and a worker of this fleet has 0 GPUs: launch a larger one";
    assert_eq!((text.as_str(), world.fleet().pilots.len()), (expected, 0));
}

#[test]
fn fewer_pilots_are_reached_without_ever_growing() {
    let mut world = World::new(50);
    world.submit(&sweep(400, 1));
    world.trial = (Duration::from_mins(10), Duration::ZERO);
    world.launch((0, 20), 4);
    for _ in 0..9 {
        world.act();
    }
    // In the middle of submitting.
    let (fleet, request) = (name(), world.request());
    world.ask(FleetCommand::Scale { fleet, min: None, max: Some(3), request });
    world.until(20, |world| world.fleet().pilots.len() == 3 && world.cluster.living() == 3);
    world.until(20, |world| world.cluster.count(Stage::Running) == 3);
    assert!(world.fleet().pilots.values().all(|pilot| pilot.phase == PilotPhase::Running));
}

#[test]
fn a_pilot_that_is_preempted_before_its_worker_joined_is_no_failure() {
    let mut world = World::new(50);
    world.submit(&sweep(40, 1));
    world.launch((0, 4), 4);
    for _ in 0..20 {
        world.round();
        world.pass(Duration::from_secs(4));
        for id in world.cluster.running().collect::<Vec<_>>() {
            world.preempt(id, false, false);
        }
    }
    assert!(world.fleet().ended[&PilotEndCause::Preempted] > 10);
    assert_eq!((world.fleet().failures, &world.fleet().problem), (0, &None));
    world.until(60, World::all_ended);
}
