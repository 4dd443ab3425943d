//! `rheo launch list`, `scale`, `drain` and `stop`: show and change fleets.

use rheo_core::fleet::{FleetName, PilotPhase};
use rheo_core::machine::{FleetView, PilotView};
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::{GlobalArgs, format};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    /// The fleet whose pilots are listed; all fleets if none is given.
    #[arg(value_parser = FleetName::parse)]
    fleet: Option<FleetName>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct NameArgs {
    /// The fleet.
    #[arg(value_parser = FleetName::parse)]
    fleet: FleetName,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ScaleArgs {
    /// The fleet.
    #[arg(value_parser = FleetName::parse)]
    fleet: FleetName,
    /// The most pilots at a time; those that are too many commit what they have and go.
    #[arg(long, value_name = "N", required_unless_present = "min")]
    max: Option<u32>,
    /// Pilots to keep while a sweep has not ended.
    #[arg(long, value_name = "N")]
    min: Option<u32>,
}

pub(super) async fn list(global: &GlobalArgs, args: &ListArgs) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    let mut fleets = client.fleets().await?;
    if let Some(name) = &args.fleet {
        fleets.retain(|fleet| fleet.spec.name == *name);
        if fleets.is_empty() {
            return Err(Failure::usage(format!(
                "no fleet is called `{name}`: `{} launch list` shows those there are",
                global.rheo()
            )));
        }
    }
    if global.json()? {
        return Ok(format::print_json(&Value::Array(fleets.iter().map(json).collect()))?);
    }
    match (&args.fleet, fleets.first()) {
        (Some(_), Some(fleet)) => format::print(pilots(fleet))?,
        (_, None) => format::note("no fleet was launched yet"),
        _ => format::print(table(&fleets))?,
    }
    print_idle_causes(&fleets);
    if !client.is_live && !fleets.is_empty() {
        format::note("no coordinator runs here: pilots are as they were when it was last there");
    }
    Ok(())
}

/// Prints why active fleets do not run.
pub(in crate::cli) fn print_idle_causes(fleets: &[FleetView]) {
    for fleet in fleets {
        if let Some(why) = fleet.why_idle() {
            format::note(format!("fleet {}: {why}", fleet.spec.name));
        }
        if !fleet.excluded.is_empty() {
            let (name, nodes) = (&fleet.spec.name, fleet.excluded.join(", "));
            format::note(format!("fleet {name}: no pilots on {nodes}, where two were of no use"));
        }
    }
}

fn table(fleets: &[FleetView]) -> comfy_table::Table {
    let mut table = format::table(&[
        "FLEET", "ON", "MODE", "MIN", "MAX", "RUNNING", "WAITING", "TRIALS", "ENDED",
    ]);
    format::align_right(&mut table, &[3, 4, 5, 6, 7]);
    for fleet in fleets {
        let trials: u32 = fleet.pilots.iter().map(|pilot| pilot.trials).sum();
        let ended = fleet.ended.iter().map(|(cause, count)| format!("{count} {}", cause.name()));
        table.add_row([
            fleet.spec.name.to_string(),
            fleet.spec.launcher.clone(),
            fleet.mode.name().to_owned(),
            fleet.spec.min.to_string(),
            fleet.spec.max.to_string(),
            fleet.count("running").to_string(),
            (fleet.count("waiting") + fleet.count("planned")).to_string(),
            trials.to_string(),
            ended.collect::<Vec<_>>().join(", "),
        ]);
    }
    table
}

fn pilots(fleet: &FleetView) -> comfy_table::Table {
    let mut table =
        format::table(&["PILOT", "JOB", "PHASE", "SINCE", "WORKERS", "TRIALS", "REASON"]);
    format::align_right(&mut table, &[4, 5]);
    for pilot in &fleet.pilots {
        table.add_row([
            format!("{}/{}", fleet.spec.name, pilot.number),
            pilot.handle.clone().unwrap_or_else(|| "-".to_owned()),
            phase(pilot),
            format::local_time(pilot.since),
            pilot.workers.to_string(),
            pilot.trials.to_string(),
            reason(pilot).to_owned(),
        ]);
    }
    table
}

fn phase(pilot: &PilotView) -> String {
    let name = pilot.phase.name();
    if pilot.removing { format!("{name}, leaving") } else { name.to_owned() }
}

fn reason(pilot: &PilotView) -> &str {
    match &pilot.phase {
        PilotPhase::Waiting { reason } => reason,
        PilotPhase::Planned | PilotPhase::Running => "",
    }
}

fn json(fleet: &FleetView) -> Value {
    let pilot = |pilot: &PilotView| {
        json!({
            "number": pilot.number,
            "tag": pilot.tag,
            "job": pilot.handle,
            "phase": pilot.phase.name(),
            "reason": reason(pilot),
            "since": format::utc(Some(pilot.since)),
            "removing": pilot.removing,
            "workers": pilot.workers,
            "trials": pilot.trials,
        })
    };
    let ended: Vec<_> = fleet.ended.iter().map(|(cause, n)| (cause.name(), n)).collect();
    json!({
        "name": fleet.spec.name.as_str(),
        "launcher": fleet.spec.launcher,
        "mode": fleet.mode.name(),
        "min": fleet.spec.min,
        "max": fleet.spec.max,
        "slots": fleet.spec.slots(),
        "gpus": fleet.spec.gpus(),
        "memory_mb": fleet.spec.worker.memory_mb,
        "sweep": fleet.spec.sweep,
        "pilots": fleet.pilots.iter().map(pilot).collect::<Vec<_>>(),
        "ended": ended.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "trouble": fleet.why_idle(),
        "excluded": fleet.excluded,
    })
}

pub(super) async fn scale(global: &GlobalArgs, args: &ScaleArgs) -> Result<(), Failure> {
    if let (Some(min), Some(max)) = (args.min, args.max)
        && min > max
    {
        return Err(Failure::usage(format!("--max {max} is less than --min {min}")));
    }
    let mut client = global.connect().await?;
    client.scale(&args.fleet, args.min, args.max).await?;
    print_fleet(global, &mut client, &args.fleet).await
}

pub(super) async fn drain(global: &GlobalArgs, args: &NameArgs) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    client.drain(&args.fleet).await?;
    print_fleet(global, &mut client, &args.fleet).await
}

pub(super) async fn stop(global: &GlobalArgs, args: &NameArgs) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    client.stop(&args.fleet).await?;
    print_fleet(global, &mut client, &args.fleet).await
}

async fn print_fleet(
    global: &GlobalArgs,
    client: &mut crate::client::Client,
    name: &FleetName,
) -> Result<(), Failure> {
    let mut fleets = client.fleets().await?;
    fleets.retain(|fleet| fleet.spec.name == *name);
    if global.json()? {
        return Ok(format::print_json(&Value::Array(fleets.iter().map(json).collect()))?);
    }
    format::print(table(&fleets))?;
    if !client.is_live {
        let rheo = global.rheo();
        format::note(format!("no coordinator runs here: `{rheo} serve` carries it out"));
    }
    Ok(())
}
