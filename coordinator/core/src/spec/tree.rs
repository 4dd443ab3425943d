//! Reading YAML into a tree with the spans of keys and values.
//!
//! Words on whose type YAML readers disagree (`yes`, `010`) stay texts, and are refused where a
//! boolean or a number is expected. Size, depth and aliases are bounded, so that no file can
//! exhaust memory or stack.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, Spanned};

use super::mistake::{MistakeCollector, Span};

/// The largest file size in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 32;
/// The largest number of values after aliases are expanded.
const MAX_NODES: usize = 100_000;

/// A value and its span.
#[derive(Debug, Clone)]
pub(super) struct YamlNode {
    pub(super) value: YamlValue,
    pub(super) span: Span,
}

#[derive(Debug, Clone)]
pub(super) enum YamlValue {
    Null,
    Bool(bool),
    Integer(i128),
    Number(f64),
    Text(String),
    List(Vec<YamlNode>),
    Mapping(Vec<YamlEntry>),
}

/// A key, its span and its value.
#[derive(Debug, Clone)]
pub(super) struct YamlEntry {
    pub(super) key: String,
    pub(super) span: Span,
    pub(super) node: YamlNode,
}

/// Reads a file; none if it has errors of syntax or size, which are reported.
pub(super) fn read(report: &mut MistakeCollector<'_>, text: &str) -> Option<YamlNode> {
    if text.len() > MAX_BYTES {
        report
            .error(Span::new(0, 0), format!("the file is larger than {} KiB", MAX_BYTES / 1024))
            .help("a sweep is described, not listed: use distributions or fewer values");
        return None;
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_anchors: 1000,
            max_aliases: 10_000,
            // A second document is reported.
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        // The walk through the tree reports all duplicates.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Raw>(text, options) {
        Ok(raw) => {
            let places = SpanFinder::new(text);
            Some(places.node(raw, Span::new(0, text.lines().next().map_or(0, str::len))))
        }
        Err(error) => {
            let span = error
                .location()
                .map_or(Span::new(text.len(), 0), |location| SpanFinder::new(text).span(location));
            let (message, help) = explain(&error);
            let mistake = report.error(span, message);
            if let Some(help) = help {
                mistake.help(help);
            }
            None
        }
    }
}

type Raw = Spanned<RawValue>;

enum RawValue {
    Scalar(YamlValue),
    List(Vec<Raw>),
    Mapping(Vec<(Raw, Raw)>),
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(YamlValue::Null))
    }

    fn visit_bool<E>(self, x: bool) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(YamlValue::Bool(x)))
    }

    fn visit_i64<E>(self, x: i64) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(YamlValue::Integer(x.into())))
    }

    fn visit_u64<E>(self, x: u64) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(YamlValue::Integer(x.into())))
    }

    fn visit_f64<E>(self, x: f64) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(YamlValue::Number(x)))
    }

    fn visit_str<E>(self, text: &str) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(YamlValue::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawValue, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_entry::<Raw, Raw>()? {
            list.push(entry);
        }
        Ok(RawValue::Mapping(list))
    }
}

/// Converts the incomplete locations of the YAML reader into spans of a text.
struct SpanFinder<'t> {
    text: &'t str,
    /// The byte offset of every 64th character, so that a character is found without counting from
    /// the start.
    bytes: Vec<usize>,
}

impl<'t> SpanFinder<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, bytes: text.char_indices().step_by(64).map(|(byte, _)| byte).collect() }
    }

    /// Returns the byte offset of a character.
    fn byte(&self, character: usize) -> usize {
        let Some(&start) = self.bytes.get(character / 64) else { return self.text.len() };
        let rest = &self.text[start..];
        rest.char_indices().nth(character % 64).map_or(self.text.len(), |(byte, _)| start + byte)
    }

    fn span(&self, location: Location) -> Span {
        let place = location.span();
        let offset = usize::try_from(place.offset()).unwrap_or(usize::MAX);
        let length = usize::try_from(place.len()).unwrap_or(0);
        let start = self.byte(offset);
        Span::new(start, self.byte(offset.saturating_add(length)) - start)
    }

    /// Converts a node; its span is `fallback` if it has no extent of its own, such as an empty
    /// value or a block.
    fn node(&self, raw: Raw, fallback: Span) -> YamlNode {
        let mut span = self.span(raw.referenced);
        if span.length == 0 {
            span = fallback;
        }
        let value = match raw.value {
            RawValue::Scalar(value) => value,
            RawValue::List(items) => {
                let items = items.into_iter().map(|item| self.item(item)).collect::<Vec<_>>();
                span = self.closed(span, items.last().map(|item| item.span));
                YamlValue::List(items)
            }
            RawValue::Mapping(entries) => {
                let entries: Vec<YamlEntry> =
                    entries.into_iter().map(|(key, value)| self.entry(key, value)).collect();
                span = self.closed(span, entries.last().map(|entry| entry.node.span));
                YamlValue::Mapping(entries)
            }
        };
        YamlNode { value, span }
    }

    /// Converts an item of a list; a block is shown by its first key.
    fn item(&self, raw: Raw) -> YamlNode {
        let first = match &raw.value {
            RawValue::Mapping(entries) => entries.first().map(|(key, _)| self.span(key.referenced)),
            _ => None,
        };
        let start = self.span(raw.referenced);
        self.node(raw, first.unwrap_or(start))
    }

    fn entry(&self, key: Raw, value: Raw) -> YamlEntry {
        let start = self.span(key.referenced);
        let YamlNode { value: key, span } = self.node(key, start);
        let text = match key {
            YamlValue::Text(text) => text,
            // A key such as `1` is no known name and is reported as unknown.
            _ => self.text.get(span.offset..span.end()).unwrap_or_default().to_owned(),
        };
        YamlEntry { key: text, span, node: self.node(value, span) }
    }

    /// Extends the span of an opening bracket to the closing one, if only spaces and a comma follow
    /// the last item.
    fn closed(&self, span: Span, last: Option<Span>) -> Span {
        let closing = match self.text.as_bytes().get(span.offset) {
            Some(b'[') => ']',
            Some(b'{') => '}',
            _ => return span,
        };
        let inner = last.map_or(span.offset + 1, Span::end);
        let Some(rest) = self.text.get(inner..) else { return span };
        let gap = rest.find(|c: char| !c.is_whitespace() && c != ',').unwrap_or(rest.len());
        if inner > span.offset && rest[gap..].starts_with(closing) {
            Span::new(span.offset, inner + gap + 1 - span.offset)
        } else {
            span
        }
    }
}

/// Translates an error of the YAML reader, and adds the remedy.
fn explain(error: &Error) -> (String, Option<&'static str>) {
    let (message, help) = match error.without_snippet() {
        Error::AliasError { error, .. } => return explain(error),
        Error::Budget { breach, .. } => return (budget(breach), None),
        Error::MultipleDocuments { .. } => (
            "a second document begins here",
            Some("a file holds one sweep: delete `---` and what follows, or split the file"),
        ),
        Error::UnknownAnchor { .. } => ("this alias has no anchor", Some("define it with `&name`")),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("this alias stands inside its own anchor", None)
        }
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            ("aliases expand to more values than a file may have", None)
        }
        Error::UnsupportedTag { tag, .. } => {
            return (format!("unknown tag `{tag}`"), Some("delete the tag"));
        }
        Error::InvalidScalar { .. } | Error::InvalidBooleanStrict { .. } => {
            ("this value is not what its tag says", Some("delete the tag"))
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => ("`<<` takes a mapping", None),
        Error::Eof { .. } => ("the file ends too early", None),
        Error::ExternalMessage { msg, .. } if msg == "recursion limit exceeded" => {
            return (format!("lists and mappings nest deeper than {MAX_DEPTH}"), None);
        }
        Error::ExternalMessage { msg, .. } => return syntax(msg),
        other => return (format!("not a YAML file: {other}"), None),
    };
    (message.to_owned(), help)
}

/// Translates a message of the scanner, and adds the remedy if it is known.
fn syntax(message: &str) -> (String, Option<&'static str>) {
    let remedies = [
        ("bracket", "close it"),
        ("unclosed quote", "close it"),
        ("tab", "indent with spaces"),
        (
            "mapping values are not allowed",
            "indent keys of one mapping equally; quote a `:` in text",
        ),
        ("unexpected character", "quote the text"),
        ("unknown escape character", "use single quotes, or write `\\\\`"),
    ];
    let remedy = remedies.iter().find(|(words, _)| message.contains(words));
    // The scanner uses two kinds of quotes.
    (format!("not YAML: {}", message.replace('`', "'")), remedy.map(|(_, help)| *help))
}

fn budget(breach: &serde_saphyr::budget::BudgetBreach) -> String {
    use serde_saphyr::budget::BudgetBreach as Breach;
    match breach {
        Breach::Depth { .. } => format!("lists and mappings nest deeper than {MAX_DEPTH}"),
        Breach::Documents { .. } => "a second document begins here".to_owned(),
        _ => format!("the file has more than {MAX_NODES} values, or too many aliases"),
    }
}
