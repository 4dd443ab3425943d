//! A bound that a query exceeds.

/// A bound that a query exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the query has more than `{limit}` {what}, the most that is allowed: {remedy}")]
pub struct ExceededLimit {
    /// The limit.
    pub limit: usize,
    /// The thing that is counted, in the plural.
    pub what: &'static str,
    /// The remedy.
    pub remedy: &'static str,
}

/// The parser's own bound, which comes first where its recursion is deep: 50 by its default.
pub(super) const NESTED: ExceededLimit = ExceededLimit {
    limit: 50,
    what: "levels of nested brackets and subqueries",
    remedy: "leave out brackets that are not needed, or ask several queries",
};
