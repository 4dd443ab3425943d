//! Queries over missing or damaged parts: an error that names the sweep, never a partial result;
//! queries over other sweeps and tables still run.

use std::fs;

use rheo_core::part::Part;
use rheo_model::row::Table;
use rheo_query::engine::Error;

use crate::fixture::Fixture;

const TRIALS: u64 = 4;

fn two_sweeps() -> Fixture {
    let mut fixture = Fixture::new();
    for sweep in ["demo", "other"] {
        (0..TRIALS).for_each(|trial| fixture.run(sweep, trial));
    }
    fixture.flush();
    fixture
}

fn part(fixture: &Fixture, table: Table, sweep: &str) -> Part {
    let [part] = &fixture.parts_of(table, sweep)[..] else { panic!("one part") };
    part.clone()
}

/// Flips one bit of a part.
fn flip(fixture: &Fixture, part: &Part, at: u64) {
    let path = fixture.root.path().join(part.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Checks that the query is refused because of damage of `demo`.
async fn refused(fixture: &Fixture, sql: &str) {
    let error = fixture.query(sql).await.expect_err(sql);
    assert!(matches!(error, Error::Damaged(_)), "{sql}: {error:?}");
    let text = error.to_string();
    for word in ["`epochs`", "`demo`", "epochs/sweep=demo/part-", "rheo verify --repair"] {
        assert!(text.contains(word), "{text}");
    }
}

/// Queries that do not read the epochs of `demo`.
const OTHERS: [&str; 6] = [
    "SELECT count(*) FROM epochs WHERE sweep = 'other'",
    "SELECT trial, val_loss FROM epochs WHERE sweep = 'other' AND trial = 1",
    "SELECT trial, val_loss FROM epochs WHERE sweep <> 'demo'",
    "SELECT sum(train_loss) FROM epochs WHERE sweep IN ('other', 'third')",
    "SELECT * FROM trials",
    "SELECT t.trial, e.epoch FROM trials t JOIN epochs e USING (sweep, trial) WHERE t.sweep = 'other'",
];

#[tokio::test]
async fn a_missing_part_affects_only_its_sweep_and_table() {
    let fixture = two_sweeps();
    let part = part(&fixture, Table::Epochs, "demo");
    fs::remove_file(fixture.root.path().join(part.path())).unwrap();
    for sql in [
        "SELECT count(*) FROM epochs",
        "SELECT count(*) FROM epochs WHERE sweep = 'demo'",
        "SELECT * FROM epochs LIMIT 1",
        "SELECT max(trial) FROM epochs WHERE sweep LIKE 'd%'",
    ] {
        refused(&fixture, sql).await;
    }
    for sql in OTHERS {
        fixture.query(sql).await.expect(sql);
    }
    fs::remove_dir_all(fixture.root.path().join("epochs/sweep=demo")).unwrap();
    refused(&fixture, "SELECT count(*) FROM epochs").await;
    for sql in OTHERS {
        fixture.query(sql).await.expect(sql);
    }
}

#[tokio::test]
async fn a_part_with_a_flipped_bit_gives_no_rows() {
    let fixture = two_sweeps();
    let part = part(&fixture, Table::Epochs, "demo");
    for n in 0..24 {
        let at = part.bytes * n / 24;
        flip(&fixture, &part, at);
        refused(&fixture, "SELECT trial, epoch, val_loss FROM epochs").await;
        refused(&fixture, "SELECT avg(val_loss) FROM epochs WHERE sweep = 'demo'").await;
        flip(&fixture, &part, at);
    }
    for sql in OTHERS {
        fixture.query(sql).await.expect(sql);
    }
    fixture.query("SELECT avg(val_loss) FROM epochs").await.unwrap();
}

#[tokio::test]
async fn parts_without_a_digest_are_read() {
    let mut fixture = two_sweeps();
    let sql = "SELECT sweep, trial, epoch, val_loss FROM epochs ORDER BY sweep, trial, epoch";
    let expected = fixture.query(sql).await.unwrap();
    fixture.parts.iter_mut().for_each(|part| part.digest = None);
    assert_eq!(fixture.query(sql).await.unwrap(), expected);
    for part in &fixture.parts {
        fixture.dataset.inspect(part).unwrap();
    }
}

#[tokio::test]
async fn a_part_lists_its_trials() {
    let fixture = two_sweeps();
    for part in &fixture.parts {
        assert!(part.digest.is_some());
        let held: Vec<u64> = (0..10).filter(|trial| part.may_hold(*trial)).collect();
        assert_eq!(held, (0..TRIALS).collect::<Vec<_>>(), "{part:?}");
    }
}
