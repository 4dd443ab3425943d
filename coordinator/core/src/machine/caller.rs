//! Callers and the commands that each may give.
//!
//! The gRPC layer checks access before it reads a message. This is a second check, which no handler
//! can skip: [`decide`](super::decide) takes the caller and rejects what it may not ask for.

use super::command::Command;
use crate::fleet;

/// The caller of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The coordinator itself: its start, its clock and the fleet loop.
    Coordinator,
    /// A user, or a program acting for one.
    Admin,
    /// A worker.
    Worker,
}

impl Caller {
    /// Whether the caller may give `command`.
    pub fn may_ask(self, command: &Command) -> bool {
        match command {
            Command::Start { .. }
            | Command::Tick
            | Command::ChoosePoint { .. }
            | Command::Fleet(
                fleet::FleetCommand::Reconcile { .. }
                | fleet::FleetCommand::Submitted { .. }
                | fleet::FleetCommand::Refused { .. }
                | fleet::FleetCommand::Unavailable { .. },
            ) => self == Self::Coordinator,
            Command::Fleet(
                fleet::FleetCommand::Launch { .. }
                | fleet::FleetCommand::Scale { .. }
                | fleet::FleetCommand::Drain { .. }
                | fleet::FleetCommand::Stop { .. },
            )
            | Command::Submit { .. }
            | Command::Client(_) => self != Self::Worker,
            Command::Join { .. }
            | Command::Acquire { .. }
            | Command::Renew { .. }
            | Command::Commit { .. }
            | Command::Finish { .. }
            | Command::Leave { .. }
            | Command::LeaveUnfit { .. }
            | Command::ReportLost { .. } => true,
        }
    }

    /// Returns the name used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "the coordinator",
            Self::Admin => "a person",
            Self::Worker => "a worker",
        }
    }
}
