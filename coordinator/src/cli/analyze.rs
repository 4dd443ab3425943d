//! `rheo analyze`: analyses of the network of one trial, printed or written into files. The results
//! of the sweep stay as they are.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use rheo_core::config::{Analysis, AnalysisKind};
use rheo_query::output::{Format, Output as Rows, Size};
use rheo_query::wire::Decoder;
use serde::Deserialize;

use super::failure::Failure;
use super::query::{SCREEN, format_of};
use super::select::{self, TrialsWord};
use super::{Global, Output, env, format, offline};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A trial with a checkpoint, as in `demo/17` or `last/0`.
    #[arg(value_name = "SWEEP/TRIAL")]
    trial: TrialsWord,
    /// An analysis by name, or with its fields as JSON, such as `{"kind": "lyapunov", "mode":
    /// ["driven"]}`; may be given several times. By default those of the sweep.
    #[arg(long, value_name = "ANALYSIS", value_parser = analysis)]
    only: Vec<Analysis>,
    /// Directory of data files such as MNIST, if the task does not name one.
    #[arg(long, env = env::DATA, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write every table into a file of this directory, as Parquet unless `--output` says otherwise.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// An analysis by name, with the fields that its sweep gives it later, or as JSON.
fn analysis(text: &str) -> Result<Analysis, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let kind = AnalysisKind::ALL.into_iter().find(|kind| kind.name() == text);
    let names = || AnalysisKind::ALL.map(AnalysisKind::name).join(", ");
    let kind = kind.ok_or_else(|| format!("no such analysis; there are {}", names()))?;
    Ok(Analysis { kind, ..Analysis::default() })
}

/// A table of the answer: its name and its rows as an Arrow IPC stream.
struct Answer {
    table: String,
    ipc: Bytes,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    let id = select::trial(&mut client, &args.trial).await?;
    let checkpoint = offline::checkpoint(&mut client, &id).await?;
    let mut arguments: Vec<OsString> =
        vec!["analyze".into(), "--trial".into(), id.index.to_string().into()];
    for analysis in &args.only {
        let text = serde_json::to_string(analysis).map_err(|error| Failure::Other(error.into()))?;
        arguments.extend(["--only".into(), text.into()]);
    }
    if let Some(data) = &args.data {
        arguments.extend(["--data".into(), data.clone().into_os_string()]);
    }
    let answer = offline::ask(arguments, checkpoint).await?;
    let answers = answers(&answer).map_err(Failure::Other)?;
    if answers.is_empty() {
        format::note("no rows: none of these analyses applies to this network");
    }
    match &args.directory {
        Some(directory) => save(&answers, global.output, directory),
        None => print(&answers, global.output),
    }
}

/// Takes the answer of the worker program apart: for each table a line of JSON, and its bytes.
fn answers(mut rest: &[u8]) -> anyhow::Result<Vec<Answer>> {
    #[derive(Deserialize)]
    struct Head {
        table: String,
        bytes: u64,
    }
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let mut line = String::new();
        rest.read_line(&mut line)?;
        let head: Head = serde_json::from_str(&line).context("the worker program said")?;
        let mut ipc = Vec::new();
        (&mut rest).take(head.bytes).read_to_end(&mut ipc)?;
        answers.push(Answer { table: head.table, ipc: ipc.into() });
    }
    Ok(answers)
}

fn print(answers: &[Answer], output: Output) -> Result<(), Failure> {
    let is_table = matches!(output, Output::Table);
    if !is_table && answers.len() > 1 {
        return Err(Failure::usage("the answer has several tables: add --directory DIR"));
    }
    let size = if io::stdout().is_terminal() { SCREEN } else { Size::default() };
    for answer in answers {
        if is_table {
            format::print(format!("{}:", answer.table))?;
        }
        write(answer, format_of(output), io::stdout(), size).map_err(Failure::Other)?;
    }
    Ok(())
}

fn save(answers: &[Answer], output: Output, directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory)?;
    let format = match output {
        Output::Table => Format::Parquet,
        output => format_of(output),
    };
    for answer in answers {
        let path = directory.join(format!("{}.{}", answer.table, format.name()));
        let file = File::create(&path)?;
        write(answer, format, file, Size::default()).map_err(Failure::Other)?;
        format::print(path.display())?;
    }
    Ok(())
}

fn write(
    answer: &Answer,
    format: Format,
    out: impl Write + Send,
    size: Size,
) -> anyhow::Result<()> {
    let mut decoder = Decoder::new();
    let batches = decoder.decode(answer.ipc.clone())?;
    let schema = decoder.schema().context("a table without columns")?;
    let mut rows = Rows::new(format, &schema, out, size)?;
    for batch in &batches {
        rows.write(batch)?;
    }
    rows.finish()?;
    Ok(())
}
