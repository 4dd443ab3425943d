//! The error of a query that exceeds a limit.

/// A limit that a query exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the query has more than `{limit}` {what}, the most that is allowed: {remedy}")]
pub struct ExceededLimit {
    /// The limit.
    pub limit: usize,
    /// The counted items, in the plural.
    pub what: &'static str,
    /// The remedy.
    pub remedy: &'static str,
}

/// The parser's own recursion limit, 50 by default, which applies first to deep recursion.
pub(super) const NESTED: ExceededLimit = ExceededLimit {
    limit: 50,
    what: "levels of nested brackets and subqueries",
    remedy: "leave out brackets that are not needed, or ask several queries",
};
