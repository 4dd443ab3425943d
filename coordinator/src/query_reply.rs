//! Runs queries for clients: writes the reply as it arrives, or parses its rows.

use std::io::Write;

use rheo_query::output::{self, Format, ResultWriter, TableSize};
use rheo_query::wire::ChunkDecoder;
use serde::de::DeserializeOwned;

use crate::client::{self, Client};

/// A query failed, or its reply could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The call failed.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The reply is not an Arrow stream, or could not be written.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// The rows do not have the expected type.
    #[error(transparent)]
    Rows(#[from] serde_json::Error),
}

/// Runs `sql` and writes the reply to `out` as it arrives.
pub(crate) async fn write<W: Write + Send>(
    client: &mut Client,
    sql: &str,
    format: Format,
    out: W,
    size: TableSize,
) -> Result<(), Error> {
    let mut pieces = client.query(sql).await?;
    let mut decoder = ChunkDecoder::new();
    let mut waiting = Some(out);
    let mut rows = None;
    while let Some(piece) = pieces.message().await.map_err(client::Error::from)? {
        let batches = decoder.decode(piece.ipc).map_err(output::Error::from)?;
        if rows.is_none()
            && let Some(schema) = decoder.schema()
            && let Some(out) = waiting.take()
        {
            rows = Some(ResultWriter::new(format, &schema, out, size)?);
        }
        for batch in batches {
            if let Some(rows) = &mut rows {
                rows.write(&batch)?;
            }
        }
    }
    decoder.finish().map_err(output::Error::from)?;
    if let Some(rows) = rows {
        rows.finish()?;
    }
    Ok(())
}

/// Runs `sql` and parses its rows; the columns are the fields of `T`.
pub(crate) async fn rows<T: DeserializeOwned>(
    client: &mut Client,
    sql: &str,
) -> Result<Vec<T>, Error> {
    let mut answer = Vec::new();
    write(client, sql, Format::Json, &mut answer, TableSize::default()).await?;
    Ok(serde_json::from_slice(&answer)?)
}
