//! `rheo watch`: follows a sweep until it ends.

use rheo_core::machine::SweepPhase;

use super::failure::Failure;
use super::progress::Display;
use super::select::{self, SweepWord};
use super::{Global, wait};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a sweep, or `last`.
    sweep: SweepWord,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    let sweep = select::one(&mut client, &args.sweep).await?;
    let mut watching = client.watch(&sweep).await?;
    let mut display = Display::new();
    let mut last = None;
    loop {
        let moment = tokio::select! {
            moment = watching.next() => moment?,
            () = display.due() => {
                display.report();
                continue;
            }
        };
        let Some(moment) = moment else { break };
        display.show(&moment);
        last = Some(moment.sweep);
        if !client.is_live {
            // At rest nothing changes.
            break;
        }
    }
    let Some(last) = last else { return Err(wait::stopped(&sweep)) };
    display.end_with(&last);
    match last.phase {
        SweepPhase::Ended => Ok(()),
        _ if client.is_live => Err(wait::stopped(&sweep)),
        _ => Err(wait::at_rest(global, &last)),
    }
}
