//! What the coordinator and the process of a query say to each other: an order on standard input,
//! frames on standard output.
//!
//! An order is a length and JSON, followed by the rows that are in no part yet: for each blob a length
//! and JSON, and its bytes; at the end a length of 0. A frame is a kind, a length and bytes. Both ends
//! are the same program.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction};
use rheo_query::dataset::DamagedPart;
use rheo_query::{Limits, RankingRule};
use rheo_store::storage_url::StorageUrl;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of a frame: more than any piece of an answer.
const MAX_FRAME: u32 = 16 << 20;

/// A query and all that it may see.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueryRequest {
    pub(super) sql: String,
    /// The directory of the parts, or none if they are in a bucket.
    pub(super) directory: Option<PathBuf>,
    /// The bucket of the parts.
    pub(super) bucket: Option<String>,
    /// The parts; those that were found whole before come without a digest.
    pub(super) parts: Vec<Part>,
    pub(super) retractions: Vec<Retraction>,
    /// How the points of each sweep are compared.
    pub(super) contests: BTreeMap<SweepName, RankingRule>,
    pub(super) memory: usize,
    pub(super) disk: u64,
    pub(super) threads: usize,
}

/// Rows that are in no part; `bytes` of them follow.
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

    /// The order as bytes, without the rows that follow.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        encode(self)
    }

    /// Reads an order and the rows that follow it.
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
    /// What comes after the last rows.
    pub(super) const END: [u8; 4] = [0; 4];

    /// The head of rows as bytes, without the rows that follow.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        encode(self)
    }
}

fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    Ok([&length.to_le_bytes()[..], &json].concat())
}

/// Reads what [`encode`] made; nothing if its length is 0.
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

/// What the process of a query says.
#[derive(Debug)]
pub(super) enum Frame {
    /// A piece of the answer.
    Piece(Bytes),
    /// The query is refused, or failed; this is the last frame.
    Problem(QueryError),
    /// These parts were read and found whole, by their paths.
    Checked(Vec<String>),
    /// The answer is complete; this is the last frame.
    End,
}

/// Why there is no answer, or only a part of one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueryError {
    pub(super) kind: QueryErrorKind,
    pub(super) text: String,
    /// The part that it is about.
    #[serde(default)]
    pub(super) damaged: Option<Box<DamagedPart>>,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum QueryErrorKind {
    /// The query means nothing or asks for what is not allowed.
    Invalid,
    /// It needs more memory or temporary files than it may have.
    Exhausted,
    /// A part is missing or damaged.
    Damaged,
    /// It could not be carried out.
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

    /// Reads a frame; an error if there is no whole one.
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
    use super::*;

    #[test]
    fn an_order_arrives_with_its_rows() {
        let pending = |position, bytes| BlobHeader {
            sweep: SweepName::parse("demo").unwrap(),
            position,
            table: TableName::of("epochs"),
            rows: 1,
            bytes,
        };
        let request = QueryRequest {
            sql: "SELECT 1".to_owned(),
            directory: Some("/results".into()),
            bucket: None,
            parts: Vec::new(),
            retractions: Vec::new(),
            contests: BTreeMap::new(),
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
    async fn frames_arrive_whole_or_not_at_all() {
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
