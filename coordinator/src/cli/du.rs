//! `rheo du`: disk usage of a state.

use rheo_proto::admin::{DiskUsage, SweepUsage};
use serde_json::{Value, json};

use super::failure::Failure;
use super::{GlobalArgs, format};

pub(super) async fn run(global: &GlobalArgs) -> Result<(), Failure> {
    let as_json = global.json()?;
    let usage = global.connect().await?.disk_usage().await?;
    if as_json {
        return Ok(format::print_json(&json(&usage))?);
    }
    Ok(format::print(table(&usage))?)
}

fn table(usage: &DiskUsage) -> comfy_table::Table {
    let mut table = format::table(&["WHAT", "RESULTS", "CHECKPOINTS", "TOTAL"]);
    format::align_right(&mut table, &[1, 2, 3]);
    for sweep in &usage.sweeps {
        table.add_row([
            sweep.sweep.to_string(),
            format::bytes(sweep.results),
            format::bytes(sweep.checkpoints),
            format::bytes(sweep.results + sweep.checkpoints),
        ]);
    }
    let pending: u64 = usage.sweeps.iter().map(|sweep| sweep.pending).sum();
    let journal = match pending {
        0 => "journal".to_owned(),
        rows => format!("journal, with {} of rows not yet in files", format::bytes(rows)),
    };
    let rest = [
        (journal, usage.journal),
        ("spool of local workers".to_owned(), usage.spool),
        ("logs of processes".to_owned(), usage.logs),
        ("files of no sweep".to_owned(), usage.unused),
        ("total".to_owned(), usage.total()),
    ];
    for (what, bytes) in rest {
        table.add_row([what, String::new(), String::new(), format::bytes(bytes)]);
    }
    table
}

fn json(usage: &DiskUsage) -> Value {
    let sweep = |sweep: &SweepUsage| {
        json!({
            "sweep": sweep.sweep,
            "results": sweep.results,
            "pending": sweep.pending,
            "checkpoints": sweep.checkpoints,
            "checkpoint_files": sweep.count,
        })
    };
    json!({
        "sweeps": usage.sweeps.iter().map(sweep).collect::<Vec<_>>(),
        "journal": usage.journal,
        "spool": usage.spool,
        "logs": usage.logs,
        "unused": usage.unused,
        "total": usage.total(),
    })
}
