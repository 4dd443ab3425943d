//! `rheo wait`: waits until a sweep has ended; the exit code is its outcome.

use std::time::Duration;

use rheo_core::id::SweepName;
use rheo_core::machine::{PlacementFailure, SweepPhase, SweepView};
use rheo_core::sweep::SweepEndReason;
use rheo_core::time::{Clock as _, Timestamp};

use super::failure::Failure;
use super::select::{self, SweepSelector};
use super::status::no_coordinator_hint;
use super::{GlobalArgs, format, status};
use crate::client::Client;
use crate::clock::SystemClock;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a sweep, or `last`.
    sweep: SweepSelector,
    /// Give up after so many seconds, with exit code 1.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Report after this long that no worker is suitable.
    #[arg(long, value_name = "SECONDS", default_value_t = UNFIT_TIMEOUT.as_secs_f64())]
    unfit_timeout: f64,
}

/// The default time in which no worker fits the waiting trials before that is an error.
pub(super) const UNFIT_TIMEOUT: Duration = Duration::from_mins(1);

/// The time between two checks for a worker that fits.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Parses a number of seconds above zero.
pub(super) fn parse_unfit_timeout(seconds: f64) -> Result<Duration, Failure> {
    let patience = Duration::try_from_secs_f64(seconds).ok().filter(|patience| !patience.is_zero());
    patience.ok_or_else(|| {
        Failure::usage(format!("--unfit-timeout is not a number of seconds above 0: `{seconds}`"))
    })
}

/// Waits until, for the time `patience`, no worker has fitted the waiting trials of a sweep;
/// returns the cause.
pub(super) async fn until_nothing_fits(
    client: &mut Client,
    sweep: &SweepName,
    patience: Duration,
) -> Result<String, Failure> {
    let clock = SystemClock::new(Timestamp::default());
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let (sweep, _) = client.sweep(sweep).await?;
        let lasting = |no_fit: &PlacementFailure| clock.now().since(no_fit.since) >= patience;
        if let Some(no_fit) = sweep.no_fit.filter(lasting) {
            return Ok(no_fit.cause);
        }
    }
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let as_json = global.json()?;
    let mut client = global.connect().await?;
    let sweep = select::one(&mut client, &args.sweep).await?;
    let patience = parse_unfit_timeout(args.unfit_timeout)?;
    let mut looking = client.clone();
    let watch = async {
        let ended = until_ended(global, &mut client, &sweep);
        tokio::pin!(ended);
        tokio::select! {
            ended = &mut ended => return ended,
            // An unreachable coordinator is noticed by the other branch.
            Ok(cause) = until_nothing_fits(&mut looking, &sweep, patience) => {
                format::note(format!("no worker can run the waiting trials of {sweep}: {cause}"));
            }
        }
        ended.await
    };
    let timeout = match args.timeout.map(Duration::try_from_secs_f64) {
        None => Duration::MAX,
        Some(Ok(timeout)) => timeout,
        Some(Err(error)) => return Err(Failure::usage(format!("--timeout: {error}"))),
    };
    let sweep = if let Ok(sweep) = tokio::time::timeout(timeout, watch).await {
        sweep?
    } else {
        format::note(format!("{sweep} has not ended"));
        return Err(Failure::SweepFailed);
    };
    if as_json {
        format::print_json(&status::json(&sweep))?;
    } else {
        format::print(status::table(std::slice::from_ref(&sweep)))?;
    }
    verdict(&sweep)
}

async fn until_ended(
    global: &GlobalArgs,
    client: &mut Client,
    name: &SweepName,
) -> Result<SweepView, Failure> {
    let mut watch = client.watch(name).await?;
    while let Some(update) = watch.next().await? {
        if update.sweep.phase == SweepPhase::Ended {
            return Ok(update.sweep);
        }
        if !client.is_live {
            return Err(not_running(global, &update.sweep));
        }
    }
    Err(coordinator_stopped(name))
}

/// Returns the failure that no coordinator runs, so that waiting is in vain.
pub(super) fn not_running(global: &GlobalArgs, sweep: &SweepView) -> Failure {
    let left = sweep.counts.trials - sweep.counts.ended();
    let text =
        format!("{left} trials of `{}` are left, and {}", sweep.name, no_coordinator_hint(global));
    Failure::Unreachable(anyhow::Error::msg(text))
}

/// Returns the failure that the coordinator stopped before the sweep ended.
pub(super) fn coordinator_stopped(name: &SweepName) -> Failure {
    let text = format!("the coordinator stopped before `{name}` ended");
    Failure::Unreachable(anyhow::Error::msg(text))
}

/// Fails if trials of an ended sweep failed or were cancelled, or if that ended the sweep early.
/// Diverged trials are results.
pub(super) fn verdict(sweep: &SweepView) -> Result<(), Failure> {
    let cut =
        matches!(sweep.reason, Some(SweepEndReason::Cancelled | SweepEndReason::MaxFailedTrials));
    if cut || sweep.counts.failed + sweep.counts.cancelled > 0 {
        return Err(Failure::SweepFailed);
    }
    Ok(())
}
