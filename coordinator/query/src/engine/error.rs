//! Errors of queries, worded for the person who typed the query.

use datafusion::common::{SchemaError, TableReference};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use rheo_core::excerpt::excerpt;
use rheo_model::row::Table;

use super::exceeded_limit::{ExceededLimit, NESTED};
use super::importance::CallError;
use super::{VIEWS, checked};
use crate::dataset::DamagedPart;

/// The most names that an error lists.
const LISTED: usize = 60;

/// An error of a query.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement would change something.
    #[error("only queries are possible: SELECT, WITH, SHOW, DESCRIBE or EXPLAIN")]
    NotAQuery,
    /// The query exceeds a limit on its size.
    #[error(transparent)]
    Excess(ExceededLimit),
    /// The query has a parameter.
    #[error("`{0}` is a parameter, and queries have none: write the value in its place")]
    Placeholder(String),
    /// There is no such table.
    #[error("no table `{name}`{}; there are {}", hint(nearest.as_deref()), list(tables))]
    UnknownTable {
        /// The name in the query.
        name: String,
        /// The most similar table name.
        nearest: Option<String>,
        /// The existing tables.
        tables: Vec<String>,
    },
    /// There is no such column.
    #[error("no column `{name}`{}; there are {}", hint(nearest.as_deref()), list(columns))]
    UnknownColumn {
        /// The name in the query.
        name: String,
        /// The most similar column name.
        nearest: Option<String>,
        /// The existing columns.
        columns: Vec<String>,
    },
    /// A function was called with a wrong argument.
    #[error("{0}")]
    Argument(String),
    /// The query is invalid for another reason.
    #[error("not a valid query: {0}")]
    Invalid(String),
    /// A part of the results is missing or damaged.
    #[error(transparent)]
    Damaged(Box<DamagedPart>),
    /// The query exceeds its limit of memory or temporary space.
    #[error("the query needs more memory than it may have")]
    Exhausted(#[source] DataFusionError),
    /// The query failed while running.
    #[error("the query failed")]
    Failed(#[source] DataFusionError),
}

impl Error {
    /// Whether the query is at fault, not its execution.
    pub fn is_invalid(&self) -> bool {
        !matches!(self, Self::Damaged(_) | Self::Exhausted(_) | Self::Failed(_))
    }

    pub(super) fn invalid(error: &DataFusionError) -> Self {
        if let DataFusionError::SchemaError(schema, _) = error.find_root()
            && let SchemaError::FieldNotFound { field, valid_fields } = schema.as_ref()
        {
            let mut columns: Vec<String> =
                valid_fields.iter().map(|column| column.name.clone()).collect();
            columns.dedup();
            return Self::UnknownColumn {
                nearest: nearest(&field.name, &columns),
                name: excerpt(&field.flat_name()),
                columns,
            };
        }
        if let DataFusionError::SQL(parser, _) = error.find_root()
            && matches!(parser.as_ref(), ParserError::RecursionLimitExceeded)
        {
            return Self::Excess(NESTED);
        }
        Self::Invalid(match error.find_root() {
            DataFusionError::SQL(parser, _) => {
                parser.to_string().trim_start_matches("sql parser error: ").to_owned()
            }
            root => root.message().into_owned(),
        })
    }

    /// An error of planning a statement that mentions `tables`.
    pub(super) fn from_planning(error: &DataFusionError, tables: &[TableReference]) -> Self {
        if let DataFusionError::External(cause) = error.find_root()
            && let Some(cause) = cause.downcast_ref::<CallError>()
        {
            return Self::Argument(cause.to_string());
        }
        let message = error.find_root().message().into_owned();
        // The planner's message adds the catalogue, which the query did not name.
        let unknown = tables.iter().find(|table| {
            message.starts_with("table '")
                && message.ends_with(&format!(".{}' not found", table.table()))
                && Table::parse(table.table()).is_none()
        });
        let Some(unknown) = unknown else {
            return Self::invalid(error);
        };
        let mut tables: Vec<String> = Table::ALL.map(|table| table.name().to_owned()).into();
        tables.extend(VIEWS.map(|view| view.name.to_owned()));
        Self::UnknownTable {
            nearest: nearest(unknown.table(), &tables),
            name: excerpt(&unknown.to_string()),
            tables,
        }
    }

    /// An error of optimising or executing a plan.
    pub(super) fn running(error: DataFusionError) -> Self {
        if let Some(damaged) = checked::find_damaged_part(&error) {
            return Self::Damaged(Box::new(damaged));
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Exhausted(error),
            // A spill beyond its quota is reported as an I/O error.
            DataFusionError::ArrowError(cause, _)
                if cause.to_string().contains("max_temp_directory_size") =>
            {
                Self::Exhausted(error)
            }
            DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => Self::invalid(&error),
            _ => Self::Failed(error),
        }
    }
}

fn nearest(name: &str, candidates: &[String]) -> Option<String> {
    let name = name.to_lowercase();
    let similarity = |candidate: &&String| strsim::jaro_winkler(&name, candidate);
    let best = candidates.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(&best) > 0.7).then(|| best.clone())
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(" (did you mean `{nearest}`?)")).unwrap_or_default()
}

fn list(names: &[String]) -> String {
    let mut shown: Vec<String> =
        names.iter().take(LISTED).map(|name| format!("`{}`", excerpt(name))).collect();
    if names.len() > LISTED {
        shown.push(format!("{} more", names.len() - LISTED));
    }
    shown.join(", ")
}
