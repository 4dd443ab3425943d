//! Sweep definitions: the canonical meaning of a sweep file, as it is journaled, compared and
//! planned.
//!
//! Files with the same meaning give equal definitions, whatever their comments, quotes, number
//! formats and order of keys. The order of `parameters` is part of the meaning. Spans are not kept.

mod early_termination;
mod stop;

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub use early_termination::{EarlyTermination, HalvingMode};
pub use stop::{NoImprovement, StopRules};

use crate::id::SweepName;
use crate::metric::Objective;
use crate::name::WorkloadName;
use crate::ranking::AggregateRule;
use crate::space::{Point, Space};

/// The definition of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepDefinition {
    /// The name.
    pub name: SweepName,
    /// The workload of its trials.
    pub workload: WorkloadName,
    /// The description by its author.
    #[serde(default)]
    pub description: Option<String>,
    /// The method that chooses points.
    pub method: SearchMethod,
    /// The objective that trials are judged by.
    pub objective: Objective,
    /// The fixed part of the configuration of its trials, without defaults.
    pub base: Json,
    /// The search space.
    pub space: Space,
    /// The seeds of every point; never empty. A parameter called `seed` overrides a single seed.
    pub seeds: Vec<u64>,
    /// The rule by which the seeds of a point give one value.
    #[serde(default)]
    pub aggregate: AggregateRule,
    /// The seed of the sampler.
    #[serde(default)]
    pub seed: u64,
    /// The largest number of trials to run.
    #[serde(default)]
    pub run_cap: Option<u64>,
    /// The points that run before those of the method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enqueue: Vec<Point>,
    /// The number of failed trials at which the sweep ends early.
    #[serde(default)]
    pub max_failed_trials: Option<u64>,
    /// The rules that end the sweep early.
    #[serde(default, skip_serializing_if = "StopRules::is_empty")]
    pub stop: StopRules,
    /// The retry budgets.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// The rule by which trials stop early.
    #[serde(default)]
    pub early_terminate: Option<EarlyTermination>,
}

/// Method by which the points of a sweep are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Method")]
pub enum SearchMethod {
    /// Every combination of the values, each once; the last declared parameter varies fastest.
    #[default]
    Grid,
    /// Independent draws from the distributions, without repeated points.
    Random,
    /// A scrambled Sobol sequence, which fills the space more evenly, without repeated points.
    Sobol,
    /// The tree-structured Parzen estimator, a model of good and of other points, after a Sobol
    /// sequence of ten points.
    Tpe,
    /// Gaussian process search, after a Sobol sequence of five to ten points; `tpe` takes over beyond
    /// 200 results.
    Gp,
    /// CMA-ES, covariance matrix adaptation: populations from a normal distribution that adapts, after
    /// a Sobol sequence of one population.
    Cmaes,
    /// The default method with a model: `tpe`, under which name the sweep is kept.
    Bayes,
    /// The method that suits the space and the number of points; `rheo preview` names it with the
    /// reason, and the sweep is kept under its name.
    Auto,
}

impl SearchMethod {
    /// Returns the method that a word in a file stands for, whatever the rest of the file.
    pub(crate) fn resolved(self) -> Self {
        match self {
            Self::Bayes => Self::Tpe,
            Self::Grid
            | Self::Random
            | Self::Sobol
            | Self::Tpe
            | Self::Gp
            | Self::Cmaes
            | Self::Auto => self,
        }
    }
}

impl SearchMethod {
    /// Returns the name used in sweep files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Random => "random",
            Self::Sobol => "sobol",
            Self::Tpe => "tpe",
            Self::Gp => "gp",
            Self::Cmaes => "cmaes",
            Self::Bayes => "bayes",
            Self::Auto => "auto",
        }
    }
}

/// Number of times that an attempt is retried, for each cause. A preempted or lost attempt is
/// retried at once, any other after a pause that doubles with each retry, up to 5 minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Retry")]
pub struct RetryPolicy {
    /// Attempts preempted by their cluster; null for no limit.
    pub preempted: Option<u32>,
    /// Attempts whose worker vanished.
    pub lost: u32,
    /// Attempts that took longer than `resources.timeout`.
    pub timed_out: u32,
    /// Attempts that ran out of memory.
    pub out_of_memory: u32,
    /// Attempts that failed in another way.
    pub error: u32,
    /// The first pause, in seconds.
    #[schemars(range(min = 0.0, max = 300.0))]
    pub backoff: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { preempted: None, lost: 5, timed_out: 2, out_of_memory: 1, error: 2, backoff: 1.0 }
    }
}

impl SweepDefinition {
    /// Returns the largest number of threads of any trial. A worker needs as many slots.
    pub fn max_threads(&self) -> u32 {
        let swept = self.space.parameter("resources.threads");
        let swept = swept.and_then(|parameter| parameter.domain.max());
        let fixed = || self.base.pointer("/resources/threads").and_then(Json::as_f64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        swept.or_else(fixed).map_or(1, |threads| threads as u32)
    }

    /// Returns the differing lines: `-` before those of this definition only, `+` before those of
    /// `other` only. Empty if the definitions are equal.
    pub fn difference(&self, other: &Self) -> String {
        let (mine, theirs) = (self.to_string(), other.to_string());
        let only = |sign: char, here: &str, there: &str| -> String {
            let there: HashSet<&str> = there.lines().collect();
            let lines = here.lines().filter(|line| !there.contains(line));
            lines.map(|line| format!("{sign} {line}\n")).collect()
        };
        only('-', &mine, &theirs) + &only('+', &theirs, &mine)
    }
}

/// Formats one line per value, each with its full path, in a fixed order. Equal definitions give
/// equal texts, and a line diff shows the changes.
impl fmt::Display for SweepDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "name: {}", self.name)?;
        writeln!(f, "workload: {}", self.workload)?;
        write_lines(f, "description", &json(&self.description))?;
        writeln!(f, "method: {}", self.method.name())?;
        write_lines(f, "metric", &json(&self.objective))?;
        write_lines(f, "", &self.base)?;
        for parameter in &self.space.parameters {
            let path = format!("parameters.{}", parameter.path);
            write_lines(f, &path, &json(&parameter.domain))?;
            for condition in &parameter.when {
                let path = format!("{path}.when.{}", condition.path);
                write_lines(f, &path, &json(&condition.values))?;
            }
        }
        for group in &self.space.zip {
            write_lines(f, "zip", &json(group))?;
        }
        for constraint in &self.space.constraints {
            writeln!(f, "constraint: {}", constraint.as_str())?;
        }
        write_lines(f, "replicates.seeds", &json(&self.seeds))?;
        writeln!(f, "replicates.aggregate: {}", self.aggregate.name())?;
        for point in &self.enqueue {
            writeln!(f, "enqueue: {point}")?;
        }
        writeln!(f, "seed: {}", self.seed)?;
        write_lines(f, "run_cap", &json(&self.run_cap))?;
        write_lines(f, "max_failed_trials", &json(&self.max_failed_trials))?;
        write_lines(f, "early_terminate", &json(&self.early_terminate))?;
        write_lines(f, "stop", &json(&self.stop))?;
        write_lines(f, "retry", &json(&self.retry))
    }
}

/// Converts a part of a definition to JSON; these types always convert.
fn json(part: &impl Serialize) -> Json {
    serde_json::to_value(part).unwrap_or_default()
}

fn write_lines(f: &mut fmt::Formatter<'_>, path: &str, value: &Json) -> fmt::Result {
    match value {
        Json::Null => Ok(()),
        Json::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            write_lines(f, &format!("{path}{dot}{name}"), value)
        }),
        Json::Array(items) if items.iter().any(Json::is_object) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| write_lines(f, &format!("{path}[{index}]"), item)),
        Json::String(text) => writeln!(f, "{path}: {text}"),
        other => writeln!(f, "{path}: {other}"),
    }
}
