//! Tests of the view `sweeps`: trials by outcome, and the reason of the end.

use rheo_core::id::SweepName;
use rheo_core::sweep::SweepEndReason;
use rheo_query::encode_trials;

use super::ask;
use crate::fixture::Fixture;
use crate::sample;

#[tokio::test]
async fn a_sweep_counts_its_trials_and_names_the_rule_that_ended_it() {
    let mut fixture = Fixture::new();
    for (sweep, statuses) in [
        ("demo", ["completed", "completed", "pruned"]),
        ("open", ["diverged", "failed", "cancelled"]),
    ] {
        for (trial, status) in (0..).zip(statuses) {
            let mut row = sample::trial(trial);
            status.clone_into(&mut row.status);
            fixture.commit(sweep, encode_trials(&[row]).unwrap());
        }
        fixture.flush();
    }
    let demo = SweepName::parse("demo").unwrap();
    fixture.end_reasons.insert(demo, SweepEndReason::StopWallTime);
    let sql = "SELECT sweep, end_reason, completed, pruned, diverged, failed, cancelled \
               FROM sweeps ORDER BY sweep";
    let expected = [
        ["demo", "stop_wall_time", "2", "1", "0", "0", "0"],
        ["open", "", "0", "0", "1", "1", "1"],
    ];
    assert_eq!(ask(&fixture, sql).await, expected);
    let times = ask(&fixture, "SELECT started <= ended, wall_s > 0 FROM sweeps").await;
    assert_eq!(times, [["true", "true"], ["true", "true"]]);
}
