//! The search of one sweep: its definition, plan and history, and nothing else of the coordinator.

use anyhow::Context as _;
use rheo_core::history::{History, TrialEnding};
use rheo_core::spec;
use rheo_core::sweep::PlannedSweep;
use serde_json::{Value as Json, json};

use crate::workload;

/// A sweep that is being searched.
#[derive(Debug)]
pub(crate) struct Search {
    planned: PlannedSweep,
    history: History,
    /// The index of the next trial.
    next: u64,
}

impl Search {
    /// Starts the sweep of a file, which is written as JSON.
    pub(crate) fn start(file: &str) -> anyhow::Result<Self> {
        let workloads = workload::of(&serde_json::from_str(file)?)?;
        // JSON is YAML, so the parser of sweep files reads the text as users write it.
        let parsed = spec::parse(&workloads, "sweep", file);
        let definition =
            parsed.map_err(|mistakes| anyhow::anyhow!("{}", mistakes.render()))?.definition;
        let planned = PlannedSweep::new(definition, &workloads);
        let history = planned.plan.history();
        Ok(Self { planned, history, next: 0 })
    }

    /// Returns the number of trials of the sweep.
    pub(crate) fn trials(&self) -> u64 {
        self.planned.plan.trials()
    }

    /// Starts the next `count` trials, fewer if the sweep has no more, and returns them.
    pub(crate) fn ask(&mut self, count: u64) -> anyhow::Result<Vec<Json>> {
        let end = self.next.saturating_add(count).min(self.trials());
        (self.next..end).map(|index| self.start_trial(index)).collect()
    }

    fn start_trial(&mut self, index: u64) -> anyhow::Result<Json> {
        if let Some(suggestion) = self.planned.new_suggestion(&self.history, index) {
            self.history.record_suggestion(&suggestion);
        }
        let trial =
            self.planned.trial(&self.history, index).context("the sampler has no point left")?;
        self.next = index + 1;
        Ok(json!({"trial": index, "seed": trial.seed, "point": trial.swept}))
    }

    /// Records the reports and the end of a trial.
    pub(crate) fn tell(
        &mut self,
        trial: u64,
        reports: &[(u32, f64)],
        end: Option<TrialEnding>,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(trial < self.next, "trial {trial} has not been asked for");
        for (epoch, value) in reports {
            self.history.record_report(trial, *epoch, *value);
        }
        if let Some(end) = end {
            let last = reports.last().map(|(_, value)| *value);
            self.history.record_end(trial, end, last);
        }
        Ok(())
    }
}
