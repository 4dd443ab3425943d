//! Constraints: boolean expressions over the parameters of a sweep.
//!
//! A constraint is stored as text, so that a journal stays readable. Texts that differ only in
//! spaces and quotes are stored as the same text. Parsing needs no space; names are resolved later.

mod lexer;
mod parser;
mod types;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub(crate) use types::{NameType, ValueType};

/// A condition that holds at every point of a space, such as `batch <= size`.
///
/// A constraint holds wherever a parameter in it does not exist or is null.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Constraint {
    text: String,
    names: Vec<String>,
    root: Expr,
}

impl Constraint {
    /// Parses a constraint. Names are dotted paths, and need not exist.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let tokens = lexer::tokens(text)?;
        let (root, names) = parser::parse(&tokens, text.len())?;
        Ok(Self { text: lexer::canonical(&tokens), names, root })
    }

    /// Returns the text with normalised spaces and quotes.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the names in it, each once.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns every type error of the expression. `lookup` returns the type of a name, or an
    /// error; no error if it was reported before.
    pub(crate) fn check(
        &self,
        lookup: &dyn Fn(&str) -> Result<NameType, Option<UnknownName>>,
    ) -> Vec<Error> {
        types::check(&self.root, &self.names, lookup)
    }

    /// Evaluates the constraint for the values of its names, in the order of [`Self::names`].
    pub(crate) fn holds(&self, values: &[Operand<'_>]) -> bool {
        matches!(self.root.value(values), Operand::Bool(true))
    }
}

impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl TryFrom<String> for Constraint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<Constraint> for String {
    fn from(constraint: Constraint) -> Self {
        constraint.text
    }
}

/// An error in the text of a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The position, in bytes of the text.
    pub span: Range<usize>,
    /// The message.
    pub message: String,
    /// The remedy.
    pub help: Option<String>,
}

impl Error {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

    fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The reason why a name is unknown, and the remedy.
pub(crate) struct UnknownName {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// A value in an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operand<'a> {
    Number(f64),
    Text(&'a str),
    Bool(bool),
}

#[derive(Debug, Clone)]
struct Expr {
    node: Node,
    span: Range<usize>,
}

#[derive(Debug, Clone)]
enum Node {
    Number(f64),
    Text(String),
    Bool(bool),
    /// An index into the names of the constraint.
    Name(usize),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary(Box<Expr>, Operator, Box<Expr>),
    /// A membership test, negated if the flag is set.
    In(Box<Expr>, Vec<Expr>, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    /// As in Python: the result has the sign of the divisor.
    Remainder,
    Power,
}

impl Expr {
    /// Evaluates a checked expression. After [`Constraint::check`] the types are right; an
    /// unchecked expression of wrong types is false.
    fn value<'a>(&'a self, values: &[Operand<'a>]) -> Operand<'a> {
        match &self.node {
            Node::Number(x) => Operand::Number(*x),
            Node::Text(text) => Operand::Text(text),
            Node::Bool(x) => Operand::Bool(*x),
            Node::Name(index) => values.get(*index).copied().unwrap_or(Operand::Bool(false)),
            Node::Not(inner) => Operand::Bool(inner.value(values) == Operand::Bool(false)),
            Node::Negate(inner) => match inner.value(values) {
                Operand::Number(x) => Operand::Number(-x),
                other => other,
            },
            Node::Binary(left, operator, right) => operator.apply(left, right, values),
            Node::In(item, list, negated) => {
                let item = item.value(values);
                let found = list.iter().any(|other| other.value(values) == item);
                Operand::Bool(found != *negated)
            }
        }
    }
}

impl Operator {
    fn apply<'a>(self, left: &'a Expr, right: &'a Expr, values: &[Operand<'a>]) -> Operand<'a> {
        let left = left.value(values);
        match (self, left) {
            (Self::Or, Operand::Bool(true)) => return Operand::Bool(true),
            (Self::And, Operand::Bool(false)) => return Operand::Bool(false),
            _ => {}
        }
        let right = right.value(values);
        match (self, left, right) {
            (Self::Or | Self::And, _, right) => right,
            (Self::Equal, left, right) => Operand::Bool(left == right),
            (Self::NotEqual, left, right) => Operand::Bool(left != right),
            (_, Operand::Number(a), Operand::Number(b)) => self.of_numbers(a, b),
            _ => Operand::Bool(false),
        }
    }

    fn of_numbers(self, a: f64, b: f64) -> Operand<'static> {
        match self {
            Self::Less => Operand::Bool(a < b),
            Self::LessOrEqual => Operand::Bool(a <= b),
            Self::Greater => Operand::Bool(a > b),
            Self::GreaterOrEqual => Operand::Bool(a >= b),
            Self::Add => Operand::Number(a + b),
            Self::Subtract => Operand::Number(a - b),
            Self::Multiply => Operand::Number(a * b),
            Self::Divide => Operand::Number(a / b),
            Self::Remainder => Operand::Number(a - b * (a / b).floor()),
            Self::Power => Operand::Number(a.powf(b)),
            Self::Or | Self::And | Self::Equal | Self::NotEqual => Operand::Bool(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, values: &[Operand<'_>]) -> bool {
        Constraint::parse(text).unwrap().holds(values)
    }

    #[test]
    fn precedence_and_arithmetic_are_those_of_python() {
        let true_ones = [
            "1 + 2 * 3 == 7",
            "(1 + 2) * 3 == 9",
            "-2 ** 2 == -4",
            "2 ** -1 == 0.5",
            "2 ** 3 ** 2 == 512",
            "10 - 2 - 3 == 5",
            "8 / 4 / 2 == 1",
            "-7 % 3 == 2",
            "7 % -3 == -2",
            "7.5 % 2 == 1.5",
            "not 1 == 2",
            "not true or true",
            "true or true and false",
            "1 < 2 and 2 <= 2 and 3 > 2 and 2 >= 2 and 1 != 2",
            "'a' == \"a\"",
            "3 in [1, 2, 1 + 2]",
            "'x' not in ['y', 'z']",
            "not 'x' in ['y']",
            "(1 < 2) == true",
            "1e-3 == 0.001",
            "1_000 == 1e3",
        ];
        for text in true_ones {
            assert!(holds(text, &[]), "{text}");
            let opposite = format!("not ({text})");
            assert!(!holds(&opposite, &[]), "{opposite}");
        }
    }

    #[test]
    fn nothing_is_true_of_what_is_not_a_number() {
        for text in ["0 / 0 < 1", "0 / 0 >= 1", "0 / 0 == 0 / 0", "(0 - 8) ** 0.5 > 0"] {
            assert!(!holds(text, &[]), "{text}");
        }
    }

    #[test]
    fn names_stand_for_values_in_the_order_of_their_first_mention() {
        let constraint = Constraint::parse("a.b * 2 <= c and a.b in [1, 2]").unwrap();
        assert_eq!(constraint.names(), ["a.b", "c"]);
        assert!(constraint.holds(&[Operand::Number(2.0), Operand::Number(4.0)]));
        assert!(!constraint.holds(&[Operand::Number(2.0), Operand::Number(3.0)]));
    }

    #[test]
    fn the_text_does_not_depend_on_spaces_and_quotes() {
        let cases = [
            ("a<b", "a < b"),
            ("a  <=  b and(c  in [1,2,'x'])", "a <= b and (c in [1, 2, 'x'])"),
            ("a == \"it's\"", "a == \"it's\""),
            ("x>-1e-3", "x > -0.001"),
            ("a- -b**-2 < 1", "a - -b ** -2 < 1"),
            ("not(True)", "not (true)"),
        ];
        for (text, canonical) in cases {
            let constraint = Constraint::parse(text).unwrap();
            assert_eq!(constraint.as_str(), canonical);
            assert_eq!(Constraint::parse(canonical).unwrap(), constraint);
        }
    }

    #[test]
    fn a_constraint_is_journaled_as_its_text() {
        let constraint = Constraint::parse("a < 2 * b").unwrap();
        let json = serde_json::to_string(&constraint).unwrap();
        assert_eq!(json, "\"a < 2 * b\"");
        assert_eq!(serde_json::from_str::<Constraint>(&json).unwrap(), constraint);
        assert!(serde_json::from_str::<Constraint>("\"a <\"").is_err());
    }
}
