//! Trials that stop before their last epoch, on real workers.

use rheo_tests::TestBench;

/// Nine trials whose learning rates differ by factors; commits come at rungs only.
pub(crate) const HALVING: &str = "
name: halving
task: {kind: digits, pool: 2, train_size: 300, validation_size: 100, test_size: 50}
network: {kind: homogeneous, hidden: 8}
training: {epochs: 12, batch: 20}
checkpoint: {interval: 3600}
metric: {name: validation.loss, goal: minimize}
early_terminate: {type: asha, min_epochs: 1, eta: 3}
parameters:
  training.optimizer.lr: {values: [1.0e-2, 5.0e-3, 2.0e-3, 1.0e-3, 5.0e-4, 2.0e-4, 1.0e-4, 1.0e-5, 1.0e-6]}
";

/// Checks that every trial has each of its epochs once, from the first to its last.
pub(crate) fn check_epochs(bench: &TestBench) {
    let broken = "select count(*) from (select trial, count(*) as n, count(distinct epoch) as d, \
                  min(epoch) as low, max(epoch) as high from epochs group by trial) \
                  where n <> d or low <> 0 or high <> n - 1";
    assert_eq!(bench.number(broken), 0, "an epoch is missing or there twice");
}

#[test]
fn trials_pause_at_rungs_and_resume_from_their_checkpoints() {
    let bench = TestBench::default();
    let text = HALVING.replace("eta: 3}", "eta: 3, mode: promote}");
    let file = bench.file("halving.yaml", &text);
    bench.run(&["run", file]).expect(0);
    let count = |status: &str| {
        bench.number(&format!("select count(*) from trials where status = '{status}'"))
    };
    let (completed, pruned) = (count("completed"), count("pruned"));
    assert_eq!(completed + pruned, 9);
    check_epochs(&bench);
    // Of nine trials, three go on after 1 epoch, one after 3, and that one to its end.
    assert_eq!(completed, 1);
    let resumed = bench.number("select count(distinct trial) from attempts where attempt > 1");
    assert!((1..=5).contains(&resumed), "{resumed} resumed");
    assert!(bench.number("select count(*) from attempts where outcome = 'paused'") >= 9);
    assert!(bench.number("select max(attempt) from attempts") >= 2, "no trial resumed");
    let failed = "select count(*) from attempts where outcome not in ('paused', 'completed')";
    assert_eq!(bench.number(failed), 0);
}

#[test]
fn trials_that_are_worse_at_a_rung_stop_there() {
    let bench = TestBench::default();
    let file = bench.file("halving.yaml", HALVING);
    let preview = bench.run(&["preview", file]).expect(0).out;
    let told = "Early stopping by asha: after 1, 3 and 9 epochs, the best 1/3 of the trials that got \
                there continue";
    assert!(preview.contains(told), "{preview}");
    bench.run(&["run", file]).expect(0);
    let count = |status: &str| {
        bench.number(&format!("select count(*) from trials where status = '{status}'"))
    };
    let (completed, pruned) = (count("completed"), count("pruned"));
    assert_eq!(completed + pruned, 9);
    assert!(completed >= 1 && pruned >= 4, "{completed} completed, {pruned} pruned");
    check_epochs(&bench);
    let epochs = bench.number("select count(*) from epochs");
    assert!(epochs < 9 * 12, "nothing was saved");
    let whole = "select count(*) from (select trial, count(*) as n from epochs group by trial) e \
                 join trials t on t.trial = e.trial where (t.status = 'completed') <> (e.n = 12)";
    assert_eq!(bench.number(whole), 0, "a pruned trial is whole, or a completed one is not");
    let attempts = "select count(*) from attempts where outcome = 'pruned'";
    assert_eq!(bench.number(attempts), pruned);
}
