//! `rheo wait`: blocks until a sweep has ended, and says by exit code how it went.

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
    /// Say so after so many seconds in which no worker has what the trials need that wait.
    #[arg(long, value_name = "SECONDS", default_value_t = UNFIT_TIMEOUT.as_secs_f64())]
    unfit_timeout: f64,
}

/// So long no worker may have what the trials need that wait.
pub(super) const UNFIT_TIMEOUT: Duration = Duration::from_mins(1);

/// How often it is looked whether one has.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A number of seconds above zero.
pub(super) fn parse_unfit_timeout(seconds: f64) -> Result<Duration, Failure> {
    let patience = Duration::try_from_secs_f64(seconds).ok().filter(|patience| !patience.is_zero());
    patience.ok_or_else(|| {
        Failure::usage(format!("--unfit-timeout is not a number of seconds above 0: `{seconds}`"))
    })
}

/// Waits until no worker has had for so long what the trials of a sweep need that wait, and says why.
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
    let watching = async {
        let ended = until_ended(global, &mut client, &sweep);
        tokio::pin!(ended);
        tokio::select! {
            ended = &mut ended => return ended,
            // Who cannot say is not there, which is found out below.
            Ok(cause) = until_nothing_fits(&mut looking, &sweep, patience) => {
                format::note(format!("no worker can run what is left of {sweep}: {cause}"));
            }
        }
        ended.await
    };
    let timeout = match args.timeout.map(Duration::try_from_secs_f64) {
        None => Duration::MAX,
        Some(Ok(timeout)) => timeout,
        Some(Err(error)) => return Err(Failure::usage(format!("--timeout: {error}"))),
    };
    let sweep = if let Ok(sweep) = tokio::time::timeout(timeout, watching).await {
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
    let mut watching = client.watch(name).await?;
    while let Some(moment) = watching.next().await? {
        if moment.sweep.phase == SweepPhase::Ended {
            return Ok(moment.sweep);
        }
        if !client.is_live {
            return Err(not_running(global, &moment.sweep));
        }
    }
    Err(coordinator_stopped(name))
}

/// Waiting is in vain: nobody works on the sweep.
pub(super) fn not_running(global: &GlobalArgs, sweep: &SweepView) -> Failure {
    let left = sweep.counts.trials - sweep.counts.ended();
    let text =
        format!("{left} trials of `{}` are left, and {}", sweep.name, no_coordinator_hint(global));
    Failure::Unreachable(anyhow::Error::msg(text))
}

/// The coordinator is gone, and with it whoever would say how the sweep goes on.
pub(super) fn coordinator_stopped(name: &SweepName) -> Failure {
    let text = format!("the coordinator stopped before `{name}` ended");
    Failure::Unreachable(anyhow::Error::msg(text))
}

/// Whether a sweep that ended went well: nothing failed and nothing was cancelled, nor left out for
/// such a reason. Diverged trials are results.
pub(super) fn verdict(sweep: &SweepView) -> Result<(), Failure> {
    let cut =
        matches!(sweep.reason, Some(SweepEndReason::Cancelled | SweepEndReason::MaxFailedTrials));
    if cut || sweep.counts.failed + sweep.counts.cancelled > 0 {
        return Err(Failure::SweepFailed);
    }
    Ok(())
}
