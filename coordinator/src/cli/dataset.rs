//! Checks on this machine, before anything runs, the data sets that a sweep reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rheo_core::needs::{AvailableDataset, Need};
use rheo_core::sweep::PlannedSweep;
use rheo_data::Error;
use rheo_model::dataset::DataSet;

use super::failure::Failure;
use super::{env, format};
use crate::report::report;

/// Data options of `preview` and `submit`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DataArgs {
    /// Directory of data files, which are checked: with it data that cannot be used are an error,
    /// without it, or with RHEO_DATA, a warning.
    #[arg(long, value_name = "DIR", value_parser = super::path())]
    data: Option<PathBuf>,
}

impl DataArgs {
    /// Checks the data of a sweep that this command does not run; returns warnings.
    pub(super) fn check(&self, planned: &PlannedSweep) -> Result<Vec<String>, Failure> {
        if self.data.is_some() {
            require(planned, self.data.as_deref())?;
            return Ok(Vec::new());
        }
        let found = DataReport::of(planned, env::path(env::DATA).as_deref());
        Ok(found.errors.into_iter().chain(found.warnings).collect())
    }
}

/// Refuses a sweep whose data cannot be used on this machine.
pub(super) fn require(planned: &PlannedSweep, data: Option<&Path>) -> Result<(), Failure> {
    let DataReport { errors, warnings } = DataReport::of(planned, data);
    for warning in warnings {
        format::note(format!("warning: {warning}"));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(errors.join("\n")))
}

/// Problems with the data of a sweep.
#[derive(Debug, Default)]
struct DataReport {
    /// Problems that keep trials from running here.
    errors: Vec<String>,
    /// Trials would run, though perhaps not on the data that their author meant.
    warnings: Vec<String>,
}

/// A data set and the directory that a trial reads it from.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct DataLocation {
    set: DataSet,
    /// Directory named by the trial; none for the worker's own.
    directory: Option<String>,
}

impl DataReport {
    fn of(planned: &PlannedSweep, data: Option<&Path>) -> Self {
        let mut places: BTreeMap<DataLocation, Vec<[u32; 3]>> = BTreeMap::new();
        for need in planned.needs_of_all() {
            let (set, directory, sizes) = match need {
                Need::Data { set, directory } => (set, directory, None),
                Need::Samples { set, directory, sizes } => (set, directory, Some(sizes)),
                _ => continue,
            };
            // Data sets of other workloads are unknown here.
            if let Some(set) = DataSet::named(&set) {
                places.entry(DataLocation { set, directory }).or_default().extend(sizes);
            }
        }
        let mut findings = Self::default();
        for (named, sizes) in places {
            findings.check_set(planned, &named, &sizes, data);
        }
        findings
    }

    fn check_set(
        &mut self,
        planned: &PlannedSweep,
        named: &DataLocation,
        sizes: &[[u32; 3]],
        data: Option<&Path>,
    ) {
        let set = named.set;
        let directory = named.directory.as_ref().map(Path::new).or(data);
        let about = |what: &str| {
            let (sweep, set) = (&planned.definition.name, set.name());
            format!("trials of `{sweep}` read the data set {set}: {what}")
        };
        let found: AvailableDataset = match rheo_data::find(set, directory) {
            Ok(found) => found,
            Err(error) => return self.errors.push(about(&with_remedy(&error, set))),
        };
        let too_few = sizes.iter().filter_map(|sizes| found.too_few(*sizes));
        self.errors.extend(too_few.take(1).map(|what| about(&what)));
        match rheo_data::verify(set, directory) {
            Ok(()) => {}
            // A directory named in the sweep file may hold the author's own data set.
            Err(error @ Error::Differs { .. }) if named.directory.is_some() => {
                self.warnings.push(about(&report(&error)));
            }
            Err(error) => self.errors.push(about(&with_remedy(&error, set))),
        }
    }
}

/// Formats an error with the remedy for it.
fn with_remedy(error: &Error, set: DataSet) -> String {
    let text = report(error);
    let name = set.name();
    match error {
        Error::NoDirectory { .. } | Error::NoFile { .. } | Error::NoText { .. } => text,
        Error::Differs { .. } => format!(
            "{text}: `rheo data fetch {name}` downloads it again; a set of your own is taken from the directory in `task.data`"
        ),
        _ if set.can_be_fetched() => format!("{text}: `rheo data fetch {name}` downloads it again"),
        _ => text,
    }
}
