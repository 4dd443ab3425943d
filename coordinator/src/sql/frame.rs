//! Messages between the coordinator and the process of a query: a request on standard input, and
//! frames on standard output.
//!
//! A request is a length and JSON, followed by the pending rows: for each blob a length and a JSON
//! header, and its bytes; at the end a length of 0. A frame is a kind, a length and bytes. Both
//! sides are the same program, so the format has no version.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use rheo_core::definition::SweepDefinition;
use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction};
use rheo_core::sweep::SweepEndReason;
use rheo_query::dataset::DamagedPart;
use rheo_query::{Limits, RankingRule};
use rheo_store::storage_url::StorageUrl;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The largest frame in bytes: more than any chunk of a reply.
const MAX_FRAME: u32 = 16 << 20;

/// A query and all data that it may read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueryRequest {
    pub(super) sql: String,
    /// The directory of the parts; none if they are in a bucket.
    pub(super) directory: Option<PathBuf>,
    /// The bucket of the parts.
    pub(super) bucket: Option<String>,
    /// The parts; those verified before have no digest.
    pub(super) parts: Vec<Part>,
    pub(super) retractions: Vec<Retraction>,
    /// The ranking rule of each sweep.
    pub(super) contests: BTreeMap<SweepName, RankingRule>,
    /// The definitions of the sweeps that the query needs.
    pub(super) definitions: BTreeMap<SweepName, SweepDefinition>,
    /// The reasons of the sweeps that start no further trial.
    pub(super) end_reasons: BTreeMap<SweepName, SweepEndReason>,
    pub(super) memory: usize,
    pub(super) disk: u64,
    pub(super) threads: usize,
}

/// The header of a blob of pending rows; `bytes` bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BlobHeader {
    pub(super) sweep: SweepName,
    pub(super) position: u64,
    pub(super) table: TableName,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl QueryRequest {
    pub(super) fn place(&self) -> Result<StorageUrl, rheo_store::storage_url::Error> {
        match (&self.directory, &self.bucket) {
            (Some(directory), _) => Ok(StorageUrl::Directory(directory.clone())),
            (None, bucket) => bucket.as_deref().unwrap_or_default().parse(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        let Self { memory, disk, threads, .. } = *self;
        Limits { memory, disk, threads, ..Limits::default() }
    }

    /// Encodes the request, without the rows that follow.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        encode(self)
    }

    /// Reads a request and the rows that follow it.
    pub(super) fn read(input: &mut impl Read) -> io::Result<(Self, Vec<(BlobHeader, Bytes)>)> {
        let missing = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let request = decode(input)?.ok_or_else(missing)?;
        let mut pending = Vec::new();
        while let Some(head) = decode::<BlobHeader>(input)? {
            let mut rows = vec![0; usize::try_from(head.bytes).map_err(io::Error::other)?];
            input.read_exact(&mut rows)?;
            pending.push((head, Bytes::from(rows)));
        }
        Ok((request, pending))
    }
}

impl BlobHeader {
    /// The bytes after the last blob.
    pub(super) const END: [u8; 4] = [0; 4];

    /// Encodes the header, without the rows that follow.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        encode(self)
    }
}

fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    Ok([&length.to_le_bytes()[..], &json].concat())
}

/// Reads a value that [`encode`] wrote; none if its length is 0.
fn decode<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    if length == BlobHeader::END {
        return Ok(None);
    }
    let mut json = vec![0; u32::from_le_bytes(length) as usize];
    input.read_exact(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

/// A message from the process of a query.
#[derive(Debug)]
pub(super) enum Frame {
    /// A chunk of the reply.
    Piece(Bytes),
    /// The error of a refused or failed query; the last frame.
    Problem(QueryError),
    /// Paths of parts that were verified.
    Checked(Vec<String>),
    /// The end of a complete reply; the last frame.
    End,
}

/// The error of a query.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueryError {
    pub(super) kind: QueryErrorKind,
    pub(super) text: String,
    /// The damaged part, if there is one.
    #[serde(default)]
    pub(super) damaged: Option<Box<DamagedPart>>,
}

/// The kind of a query's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum QueryErrorKind {
    /// The query is invalid or not allowed.
    Invalid,
    /// The query needs more memory or temporary files than allowed.
    Exhausted,
    /// A part is missing or damaged.
    Damaged,
    /// The query failed for another reason.
    Failed,
}

impl Frame {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let (kind, body) = match self {
            Self::Piece(piece) => (b'p', piece.clone()),
            Self::Problem(problem) => (b'x', serde_json::to_vec(problem)?.into()),
            Self::Checked(paths) => (b'c', serde_json::to_vec(paths)?.into()),
            Self::End => (b'e', Bytes::new()),
        };
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        out.write_all(&[kind])?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&body)?;
        out.flush()
    }

    /// Reads a complete frame.
    pub(super) async fn read(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let kind = input.read_u8().await?;
        let length = input.read_u32_le().await?;
        if length > MAX_FRAME {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length as usize];
        input.read_exact(&mut body).await?;
        match kind {
            b'p' => Ok(Self::Piece(body.into())),
            b'x' => Ok(Self::Problem(serde_json::from_slice(&body)?)),
            b'c' => Ok(Self::Checked(serde_json::from_slice(&body)?)),
            b'e' => Ok(Self::End),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rheo_core::spec;
    use rheo_model::networks;

    use super::*;

    #[test]
    fn a_request_arrives_with_its_rows() {
        let pending = |position, bytes| BlobHeader {
            sweep: SweepName::parse("demo").unwrap(),
            position,
            table: TableName::of("epochs"),
            rows: 1,
            bytes,
        };
        let file = "name: demo\nmethod: random\nrun_cap: 4\nparameters: {training.optimizer.lr: {min: 1.0e-4, max: 0.1}}";
        let definition = spec::parse(&networks::workloads(), "demo", file).unwrap().definition;
        let request = QueryRequest {
            sql: "SELECT 1".to_owned(),
            directory: Some("/results".into()),
            bucket: None,
            parts: Vec::new(),
            retractions: Vec::new(),
            contests: BTreeMap::new(),
            definitions: [(definition.name.clone(), definition)].into(),
            end_reasons: BTreeMap::new(),
            memory: 1,
            disk: 2,
            threads: 3,
        };
        let (first, second) = (pending(3, 2).encode().unwrap(), pending(4, 1).encode().unwrap());
        let pieces =
            [&request.encode().unwrap()[..], &first, b"ab", &second, b"c", &BlobHeader::END];
        let sent = pieces.concat();
        let (read, rows) = QueryRequest::read(&mut sent.as_slice()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{request:?}"));
        let rows: Vec<_> = rows.iter().map(|(head, rows)| (head.position, &rows[..])).collect();
        assert_eq!(rows, [(3, &b"ab"[..]), (4, b"c")]);
        let cut = &sent[..sent.len() - 1];
        assert!(QueryRequest::read(&mut &*cut).is_err());
    }

    #[tokio::test]
    async fn an_incomplete_frame_is_an_error() {
        let problem = QueryError {
            kind: QueryErrorKind::Invalid,
            text: "no table".to_owned(),
            damaged: None,
        };
        let mut sent = Vec::new();
        for frame in [Frame::Piece(Bytes::from("abc")), Frame::Problem(problem), Frame::End] {
            frame.write(&mut sent).unwrap();
        }
        let mut rest = sent.as_slice();
        for expected in ["Piece(b\"abc\")", "no table", "End"] {
            let frame = format!("{:?}", Frame::read(&mut rest).await.unwrap());
            assert!(frame.contains(expected), "{frame}");
        }
        assert!(Frame::read(&mut rest).await.is_err());
        assert!(Frame::read(&mut &sent[..6]).await.is_err());
        assert!(Frame::read(&mut &[b'p', 0, 0, 0, 255][..]).await.is_err(), "too long");
    }
}
