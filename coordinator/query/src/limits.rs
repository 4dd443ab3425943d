//! The limits of queries, all in one table.
//!
//! A query is text from somebody who may be careless or hostile, so nothing about it is unbounded.
//! The first limits refuse a query before it is planned, with words about the query. The others
//! bound what runs: they are kept by the process that each query has to itself, so that no query
//! can take memory, a stack or processor time from the coordinator, whatever planner and kernels do
//! with it.
//!
//! | limit | value | setting | when it is exceeded |
//! |---|---|---|---|
//! | bytes of SQL | [`SQL_BYTES`] | | refused unread |
//! | nested expressions and subqueries | [`NESTING_DEPTH`] | | refused before planning |
//! | tables that are named | [`TABLES`] | | refused before planning |
//! | tables, all CTEs expanded | [`EXPANDED_TABLES`] | | refused before planning |
//! | SELECTs, in unions too | [`SELECTS`] | | refused before planning |
//! | parameters (`$1`) | 0 | | refused before planning |
//! | operators of the plan, all CTEs expanded | [`OPERATORS`] | | refused before optimising |
//! | levels of the plan | [`NESTING_DEPTH`] | | refused before optimising |
//! | levels of nested types in an answer | [`TYPE_DEPTH`] | | refused before optimising |
//! | memory of a query | [`Limits::memory`] | `RHEO_QUERY_MEMORY` | spills, then ends |
//! | temporary files of a query | [`Limits::disk`] | | ends |
//! | seconds of computing | [`Limits::time`] | `RHEO_QUERY_TIME` | ends |
//! | queries at once | [`Limits::running`] | `RHEO_QUERIES` | waits |
//! | queries that wait | [`WAITING_QUERIES`] | | refused |
//! | time until a client takes the next piece, if another waits | [`STALL_TIMEOUT`] | | ends |
//! | time from the first to the last piece | [`TOTAL_TIMEOUT`] | | ends |
//! | stack of each thread | [`THREAD_STACK`], [`PLANNER_STACK`] | | ends |
//! | characters of an error | [`ERROR_LENGTH`] | | cut |

use std::time::Duration;

/// Bytes of SQL.
pub const SQL_BYTES: usize = 256 << 10;

/// Levels of nested expressions and subqueries in a statement, and of operators in a plan. A test
/// runs a query of this depth on the stacks below, in a build without optimisation.
pub const NESTING_DEPTH: usize = 300;

/// Levels of nested types in an answer. Readers of Arrow streams give up at twice as many.
pub const TYPE_DEPTH: usize = 32;

/// Tables that a query may name.
pub const TABLES: usize = 200;

/// Tables that a query may name if every use of a common table expression counts as all that it
/// names.
pub const EXPANDED_TABLES: usize = 1_000;

/// SELECTs of a query, those of unions and subqueries included.
pub const SELECTS: usize = 500;

/// Operators of a plan in which every use of a common table expression is expanded.
pub const OPERATORS: usize = 5_000;

/// Queries that may wait until others have ended.
pub const WAITING_QUERIES: usize = 32;

/// The time for which a client may leave rows untaken while another query waits. A pager does so
/// for long.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The time that a query may take with everything, slow clients included.
pub const TOTAL_TIMEOUT: Duration = Duration::from_hours(1);

/// Bytes of stack of every thread of a query. Reserved, not used.
pub const THREAD_STACK: usize = 32 << 20;

/// Bytes of stack of the thread that parses and plans. Parsing comes before the depth is known, so
/// this carries the deepest tree that [`SQL_BYTES`] bytes can make.
pub const PLANNER_STACK: usize = 512 << 20;

/// Characters of an error about a query.
pub const ERROR_LENGTH: usize = 2_000;

/// The limits of one query while it runs, and the number of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory. Half of them are for intermediate results, which go to temporary files
    /// beyond that.
    pub memory: usize,
    /// Bytes of temporary files.
    pub disk: u64,
    /// Threads.
    pub threads: usize,
    /// Time that may be spent on computing; waiting for a slow client does not count.
    pub time: Duration,
    /// Queries that run at once.
    pub running: usize,
}

impl Limits {
    /// The default memory of a query, where there is enough.
    pub const MEMORY: usize = 1 << 30;

    /// The least memory of a query.
    pub const LEAST_MEMORY: usize = 128 << 20;

    /// The default time of a query.
    pub const TIME: Duration = Duration::from_mins(1);

    /// The default number of queries at once.
    pub const RUNNING: usize = 4;

    /// Bytes of the pool for intermediate results.
    pub fn pool(self) -> usize {
        self.memory / 2
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // All queries together take half of what there is.
            memory: (memory_here() / (2 * Self::RUNNING)).clamp(Self::LEAST_MEMORY, Self::MEMORY),
            disk: 4 << 30,
            // More of them help one query and starve the others.
            threads: std::thread::available_parallelism().map_or(1, usize::from).min(8),
            time: Self::TIME,
            running: Self::RUNNING,
        }
    }
}

/// Bytes of memory of this machine, or of the container that this process is in.
fn memory_here() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = read("/proc/meminfo");
    let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.and_then(|total| total.split_whitespace().next()?.parse::<usize>().ok());
    let container = read("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(usize::MAX);
    total.map_or(usize::MAX, |kilobytes| kilobytes << 10).min(container)
}
