//! `rheo watch`: follows a sweep until it ends.

use super::Global;
use super::failure::Failure;
use super::progress::Display;
use super::select::{self, SweepWord};

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
    while let Some(moment) = watching.next().await? {
        display.show(&moment);
        if !client.is_live {
            // At rest nothing changes.
            break;
        }
    }
    display.end();
    Ok(())
}
