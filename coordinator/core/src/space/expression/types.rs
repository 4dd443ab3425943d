//! The type checker of constraints: comparing a number with a text is an error in the file, not a
//! constraint that never holds.

use super::{Error, Expr, Node, Operator, UnknownName};
use crate::schema::field::names as quoted;
use crate::suggest;

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    Number,
    Text,
    Bool,
}

/// The type of a name and, for a text, its possible values.
#[derive(Debug, Clone)]
pub(crate) struct NameType {
    pub(crate) kind: ValueType,
    pub(crate) choices: Option<Vec<String>>,
}

impl ValueType {
    fn describe(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Bool => "true or false",
        }
    }
}

type Lookup<'a> = dyn Fn(&str) -> Result<NameType, Option<UnknownName>> + 'a;

/// Returns every type error of `root`, which must be boolean.
pub(super) fn check(root: &Expr, names: &[String], lookup: &Lookup<'_>) -> Vec<Error> {
    let mut checker = Checker { names, lookup, errors: Vec::new() };
    checker.expect(root, ValueType::Bool, "a constraint");
    checker.errors
}

struct Checker<'a> {
    names: &'a [String],
    lookup: &'a Lookup<'a>,
    errors: Vec<Error>,
}

impl Checker<'_> {
    /// Returns the type of an expression; none if it has an error, which has been reported.
    fn kind(&mut self, expr: &Expr) -> Option<NameType> {
        let plain = |kind| Some(NameType { kind, choices: None });
        match &expr.node {
            Node::Number(_) => plain(ValueType::Number),
            Node::Text(_) => plain(ValueType::Text),
            Node::Bool(_) => plain(ValueType::Bool),
            Node::Name(index) => self.name(expr, *index),
            Node::Not(inner) => {
                self.expect(inner, ValueType::Bool, "`not`");
                plain(ValueType::Bool)
            }
            Node::Negate(inner) => {
                self.expect(inner, ValueType::Number, "`-`");
                plain(ValueType::Number)
            }
            Node::Binary(left, operator, right) => plain(self.binary(left, *operator, right)),
            Node::In(item, list, _) => {
                let kind = self.kind(item);
                for other in list {
                    let other_kind = self.kind(other);
                    self.compare((item, kind.as_ref()), (other, other_kind.as_ref()));
                }
                plain(ValueType::Bool)
            }
        }
    }

    fn name(&mut self, expr: &Expr, index: usize) -> Option<NameType> {
        match (self.lookup)(self.names.get(index)?) {
            Ok(name) => Some(name),
            Err(unknown) => {
                let error = unknown.map(|UnknownName { message, help }| Error {
                    span: expr.span.clone(),
                    message,
                    help,
                });
                self.errors.extend(error);
                None
            }
        }
    }

    fn binary(&mut self, left: &Expr, operator: Operator, right: &Expr) -> ValueType {
        let (wanted, result) = match operator {
            Operator::Equal | Operator::NotEqual => {
                let (one, other) = (self.kind(left), self.kind(right));
                self.compare((left, one.as_ref()), (right, other.as_ref()));
                return ValueType::Bool;
            }
            Operator::Or | Operator::And => (ValueType::Bool, ValueType::Bool),
            Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => (ValueType::Number, ValueType::Bool),
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Remainder
            | Operator::Power => (ValueType::Number, ValueType::Number),
        };
        let user = format!("`{operator}`");
        self.expect(left, wanted, &user);
        self.expect(right, wanted, &user);
        result
    }

    fn expect(&mut self, expr: &Expr, wanted: ValueType, user: &str) {
        let Some(NameType { kind, .. }) = self.kind(expr) else { return };
        if kind != wanted {
            let message = format!("{user} needs {}, not {}", wanted.describe(), kind.describe());
            self.errors.push(Error::new(expr.span.clone(), message));
        }
    }

    fn compare(&mut self, left: (&Expr, Option<&NameType>), right: (&Expr, Option<&NameType>)) {
        let ((left, Some(one)), (right, Some(other))) = (left, right) else { return };
        if one.kind != other.kind {
            let (one, other) = (one.kind.describe(), other.kind.describe());
            let message = format!("{one} never equals {other}");
            self.errors.push(Error::new(right.span.clone(), message));
            return;
        }
        self.check_choice(one, right);
        self.check_choice(other, left);
    }

    /// Checks a text that is compared with a name against the possible values.
    fn check_choice(&mut self, name: &NameType, other: &Expr) {
        let (Some(choices), Node::Text(text)) = (&name.choices, &other.node) else { return };
        if choices.contains(text) {
            return;
        }
        let error = Error::new(other.span.clone(), format!("the value is never `{text}`"));
        let help = match suggest::nearest(&[], text, choices.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the values are {}", quoted(choices, "and")),
        };
        self.errors.push(error.with_help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Constraint;
    use super::*;

    fn mistakes(text: &str) -> Vec<(usize, String)> {
        let lookup = |name: &str| match name {
            "n" => Ok(NameType { kind: ValueType::Number, choices: None }),
            "flag" => Ok(NameType { kind: ValueType::Bool, choices: None }),
            "kind" => Ok(NameType {
                kind: ValueType::Text,
                choices: Some(vec!["small".to_owned(), "large".to_owned()]),
            }),
            "reported" => Err(None),
            other => Err(Some(UnknownName { message: format!("no `{other}`"), help: None })),
        };
        let errors = Constraint::parse(text).unwrap().check(&lookup);
        errors.into_iter().map(|error| (error.span.start, error.message)).collect()
    }

    #[test]
    fn every_mistake_of_an_expression_is_found_where_it_is() {
        let cases: [(&str, &[(usize, &str)]); 13] = [
            ("n < 3 and flag and kind == 'small'", &[]),
            ("reported < 3 or not reported", &[]),
            ("n + 1", &[(0, "a constraint needs true or false, not a number")]),
            ("kind", &[(0, "a constraint needs true or false, not a text")]),
            ("kind < 3", &[(0, "`<` needs a number, not a text")]),
            ("n == 'small'", &[(5, "a number never equals a text")]),
            ("flag in [true, 1]", &[(15, "true or false never equals a number")]),
            ("kind == 'rel'", &[(8, "the value is never `rel`")]),
            ("'x' != kind", &[(0, "the value is never `x`")]),
            ("kind in ['small', 'gru']", &[(18, "the value is never `gru`")]),
            ("m < n or m > 2", &[(0, "no `m`"), (9, "no `m`")]),
            (
                "not n and -flag < 1",
                &[
                    (4, "`not` needs true or false, not a number"),
                    (11, "`-` needs a number, not true or false"),
                ],
            ),
            ("n and true", &[(0, "`and` needs true or false, not a number")]),
        ];
        for (text, expected) in cases {
            let found = mistakes(text);
            let found: Vec<(usize, &str)> = found.iter().map(|(at, m)| (*at, m.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
