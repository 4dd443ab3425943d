//! `rheo watch`: follows a sweep until it ends.

use rheo_core::sweep::Phase;

use super::failure::Failure;
use super::progress::Display;
use super::select::{self, SweepWord};
use super::{Global, format, status, wait};

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
    while let Some(moment) = watching.next().await? {
        display.show(&moment);
        last = Some(moment.sweep);
        if !client.is_live {
            // At rest nothing changes.
            break;
        }
    }
    display.end();
    let Some(last) = last else { return Err(wait::stopped(&sweep)) };
    match last.phase {
        Phase::Ended => {
            let (ended, trials) = (last.counts.ended(), last.counts.trials);
            let phase = status::phase(&last);
            format::note(format!("{sweep} {phase}: {ended} of {trials} trials have ended"));
            Ok(())
        }
        _ if client.is_live => Err(wait::stopped(&sweep)),
        _ => Err(wait::at_rest(global, &last)),
    }
}
