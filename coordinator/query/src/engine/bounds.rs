//! Bounds on the text, the syntax tree and the plan of a query.
//!
//! Planner and kernels recurse over their input, and a plan can be exponentially larger than its
//! text. So size and depth are measured first, and a query beyond a bound is refused with a message
//! about the query. The process of the query bounds the rest.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNodeRecursion, TreeNodeVisitor};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, TableFactor, Value, ValueWithSpan, Visit as _, Visitor,
};

use super::Error;
use super::exceeded_limit::ExceededLimit;
use crate::limits::{
    EXPANDED_TABLES, NESTING_DEPTH, OPERATORS, SELECTS, SQL_BYTES, TABLES, TYPE_DEPTH,
};

const LONG: ExceededLimit = ExceededLimit {
    limit: SQL_BYTES,
    what: "bytes of SQL",
    remedy: "join with a list of values in a file of your own, or ask several queries",
};

const DEEP: ExceededLimit = ExceededLimit {
    limit: NESTING_DEPTH,
    what: "levels of nested expressions and subqueries",
    remedy: "write a long chain of `OR` as `IN (...)` and a long sum as `sum(...)`, or ask several queries",
};

const MANY_TABLES: ExceededLimit = ExceededLimit {
    limit: TABLES,
    what: "tables, each mention counted",
    remedy: "ask several queries",
};

const MANY_EXPANDED: ExceededLimit = ExceededLimit {
    limit: EXPANDED_TABLES,
    what: "tables, with every use of a common table expression expanded",
    remedy: "use common table expressions that build on each other less often, or ask several queries",
};

const MANY_SELECTS: ExceededLimit = ExceededLimit {
    limit: SELECTS,
    what: "SELECTs",
    remedy: "write a union of constants as `VALUES (...), (...)`, or ask several queries",
};

const LARGE_PLAN: ExceededLimit = ExceededLimit {
    limit: OPERATORS,
    what: "operators, with every use of a common table expression expanded",
    remedy: "use common table expressions that build on each other less often, or ask several queries",
};

const DEEP_PLAN: ExceededLimit = ExceededLimit {
    limit: NESTING_DEPTH,
    what: "levels of operators",
    remedy: "nest fewer subqueries and common table expressions, or ask several queries",
};

const DEEP_TYPES: ExceededLimit = ExceededLimit {
    limit: TYPE_DEPTH,
    what: "levels of nested types in its answer",
    remedy: "select fields of structs and elements of lists",
};

/// Refuses SQL that is too long to parse.
pub fn check_text(sql: &str) -> Result<(), Error> {
    if sql.len() > SQL_BYTES { Err(Error::Excess(LONG)) } else { Ok(()) }
}

/// Refuses a statement that has parameters, or is too deep or too large to plan.
pub(super) fn check_statement(statement: &Statement) -> Result<(), Error> {
    let mut statement = statement;
    // The parser refuses `EXPLAIN EXPLAIN ...`.
    while let Statement::Explain(explained) = statement {
        statement = &explained.statement;
    }
    let Statement::Statement(statement) = statement else { return Ok(()) };
    if let ControlFlow::Break(error) = statement.visit(&mut StatementSize::default()) {
        return Err(*error);
    }
    let mut expansion = CteExpansion::default();
    let ControlFlow::Continue(()) = statement.visit(&mut expansion);
    if expansion.tables > EXPANDED_TABLES { Err(Error::Excess(MANY_EXPANDED)) } else { Ok(()) }
}

/// Counts the tables of a statement, with every use of a common table expression expanded, as the
/// planner does.
#[derive(Default)]
struct CteExpansion {
    tables: usize,
    /// The number of tables in each common table expression.
    known: BTreeMap<String, usize>,
}

impl Visitor for CteExpansion {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Infallible> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let known = std::mem::take(&mut self.known);
            let mut inner = Self { tables: 0, known };
            let ControlFlow::Continue(()) = table.query.visit(&mut inner);
            self.known = inner.known;
            self.known.insert(table.alias.name.value.to_lowercase(), inner.tables.max(1));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Infallible> {
        let name = name.to_string().to_lowercase();
        let tables = self.known.get(name.trim_matches('"')).copied().unwrap_or(1);
        self.tables = self.tables.saturating_add(tables);
        ControlFlow::Continue(())
    }
}

/// Counts on the way down, so that a break also bounds the recursion of the visit itself.
#[derive(Default)]
struct StatementSize {
    depth: usize,
    relations: usize,
    selects: usize,
}

type VisitFlow = ControlFlow<Box<Error>>;

impl StatementSize {
    fn descend(&mut self) -> VisitFlow {
        self.depth += 1;
        check(self.depth, DEEP)
    }

    fn ascend(&mut self) -> VisitFlow {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

fn check(count: usize, excess: ExceededLimit) -> VisitFlow {
    if count > excess.limit {
        ControlFlow::Break(Box::new(Error::Excess(excess)))
    } else {
        ControlFlow::Continue(())
    }
}

impl Visitor for StatementSize {
    type Break = Box<Error>;

    fn pre_visit_expr(&mut self, _: &Expr) -> VisitFlow {
        self.descend()
    }

    fn post_visit_expr(&mut self, _: &Expr) -> VisitFlow {
        self.ascend()
    }

    fn pre_visit_query(&mut self, _: &Query) -> VisitFlow {
        self.descend()
    }

    fn post_visit_query(&mut self, _: &Query) -> VisitFlow {
        self.ascend()
    }

    fn pre_visit_select(&mut self, _: &Select) -> VisitFlow {
        self.selects += 1;
        check(self.selects, MANY_SELECTS)
    }

    fn pre_visit_table_factor(&mut self, _: &TableFactor) -> VisitFlow {
        self.relations += 1;
        check(self.relations, MANY_TABLES)?;
        self.descend()
    }

    fn post_visit_table_factor(&mut self, _: &TableFactor) -> VisitFlow {
        self.ascend()
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> VisitFlow {
        match &value.value {
            Value::Placeholder(name) => {
                ControlFlow::Break(Box::new(Error::Placeholder(name.chars().take(40).collect())))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Refuses a plan that is too deep or too large to optimise.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<(), Error> {
    let mut size = PlanSize::default();
    plan.visit_with_subqueries(&mut size).map_err(|error| Error::invalid(&error))?;
    size.excess.map_or(Ok(()), |excess| Err(Error::Excess(excess)))
}

/// Refuses a result whose types are nested too deeply to encode.
pub(super) fn check_types<'t>(types: impl IntoIterator<Item = &'t DataType>) -> Result<(), Error> {
    let mut level: Vec<&DataType> = types.into_iter().collect();
    for _ in 0..=TYPE_DEPTH {
        level = level.into_iter().flat_map(inner).collect();
        if level.is_empty() {
            return Ok(());
        }
    }
    Err(Error::Excess(DEEP_TYPES))
}

/// The direct component types of a type.
fn inner(outer: &DataType) -> Vec<&DataType> {
    match outer {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _) => vec![field.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.data_type()).collect(),
        DataType::Dictionary(key, value) => vec![key, value],
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        _ => Vec::new(),
    }
}

#[derive(Default)]
struct PlanSize {
    depth: usize,
    operators: usize,
    excess: Option<ExceededLimit>,
}

impl<'n> TreeNodeVisitor<'n> for PlanSize {
    type Node = LogicalPlan;

    fn f_down(&mut self, _: &'n LogicalPlan) -> Result<TreeNodeRecursion, DataFusionError> {
        self.operators += 1;
        self.depth += 1;
        if self.depth > NESTING_DEPTH {
            self.excess = Some(DEEP_PLAN);
        } else if self.operators > OPERATORS {
            self.excess = Some(LARGE_PLAN);
        }
        Ok(match self.excess {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    }

    fn f_up(&mut self, _: &'n LogicalPlan) -> Result<TreeNodeRecursion, DataFusionError> {
        self.depth -= 1;
        Ok(TreeNodeRecursion::Continue)
    }
}
