//! Who asks for a command, and what each may ask.
//!
//! The protocol is guarded before a message is read; this is the second guard, which no handler
//! can forget: [`decide`](super::decide) takes the caller and refuses what it may not ask.

use super::command::Command;
use crate::fleet;

/// The one who asks for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The coordinator itself: its start, its clock, and the loop that looks after fleets.
    Coordinator,
    /// A person, or a program in a person's name.
    Admin,
    /// A worker.
    Worker,
}

impl Caller {
    /// Whether the caller may ask for `command`.
    pub fn may_ask(self, command: &Command) -> bool {
        match command {
            Command::Start { .. }
            | Command::Tick
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

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "the coordinator",
            Self::Admin => "a person",
            Self::Worker => "a worker",
        }
    }
}
