//! Callers: every command has one, and decisions may depend on it.

use rheo_core::machine::{Caller, Command, Rejection, execute};

use crate::world::*;

#[test]
fn a_forbidden_command_is_refused_and_changes_nothing() {
    let mut world = World::new(GRID);
    world.join(worker(0));
    world.acquire(worker(0), 1);
    world.commit(worker(0), 0, 2);
    let sent = world.sent.clone();
    for caller in [Caller::Coordinator, Caller::Admin, Caller::Worker] {
        for command in &sent {
            let mut state = world.state.clone();
            let result = execute(&mut state, caller, command, world.now);
            let is_refused = result == Err(Rejection::NotAllowed(caller));
            assert_eq!(is_refused, !caller.may_ask(command), "{caller:?} {command:?}");
            assert!(!is_refused || state == world.state, "a refused command left a trace");
        }
    }
    let commands = |caller: Caller| sent.iter().filter(|command| caller.may_ask(command)).count();
    assert!(commands(Caller::Worker) < commands(Caller::Admin));
    assert!(!Caller::Admin.may_ask(&Command::Tick));
}
