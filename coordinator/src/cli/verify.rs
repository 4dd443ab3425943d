//! `rheo verify`: checks the journal, the results and the checkpoints for damage; with `--repair`,
//! restarts the trials that are affected.

use rheo_proto::v1::VerifyResponse;
use rheo_proto::v1::verify_response::{Finding, News, Repaired, Summary};
use serde_json::{Value, json};
use tonic::Streaming;

use super::failure::Failure;
use super::{GlobalArgs, format};
use crate::app::{self, Settings};
use crate::client;
use crate::report::report;
use crate::verify::UNVERIFIED;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Have trials with damaged rows or checkpoints start over: none of their rows counts any more,
    /// and they are queued again. Damaged files are set aside.
    #[arg(long)]
    repair: bool,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let as_json = global.json()?;
    let mut report = VerifyReport::default();
    match global.connect().await {
        Ok(mut client) => {
            if !client.is_live {
                report.check_pages(global);
            }
            let news = client.verify(args.repair).await?;
            report.follow(news).await?;
        }
        Err(failure) => report.add_unreadable(failure)?,
    }
    if as_json {
        format::print_json(&report.json())?;
    } else {
        report.print(global)?;
    }
    if report.is_sound() { Ok(()) } else { Err(Failure::SweepFailed) }
}

/// The collected messages of a verification.
#[derive(Debug, Default)]
struct VerifyReport {
    findings: Vec<Finding>,
    repaired: Vec<Repaired>,
    summary: Summary,
}

impl VerifyReport {
    /// Checks the checksums of the journal, which no other process has open.
    fn check_pages(&mut self, global: &GlobalArgs) {
        let journal = Settings::new(global.state.clone()).journal();
        if let Err(error) = rheo_store::check_pages(&journal) {
            let name = journal.display().to_string();
            self.add_journal(name, report(&error));
        }
    }

    /// Adds a finding for a journal that cannot be opened; returns any other failure.
    fn add_unreadable(&mut self, failure: Failure) -> Result<(), Failure> {
        let Failure::Other(error) = &failure else { return Err(failure) };
        let Some(client::Error::State(app::Error::Journal { path, source })) = error.downcast_ref()
        else {
            return Err(failure);
        };
        self.add_journal(path.display().to_string(), report(source));
        Ok(())
    }

    fn add_journal(&mut self, name: String, detail: String) {
        let (kind, state) = ("journal".to_owned(), "damaged".to_owned());
        self.findings.push(Finding { kind, state, name, detail, ..Finding::default() });
    }

    async fn follow(&mut self, mut news: Streaming<VerifyResponse>) -> Result<(), Failure> {
        while let Some(message) = news.message().await.map_err(client::Error::from)? {
            match message.news {
                Some(News::Finding(finding)) => self.findings.push(finding),
                Some(News::Repaired(repaired)) => self.repaired.push(repaired),
                Some(News::Summary(summary)) => self.summary = summary,
                None => {}
            }
        }
        Ok(())
    }

    /// Whether there is no damage that was not repaired.
    fn is_sound(&self) -> bool {
        let is_repaired = |finding: &Finding| {
            let sweep = finding.sweep.as_deref();
            self.repaired.iter().any(|repaired| Some(repaired.sweep.as_str()) == sweep)
        };
        let mut damage = self.findings.iter().filter(|finding| finding.state != UNVERIFIED);
        damage.all(is_repaired)
    }

    fn json(&self) -> Value {
        let findings = self.findings.iter().map(|finding| {
            json!({
                "kind": finding.kind,
                "state": finding.state,
                "name": finding.name,
                "sweep": finding.sweep,
                "table": finding.table,
                "detail": finding.detail,
            })
        });
        let repaired = self.repaired.iter().map(|repaired| {
            json!({
                "sweep": repaired.sweep,
                "trials": repaired.trials,
                "set_aside": repaired.set_aside,
            })
        });
        json!({
            "sound": self.is_sound(),
            "events": self.summary.events,
            "parts": self.summary.parts,
            "part_bytes": self.summary.part_bytes,
            "checkpoints": self.summary.checkpoints,
            "findings": findings.collect::<Vec<_>>(),
            "repaired": repaired.collect::<Vec<_>>(),
        })
    }

    fn print(&self, global: &GlobalArgs) -> Result<(), Failure> {
        if !self.findings.is_empty() {
            let mut table = format::table(&["STATE", "KIND", "SWEEP", "TABLE", "NAME", "DETAIL"]);
            for finding in &self.findings {
                let or_dash =
                    |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
                let (sweep, in_table) = (or_dash(&finding.sweep), or_dash(&finding.table));
                let Finding { state, kind, name, detail, .. } = finding;
                table.add_row([state, kind, &sweep, &in_table, name, detail]);
            }
            format::print(table)?;
        }
        for Repaired { sweep, trials, set_aside } in &self.repaired {
            format::print(format!(
                "repaired {sweep}: {trials} trials start over, {} damaged files set aside",
                set_aside.len()
            ))?;
            for file in set_aside {
                format::print(format!("  {file}"))?;
            }
        }
        let Summary { events, parts, part_bytes, checkpoints } = self.summary;
        let verdict = if self.is_sound() { "all is well" } else { "DAMAGED" };
        format::print(format!(
            "{verdict}: {events} events, {parts} parts ({part_bytes} bytes), {checkpoints} checkpoints"
        ))?;
        self.advise(global);
        Ok(())
    }

    /// Prints the next steps.
    fn advise(&self, global: &GlobalArgs) {
        let state = global.state.display();
        if !self.repaired.is_empty() {
            let rheo = global.rheo();
            format::note(format!("`{rheo} run FILE`, or `{rheo} launch`, runs those trials again"));
            return;
        }
        let damaged = |kind: &str| {
            let damage = self.findings.iter().filter(|finding| finding.state != UNVERIFIED);
            damage.filter(|finding| (finding.kind == "journal") == (kind == "journal")).count()
        };
        if damaged("journal") > 0 {
            format::note(format!(
                "a damaged journal cannot be repaired: put back a copy of `{state}` as a whole, or of its journal with the results and checkpoints of the same time"
            ));
        }
        if damaged("file") > 0 {
            let rheo = global.rheo();
            format::note(format!(
                "put back the files from a copy, or `{rheo} verify --repair` has their trials start over"
            ));
        }
    }
}
