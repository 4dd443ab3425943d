//! Checks of the task: fields without effect, sizes beyond the data set, pixels that do not divide.

use rheo_core::schema::FieldConflict;

use crate::config::task::{CIFAR_SIDE, MNIST_SIDE};
use crate::config::{Task, TaskKind, TextSource};

/// Sizes of the splits of MNIST: training, validation, test (science: section 4).
const MNIST_SIZES: [u32; 3] = [50_000, 10_000, 10_000];
/// Sizes of the splits of CIFAR-10: training, validation, test (science: section 4).
const CIFAR_SIZES: [u32; 3] = [45_000, 5_000, 10_000];
/// Checks the fields of a task.
pub(super) fn check_task(task: &Task, batch: u32, problems: &mut Vec<FieldConflict>) {
    match task.kind {
        TaskKind::Digits => {
            if matches!(task.side, 14 | 28) {
                check_pool(task, task.side, problems);
            } else {
                problems.push(FieldConflict::new(
                    &["task.side", "task.kind"],
                    format!("digits are 14 or 28 pixels wide, not `{}`", task.side),
                    "write `side: 14` or `side: 28`",
                ));
            }
            if !task.permute && task.permutation_seed != Task::default().permutation_seed {
                problems.push(FieldConflict::new(
                    &["task.permutation_seed", "task.permute"],
                    "`task.permutation_seed` has no effect without `task.permute: true`",
                    "delete it, or permute the pixels",
                ));
            }
        }
        TaskKind::Smnist | TaskKind::Psmnist => {
            check_pool(task, MNIST_SIDE, problems);
            check_sizes(task, "MNIST", MNIST_SIZES, problems);
            check_paper_seeds(task, problems);
        }
        TaskKind::Gscifar10 => {
            check_pool(task, CIFAR_SIDE, problems);
            check_sizes(task, "CIFAR-10", CIFAR_SIZES, problems);
        }
        TaskKind::CharLm => check_text(task, batch, problems),
        TaskKind::Copy | TaskKind::Evidence => {}
    }
}

fn check_text(task: &Task, batch: u32, problems: &mut Vec<FieldConflict>) {
    let is_generated = task.source == TextSource::Markov;
    let columns = [
        ("training.batch", task.length, batch),
        ("task.eval_batch", task.length / 10, task.eval_batch),
    ];
    for (path, symbols, columns) in columns {
        if is_generated && symbols <= columns {
            problems.push(FieldConflict::new(
                &[path, "task.length"],
                format!("a text of {symbols} symbols cannot be cut into {columns} columns"),
                "write fewer columns, or a longer text",
            ));
        }
    }
    let usual = Task::default();
    let fields = [
        ("task.length", task.length != usual.length, !is_generated),
        ("task.seed", task.seed != usual.seed, !is_generated),
        ("task.data", task.data.is_some(), is_generated),
    ];
    for (path, given, ignored) in fields {
        if given && ignored {
            let help = if is_generated {
                "delete it, or set `task.source` to `bytes` or `ptb`"
            } else {
                "delete it, or set `task.source: markov`"
            };
            problems.push(FieldConflict::new(
                &[path, "task.source"],
                format!("`{path}` has no effect with this `task.source`"),
                help,
            ));
        }
    }
}

fn check_pool(task: &Task, side: u32, problems: &mut Vec<FieldConflict>) {
    if side.is_multiple_of(task.pool) {
        return;
    }
    let divisors: Vec<String> =
        (1..=side).filter(|pool| side.is_multiple_of(*pool)).map(|pool| pool.to_string()).collect();
    problems.push(FieldConflict::new(
        &["task.pool", "task.side"],
        format!(
            "an image of {side} by {side} pixels cannot be divided into squares of {0} by {0}",
            task.pool
        ),
        format!("`task.pool` must divide {side}: one of {}", divisors.join(", ")),
    ));
}

fn check_sizes(task: &Task, set: &str, most: [u32; 3], problems: &mut Vec<FieldConflict>) {
    let sizes = [
        ("task.train_size", task.train_size),
        ("task.validation_size", task.validation_size),
        ("task.test_size", task.test_size),
    ];
    for ((path, size), most) in sizes.into_iter().zip(most) {
        if size > most {
            problems.push(FieldConflict::new(
                &[path, "task.kind"],
                format!("{set} has {most} images for `{path}`, not {size}"),
                format!("write {most} or less"),
            ));
        }
    }
}

fn check_paper_seeds(task: &Task, problems: &mut Vec<FieldConflict>) {
    if !task.paper_seeds {
        return;
    }
    let usual = Task::default();
    let seeds = [
        ("task.permutation_seed", task.permutation_seed, usual.permutation_seed),
        ("task.split_seed", task.split_seed, usual.split_seed),
    ];
    for (path, seed, usual) in seeds {
        if seed != usual {
            problems.push(FieldConflict::new(
                &[path, "task.paper_seeds"],
                format!("`{path}` has no effect with `task.paper_seeds: true`"),
                "delete one of the two",
            ));
        }
    }
}
