//! Views: tables computed on demand from rows of many trials, which no single worker has.
//!
//! One file per view holds its SQL and its columns. A test checks the columns against the SQL, and
//! docs/results.md is generated from them. A view is planned only for a query that names it.

mod comparisons;
mod points;
mod pooled_gain_fits;
mod recipe;
mod robustness;
mod sweeps;

use datafusion::error::Result;
use datafusion::prelude::SessionContext;

use super::QuerySnapshot;
use crate::tables::Column;

/// A view that queries can name like a table.
#[derive(Debug, Clone, Copy)]
pub struct SqlView {
    /// The name in SQL.
    pub name: &'static str,
    /// The meaning of a row, as a sentence.
    pub about: &'static str,
    /// All columns.
    pub columns: &'static [Column],
    /// The SQL that computes the view.
    sql: &'static str,
}

/// Every view.
pub const VIEWS: [SqlView; 5] =
    [points::VIEW, sweeps::VIEW, robustness::VIEW, pooled_gain_fits::VIEW, comparisons::VIEW];

/// Registers the `wanted` views in `context`, which already has the tables.
pub(super) async fn register(
    context: &SessionContext,
    snapshot: &QuerySnapshot,
    wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    let views: Vec<SqlView> = VIEWS.into_iter().filter(|view| wanted(view.name)).collect();
    if views.is_empty() {
        return Ok(());
    }
    let [recipe, network_of] = recipe::functions();
    let standing = points::function(&snapshot.ranking_rules);
    let end_reason = sweeps::function(&snapshot.end_reasons);
    let [fit, student] = [pooled_gain_fits::function(), comparisons::function()];
    for function in [recipe, network_of, standing, end_reason, fit, student] {
        context.register_udf(function);
    }
    for view in views {
        let plan = context.sql(view.sql).await?.into_view();
        context.register_table(view.name, plan)?;
    }
    Ok(())
}
