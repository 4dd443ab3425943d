//! SQL of common reports, for users to paste and change.

use rheo_core::id::SweepName;

/// SQL for the points of a sweep, best first; the column `points` counts all of them. DataFusion 55
/// may push a LIMIT below that count, so the rank is compared instead.
pub fn leaderboard_sql(sweep: &SweepName, limit: usize) -> String {
    format!(
        "SELECT * FROM (\n\
         \x20 SELECT rank, point, first_trial, outcome, seeds, completed, value, mean, sd,\n\
         \x20   lowest, highest, wall_s, swept, count(*) OVER () AS points\n\
         \x20 FROM points\n\
         \x20 WHERE sweep = '{sweep}'\n\
         )\n\
         WHERE rank <= {limit}\n\
         ORDER BY rank"
    )
}

/// SQL for the mean test accuracy under each perturbation, over the completed seeds of the best point
/// of each task and kind of network. Repetitions of noise are averaged first. A mean over several
/// points would mix networks that were trained differently.
pub fn robustness_sql(sweep: &SweepName) -> String {
    format!(
        "WITH placed AS (\n\
         \x20 SELECT point, row_number() OVER (PARTITION BY task, net ORDER BY rank) AS place\n\
         \x20 FROM points WHERE sweep = '{sweep}'\n\
         ), seeds AS (\n\
         \x20 SELECT e.task, e.net, t.point, e.trial, e.perturbation, e.level, e.frequency,\n\
         \x20   e.from_step, avg(e.accuracy) AS accuracy\n\
         \x20 FROM evaluations e JOIN trials t ON t.sweep = e.sweep AND t.trial = e.trial\n\
         \x20   JOIN placed p ON p.point = t.point\n\
         \x20 WHERE e.sweep = '{sweep}' AND p.place = 1 AND t.status = 'completed'\n\
         \x20   AND e.split = 'test' AND e.shape_mode = 'own' AND e.variant = 'corrected'\n\
         \x20   AND e.condition IS NULL\n\
         \x20 GROUP BY e.task, e.net, t.point, e.trial, e.perturbation, e.level, e.frequency,\n\
         \x20   e.from_step\n\
         )\n\
         SELECT task, net, point, perturbation, level, frequency, from_step,\n\
         \x20 round(avg(accuracy), 4) AS accuracy, round(stddev(accuracy), 4) AS sd,\n\
         \x20 count(*) AS seeds\n\
         FROM seeds\n\
         GROUP BY task, net, point, perturbation, level, frequency, from_step\n\
         ORDER BY task, net, point, perturbation, level, frequency, from_step"
    )
}

/// SQL that compares the points of a sweep.
pub fn points_sql(sweep: &SweepName) -> String {
    format!(
        "select rank, net, swept, outcome, completed, seeds, value, sd from points where sweep = '{sweep}' order by rank"
    )
}

/// SQL for the learning curve of each point of a sweep, mean over its seeds.
pub fn curves_sql(sweep: &SweepName) -> String {
    format!(
        "select t.point, e.net, e.epoch, avg(e.val_loss) as val_loss, count(*) as seeds from epochs e join trials t on t.sweep = e.sweep and t.trial = e.trial where e.sweep = '{sweep}' group by t.point, e.net, e.epoch order by t.point, e.net, e.epoch"
    )
}
