//! `rheo query`: SQL over everything that is committed, live or at rest.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;

use rheo_query::output::{Format, Output as Rows, Size};
use rheo_query::wire::Decoder;

use super::failure::Failure;
use super::{Global, Output};
use crate::client::{self, Client};

/// Rows and columns of a table on a terminal; a file gets everything.
pub(super) const SCREEN: Size = Size { rows: 1000, width: 200 };

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A SELECT over the tables of docs/results.md, such as trials and epochs; `-` reads it from
    /// standard input.
    sql: String,
    /// Write the answer to this file.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<(), Failure> {
    let sql = if args.sql == "-" { io::read_to_string(io::stdin())? } else { args.sql.clone() };
    let format = format_of(global.output);
    let binary = matches!(format, Format::Parquet | Format::Arrow);
    if binary && args.file.is_none() && io::stdout().is_terminal() {
        return Err(Failure::usage("this format is not for a terminal: add --file FILE"));
    }
    let mut client = global.connect().await?;
    let size = if io::stdout().is_terminal() { SCREEN } else { Size::default() };
    match &args.file {
        None => print(&mut client, &sql, format, io::stdout(), size).await,
        Some(path) => {
            // Only a whole answer gets the name.
            let aside = path.with_extension("part");
            let out = BufWriter::new(File::create(&aside)?);
            print(&mut client, &sql, format, out, Size::default()).await?;
            Ok(std::fs::rename(&aside, path)?)
        }
    }
}

pub(super) fn format_of(output: Output) -> Format {
    match output {
        Output::Table => Format::Table,
        Output::Json => Format::Json,
        Output::Jsonl => Format::JsonLines,
        Output::Csv => Format::Csv,
        Output::Parquet => Format::Parquet,
        Output::Arrow => Format::Arrow,
    }
}

/// Runs a query and writes its answer as it comes in.
pub(super) async fn print<W: Write + Send>(
    client: &mut Client,
    sql: &str,
    format: Format,
    out: W,
    size: Size,
) -> Result<(), Failure> {
    let mut pieces = client.query(sql).await?;
    let mut decoder = Decoder::new();
    let mut waiting = Some(out);
    let mut rows = None;
    while let Some(piece) = pieces.message().await.map_err(client::Error::from)? {
        let batches = decoder.decode(piece.ipc).map_err(failed)?;
        if rows.is_none()
            && let Some(schema) = decoder.schema()
            && let Some(out) = waiting.take()
        {
            rows = Some(Rows::new(format, &schema, out, size).map_err(failed)?);
        }
        for batch in batches {
            if let Some(rows) = &mut rows {
                rows.write(&batch).map_err(failed)?;
            }
        }
    }
    decoder.finish().map_err(failed)?;
    if let Some(rows) = rows {
        rows.finish().map_err(failed)?;
    }
    Ok(())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Other(error.into())
}
