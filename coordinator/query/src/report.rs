//! The two questions everybody asks, as SQL that can be pasted and changed.
//!
//! The text runs in `rheo query` and, over `read_parquet(...)`, in DuckDB.

use rheo_core::id::SweepName;
use rheo_core::metric::Goal;

/// The trials of a sweep, the best first; those without an objective or with NaN last.
pub fn leaderboard_sql(sweep: &SweepName, goal: Goal, limit: usize) -> String {
    format!(
        "SELECT trial, net, seed, objective, swept, status, wall_s\n\
         FROM trials\n\
         WHERE sweep = '{sweep}'\n\
         ORDER BY {order}\n\
         LIMIT {limit}",
        order = order("objective", goal, "trial"),
    )
}

/// The points of a sweep, the best mean over seeds first: one lucky seed does not win.
pub fn points_sql(sweep: &SweepName, goal: Goal, limit: usize) -> String {
    format!(
        "SELECT point, min(net) AS net, count(objective) AS seeds,\n\
         \x20 round(avg(objective), 6) AS mean, round(stddev(objective), 6) AS std,\n\
         \x20 min(objective) AS lowest, max(objective) AS highest, min(swept) AS swept\n\
         FROM trials\n\
         WHERE sweep = '{sweep}'\n\
         GROUP BY point\n\
         ORDER BY {order}\n\
         LIMIT {limit}",
        order = order("mean", goal, "point"),
    )
}

/// Mean accuracy over the trials of a sweep and the repetitions of noise, for each task, kind of
/// network and perturbation.
pub fn robustness_sql(sweep: &SweepName) -> String {
    format!(
        "SELECT task, net, perturbation, level, frequency, from_step,\n\
         \x20 round(avg(accuracy), 4) AS accuracy, round(stddev(accuracy), 4) AS std,\n\
         \x20 count(DISTINCT trial) AS trials\n\
         FROM evaluations\n\
         WHERE sweep = '{sweep}' AND split = 'test' AND shape_mode = 'own'\n\
         \x20 AND variant = 'corrected' AND condition IS NULL\n\
         GROUP BY task, net, perturbation, level, frequency, from_step\n\
         ORDER BY task, net, perturbation, level, frequency, from_step"
    )
}

/// NaN is larger than every number in SQL, but never better.
fn order(column: &str, goal: Goal, tie: &str) -> String {
    let direction = match goal {
        Goal::Minimize => "ASC",
        Goal::Maximize => "DESC",
    };
    format!("isnan({column}) NULLS LAST, {column} {direction} NULLS LAST, {tie}")
}
