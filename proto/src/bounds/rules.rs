//! The bounds by message and field number, computed once from the descriptors of the protocol, and
//! the check of encoded bytes against them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::{FIELDS, FieldBound, SIZES, SMALL, UNLISTED};
use crate::{InvalidMessage, v1};

const PACKAGE: &str = ".rheobase.v1.";

/// The rules of every message that is a request or part of one.
static RULES: LazyLock<ProtocolRules> = LazyLock::new(|| ProtocolRules::of(v1::DESCRIPTORS));

#[derive(Debug, Default)]
struct ProtocolRules {
    /// Rules by message name, without the package.
    messages: BTreeMap<String, MessageRules>,
    /// Request names by method path.
    methods: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct MessageRules {
    /// Rules by field number.
    fields: BTreeMap<u64, FieldRule>,
}

#[derive(Debug)]
struct FieldRule {
    /// `Message.field`.
    name: String,
    bound: Option<FieldBound>,
    /// The message type of the field; none for a scalar.
    message: Option<String>,
    is_repeated: bool,
    /// The size of one packed element, in bytes; none if it varies.
    width: Option<usize>,
}

/// The largest request of a method, in bytes. `path` is `/package.Service/Method`.
pub fn request_size(path: &str) -> usize {
    let request = RULES.methods.get(path);
    let size = request.and_then(|request| SIZES.iter().find(|(name, _)| name == request));
    size.map_or(SMALL, |(_, size)| *size)
}

/// Checks the encoded bytes of a request. Accepts any other message unread.
pub(crate) fn check(message: &str, bytes: &[u8]) -> Result<(), InvalidMessage> {
    match RULES.messages.get(message) {
        Some(rules) => rules.check(bytes),
        None => Ok(()),
    }
}

impl ProtocolRules {
    fn of(descriptors: &[u8]) -> Self {
        // Made by the same build, so decoding cannot fail; a test would notice empty rules.
        let files = FileDescriptorSet::decode(descriptors).unwrap_or_default().file;
        let mut known = BTreeMap::new();
        let mut rules = Self::default();
        for file in files.iter().filter(|file| PACKAGE == format!(".{}.", file.package())) {
            file.message_type.iter().for_each(|message| collect("", message, &mut known));
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    rules.methods.insert(path, short(method.input_type()).to_owned());
                }
            }
        }
        let mut open: Vec<String> = rules.methods.values().cloned().collect();
        let mut seen: BTreeSet<String> = open.iter().cloned().collect();
        while let Some(name) = open.pop() {
            let Some(message) = known.get(&name) else { continue };
            let fields = message.field.iter().map(|field| FieldRule::of(&name, field));
            let fields: BTreeMap<u64, FieldRule> = fields.collect();
            let inner = fields.values().filter_map(|field| field.message.clone());
            open.extend(inner.filter(|name| seen.insert(name.clone())));
            rules.messages.insert(name, MessageRules { fields });
        }
        rules
    }
}

/// Adds `message` and its nested messages to `known`, by name without the package.
fn collect<'d>(
    outer: &str,
    message: &'d DescriptorProto,
    known: &mut BTreeMap<String, &'d DescriptorProto>,
) {
    let name = format!("{outer}{}", message.name());
    message.nested_type.iter().for_each(|inner| collect(&format!("{name}."), inner, known));
    known.insert(name, message);
}

fn short(type_name: &str) -> &str {
    type_name.strip_prefix(PACKAGE).unwrap_or(type_name)
}

impl FieldRule {
    fn of(message: &str, field: &FieldDescriptorProto) -> (u64, Self) {
        let name = format!("{message}.{}", field.name());
        let is_repeated = field.label() == Label::Repeated;
        let needs_bound = is_repeated || matches!(field.r#type(), Type::String | Type::Bytes);
        let row = FIELDS.iter().find(|(row, _)| *row == name);
        let bound = row.map(|(_, bound)| *bound).or(needs_bound.then_some(UNLISTED));
        let is_message = field.r#type() == Type::Message;
        let message = is_message.then(|| short(field.type_name()).to_owned());
        let width = match field.r#type() {
            Type::Double | Type::Fixed64 | Type::Sfixed64 => Some(8),
            Type::Float | Type::Fixed32 | Type::Sfixed32 => Some(4),
            _ => None,
        };
        let number = u64::try_from(field.number()).unwrap_or_default();
        (number, Self { name, bound, message, is_repeated, width })
    }

    fn is_text(&self) -> bool {
        matches!(
            self.bound,
            Some(
                FieldBound::Line(_)
                    | FieldBound::Text(_)
                    | FieldBound::Bytes(_)
                    | FieldBound::Lines(..)
            )
        )
    }

    fn refuse(&'static self, detail: impl Into<String>) -> InvalidMessage {
        InvalidMessage::Value { field: &self.name, detail: detail.into() }
    }

    /// Checks the number of elements read so far.
    fn check_count(&'static self, count: usize) -> Result<(), InvalidMessage> {
        match self.bound {
            Some(FieldBound::List(most) | FieldBound::Lines(most, _))
                if self.is_repeated && count > most =>
            {
                Err(self.refuse(format!("more than {most} elements are not accepted")))
            }
            _ if count > 1 && !self.is_repeated && self.message.is_some() => {
                // The decoder would merge both, past the bounds of their lists.
                Err(self.refuse("it occurs twice"))
            }
            _ => Ok(()),
        }
    }

    fn check_bytes(&'static self, bytes: &[u8]) -> Result<(), InvalidMessage> {
        if let Some(message) = &self.message {
            return check(message, bytes);
        }
        let (most, is_line) = match self.bound {
            Some(FieldBound::Line(most) | FieldBound::Lines(_, most)) => (most, true),
            Some(FieldBound::Text(most) | FieldBound::Bytes(most)) => (most, false),
            _ => return Ok(()),
        };
        let length = bytes.len();
        if length > most {
            return Err(self.refuse(format!("{length} bytes, at most {most} are accepted")));
        }
        if is_line && bytes.iter().any(u8::is_ascii_control) {
            return Err(self.refuse("it has control characters"));
        }
        Ok(())
    }

    /// The number of elements in `bytes` of a packed list.
    fn packed(&self, bytes: &[u8]) -> usize {
        match self.width {
            Some(width) => bytes.len() / width,
            None => bytes.iter().filter(|byte| **byte < 0x80).count(),
        }
    }
}

impl MessageRules {
    fn check(&'static self, mut bytes: &[u8]) -> Result<(), InvalidMessage> {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let (number, kind) = (key >> 3, key & 7);
            let (number_value, content) = match kind {
                0 => (Some(varint(&mut bytes)?), None),
                1 => (None, Some(take(&mut bytes, 8)?)),
                5 => (None, Some(take(&mut bytes, 4)?)),
                2 => {
                    let length = varint(&mut bytes)?;
                    (None, Some(take(&mut bytes, usize::try_from(length).unwrap_or(usize::MAX))?))
                }
                // The protocol uses no groups.
                _ => return Err(malformed()),
            };
            // A field of a newer version, which the decoder drops.
            let Some(field) = self.fields.get(&number) else { continue };
            let is_single = field.message.is_some() || field.is_text() || kind != 2;
            let more = match content {
                Some(content) if !is_single => field.packed(content),
                _ => 1,
            };
            let count = counts.entry(number).or_default();
            *count = count.saturating_add(more);
            field.check_count(*count)?;
            match (content, number_value) {
                (Some(content), _) if kind == 2 && is_single => field.check_bytes(content)?,
                (_, Some(value)) => field.check_number(value)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl FieldRule {
    fn check_number(&'static self, value: u64) -> Result<(), InvalidMessage> {
        match self.bound {
            Some(FieldBound::Number(most)) if value > most => {
                Err(self.refuse(format!("{value} is more than {most}")))
            }
            _ => Ok(()),
        }
    }
}

fn malformed() -> InvalidMessage {
    InvalidMessage::Value { field: "message", detail: "its bytes cannot be decoded".to_owned() }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, InvalidMessage> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or_else(malformed)?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(malformed())
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8], InvalidMessage> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(malformed)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_bytes_and_list_field_of_every_request_has_a_bound() {
        assert!(RULES.methods.len() > 20, "the descriptors are not read");
        for rules in RULES.messages.values() {
            for field in rules.fields.values() {
                let has_row = FIELDS.iter().any(|(row, _)| *row == field.name);
                let name = &field.name;
                assert!(
                    field.bound.is_none() || has_row,
                    "`{name}` has no bound. Add a row to FIELDS in proto/src/bounds.rs, such as (\"{name}\", LABEL): LABEL for a line of at most 256 bytes, ID for a UUID or digest, FieldBound::Text(bytes), FieldBound::Bytes(bytes), FieldBound::List(elements), FieldBound::Lines(elements, bytes) for a list of texts"
                );
            }
        }
    }

    #[test]
    fn every_row_of_the_tables_names_a_field_of_a_request() {
        let fields = RULES.messages.values().flat_map(|rules| rules.fields.values());
        let fields: BTreeSet<&str> = fields.map(|field| field.name.as_str()).collect();
        let mut rows = BTreeSet::new();
        for (row, bound) in FIELDS {
            assert!(fields.contains(row), "`{row}` is in no request: remove its row");
            assert!(rows.insert(row), "`{row}` has two rows");
            let field = RULES.messages.values().flat_map(|rules| rules.fields.values());
            let field = field.into_iter().find(|field| field.name == **row).unwrap();
            let is_list = matches!(bound, FieldBound::List(_) | FieldBound::Lines(..));
            assert_eq!(field.is_repeated, is_list, "`{row}` has a bound of another kind");
        }
        for (request, _) in SIZES {
            assert!(RULES.methods.values().any(|name| name == request), "{request}");
        }
    }

    #[track_caller]
    fn refused(message: &str, bytes: &[u8]) -> String {
        check(message, bytes).unwrap_err().to_string()
    }

    fn joining() -> v1::JoinRequest {
        let place =
            v1::WorkerLocation { node: Some("n1".to_owned()), ..v1::WorkerLocation::default() };
        v1::JoinRequest { host: "h".to_owned(), place: Some(place), ..v1::JoinRequest::default() }
    }

    #[test]
    fn a_field_beyond_its_bound_is_refused_by_name() {
        let good = joining();
        assert_eq!(check("JoinRequest", &good.encode_to_vec()), Ok(()));
        let long = v1::JoinRequest { host: "x".repeat(257), ..good.clone() };
        let text = refused("JoinRequest", &long.encode_to_vec());
        assert!(text.contains("`JoinRequest.host`") && text.contains("at most 256"), "{text}");
        let lines = v1::JoinRequest { host: "a\nb".to_owned(), ..good.clone() };
        assert!(refused("JoinRequest", &lines.encode_to_vec()).contains("control characters"));
        let mut inner = good;
        inner.place.as_mut().unwrap().job = Some("j".repeat(300));
        assert!(refused("JoinRequest", &inner.encode_to_vec()).contains("`WorkerLocation.job`"));
        let gpus = v1::JoinRequest { gpus: vec!["0".to_owned(); 65], ..joining() };
        assert!(refused("JoinRequest", &gpus.encode_to_vec()).contains("`JoinRequest.gpus`"));
        let slots = v1::JoinRequest { slots: u32::MAX, ..joining() };
        assert!(refused("JoinRequest", &slots.encode_to_vec()).contains("`JoinRequest.slots`"));
    }

    #[test]
    fn packed_and_repeated_elements_count_and_messages_cannot_be_merged() {
        let held = vec![v1::Attempt::default(); 4097];
        let acquire = v1::AcquireRequest { held, ..v1::AcquireRequest::default() };
        let text = refused("AcquireRequest", &acquire.encode_to_vec());
        assert!(text.contains("more than 4096"), "{text}");
        let indices = vec![300; 1_000_001];
        let indices = v1::retry_request::Selection::Trials(v1::retry_request::Indices { indices });
        let retry = v1::RetryRequest { selection: Some(indices), ..v1::RetryRequest::default() };
        assert!(refused("RetryRequest", &retry.encode_to_vec()).contains("1000000"));
        // Two `work` fields in one commit: a decoder would concatenate their lists.
        let commit = v1::CommitRequest { work: Some(v1::Work::default()), ..Default::default() };
        let twice = commit.encode_to_vec().repeat(2);
        assert!(refused("CommitRequest", &twice).contains("twice"));
    }

    #[test]
    fn malformed_bytes_are_refused() {
        for bytes in [&[0xff; 11][..], &[0x0a, 0xff, 0x01, 0x61], &[0x0b], &[0x09, 1]] {
            assert!(refused("JoinRequest", bytes).contains("cannot be decoded"), "{bytes:?}");
        }
        // A field of a newer version is accepted.
        assert_eq!(check("JoinRequest", &[0xfa, 0x01, 0x01, 0x61]), Ok(()));
    }

    #[test]
    fn every_request_has_a_size_by_its_path() {
        assert_eq!(request_size("/rheobase.v1.WorkerService/Join"), SMALL);
        assert_eq!(request_size("/rheobase.v1.WorkerService/Commit"), crate::MAX_MESSAGE);
        assert_eq!(request_size("/grpc.health.v1.Health/Check"), SMALL);
    }
}
