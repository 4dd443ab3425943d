//! `rheo analyze`: runs analyses of one trial's network, and prints the rows or writes them to
//! files. The results of the sweep do not change.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use rheo_core::spec;
use rheo_model::config::{Analysis, AnalysisKind, TrialConfig};
use rheo_model::networks;
use rheo_query::output::{Format, ResultWriter, TableSize};
use rheo_query::wire::ChunkDecoder;
use serde::Deserialize;
use serde_json::Value as Json;

use super::destination::Destination;
use super::failure::Failure;
use super::query::format_of;
use super::select::{self, TrialSelector};
use super::{GlobalArgs, OutputFormat, env, format, screen, worker_program};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A trial with a checkpoint, as in `demo/17` or `last/0`.
    #[arg(value_name = "SWEEP/TRIAL")]
    trial: TrialSelector,
    /// An analysis by name, with the fields that the sweep gives it if it does, or with other fields
    /// as JSON, such as `{"kind": "lyapunov", "mode": ["driven"]}`; may be given several times. By
    /// default those of the sweep.
    #[arg(long, value_name = "ANALYSIS")]
    only: Vec<String>,
    /// Directory of data files such as MNIST, if the task does not name one.
    #[arg(long, env = env::DATA, value_name = "DIR", value_parser = super::path())]
    data: Option<PathBuf>,
    /// Write every table into a file of this directory, as Parquet unless `--output` says otherwise.
    #[arg(long, value_name = "DIR", value_parser = super::path())]
    directory: Option<PathBuf>,
}

/// Resolves `only` into analyses of a trial with this configuration. `task` is the task as the
/// sweep file has it, without the defaults of fields that its kind ignores.
fn select_analyses(
    only: &[String],
    config: &TrialConfig,
    task: &Json,
) -> Result<Vec<Analysis>, Failure> {
    if only.is_empty() && config.analyze.is_empty() {
        return Err(Failure::usage("the sweep has no analyses: say with --only which to make"));
    }
    let mut wanted: Vec<Analysis> = Vec::new();
    for text in only {
        let analysis = if text.starts_with('{') {
            parse_analysis(text, task)
        } else {
            find_analysis(text, config)
        }?;
        if wanted.iter().any(|other| other.kind == analysis.kind) {
            let name = analysis.kind.name();
            return Err(Failure::usage(format!("`{name}` is asked for twice")));
        }
        wanted.push(analysis);
    }
    Ok(wanted)
}

/// Parses an analysis in JSON by the rules of a sweep file with this task; `epochs` is refused.
fn parse_analysis(text: &str, task: &Json) -> Result<Analysis, Failure> {
    spec::parse(
        &networks::workloads(),
        "--only",
        &format!("name: only\nanalyze: [{text}]\ntask: {task}\n"),
    )?;
    let analysis: Analysis =
        serde_json::from_str(text).map_err(|error| Failure::usage(error.to_string()))?;
    if analysis.epochs.is_some() {
        return Err(Failure::usage("`epochs` has no effect here: the last checkpoint is analysed"));
    }
    Ok(analysis)
}

/// Returns the analysis called `name` as the sweep configures it, or with defaults.
fn find_analysis(name: &str, config: &TrialConfig) -> Result<Analysis, Failure> {
    let kind = AnalysisKind::ALL.into_iter().find(|kind| kind.name() == name);
    let names = || AnalysisKind::ALL.map(AnalysisKind::name).join(", ");
    let unknown = || Failure::usage(format!("no analysis `{name}`; there are {}", names()));
    let kind = kind.ok_or_else(unknown)?;
    let own = config.analyze.iter().find(|analysis| analysis.kind == kind);
    Ok(own.cloned().unwrap_or(Analysis { kind, ..Analysis::default() }))
}

/// One result table: its name, and its rows as an Arrow IPC stream.
struct AnalysisTable {
    name: String,
    ipc: Bytes,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    let id = select::trial(&mut client, &args.trial).await?;
    let (_, config) = client.trial(&id).await?;
    let config: Json =
        serde_json::from_str(&config).map_err(|error| Failure::Other(error.into()))?;
    let task = config["task"].clone();
    let config: TrialConfig =
        serde_json::from_value(config).map_err(|error| Failure::Other(error.into()))?;
    let wanted = select_analyses(&args.only, &config, &task)?;
    let checkpoint = worker_program::checkpoint(&mut client, &id).await?;
    let mut arguments: Vec<OsString> =
        vec!["analyze".into(), "--trial".into(), id.index.to_string().into()];
    for analysis in &wanted {
        let text = serde_json::to_string(analysis).map_err(|error| Failure::Other(error.into()))?;
        arguments.extend(["--only".into(), text.into()]);
    }
    if let Some(data) = &args.data {
        arguments.extend(["--data".into(), data.clone().into_os_string()]);
    }
    let reply = worker_program::run(arguments, checkpoint).await?;
    let tables = split_tables(&reply).map_err(Failure::Other)?;
    if tables.is_empty() {
        format::note("no rows: none of these analyses applies to this network");
    }
    match &args.directory {
        Some(directory) => save(&tables, global.output, directory),
        None => print(&tables, global.output),
    }
}

/// Splits the output of the worker program into tables, each a line of JSON and then its bytes.
fn split_tables(mut rest: &[u8]) -> anyhow::Result<Vec<AnalysisTable>> {
    #[derive(Deserialize)]
    struct TableHeader {
        table: String,
        bytes: u64,
    }
    let mut tables = Vec::new();
    while !rest.is_empty() {
        let mut line = String::new();
        rest.read_line(&mut line)?;
        let header: TableHeader = serde_json::from_str(&line).context("the worker program said")?;
        let mut ipc = Vec::new();
        (&mut rest).take(header.bytes).read_to_end(&mut ipc)?;
        tables.push(AnalysisTable { name: header.table, ipc: ipc.into() });
    }
    Ok(tables)
}

fn print(tables: &[AnalysisTable], output: Option<OutputFormat>) -> Result<(), Failure> {
    let output = output.unwrap_or(OutputFormat::Table);
    let is_table = matches!(output, OutputFormat::Table);
    if !is_table && tables.len() > 1 {
        return Err(Failure::usage("the answer has several tables: add --directory DIR"));
    }
    let size = screen::table_size();
    for table in tables {
        if is_table {
            format::print(format!("{}:", table.name))?;
        }
        write(table, format_of(output), io::stdout(), size).map_err(Failure::Other)?;
    }
    Ok(())
}

fn save(
    tables: &[AnalysisTable],
    output: Option<OutputFormat>,
    directory: &Path,
) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).map_err(|error| Failure::unusable(directory, error))?;
    let format = match output {
        None | Some(OutputFormat::Table) => Format::Parquet,
        Some(output) => format_of(output),
    };
    for table in tables {
        let path = directory.join(format!("{}.{}", table.name, format.name()));
        let mut file = Destination::open(&path)?;
        write(table, format, &mut file, TableSize::default()).map_err(Failure::Other)?;
        file.finish()?;
        format::print(path.display())?;
    }
    Ok(())
}

fn write(
    table: &AnalysisTable,
    format: Format,
    out: impl Write + Send,
    size: TableSize,
) -> anyhow::Result<()> {
    let mut decoder = ChunkDecoder::new();
    let batches = decoder.decode(table.ipc.clone())?;
    let schema = decoder.schema().context("a table without columns")?;
    let mut rows = ResultWriter::new(format, &schema, out, size)?;
    for batch in &batches {
        rows.write(batch)?;
    }
    rows.finish()?;
    Ok(())
}
