//! `rheo best`: shows the best points of a sweep, or writes a sweep file that runs them again.

use clap::ValueEnum;
use rheo_core::id::SweepName;
use rheo_core::machine::SweepView;
use rheo_core::ranking::AggregateRule;
use rheo_core::rerun::{self, RerunSeeds};
use rheo_core::space::Point;
use rheo_core::spec;
use rheo_model::networks;
use serde_json::{Value, json};

use super::failure::Failure;
use super::select::{self, SweepSelector};
use super::{GlobalArgs, format, summary};
use crate::leaderboard::{Leader, Leaderboard};

/// The number of points in a table.
const POINTS: u64 = 5;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a sweep, or `last`.
    sweep: SweepSelector,
    /// How many points; 5 unless given, 1 in a sweep file.
    #[arg(short = 'n', long, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    points: Option<u64>,
    /// `table`, `json`, or `yaml`: a sweep file that runs the points again, with the same seeds.
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<BestFormat>,
    /// Write so many seeds that the sweep does not have into the sweep file.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    new_seeds: Option<u64>,
    /// Name of the sweep in the sweep file; the name of the old one and `-best` unless given.
    #[arg(long, value_name = "NAME", value_parser = SweepName::parse)]
    name: Option<SweepName>,
}

/// Output format of the best points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BestFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// A sweep file.
    Yaml,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let format = args.format(global)?;
    let mut client = global.connect().await?;
    let name = select::one(&mut client, &args.sweep).await?;
    let (sweep, source) = client.sweep(&name).await?;
    let default = if format == BestFormat::Yaml { 1 } else { POINTS };
    let limit = usize::try_from(args.points.unwrap_or(default)).unwrap_or(usize::MAX);
    let board = Leaderboard::of(&mut client, &sweep, limit).await?;
    match format {
        BestFormat::Json => Ok(format::print_json(&json(&sweep, &board))?),
        BestFormat::Yaml => Ok(format::print(sweep_file(args, &sweep, &source, &board)?)?),
        BestFormat::Table if board.leaders.is_empty() => {
            format::note(format!("no trial of {name} has ended yet"));
            Ok(())
        }
        BestFormat::Table => summary::print_leaderboard(&board),
    }
}

impl Args {
    fn format(&self, global: &GlobalArgs) -> Result<BestFormat, Failure> {
        let format = match (self.format, global.json()?) {
            (Some(format), false) => format,
            (None | Some(BestFormat::Json), true) => BestFormat::Json,
            (None, false) => BestFormat::Table,
            (Some(_), true) => {
                return Err(Failure::usage(
                    "`--output json` and `--format` ask for different formats: leave one out",
                ));
            }
        };
        if format != BestFormat::Yaml && (self.new_seeds.is_some() || self.name.is_some()) {
            return Err(Failure::usage(
                "`--new-seeds` and `--name` are for a sweep file: add `--format yaml`",
            ));
        }
        Ok(format)
    }
}

fn json(sweep: &SweepView, board: &Leaderboard) -> Value {
    let point = |leader: &Leader| {
        json!({
            "rank": leader.rank,
            "point": leader.point,
            "outcome": leader.outcome,
            "seeds": leader.seeds,
            "completed": leader.completed,
            "value": leader.value,
            "mean": leader.mean,
            "sd": leader.sd,
            "lowest": leader.lowest,
            "highest": leader.highest,
            "first_trial": leader.first_trial,
            "swept": leader.swept,
        })
    };
    json!({
        "sweep": sweep.name,
        "metric": board.metric,
        "maximize": board.maximize,
        "aggregate": board.aggregate.name(),
        "points": board.leaders.iter().map(point).collect::<Vec<_>>(),
        "further": board.further,
    })
}

/// Returns the text of a sweep file that runs the best points again.
fn sweep_file(
    args: &Args,
    sweep: &SweepView,
    source: &str,
    board: &Leaderboard,
) -> Result<String, Failure> {
    let leaders: Vec<&Leader> = board.leaders.iter().filter(|one| one.can_be_best()).collect();
    if leaders.is_empty() {
        let text = format!(
            "no point of {} can be repeated: none has a completed trial with the metric `{}`; `rheo status {}` shows how far it is",
            sweep.name, board.metric, sweep.name
        );
        return Err(Failure::Other(anyhow::Error::msg(text)));
    }
    let workloads = networks::workloads();
    let definition = spec::parse(&workloads, sweep.name.as_str(), source)?.definition;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => default_name(&sweep.name)?,
    };
    let seeds = args.new_seeds.map_or(RerunSeeds::Same, RerunSeeds::New);
    let schema = workloads.schema(&definition.workload);
    let repeat = |count: usize| {
        let points: Vec<Point> = leaders[..count].iter().map(|one| one.swept.clone()).collect();
        rerun::rerun(&definition, &schema, name.clone(), &points, seeds)
    };
    let again = repeat(leaders.len()).map_err(|error| {
        let fitting = (1..leaders.len()).rev().find(|count| repeat(*count).is_ok());
        let error = anyhow::Error::new(error);
        Failure::Usage(match fitting {
            Some(count) => error.context(format!(
                "one file cannot hold these {} points: write at most `-n {count}`",
                leaders.len()
            )),
            None => error,
        })
    })?;
    let text = comments(&leaders, sweep, board) + &spec::write(&again);
    let parsed = spec::parse(&workloads, again.name.as_str(), &text)?;
    if parsed.definition != again {
        let text = format!("the sweep file does not read back as it was written:\n{text}");
        return Err(Failure::Other(anyhow::Error::msg(text)));
    }
    Ok(text)
}

/// Returns the name of the sweep that repeats points of `name`.
fn default_name(name: &SweepName) -> Result<SweepName, Failure> {
    SweepName::parse(&format!("{name}-best")).map_err(|_| {
        Failure::usage(format!("`{name}-best` is too long for a name: give one with `--name`"))
    })
}

/// Returns a comment with the result of each point.
fn comments(leaders: &[&Leader], sweep: &SweepView, board: &Leaderboard) -> String {
    let line = |leader: &&Leader| {
        let sd = leader.sd.map(|sd| format!(" ±{}", format::number(sd))).unwrap_or_default();
        let value = match (board.aggregate, leader.value) {
            (AggregateRule::Mean, _) | (_, None) => String::new(),
            (rule, Some(value)) => format!("{} {}, mean ", rule.name(), format::number(value)),
        };
        format!(
            "# point {} of {}: {} {value}{}{sd}, {} of {} seeds\n",
            leader.point,
            sweep.name,
            board.metric,
            leader.mean.map(format::number).unwrap_or_default(),
            leader.completed,
            leader.seeds,
        )
    };
    leaders.iter().map(line).collect()
}
