//! `rheo workers`: lists the known workers and their trials.

use rheo_core::machine::WorkerView;
use serde_json::{Value, json};

use super::failure::Failure;
use super::{GlobalArgs, format};

pub(super) async fn run(global: &GlobalArgs) -> Result<(), Failure> {
    let as_json = global.json()?;
    let mut client = global.connect().await?;
    let workers = client.worker_views().await?;
    if as_json {
        return Ok(format::print_json(&Value::Array(workers.iter().map(json).collect()))?);
    }
    if workers.is_empty() {
        format::note("no worker is known: those that departed are forgotten after an hour");
    } else {
        format::print(table(&workers))?;
    }
    for view in &workers {
        let departure = view.worker.departed.as_ref();
        let reason = departure.and_then(|departure| departure.reason.as_ref());
        for cause in view.unfit.iter().chain(reason) {
            format::note(format!("worker {} is unfit: {cause}", view.id));
        }
        for shortfall in &view.worker.info.shortfalls {
            format::note(format!("worker {} {shortfall}", view.id));
        }
    }
    if !client.is_live && !workers.is_empty() {
        format::note("no coordinator runs here: workers are as they were when it was last there");
    }
    Ok(())
}

fn table(workers: &[WorkerView]) -> comfy_table::Table {
    let in_cluster = workers.iter().any(|view| view.worker.info.place.job.is_some());
    let has_gpus = workers.iter().any(|view| view.worker.info.offer.gpus > 0);
    let has_memory = workers.iter().any(|view| view.worker.info.offer.memory_mb.is_some());
    let mut header = vec!["WORKER", "HOST", "PID", "STATUS", "SLOTS"];
    header.extend(has_gpus.then_some("GPUS"));
    header.extend(has_memory.then_some("MEMORY"));
    header.extend(["TRIALS", "SINCE", "SEEN"]);
    if in_cluster {
        header.extend(["PILOT", "JOB", "NODE"]);
    }
    header.push("VERSION");
    let mut table = format::table(&header);
    format::align_right(&mut table, &[2, 4]);
    for view in workers {
        let info = &view.worker.info;
        let held: Vec<String> = view.held.iter().map(|held| held.trial.to_string()).collect();
        let mut row = vec![
            view.id.to_string(),
            info.host.clone(),
            info.pid.to_string(),
            view.status().to_owned(),
            format!("{}/{}", view.busy.cpus, info.offer.cpus),
        ];
        if has_gpus {
            row.push(format!("{}/{}", view.busy.gpus(), info.offer.gpus));
        }
        if has_memory {
            let memory = |most| format!("{}/{most} MB", view.busy.memory_mb);
            row.push(or_dash(info.offer.memory_mb.map(memory).unwrap_or_default()));
        }
        row.extend([
            or_dash(held.join(", ")),
            format::local_time(view.worker.joined),
            format::local_time(view.worker.seen),
        ]);
        if in_cluster {
            let place = &info.place;
            let pilot = place.pilot.as_ref().map(ToString::to_string);
            let places = [pilot, place.job.clone(), place.node.clone()];
            row.extend(places.map(|place| or_dash(place.unwrap_or_default())));
        }
        row.push(info.version.clone());
        table.add_row(row);
    }
    table
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn json(view: &WorkerView) -> Value {
    let (worker, info) = (&view.worker, &view.worker.info);
    json!({
        "worker": view.id,
        "host": info.host,
        "pid": info.pid,
        "status": view.status(),
        "slots": info.offer.cpus,
        "busy": view.busy.cpus,
        "gpus": info.gpu_names,
        "busy_gpus": view.busy.gpus(),
        "memory_mb": info.offer.memory_mb,
        "busy_memory_mb": view.busy.memory_mb,
        "shortfalls": info.shortfalls,
        "trials": view.held.iter().map(|held| held.trial.to_string()).collect::<Vec<_>>(),
        "joined": format::utc(Some(worker.joined)),
        "seen": format::utc(Some(worker.seen)),
        "departed": format::utc(worker.departed.as_ref().map(|departure| departure.at)),
        "reason": worker.departed.as_ref().and_then(|departure| departure.reason.as_ref()),
        "unfit": view.unfit,
        "pilot": info.place.pilot.as_ref().map(ToString::to_string),
        "job": info.place.job,
        "node": info.place.node,
        "partition": info.place.partition,
        "version": info.version,
    })
}
