//! `rheo query`: runs SQL over all committed rows, whether or not a coordinator runs.

use std::path::{Path, PathBuf};

use rheo_proto::file;
use rheo_query::output::{Format, TableSize};

use super::destination::Destination;
use super::failure::Failure;
use super::{GlobalArgs, OutputFormat, screen};
use crate::query_reply;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A SELECT over the tables of docs/results.md, such as trials and epochs; `-` reads it from
    /// standard input.
    sql: String,
    /// Write the answer to this file, in the format of its ending: .csv, .json, .jsonl, .parquet or
    /// .arrow; `-` is standard output.
    #[arg(long, short, value_name = "FILE", value_parser = super::path())]
    file: Option<PathBuf>,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let sql = if args.sql == "-" { read_sql()? } else { args.sql.clone() };
    let path = args.file.as_deref().unwrap_or(Path::new("-"));
    let format = format_for(global.output, path)?;
    // Before the query runs: an answer that cannot be written need not be computed.
    let mut out = Destination::open(path)?;
    let is_terminal = out.is_terminal();
    if matches!(format, Format::Parquet | Format::Arrow) && is_terminal {
        return Err(Failure::usage("this format is not for a terminal: add --file FILE"));
    }
    let mut client = global.connect().await?;
    let size = if is_terminal { screen::table_size() } else { TableSize::default() };
    query_reply::write(&mut client, &sql, format, &mut out, size).await?;
    Ok(out.finish()?)
}

fn read_sql() -> Result<String, Failure> {
    file::read_stdin(file::SQL)
        .and_then(file::text)
        .map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))
}

/// Returns the requested format, or else that of the file's extension; both must agree.
fn format_for(asked: Option<OutputFormat>, path: &Path) -> Result<Format, Failure> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let named = match ending.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "json" => Some(Format::Json),
        "jsonl" | "ndjson" => Some(Format::JsonLines),
        "parquet" => Some(Format::Parquet),
        "arrow" | "arrows" => Some(Format::Arrow),
        _ => None,
    };
    match (asked.map(format_of), named) {
        (Some(asked), Some(named)) if asked != named => Err(Failure::usage(format!(
            "`{}` is the name of a {} file, but --output asks for {}: leave --output out, or choose another name",
            path.display(),
            named.name(),
            asked.name(),
        ))),
        (asked, named) => Ok(asked.or(named).unwrap_or(Format::Table)),
    }
}

pub(super) fn format_of(output: OutputFormat) -> Format {
    match output {
        OutputFormat::Table => Format::Table,
        OutputFormat::Json => Format::Json,
        OutputFormat::Jsonl => Format::JsonLines,
        OutputFormat::Csv => Format::Csv,
        OutputFormat::Parquet => Format::Parquet,
        OutputFormat::Arrow => Format::Arrow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_the_file_extension() {
        let format = |asked, path| format_for(asked, Path::new(path)).ok();
        for (path, expected) in [
            ("-", Format::Table),
            ("x", Format::Table),
            ("x.txt", Format::Table),
            ("x.CSV", Format::Csv),
            ("a.b/x.json", Format::Json),
            ("x.ndjson", Format::JsonLines),
            ("x.parquet", Format::Parquet),
            ("x.arrow", Format::Arrow),
        ] {
            assert_eq!(format(None, path), Some(expected), "{path}");
        }
        assert_eq!(format(Some(OutputFormat::Csv), "x.txt"), Some(Format::Csv));
        assert_eq!(format(Some(OutputFormat::Csv), "x.csv"), Some(Format::Csv));
        assert_eq!(format(Some(OutputFormat::Csv), "x.parquet"), None);
        assert_eq!(format(Some(OutputFormat::Table), "x.csv"), None);
    }
}
