//! Limits of queries.
//!
//! The author of a query may be careless or hostile, so every resource of a query is bounded. The
//! first limits refuse a query before planning, with a message about the query. The others bound
//! the run: each query has its own process, so that it cannot take memory, stack or processor time
//! from the coordinator, whatever planner and kernels do.
//!
//! | limit | value | setting | when exceeded |
//! |---|---|---|---|
//! | bytes of SQL | [`SQL_BYTES`] | | refused unread |
//! | nested expressions and subqueries | [`NESTING_DEPTH`] | | refused before planning |
//! | named tables | [`TABLES`] | | refused before planning |
//! | tables, all CTEs expanded | [`EXPANDED_TABLES`] | | refused before planning |
//! | SELECTs, in unions too | [`SELECTS`] | | refused before planning |
//! | parameters (`$1`) | 0 | | refused before planning |
//! | operators of the plan, all CTEs expanded | [`OPERATORS`] | | refused before optimising |
//! | levels of the plan | [`NESTING_DEPTH`] | | refused before optimising |
//! | levels of nested types in the result | [`TYPE_DEPTH`] | | refused before optimising |
//! | memory of a query | [`Limits::memory`] | `RHEO_QUERY_MEMORY` | spills, then ends |
//! | temporary files of a query | [`Limits::disk`] | | ends |
//! | seconds of computing | [`Limits::time`] | `RHEO_QUERY_TIME` | ends |
//! | queries at once | [`Limits::running`] | `RHEO_QUERIES` | waits |
//! | waiting queries | [`WAITING_QUERIES`] | | refused |
//! | time until the client reads the next chunk, while another query waits | [`STALL_TIMEOUT`] | | ends |
//! | time from the first to the last chunk | [`TOTAL_TIMEOUT`] | | ends |
//! | stack of each thread | [`THREAD_STACK`], [`PLANNER_STACK`] | | ends |
//! | characters of an error | [`ERROR_LENGTH`] | | cut |

use std::time::Duration;

/// The longest SQL text, in bytes.
pub const SQL_BYTES: usize = 256 << 10;

/// The most levels of nested expressions and subqueries in a statement, and of operators in a plan.
/// A test runs a query of this depth on the stacks below, in a build without optimisation.
pub const NESTING_DEPTH: usize = 300;

/// The most levels of nested types in a result. Readers of Arrow streams fail at twice as many.
pub const TYPE_DEPTH: usize = 32;

/// The most tables that a query may name.
pub const TABLES: usize = 200;

/// The most tables of a query with every use of a common table expression expanded.
pub const EXPANDED_TABLES: usize = 1_000;

/// The most SELECTs of a query, including unions and subqueries.
pub const SELECTS: usize = 500;

/// The most operators of a plan, with every use of a common table expression expanded.
pub const OPERATORS: usize = 5_000;

/// The most queries that may wait for others to end.
pub const WAITING_QUERIES: usize = 32;

/// The longest time for which a client may read no rows while another query waits. A pager may read
/// none for long.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest total time of a query, including slow clients.
pub const TOTAL_TIMEOUT: Duration = Duration::from_hours(1);

/// The stack of each thread of a query, in bytes: reserved, not used.
pub const THREAD_STACK: usize = 32 << 20;

/// The stack of the thread that parses and plans, in bytes. The parser runs before the depth is
/// known, so this stack suffices for the deepest tree of [`SQL_BYTES`] bytes.
pub const PLANNER_STACK: usize = 512 << 20;

/// The longest error about a query, in characters.
pub const ERROR_LENGTH: usize = 2_000;

/// The limits of a running query, and the number of running queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory, in bytes. Half of it is for intermediate results, which spill to temporary files
    /// beyond that.
    pub memory: usize,
    /// Temporary files, in bytes.
    pub disk: u64,
    /// The number of threads.
    pub threads: usize,
    /// Computing time. Waiting for a slow client does not count.
    pub time: Duration,
    /// The number of queries that run at once.
    pub running: usize,
}

impl Limits {
    /// The default memory of a query on a machine with enough memory, in bytes.
    pub const MEMORY: usize = 1 << 30;

    /// The least memory of a query, in bytes.
    pub const LEAST_MEMORY: usize = 128 << 20;

    /// The default time of a query.
    pub const TIME: Duration = Duration::from_mins(1);

    /// The default number of queries at once.
    pub const RUNNING: usize = 4;

    /// The pool for intermediate results, in bytes.
    pub fn pool(self) -> usize {
        self.memory / 2
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // All queries together take half of the machine's memory.
            memory: (memory_here() / (2 * Self::RUNNING)).clamp(Self::LEAST_MEMORY, Self::MEMORY),
            disk: 4 << 30,
            // More threads help one query but starve the others.
            threads: std::thread::available_parallelism().map_or(1, usize::from).min(8),
            time: Self::TIME,
            running: Self::RUNNING,
        }
    }
}

/// The memory of this machine or of this container, in bytes.
fn memory_here() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = read("/proc/meminfo");
    let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.and_then(|total| total.split_whitespace().next()?.parse::<usize>().ok());
    let container = read("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(usize::MAX);
    total.map_or(usize::MAX, |kilobytes| kilobytes << 10).min(container)
}
