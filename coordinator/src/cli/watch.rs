//! `rheo watch`: shows the progress of a sweep until it ends.

use rheo_core::machine::SweepPhase;

use super::failure::Failure;
use super::progress::ProgressDisplay;
use super::select::{self, SweepSelector};
use super::{GlobalArgs, wait};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a sweep, or `last`.
    sweep: SweepSelector,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    let sweep = select::one(&mut client, &args.sweep).await?;
    let mut watch = client.watch(&sweep).await?;
    let mut display = ProgressDisplay::new();
    let mut last = None;
    loop {
        let update = tokio::select! {
            update = watch.next() => update?,
            () = display.due() => {
                display.report();
                continue;
            }
        };
        let Some(update) = update else { break };
        display.show(&update);
        last = Some(update.sweep);
        if !client.is_live {
            // Without a coordinator nothing changes.
            break;
        }
    }
    let Some(last) = last else { return Err(wait::coordinator_stopped(&sweep)) };
    display.end_with(&last);
    match last.phase {
        SweepPhase::Ended => Ok(()),
        _ if client.is_live => Err(wait::coordinator_stopped(&sweep)),
        _ => Err(wait::not_running(global, &last)),
    }
}
