//! Arrow IPC streams: written by Arrow, checked before Arrow decodes them.
//!
//! The reader of the `arrow` crate panics on some malformed input: unknown types, buffers outside the
//! body, a compressed body that claims to be huge. So this file checks the framing, the schema and the
//! layout of the buffers first. A stream is a schema, one record batch and the end mark. Data are
//! copied only if misaligned.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::ipc::{self, MetadataVersion, Precision, Type};
use arrow::record_batch::RecordBatch;
use bytes::{Buf, Bytes};

use crate::batch::{Error, MAX_BYTES};

/// The most values of a batch, at one bit each.
#[expect(clippy::cast_possible_wrap, reason = "64 MiB")]
const MAX_VALUES: i64 = 8 * MAX_BYTES as i64;

/// The marker before the length of every message.
const CONTINUATION: u32 = u32::MAX;

/// Encodes `rows` as a stream.
pub(crate) fn encode(rows: &RecordBatch) -> Result<Bytes, Error> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &rows.schema(), options)?;
    writer.write(rows)?;
    Ok(writer.into_inner()?.into())
}

/// The schema of a stream, encoded and decoded.
#[derive(Debug)]
pub(crate) struct StreamHeader {
    bytes: Bytes,
    schema: SchemaRef,
}

impl StreamHeader {
    /// The header of `stream`.
    pub(crate) fn of(stream: &Bytes) -> Result<Self, Error> {
        let mut rest = stream.clone();
        let schema = Arc::new(take_schema(&mut rest)?);
        Ok(Self { bytes: stream.slice(..stream.len() - rest.len()), schema })
    }
}

fn take_schema(rest: &mut Bytes) -> Result<Schema, Error> {
    read_schema(&take_message(rest)?.ok_or(Error::Malformed("no schema"))?)
}

/// Decodes a stream of one record batch. A stream that begins with the bytes of `known` has that schema, which
/// saves decoding it: a batch of one row is nearly all schema.
pub(crate) fn decode(stream: &Bytes, known: Option<&StreamHeader>) -> Result<RecordBatch, Error> {
    let mut rest = stream.clone();
    let known = known.filter(|known| stream.starts_with(&known.bytes));
    let schema = if let Some(known) = known {
        rest.advance(known.bytes.len());
        Arc::clone(&known.schema)
    } else {
        Arc::new(take_schema(&mut rest)?)
    };
    let rows = take_message(&mut rest)?.ok_or(Error::Malformed("no record batch"))?;
    if take_message(&mut rest)?.is_some() {
        return Err(Error::Malformed("more than one record batch"));
    }
    if !rest.is_empty() {
        return Err(Error::Malformed("bytes after the end"));
    }
    let message = parse(&rows.header)?;
    let batch = message.header_as_record_batch().ok_or(Error::Malformed("not a record batch"))?;
    BufferLayout::check(&batch, &schema, &rows.body)?;
    let body = Buffer::from(rows.body.clone());
    let version = message.version();
    Ok(read_record_batch(&body, batch, schema, &HashMap::new(), None, &version)?)
}

/// A message of a stream: a flatbuffer and its data.
struct IpcMessage {
    header: Bytes,
    body: Bytes,
}

/// Takes the next message off the stream; none at the end mark.
fn take_message(rest: &mut Bytes) -> Result<Option<IpcMessage>, Error> {
    let truncated = || Error::Malformed("truncated");
    if rest.try_get_u32_le().map_err(|_| truncated())? != CONTINUATION {
        return Err(Error::Malformed("no message where one should begin"));
    }
    let length = rest.try_get_u32_le().map_err(|_| truncated())?;
    if length == 0 {
        return Ok(None);
    }
    let mut take = |length: Option<usize>| match length {
        Some(length) if length <= rest.len() => Ok(rest.split_to(length)),
        _ => Err(truncated()),
    };
    let header = take(usize::try_from(length).ok())?;
    let body = take(usize::try_from(parse(&header)?.bodyLength()).ok())?;
    Ok(Some(IpcMessage { header, body }))
}

fn parse(header: &[u8]) -> Result<ipc::Message<'_>, Error> {
    let message =
        ipc::root_as_message(header).map_err(|_| Error::Malformed("not an arrow message"))?;
    match message.version() {
        MetadataVersion::V5 => Ok(message),
        _ => Err(Error::Malformed("unknown version of the format")),
    }
}

fn read_schema(message: &IpcMessage) -> Result<Schema, Error> {
    let schema = parse(&message.header)?;
    let schema = schema.header_as_schema().ok_or(Error::Malformed("not a schema"))?;
    if schema.endianness() != ipc::Endianness::Little {
        return Err(Error::Malformed("big-endian"));
    }
    let fields = schema.fields().ok_or(Error::Malformed("no fields"))?;
    let metadata = schema.custom_metadata().into_iter().flatten();
    let metadata = metadata.filter_map(|pair| Some((pair.key()?.into(), pair.value()?.into())));
    Ok(Schema::new_with_metadata(
        fields.iter().map(read_field).collect::<Result<Fields, _>>()?,
        metadata.collect(),
    ))
}

/// Decodes a field of a type that our tables use.
fn read_field(field: ipc::Field<'_>) -> Result<Field, Error> {
    let name = field.name().ok_or(Error::Malformed("a field without a name"))?;
    if field.dictionary().is_some() {
        return Err(Error::Malformed("a dictionary"));
    }
    let children = || -> Result<Vec<Field>, Error> {
        field.children().into_iter().flatten().map(read_field).collect()
    };
    let data_type = match field.type_type() {
        Type::Bool => Some(DataType::Boolean),
        Type::Utf8 => Some(DataType::Utf8),
        Type::Int => field.type_as_int().and_then(|int| match (int.bitWidth(), int.is_signed()) {
            (64, false) => Some(DataType::UInt64),
            (64, true) => Some(DataType::Int64),
            (32, false) => Some(DataType::UInt32),
            (32, true) => Some(DataType::Int32),
            _ => None,
        }),
        Type::FloatingPoint => field
            .type_as_floating_point()
            .filter(|float| float.precision() == Precision::DOUBLE)
            .map(|_| DataType::Float64),
        Type::Timestamp => field
            .type_as_timestamp()
            .filter(|time| time.unit() == ipc::TimeUnit::MILLISECOND)
            .map(|time| DataType::Timestamp(TimeUnit::Millisecond, time.timezone().map(Arc::from))),
        Type::Struct_ => Some(DataType::Struct(children()?.into())),
        Type::List => children()?.pop().map(|item| DataType::List(Arc::new(item))),
        _ => None,
    };
    let data_type = data_type.ok_or(Error::Malformed("a type that no table has"))?;
    Ok(Field::new(name, data_type, field.nullable()))
}

/// Visits the nodes and buffers of a record batch in Arrow's order.
struct BufferLayout<'a> {
    nodes: Vec<&'a ipc::FieldNode>,
    buffers: Vec<&'a ipc::Buffer>,
    /// The end of the previous buffer. Overlapping buffers could make a small body fill the memory,
    /// because Arrow copies misaligned ones.
    end: i64,
    body: i64,
}

impl<'a> BufferLayout<'a> {
    /// Refuses a batch whose nodes or buffers do not match its schema or its body.
    fn check(batch: &ipc::RecordBatch<'a>, schema: &Schema, body: &[u8]) -> Result<(), Error> {
        if batch.compression().is_some() {
            return Err(Error::Malformed("compressed"));
        }
        if batch.variadicBufferCounts().is_some_and(|counts| !counts.is_empty()) {
            return Err(Error::Malformed("variadic buffers"));
        }
        let nodes = batch.nodes().ok_or(Error::Malformed("no nodes"))?;
        let buffers = batch.buffers().ok_or(Error::Malformed("no buffers"))?;
        let mut layout = Self {
            nodes: nodes.iter().rev().collect(),
            buffers: buffers.iter().rev().collect(),
            end: 0,
            body: i64::try_from(body.len()).unwrap_or(i64::MAX),
        };
        for field in schema.fields() {
            if layout.field(field)? != batch.length() {
                return Err(Error::Malformed("columns of different lengths"));
            }
        }
        if layout.nodes.is_empty() && layout.buffers.is_empty() {
            Ok(())
        } else {
            Err(Error::Malformed("more data than the schema has fields"))
        }
    }

    /// Checks one field and returns its number of values.
    fn field(&mut self, field: &Field) -> Result<i64, Error> {
        let node = self.nodes.pop().ok_or(Error::Malformed("too few nodes"))?;
        let (length, nulls) = (node.length(), node.null_count());
        if !(0..=length).contains(&nulls) || length > MAX_VALUES {
            return Err(Error::Malformed("an impossible number of values"));
        }
        let valid = self.buffer()?;
        if nulls > 0 && valid.saturating_mul(8) < length {
            return Err(Error::Malformed("fewer marks of absence than values"));
        }
        match field.data_type() {
            DataType::Struct(children) => {
                for child in children {
                    if self.field(child)? != length {
                        return Err(Error::Malformed("fields of different lengths"));
                    }
                }
            }
            DataType::List(item) => {
                self.buffer()?;
                self.field(item)?;
            }
            DataType::Utf8 => {
                self.buffer()?;
                self.buffer()?;
            }
            _ => {
                self.buffer()?;
            }
        }
        Ok(length)
    }

    /// Checks that the next buffer is in the body, after the previous one, and returns its length.
    fn buffer(&mut self) -> Result<i64, Error> {
        let buffer = self.buffers.pop().ok_or(Error::Malformed("too few buffers"))?;
        let (offset, length) = (buffer.offset(), buffer.length());
        match offset.checked_add(length) {
            Some(end) if offset >= self.end && length >= 0 && end <= self.body => self.end = end,
            _ => return Err(Error::Malformed("a buffer outside the body")),
        }
        Ok(length)
    }
}
