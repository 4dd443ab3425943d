//! The lexer of constraints: from text to tokens with their positions.
//!
//! Operators of other languages are recognised, so that the error names the right operator.

use std::fmt;
use std::ops::Range;

use super::{Error, Operator};

/// A token and its position.
#[derive(Debug, Clone)]
pub(super) struct SpannedToken {
    pub(super) token: Token,
    pub(super) span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Text(String),
    Bool(bool),
    Name(String),
    Not,
    In,
    /// A binary operator; `-` is also unary.
    Operator(Operator),
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
}

const OPERATORS: [(&str, Token); 17] = [
    ("**", Token::Operator(Operator::Power)),
    ("==", Token::Operator(Operator::Equal)),
    ("!=", Token::Operator(Operator::NotEqual)),
    ("<=", Token::Operator(Operator::LessOrEqual)),
    (">=", Token::Operator(Operator::GreaterOrEqual)),
    ("<", Token::Operator(Operator::Less)),
    (">", Token::Operator(Operator::Greater)),
    ("+", Token::Operator(Operator::Add)),
    ("-", Token::Operator(Operator::Subtract)),
    ("*", Token::Operator(Operator::Multiply)),
    ("/", Token::Operator(Operator::Divide)),
    ("%", Token::Operator(Operator::Remainder)),
    ("(", Token::Open),
    (")", Token::Close),
    ("[", Token::OpenList),
    ("]", Token::CloseList),
    (",", Token::Comma),
];

/// Operators of other languages, and the remedies. Longer ones first.
const FOREIGN: [(&str, &str); 6] = [
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("//", "there is no whole-number division: write `/` or `%`"),
    ("=", "write `==`"),
    ("!", "write `not`"),
    ("^", "write `**`"),
];

/// Splits a constraint into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<SpannedToken>, Error> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = match first {
            '0'..='9' | '.' => number(text, at)?,
            '\'' | '"' => quoted(text, at, first)?,
            'a'..='z' | 'A'..='Z' | '_' => word(&text[at..]),
            _ => symbol(text, at)?,
        };
        tokens.push(SpannedToken { token, span: at..at + length });
        at += length;
    }
    Ok(tokens)
}

fn symbol(text: &str, at: usize) -> Result<(Token, usize), Error> {
    let rest = &text[at..];
    let known = OPERATORS.iter().find(|(symbol, _)| rest.starts_with(symbol));
    let foreign = FOREIGN.iter().find(|(symbol, _)| rest.starts_with(symbol));
    match (known, foreign) {
        (Some((symbol, _)), Some((longer, help))) if longer.len() > symbol.len() => {
            Err(unknown(at, longer).with_help(*help))
        }
        (Some((symbol, token)), _) => Ok((token.clone(), symbol.len())),
        (None, Some((symbol, help))) => Err(unknown(at, symbol).with_help(*help)),
        (None, None) => {
            let length = rest.chars().next().map_or(0, char::len_utf8);
            Err(unknown(at, &rest[..length]))
        }
    }
}

fn unknown(at: usize, symbol: &str) -> Error {
    Error::new(at..at + symbol.len(), format!("unknown operator `{symbol}`"))
}

fn number(text: &str, at: usize) -> Result<(Token, usize), Error> {
    let rest = &text[at..];
    let mut length = 0;
    let mut previous = ' ';
    for c in rest.chars() {
        let is_exponent_sign = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E');
        if !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || is_exponent_sign) {
            break;
        }
        length += c.len_utf8();
        previous = c;
    }
    let digits = rest[..length].replace('_', "");
    match digits.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok((Token::Number(x), length)),
        _ => Err(Error::new(at..at + length, format!("not a number: `{}`", &rest[..length]))),
    }
}

fn quoted(text: &str, at: usize, quote: char) -> Result<(Token, usize), Error> {
    let inner = &text[at + 1..];
    match inner.find(quote) {
        Some(end) => Ok((Token::Text(inner[..end].to_owned()), end + 2)),
        None => Err(Error::new(at..text.len(), format!("this text has no closing {quote}"))),
    }
}

/// Reads a keyword or a dotted name.
fn word(rest: &str) -> (Token, usize) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let token = match &rest[..length] {
        "and" => Token::Operator(Operator::And),
        "or" => Token::Operator(Operator::Or),
        "not" => Token::Not,
        "in" => Token::In,
        "true" | "True" => Token::Bool(true),
        "false" | "False" => Token::Bool(false),
        name => Token::Name(name.to_owned()),
    };
    (token, length)
}

/// Formats tokens in the canonical way.
pub(super) fn canonical(tokens: &[SpannedToken]) -> String {
    let mut text = String::new();
    let mut previous: Option<&Token> = None;
    let mut is_prefix = false;
    for SpannedToken { token, .. } in tokens {
        let joins = is_prefix
            || matches!(previous, None | Some(Token::Open | Token::OpenList))
            || matches!(token, Token::Close | Token::CloseList | Token::Comma);
        if !joins {
            text.push(' ');
        }
        text.push_str(&token.to_string());
        is_prefix = *token == Token::Operator(Operator::Subtract)
            && !previous.is_some_and(Token::ends_operand);
        previous = Some(token);
    }
    text
}

impl Token {
    /// Whether an operand can end here, so that a following `-` is binary.
    fn ends_operand(&self) -> bool {
        matches!(
            self,
            Self::Number(_)
                | Self::Text(_)
                | Self::Bool(_)
                | Self::Name(_)
                | Self::Close
                | Self::CloseList
        )
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(x) => x.fmt(f),
            Self::Text(text) if text.contains('\'') => write!(f, "\"{text}\""),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Bool(x) => x.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Not => f.write_str("not"),
            Self::In => f.write_str("in"),
            Self::Operator(operator) => operator.fmt(f),
            other => {
                let symbol = OPERATORS.iter().find(|(_, token)| token == other);
                f.write_str(symbol.map_or("", |(symbol, _)| symbol))
            }
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = OPERATORS.iter().find(|(_, token)| *token == Token::Operator(*self));
        f.write_str(match (self, symbol) {
            (Self::Or, _) => "or",
            (Self::And, _) => "and",
            (_, Some((symbol, _))) => symbol,
            (_, None) => "",
        })
    }
}
