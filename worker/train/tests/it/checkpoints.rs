//! Unusable checkpoints are refused: without a panic, and without training from wrong values.

use rheo_model::config::NetworkKind;
use rheo_model::config::TrialConfig;
use rheo_model::trainer::{Error, NextAction, RunOutcome, Trainer as _};
use rheo_train::TorchTrainer;

use crate::support::{ConfigChange, ScriptedSession, stop_at, tiny, tiny_copy};

/// Returns a checkpoint in the middle of the first epoch.
fn checkpoint(torch: &TorchTrainer, config: &TrialConfig) -> Vec<u8> {
    match stop_at(torch, config, None, 8).unwrap() {
        RunOutcome::Stopped(commit) => commit.checkpoint,
        other => panic!("not stopped: {other:?}"),
    }
}

fn refusal(torch: &TorchTrainer, config: &TrialConfig, bytes: &[u8]) -> String {
    match torch.run(config, Some(bytes), &mut ScriptedSession::new(|_| NextAction::Stop)) {
        Err(Error::Checkpoint(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let torch = TorchTrainer::default();
    let config = tiny(NetworkKind::Adaptive);
    let good = checkpoint(&torch, &config);
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        refusal(&torch, &config, &bad);
    }
}

#[test]
fn a_truncated_or_foreign_file_is_refused() {
    let torch = TorchTrainer::default();
    let config = tiny(NetworkKind::Heterogeneous);
    let good = checkpoint(&torch, &config);
    for length in 0..good.len() {
        refusal(&torch, &config, &good[..length]);
    }
    let mut longer = good.clone();
    longer.push(0);
    refusal(&torch, &config, &longer);
    for foreign in [&b"PK\x03\x04"[..], &[0xff; 64], &[0; 64], b"\x02\0\0\0\0\0\0\0{}"] {
        refusal(&torch, &config, foreign);
    }
}

#[test]
fn a_checkpoint_of_another_trial_is_refused_with_the_first_difference() {
    let torch = TorchTrainer::default();
    let config = tiny(NetworkKind::Heterogeneous);
    let bytes = checkpoint(&torch, &config);
    let cases: [(ConfigChange, &str); 4] = [
        (
            |c| c.training.optimizer.lr = 0.5,
            "`training.optimizer.lr` is `0.001` there and `0.5` here",
        ),
        (|c| c.seed = 8, "`seed` is `7` there and `8` here"),
        (
            |c| c.evaluate[1].level = Some(vec![6.0]),
            "`evaluate.1.level.0` is `5.0` there and `6.0` here",
        ),
        (
            |c| c.network.kind = NetworkKind::Relu,
            "`network.kind` is `\"heterogeneous\"` there and `\"relu\"` here",
        ),
    ];
    for (change, says) in cases {
        let mut other = config.clone();
        change(&mut other);
        let error = refusal(&torch, &other, &bytes);
        assert!(error.contains(says), "{error}\nshould say: {says}");
    }
    refusal(&torch, &tiny_copy(NetworkKind::Heterogeneous), &bytes);
}

#[test]
fn equal_states_have_equal_bytes() {
    let torch = TorchTrainer::default();
    let config = tiny(NetworkKind::Adaptive);
    assert!(checkpoint(&torch, &config) == checkpoint(&torch, &config));
}

/// The file was written by the first version of the format, in the middle of the first validation.
/// It stays unchanged as long as the format has this version.
#[test]
fn a_checkpoint_of_format_version_1_stays_readable() {
    let config: TrialConfig =
        serde_json::from_str(include_str!("../goldens/checkpoint-v1.json")).unwrap();
    let bytes = include_bytes!("../goldens/checkpoint-v1.safetensors");
    let mut session = ScriptedSession::new(|_| NextAction::Continue);
    let ended = TorchTrainer::default().run(&config, Some(bytes), &mut session).unwrap();
    let RunOutcome::Completed(finish) = ended else { panic!("not completed: {ended:?}") };
    let rows = &finish.commit.rows;
    assert_eq!((rows.epochs.len(), rows.evaluations.len(), rows.shapes.len()), (2, 4, 5));
    // Sums from before the file was written do not depend on the processor that reads it.
    let first = &rows.epochs[0];
    assert_eq!((first.train_loss, first.train_accuracy), (2.404_805_135_726_929, 0.12));
    assert_eq!(rows.shapes[0].n_init, 7.004_937_587_281_068);
}
