//! The parser of constraints: recursive descent with the precedence of Python.
//!
//! Nesting is bounded, so that no constraint can exhaust the stack.

use std::ops::Range;

use super::lexer::{SpannedToken, Token};
use super::{Error, Expr, Node, Operator};

/// The deepest nesting of parentheses, `not` and `-`.
const MAX_DEPTH: usize = 32;
/// The largest number of tokens: a chain of operators is a tree as deep as it is long.
const MAX_TOKENS: usize = 1000;

/// Parses a constraint of `length` bytes; returns the expression and the names in it.
pub(super) fn parse(tokens: &[SpannedToken], length: usize) -> Result<(Expr, Vec<String>), Error> {
    if let Some(first) = tokens.get(MAX_TOKENS) {
        return Err(Error::new(first.span.start..length, "this constraint is too long")
            .with_help("split it into several constraints"));
    }
    let mut parser = Parser { tokens, at: 0, end: length, depth: 0, names: Vec::new() };
    let root = parser.or()?;
    match parser.peek() {
        None => Ok((root, parser.names)),
        Some(_) => Err(parser.unexpected("the end of the constraint")),
    }
}

struct Parser<'a> {
    tokens: &'a [SpannedToken],
    at: usize,
    /// The length of the text, where a missing token would be.
    end: usize,
    depth: usize,
    names: Vec<String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|spanned| &spanned.token)
    }

    fn span(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.end..self.end, |spanned| spanned.span.clone())
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Takes the next token, if it is one of these operators.
    fn operator(&mut self, among: &[Operator]) -> Option<Operator> {
        match self.peek() {
            Some(Token::Operator(operator)) if among.contains(operator) => {
                let operator = *operator;
                self.at += 1;
                Some(operator)
            }
            _ => None,
        }
    }

    fn unexpected(&self, wanted: &str) -> Error {
        match self.peek() {
            Some(token) => Error::new(self.span(), format!("expected {wanted}, found `{token}`")),
            None => Error::new(self.span(), format!("expected {wanted}, but the text ends here")),
        }
    }

    /// Parses a left-associative chain of operators of one precedence.
    fn chain(
        &mut self,
        operators: &[Operator],
        operand: fn(&mut Self) -> Result<Expr, Error>,
    ) -> Result<Expr, Error> {
        let mut left = operand(self)?;
        while let Some(operator) = self.operator(operators) {
            left = binary(left, operator, operand(self)?);
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Expr, Error> {
        self.chain(&[Operator::Or], Self::and)
    }

    fn and(&mut self) -> Result<Expr, Error> {
        self.chain(&[Operator::And], Self::not)
    }

    fn not(&mut self) -> Result<Expr, Error> {
        let start = self.span().start;
        if !self.take(&Token::Not) {
            return self.comparison();
        }
        let inner = self.nested(Self::not)?;
        let span = start..inner.span.end;
        Ok(Expr { node: Node::Not(Box::new(inner)), span })
    }

    fn comparison(&mut self) -> Result<Expr, Error> {
        const COMPARISONS: [Operator; 6] = [
            Operator::Equal,
            Operator::NotEqual,
            Operator::Less,
            Operator::LessOrEqual,
            Operator::Greater,
            Operator::GreaterOrEqual,
        ];
        let left = self.sum()?;
        if matches!(self.peek(), Some(Token::In | Token::Not)) {
            return self.membership(left);
        }
        let Some(operator) = self.operator(&COMPARISONS) else { return Ok(left) };
        let comparison = binary(left, operator, self.sum()?);
        let span = self.span();
        match self.operator(&COMPARISONS) {
            None => Ok(comparison),
            Some(_) => Err(Error::new(span, "comparisons cannot be chained")
                .with_help("write `a < b and b < c`")),
        }
    }

    fn membership(&mut self, item: Expr) -> Result<Expr, Error> {
        let negated = self.take(&Token::Not);
        if !self.take(&Token::In) {
            return Err(self.unexpected("`in`"));
        }
        if !self.take(&Token::OpenList) {
            return Err(self.unexpected("a list such as `[1, 2]`"));
        }
        let mut list = vec![self.sum()?];
        while self.take(&Token::Comma) {
            list.push(self.sum()?);
        }
        let span = item.span.start..self.span().end;
        if !self.take(&Token::CloseList) {
            return Err(self.unexpected("`]`"));
        }
        Ok(Expr { node: Node::In(Box::new(item), list, negated), span })
    }

    fn sum(&mut self) -> Result<Expr, Error> {
        self.chain(&[Operator::Add, Operator::Subtract], Self::product)
    }

    fn product(&mut self) -> Result<Expr, Error> {
        self.chain(&[Operator::Multiply, Operator::Divide, Operator::Remainder], Self::sign)
    }

    fn sign(&mut self) -> Result<Expr, Error> {
        let start = self.span().start;
        if self.operator(&[Operator::Subtract]).is_none() {
            return self.power();
        }
        let inner = self.nested(Self::sign)?;
        let span = start..inner.span.end;
        Ok(Expr { node: Node::Negate(Box::new(inner)), span })
    }

    fn power(&mut self) -> Result<Expr, Error> {
        let base = self.atom()?;
        match self.operator(&[Operator::Power]) {
            None => Ok(base),
            Some(operator) => Ok(binary(base, operator, self.nested(Self::sign)?)),
        }
    }

    fn atom(&mut self) -> Result<Expr, Error> {
        let span = self.span();
        let node = match self.peek().cloned() {
            Some(Token::Number(x)) => Node::Number(x),
            Some(Token::Text(text)) => Node::Text(text),
            Some(Token::Bool(x)) => Node::Bool(x),
            Some(Token::Name(name)) => Node::Name(self.index_of(name)),
            Some(Token::Open) => return self.parenthesis(),
            _ => return Err(self.unexpected("a name or a value")),
        };
        self.at += 1;
        Ok(Expr { node, span })
    }

    fn index_of(&mut self, name: String) -> usize {
        let known = self.names.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        })
    }

    fn parenthesis(&mut self) -> Result<Expr, Error> {
        let start = self.span().start;
        self.at += 1;
        let mut inner = self.nested(Self::or)?;
        inner.span = start..self.span().end;
        if self.take(&Token::Close) { Ok(inner) } else { Err(self.unexpected("`)`")) }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Expr, Error>) -> Result<Expr, Error> {
        if self.depth == MAX_DEPTH {
            return Err(Error::new(self.span(), "this constraint nests too deeply")
                .with_help("split it into several constraints"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }
}

fn binary(left: Expr, operator: Operator, right: Expr) -> Expr {
    let span = left.span.start..right.span.end;
    Expr { node: Node::Binary(Box::new(left), operator, Box::new(right)), span }
}

#[cfg(test)]
mod tests {
    use super::super::Constraint;

    #[test]
    fn mistakes_point_at_the_token_and_say_what_to_write() {
        let cases = [
            ("", 0, "expected a name or a value, but the text ends here", None),
            ("a <", 3, "expected a name or a value, but the text ends here", None),
            ("a < < b", 4, "expected a name or a value, found `<`", None),
            ("a b", 2, "expected the end of the constraint, found `b`", None),
            ("(a < b", 6, "expected `)`, but the text ends here", None),
            ("a in b", 5, "expected a list such as `[1, 2]`, found `b`", None),
            ("a in [1, 2", 10, "expected `]`, but the text ends here", None),
            ("a not b", 6, "expected `in`, found `b`", None),
            ("1 < a < 2", 6, "comparisons cannot be chained", Some("write `a < b and b < c`")),
            ("a = 1", 2, "unknown operator `=`", Some("write `==`")),
            ("a && b", 2, "unknown operator `&&`", Some("write `and`")),
            ("a || b", 2, "unknown operator `||`", Some("write `or`")),
            ("!a", 0, "unknown operator `!`", Some("write `not`")),
            ("a ^ 2 < 1", 2, "unknown operator `^`", Some("write `**`")),
            (
                "a // 2 < 1",
                2,
                "unknown operator `//`",
                Some("there is no whole-number division: write `/` or `%`"),
            ),
            ("a < 1x", 4, "not a number: `1x`", None),
            ("a == 'x", 5, "this text has no closing '", None),
            ("a < µ", 4, "unknown operator `µ`", None),
        ];
        for (text, at, message, help) in cases {
            let error = Constraint::parse(text).unwrap_err();
            let found = (error.span.start, error.message.as_str(), error.help.as_deref());
            assert_eq!(found, (at, message, help), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_instead_of_exhausting_the_stack() {
        for (open, close) in [("(", ")"), ("not ", ""), ("-", ""), ("2 ** ", "")] {
            let text = format!("{}1{} < 2", open.repeat(100), close.repeat(100));
            let error = Constraint::parse(&text).unwrap_err();
            assert_eq!(error.message, "this constraint nests too deeply", "{open}");
        }
        let long = format!("a < {}1", "1 + ".repeat(10_000));
        assert_eq!(Constraint::parse(&long).unwrap_err().message, "this constraint is too long");
    }
}
