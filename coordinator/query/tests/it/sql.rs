//! Tests of SQL queries: visible rows, refused statements, and errors.

use rheo_core::id::{SweepName, TrialId};
use rheo_core::part::Retraction;
use rheo_model::row::Table;
use rheo_query::{Limits, QueryEngine, encode_trials, report};

use crate::fixture::{Fixture, csv, everything};
use crate::sample;

fn demo() -> SweepName {
    SweepName::parse("demo").unwrap()
}

/// Three sweeps: one partly in parts, one entirely, one not at all.
fn half_flushed() -> Fixture {
    let mut fixture = Fixture::new();
    (0..4).for_each(|trial| fixture.run("demo", trial));
    (0..2).for_each(|trial| fixture.run("other", trial));
    fixture.flush();
    (4..6).for_each(|trial| fixture.run("demo", trial));
    fixture.flush();
    (6..8).for_each(|trial| fixture.run("demo", trial));
    (0..1).for_each(|trial| fixture.run("new", trial));
    fixture
}

#[tokio::test]
async fn every_row_is_seen_once_whether_pending_or_in_a_part() {
    let fixture = half_flushed();
    for (table, rows_per_trial) in
        [("trials", 1), ("attempts", 1), ("epochs", 2), ("evaluations", 2), ("shapes", 4)]
    {
        let sql = format!("SELECT sweep, count(*) AS n FROM {table} GROUP BY sweep ORDER BY sweep");
        let expected = format!(
            "sweep,n\ndemo,{}\nnew,{}\nother,{}\n",
            8 * rows_per_trial,
            rows_per_trial,
            2 * rows_per_trial
        );
        assert_eq!(fixture.query(&sql).await.unwrap(), expected, "{table}");
        let all = fixture.query(&format!("SELECT count(*) AS n FROM {table}")).await.unwrap();
        assert_eq!(all, format!("n\n{}\n", 11 * rows_per_trial), "{table}");
    }
}

#[tokio::test]
async fn pending_rows_equal_rows_in_parts() {
    let [fixture, mut flushed] = [Fixture::new(), Fixture::new()].map(|mut fixture| {
        (0..3).for_each(|trial| fixture.run("demo", trial));
        fixture
    });
    flushed.flush();
    assert!(flushed.pending.is_empty());
    for table in Table::ALL {
        let sql = everything(table);
        let pending = fixture.query(&sql).await.unwrap();
        assert_eq!(flushed.query(&sql).await.unwrap(), pending, "{}", table.name());
        assert!(pending.starts_with("sweep,trial,task,net,seed,"), "{pending}");
    }
}

#[tokio::test]
async fn a_retracted_row_disappears_at_once_and_for_good() {
    let mut fixture = Fixture::new();
    let row = |trial: u64, status: &str| {
        let mut row = sample::trial(trial);
        row.status = status.to_owned();
        encode_trials(&[row]).unwrap()
    };
    fixture.commit("demo", row(0, "failed"));
    fixture.commit("demo", row(1, "completed"));
    fixture.commit("other", row(0, "failed"));
    fixture.flush();
    fixture.commit("demo", row(2, "failed"));
    let sql = "SELECT sweep, trial, status FROM trials ORDER BY sweep, trial, status";
    let failed = "sweep,trial,status\n\
                  demo,0,failed\ndemo,1,completed\ndemo,2,failed\nother,0,failed\n";
    assert_eq!(fixture.query(sql).await.unwrap(), failed);

    // `retry --failed` retracts the rows of trials 0 and 2 of demo, in a part and pending.
    for trial in [0, 2] {
        let before = fixture.position;
        let trial = TrialId::new(demo(), trial);
        fixture.retractions.push(Retraction { trial, before, every_table: false });
        fixture.position += 1;
    }
    let gone = "sweep,trial,status\ndemo,1,completed\nother,0,failed\n";
    assert_eq!(fixture.query(sql).await.unwrap(), gone);
    assert_eq!(fixture.query("SELECT count(*) AS n FROM trials").await.unwrap(), "n\n2\n");

    fixture.commit("demo", row(0, "completed"));
    let again = "sweep,trial,status\ndemo,0,completed\ndemo,1,completed\nother,0,failed\n";
    assert_eq!(fixture.query(sql).await.unwrap(), again);
    fixture.pending.retain(|pending| pending.position > 6);
    fixture.flush();
    assert_eq!(fixture.query(sql).await.unwrap(), again);

    let parts = fixture.parts_of(Table::Trials, "demo");
    let compaction = fixture
        .dataset
        .compact(&Table::Trials.to_name(), &demo(), &parts, &fixture.retractions)
        .unwrap()
        .unwrap();
    fixture.parts.retain(|part| !parts.contains(part));
    fixture.parts.extend(compaction.new.clone());
    assert_eq!(fixture.query(sql).await.unwrap(), again, "journaled, not yet published");
    fixture.dataset.publish(&compaction).unwrap();
    assert_eq!(fixture.query(sql).await.unwrap(), again);
    fixture.retractions.clear();
    assert_eq!(fixture.query(sql).await.unwrap(), again, "the retractions can be forgotten");
}

#[tokio::test]
async fn a_query_continues_across_a_compaction() {
    let mut fixture = half_flushed();
    fixture.flush();
    let engine = fixture.engine();
    let sql =
        "SELECT round(sum(val_accuracy), 6) AS s, count(*) AS n FROM epochs WHERE sweep = 'demo'";
    let before = fixture.query(sql).await.unwrap();
    let planned = engine.query(fixture.snapshot(), sql).await.unwrap();
    let old = fixture.snapshot();

    let parts = fixture.parts_of(Table::Epochs, "demo");
    assert!(parts.len() > 1);
    let compaction =
        fixture.dataset.compact(&Table::Epochs.to_name(), &demo(), &parts, &[]).unwrap().unwrap();
    fixture.dataset.publish(&compaction).unwrap();
    assert_eq!(csv(planned).await.unwrap(), before);
    assert_eq!(csv(engine.query(old, sql).await.unwrap()).await.unwrap(), before);

    fixture.parts.retain(|part| !parts.contains(part));
    fixture.parts.extend(compaction.new);
    assert_eq!(fixture.query(sql).await.unwrap(), before);
    fixture.dataset.clear_retired().unwrap();
    assert_eq!(fixture.query(sql).await.unwrap(), before);
}

#[tokio::test]
async fn only_queries_are_possible() {
    let fixture = half_flushed();
    let target = fixture.root.path().join("out.csv");
    let copy = format!("COPY trials TO '{}'", target.display());
    for sql in [
        copy.as_str(),
        "CREATE TABLE mine AS SELECT 1",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE EXTERNAL TABLE passwd STORED AS CSV LOCATION '/etc/passwd'",
        "DROP TABLE trials",
        "DROP VIEW trials",
        "INSERT INTO trials SELECT * FROM trials",
        "DELETE FROM trials",
        "UPDATE trials SET status = 'completed'",
        "SET datafusion.execution.target_partitions = 1",
        "PREPARE q AS SELECT 1",
        "EXPLAIN ANALYZE INSERT INTO trials SELECT * FROM trials",
        &format!("EXPLAIN ANALYZE {copy}"),
        "SELECT 1; SELECT 2",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "",
    ] {
        let error = fixture.query(sql).await.unwrap_err();
        assert!(error.is_invalid(), "{sql}: {error:?}");
    }
    assert!(!target.exists());
    let error = fixture.query("DROP TABLE trials").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "only queries are possible: SELECT, WITH, SHOW, DESCRIBE or EXPLAIN"
    );
    for sql in ["WITH t AS (SELECT 1 AS x) SELECT x FROM t", "EXPLAIN SELECT * FROM trials"] {
        fixture.query(sql).await.unwrap();
    }
}

#[tokio::test]
async fn the_tables_can_be_discovered() {
    let fixture = half_flushed();
    let tables = fixture.query("SHOW TABLES").await.unwrap();
    for table in Table::ALL {
        assert!(tables.contains(&format!("rheo,results,{},", table.name())), "{tables}");
    }
    insta::assert_snapshot!(fixture.query("DESCRIBE shapes").await.unwrap());
}

#[tokio::test]
async fn a_wrong_name_is_answered_with_the_right_ones() {
    let fixture = half_flushed();
    let mut errors = String::new();
    for sql in [
        "SELECT * FROM epoch",
        "SELECT * FROM trails t JOIN epochs e USING (trial)",
        "SELECT * FROM nothing_like_it",
        "SELECT neurons FROM shapes",
        "SELECT s.gain FROM shapes s",
        "SELECT net FROM shapes WHERE nural = 1",
        "SELECT averge(n) FROM shapes",
        "SELEC n FROM shapes",
        "SELECT n FROM shapes GROUP BY net",
        "SELECT config['network']['hiden'] FROM trials",
    ] {
        let error = fixture.query(sql).await.unwrap_err();
        assert!(error.is_invalid(), "{sql}: {error:?}");
        errors += &format!("{sql}\n  error: {error}\n");
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            errors += &format!("  because: {error}\n");
            source = error.source();
        }
    }
    insta::assert_snapshot!(errors);
}

#[tokio::test]
async fn the_configuration_can_be_queried_field_by_field() {
    let fixture = half_flushed();
    let sql = "SELECT trial, config['network']['controller'] AS controller, \
               config['training']['optimizer']['lr'] AS lr, \
               config['evaluate'][1]['level'] AS level \
               FROM trials WHERE sweep = 'demo' AND config['network']['kind'] <> 'homogeneous' \
               ORDER BY trial LIMIT 3";
    let expected = "trial,controller,lr,level\n\
                    1,50,0.001,\"[0.0,0.5]\"\n2,,0.001,\"[0.0,0.5]\"\n4,50,0.001,\"[0.0,0.5]\"\n";
    assert_eq!(fixture.query(sql).await.unwrap(), expected);
}

#[tokio::test]
async fn the_usual_questions_have_answers() {
    let mut fixture = half_flushed();
    let mut diverged = sample::trial(100);
    diverged.status = "diverged".to_owned();
    diverged.objective = Some(f64::NAN);
    fixture.commit("demo", encode_trials(&[diverged]).unwrap());
    let mut failed = sample::trial(101);
    failed.status = "failed".to_owned();
    failed.objective = None;
    failed.summary = None;
    fixture.commit("demo", encode_trials(&[failed]).unwrap());

    let mut answers = String::new();
    for sql in [
        report::leaderboard_sql(&demo(), 20),
        report::robustness_sql(&demo()),
        report::points_sql(&demo()),
        report::curves_sql(&demo()),
    ] {
        answers += &format!("{sql}\n\n{}\n", fixture.query(&sql).await.unwrap());
    }
    insta::assert_snapshot!(answers);
}

#[tokio::test]
async fn a_query_beyond_its_memory_limit_fails_alone() {
    let mut fixture = Fixture::new();
    (0..200).for_each(|trial| fixture.run("demo", trial));
    fixture.flush();
    let limits = Limits { memory: 128 << 10, disk: 0, threads: 2, ..Limits::default() };
    let engine = QueryEngine::new(&fixture.dataset, limits).unwrap();
    let hungry = "SELECT a.trial, count(DISTINCT b.trial * 1000 + b.neuron) AS n \
                  FROM shapes a, shapes b GROUP BY a.trial ORDER BY n";
    let error = match engine.query(fixture.snapshot(), hungry).await {
        Ok(answer) => answer.collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, rheo_query::engine::Error::Exhausted(_)), "{error:?}");
    let small = engine.query(fixture.snapshot(), "SELECT max(trial) AS t FROM shapes").await;
    assert_eq!(csv(small.unwrap()).await.unwrap(), "t\n199\n");
}

#[tokio::test]
async fn an_empty_dataset_has_tables_without_rows() {
    let fixture = Fixture::new();
    let engine = QueryEngine::new(&rheo_query::Dataset::new("/nonexistent"), Limits::default());
    let answer =
        engine.unwrap().query(fixture.snapshot(), "SELECT count(*) AS n FROM trials").await;
    assert_eq!(csv(answer.unwrap()).await.unwrap(), "n\n0\n");
}

#[tokio::test]
async fn filters_projections_and_limits_reach_the_files() {
    let mut fixture = half_flushed();
    fixture.flush();
    let plan = |sql: &'static str| {
        let fixture = &fixture;
        async move {
            let plan = fixture.query(&format!("EXPLAIN FORMAT INDENT {sql}")).await.unwrap();
            plan.split("physical_plan").nth(1).unwrap().to_owned()
        }
    };
    let filtered = plan("SELECT val_loss FROM epochs WHERE trial = 3 AND sweep = 'demo'").await;
    assert!(filtered.contains("predicate=trial@"), "{filtered}");
    assert!(filtered.contains("projection=[val_loss]"), "{filtered}");
    assert!(filtered.contains("pruning_predicate="), "{filtered}");
    let limited = plan("SELECT val_loss FROM epochs LIMIT 1").await;
    assert!(limited.contains("limit=1"), "{limited}");
    let counted = plan("SELECT count(*) FROM epochs").await;
    assert!(!counted.contains("DataSourceExec"), "counted without reading: {counted}");
}
