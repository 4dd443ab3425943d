//! Errors and warnings about a sweep file, with their place and remedy.
//!
//! All mistakes of a file are collected and shown together, in the order of the file, each with its
//! line. miette draws them in a terminal; [`Mistakes::render`] gives the same without colours.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use serde::{Serialize, Serializer};

use crate::excerpt;

/// The largest number of characters of a message or help, which may repeat text of the file.
const MAX_TEXT: usize = 1_000;

/// The largest number of mistakes listed per file.
const MAX_LISTED: usize = 50;

/// The largest number of characters shown of a line.
const MAX_LINE: usize = 160;

/// The number of characters shown before a mistake in a shortened line.
const CONTEXT_BEFORE: usize = 60;

/// A range of bytes in a sweep file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// The offset of the first byte.
    pub offset: usize,
    /// The number of bytes; 0 at the end of the file.
    pub length: usize,
}

impl Span {
    pub(super) fn new(offset: usize, length: usize) -> Self {
        Self { offset, length }
    }

    pub(super) fn end(self) -> usize {
        self.offset + self.length
    }
}

/// The severity of a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is invalid.
    Error,
    /// The file is valid, but may not mean what its author intends.
    Warning,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A mistake in a sweep file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The severity.
    pub severity: Severity,
    /// The message: a lowercase fragment.
    pub message: String,
    /// The remedy.
    pub help: Option<String>,
    /// The dotted path of the field or parameter.
    pub path: Option<String>,
    /// The place.
    pub span: Span,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Mistake {
    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(excerpt::message(&help.into(), MAX_TEXT));
        self
    }

    pub(super) fn about(&mut self, path: impl Into<String>) -> &mut Self {
        self.path = Some(excerpt::message(&path.into(), MAX_TEXT));
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new(None, self.span.offset, self.span.length);
        Some(Box::new(std::iter::once(label)))
    }
}

/// The mistakes of a file in the order of the file; never empty.
#[derive(Debug, Clone)]
pub struct Mistakes {
    source: NamedSource<Arc<str>>,
    list: Vec<Mistake>,
}

impl Mistakes {
    pub(super) fn new(file: &str, text: &str, list: Vec<Mistake>) -> Self {
        Self { source: NamedSource::new(file, Arc::from(text)), list }
    }

    /// Returns the name of the file.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// Returns the errors and warnings.
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// Whether the file has lines that are too long to be shown whole.
    pub fn has_long_lines(&self) -> bool {
        self.source.inner().lines().any(|line| line.chars().nth(MAX_LINE).is_some())
    }

    /// Renders the mistakes as plain text, each with message, place, line and help.
    pub fn render(&self) -> String {
        render(self.file(), self.source.inner(), &self.list)
    }
}

/// Renders the mistakes `list` of `text` as plain text, including the warnings of a valid file.
pub fn render(file: &str, text: &str, list: &[Mistake]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for mistake in list {
        let Mistake { line, column, message, .. } = mistake;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let whole = lines.get(line - 1).unwrap_or(&"").trim_start_matches('\u{feff}');
        let (snippet, before) = piece(whole, column - 1);
        let indent = " ".repeat(before);
        let marks = marked(text, mistake.span).min(MAX_LINE.saturating_sub(before).max(1));
        let marks = "^".repeat(marks);
        let severity = mistake.severity.name();
        out.extend([
            format!("{severity}: {message}\n{margin}--> {file}:{line}:{column}\n"),
            format!("{margin} |\n{number} | {snippet}\n{margin} | {indent}{marks}\n"),
        ]);
        if let Some(help) = &mistake.help {
            out.extend([format!("{margin} = help: {help}\n")]);
        }
        out.push('\n');
    }
    out
}

/// Returns the part of a line around character `at`, and the number of characters before it.
fn piece(line: &str, at: usize) -> (String, usize) {
    let line = line.replace('\t', " ");
    if line.chars().nth(MAX_LINE).is_none() {
        return (line, at);
    }
    let skipped = at.saturating_sub(CONTEXT_BEFORE);
    let mut piece: String = line.chars().skip(skipped).take(MAX_LINE).collect();
    if line.chars().nth(skipped + MAX_LINE).is_some() {
        piece.push('…');
    }
    if skipped == 0 { (piece, at) } else { (format!("…{piece}"), at - skipped + 1) }
}

/// Returns the number of characters to underline in the first line of a span, at least one.
fn marked(text: &str, span: Span) -> usize {
    let piece = text.get(span.offset..span.end()).unwrap_or_default();
    piece.lines().next().unwrap_or_default().trim_end().chars().count().max(1)
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.list.iter().filter(|m| m.severity == Severity::Error).count();
        let plural = if errors == 1 { "mistake" } else { "mistakes" };
        write!(f, "{errors} {plural} in `{}`", self.file())
    }
}

impl std::error::Error for Mistakes {}

impl Diagnostic for Mistakes {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.list.iter().map(|mistake| mistake as &dyn Diagnostic)))
    }
}

impl Serialize for Mistakes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([
            ("file", serde_json::json!(self.file())),
            ("mistakes", serde_json::json!(self.list)),
        ])
    }
}

/// Collects the mistakes of a text.
#[derive(Debug)]
pub(super) struct MistakeCollector<'t> {
    text: &'t str,
    /// The offsets of the lines.
    lines: Vec<usize>,
    list: Vec<Mistake>,
}

impl<'t> MistakeCollector<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self { text, lines: std::iter::once(0).chain(newlines).collect(), list: Vec::new() }
    }

    /// Reports an error.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Mistake {
        self.add(Severity::Error, span, &message.into())
    }

    /// Reports a warning.
    pub(super) fn warn(&mut self, span: Span, message: impl Into<String>) -> &mut Mistake {
        self.add(Severity::Warning, span, &message.into())
    }

    fn add(&mut self, severity: Severity, span: Span, message: &str) -> &mut Mistake {
        let (line, column) = self.line_column(span.offset);
        let message = excerpt::message(message, MAX_TEXT);
        let mistake = Mistake { severity, message, help: None, path: None, span, line, column };
        self.list.push(mistake);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    pub(super) fn has_errors(&self) -> bool {
        self.list.iter().any(|mistake| mistake.severity == Severity::Error)
    }

    /// Returns the text at `span`.
    pub(super) fn snippet(&self, span: Span) -> &'t str {
        self.text.get(span.offset..span.end()).unwrap_or_default()
    }

    /// Returns the line of a span, from 1.
    pub(super) fn line(&self, span: Span) -> usize {
        self.line_column(span.offset).0
    }

    /// Returns line and column of an offset, both from 1, the column in characters.
    fn line_column(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        (line, before.trim_start_matches('\u{feff}').chars().count() + 1)
    }

    /// Returns the mistakes in the order of the text; only the first if there are very many.
    pub(super) fn into_list(mut self) -> Vec<Mistake> {
        if self.list.len() > MAX_LISTED && self.has_errors() {
            self.list.retain(|mistake| mistake.severity == Severity::Error);
        }
        self.list.sort_by_key(|mistake| mistake.span);
        let more = self.list.len().saturating_sub(MAX_LISTED);
        self.list.truncate(MAX_LISTED);
        if let (Some(last), true) = (self.list.last().cloned(), more > 0) {
            let message = format!("`{more}` more mistakes after this place are not shown");
            self.list.push(Mistake { message, help: None, path: None, ..last });
        }
        self.list
    }
}
